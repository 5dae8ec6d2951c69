//! Chooses the backup of a restore drill.

use crate::app::cli::VerifyRestoreArgs;
use crate::app::context::Context;
use crate::base::error::{Error, Result};
use crate::formats::crypto::Keyring;
use crate::formats::naming::BackupName;
use crate::pipeline::catalog::Catalog;
use crate::pipeline::object::{self, Chosen};
use crate::pipeline::select;
use crate::pipeline::trust::Trust;
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
    let name = if let Some(text) = &args.object {
        let named = select::named(store, text, &trust, context.started).await?;
        named.ok_or_else(|| Error::store(format!("{text}: no such backup in {address}")).hint(list))?
    } else if args.random {
        select::random(store, &trust, context.started).await?
    } else {
        let newest = newest(context, store, &trust).await?;
        newest.ok_or_else(|| Error::store(format!("{address}: no backup to drill")).hint(list))?
    };
    object::choose(store, &name, &trust).await
}

async fn newest(context: &Context, store: &dyn Store, trust: &Trust) -> Result<Option<BackupName>> {
    let mut catalog = Catalog::read(store).await?;
    if let Some(good) = catalog.newest_good(store, trust, context.started, None).await? {
        return Ok(Some(good.name.clone()));
    }
    let backups = &catalog.backups;
    let unverified = backups.iter().find(|b| !b.has_manifest && !b.is_future(context.started));
    // If all are of another cluster, the refusal of the newest says so.
    let other = || backups.first().filter(|_| trust.cluster.is_some());
    Ok(unverified.or_else(other).map(|backup| backup.name.clone()))
}
