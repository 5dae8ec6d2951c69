//! Which backup a drill restores.

use crate::app::context::Context;
use crate::base::error::{Error, Result};
use crate::formats::crypto::Keyring;
use crate::pipeline::catalog::Catalog;
use crate::pipeline::object::{self, Chosen};
use crate::services::store::Store;

/// The one that is named; else the newest good one; else, where none is good, the
/// newest that has no manifest (the older service wrote none).
///
/// # Errors
/// `Store` if there is none.
pub(super) async fn backup(
    context: &Context,
    store: &dyn Store,
    keyring: &Keyring,
    object: Option<&str>,
) -> Result<Chosen> {
    let trust = context.trust(keyring.mac_keys());
    if let Some(object) = object {
        return object::choose(store, object, &trust).await;
    }
    let catalog = Catalog::read(store).await?;
    let newest = match catalog.newest_good(store, &trust, context.started, None).await? {
        Some((backup, _)) => backup.name,
        None => catalog
            .backups
            .iter()
            .find(|b| !b.has_manifest && !b.is_future(context.started))
            // Where all are of another cluster, the refusal of one says so.
            .or_else(|| catalog.backups.first().filter(|_| trust.cluster.is_some()))
            .map(|b| b.name.clone())
            .ok_or_else(|| {
                Error::store(format!("{}: no backup to drill", store.locate(""))).hint("see: vault-backup list")
            })?,
    };
    object::choose(store, newest.object(), &trust).await
}
