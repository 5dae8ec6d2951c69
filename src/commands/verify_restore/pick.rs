//! Chooses the backup of a restore drill.

use crate::app::cli::VerifyRestoreArgs;
use crate::app::context::Context;
use crate::base::error::{Error, Result};
use crate::formats::crypto::Keyring;
use crate::pipeline::catalog::Catalog;
use crate::pipeline::object::{self, Chosen};
use crate::pipeline::select;
use crate::services::store::Store;

/// Returns the named backup, a random good one, or the newest good one. If none is good, it
/// is the newest without a manifest: the previous service wrote none.
///
/// # Errors
/// `Store` if there is none, and as [`select::named`].
pub(super) async fn backup(
    context: &Context,
    store: &dyn Store,
    keyring: &Keyring,
    args: &VerifyRestoreArgs,
) -> Result<Chosen> {
    let trust = context.trust(keyring.mac_keys());
    let (address, list) = (store.locate(""), "see: vault-backup list");
    if let Some(text) = &args.object {
        let named = select::named(store, text, &trust, context.started).await?;
        let name = named.ok_or_else(|| Error::store(format!("{text}: no such backup in {address}")).hint(list))?;
        return object::choose(store, name.object(), &trust).await;
    }
    if args.random {
        let name = select::random(store, &trust, context.started).await?;
        return object::choose(store, name.object(), &trust).await;
    }
    let catalog = Catalog::read(store).await?;
    let newest = match catalog.newest_good(store, &trust, context.started, None).await? {
        Some((backup, _)) => backup.name,
        None => catalog
            .backups
            .iter()
            .find(|b| !b.has_manifest && !b.is_future(context.started))
            // If all are of another cluster, the refusal of the newest says so.
            .or_else(|| catalog.backups.first().filter(|_| trust.cluster.is_some()))
            .map(|b| b.name.clone())
            .ok_or_else(|| Error::store(format!("{address}: no backup to drill")).hint(list))?,
    };
    object::choose(store, newest.object(), &trust).await
}
