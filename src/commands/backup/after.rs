//! The steps after a backup is verified and committed: the monthly copy, the comparison
//! with the previous backup, the prune. None of them can make the backup a failed one.

use crate::app::cli::{BackupArgs, BackupKind};
use crate::app::context::Context;
use crate::app::output;
use crate::app::reporting::{self, prune};
use crate::base::error::{Error, Result};
use crate::commands::CommandResult;
use crate::formats::backup::{Backup, BackupStatus};
use crate::formats::crypto::Keyring;
use crate::formats::manifest::{Manifest, Verification};
use crate::formats::naming::{BackupName, BackupType};
use crate::formats::retention::anomaly;
use crate::pipeline::catalog::Catalog;
use crate::pipeline::monthly;
use crate::pipeline::prune::abort_abandoned;
use crate::pipeline::trust::Trust;
use crate::pipeline::upload::Sent;
use crate::services::store::Store;

/// A backup that is verified and has its manifest.
pub(super) struct Committed {
    /// Its name.
    pub(super) name: BackupName,
    /// Its manifest.
    pub(super) manifest: Manifest,
    /// The upload.
    pub(super) sent: Sent,
    /// The error that the store reported although the manifest is stored, if any.
    pub(super) reported: Option<Error>,
}

/// Runs the steps. They share one listing of the store. A failed step is a problem of the
/// result.
///
/// # Errors
/// Only the stop's reason, with a note that the backup is good.
pub(super) async fn run(
    context: &Context,
    args: &BackupArgs,
    store: &dyn Store,
    keyring: &Keyring,
    backup: &Committed,
) -> Result<CommandResult> {
    let mut result = completed(context, store, &backup.manifest);
    if let Some(error) = &backup.reported {
        result.problem(format!("the backup is good, but the store reported an error: {error}"));
    }
    let newest = Some((backup.name.created_at(), backup.manifest.size_bytes));
    match backup.name.backup_type() {
        BackupType::Daily => result.figures.newest_daily = newest,
        BackupType::Monthly => result.figures.newest_monthly = newest,
    }
    let failed = |error: Error| {
        let good = format!("{} is good, but the run ended before its last steps", store.locate(backup.name.object()));
        if error.kind().is_stop() { Err(error.context(good)) } else { Ok(error) }
    };
    let mut catalog = match prune::list(context, store).await {
        Ok(catalog) => catalog,
        Err(error) => {
            let error = failed(error)?;
            result.problem(format!("the backup is good, but the steps after it were skipped: {error}"));
            return Ok(result);
        }
    };
    catalog.add(&backup.name, backup.manifest.clone());
    let trust = context.trust(keyring.mac_keys());
    if args.kind == BackupKind::Scheduled {
        match Box::pin(monthly_copy(context, store, &trust, &mut catalog, backup)).await {
            Ok(copy) => {
                if let Some((_, Some(error))) = &copy {
                    result.problem(format!("the monthly copy is good, but the store reported an error: {error}"));
                }
                if copy.is_some() {
                    result.figures.newest_monthly = newest;
                }
                result.set("monthly_copy", copy.map(|(name, _)| name.object().to_owned()));
            }
            Err(error) => {
                result.problem(format!("the monthly copy failed, the next run tries again: {}", failed(error)?));
            }
        }
    }
    let suspicious = match Box::pin(is_suspicious(context, store, &trust, &catalog, backup)).await {
        Ok(suspicious) => suspicious,
        Err(error) => {
            let error = failed(error)?;
            result.problem(format!("the backup is good, but was not compared with the previous one: {error}"));
            true
        }
    };
    if args.prune && suspicious {
        result.problem("prune skipped: the new backup looks suspicious compared with the previous one; check the warnings, then run `vault-backup prune`");
    } else if args.prune {
        let pruned = Box::pin(prune::execute(context, store, catalog)).await;
        reporting::add_prune(context, &mut result, pruned).or_else(|error| failed(error).map(drop))?;
    }
    if !args.prune || suspicious {
        match abort_abandoned(store, context.started, &context.stop).await {
            Ok(names) => names.iter().for_each(|n| tracing::info!("{}: abandoned upload aborted", store.locate(n))),
            Err(error) => drop(failed(error)?),
        }
    }
    Ok(result)
}

/// Copies the backup to `monthly/` if its month has no good one yet. Returns the copy's
/// name, and the error that the store reported although the manifest is stored.
async fn monthly_copy(
    context: &Context,
    store: &dyn Store,
    trust: &Trust,
    catalog: &mut Catalog,
    backup: &Committed,
) -> Result<Option<(BackupName, Option<Error>)>> {
    let (stop, progress) = (&context.stop, &context.progress);
    if !stop.guard(monthly::is_due(store, catalog, &backup.name, trust)).await? {
        return Ok(None);
    }
    progress.stage("monthly copy", None);
    // Read again, as for the backup itself.
    let keyring = context.keyring()?;
    let copied = monthly::copy(store, &backup.name, &backup.manifest, &backup.sent, keyring, stop, progress).await;
    let (name, manifest, reported) = copied?;
    catalog.add(&name, manifest);
    Ok(Some((name, reported)))
}

/// Returns `true` if this backup looks suspicious compared with the good one before it, and
/// warns. The prune then waits until an operator has looked.
async fn is_suspicious(
    context: &Context,
    store: &dyn Store,
    trust: &Trust,
    catalog: &Catalog,
    backup: &Committed,
) -> Result<bool> {
    let earlier = catalog.backups.iter().filter(|b| b.name.created_at() < backup.name.created_at());
    let mut earlier = Catalog { backups: earlier.cloned().collect(), ..Catalog::default() };
    let before = context.stop.guard(earlier.newest_good(store, trust, context.started, None)).await?;
    let Some(before) = before.cloned() else { return Ok(false) };
    let mut new = Backup::new(backup.name.clone(), backup.manifest.size_bytes);
    new.status = BackupStatus::Good(Box::new(backup.manifest.clone()));
    let suspicions = anomaly::suspicions(context.started, &[new, before]);
    for suspicion in &suspicions {
        tracing::warn!("{suspicion}");
    }
    Ok(!suspicions.is_empty())
}

/// Returns the result of the backup itself.
fn completed(context: &Context, store: &dyn Store, manifest: &Manifest) -> CommandResult {
    let mut result = CommandResult::default();
    let address = store.locate(&manifest.object);
    let elapsed = context.elapsed();
    let rate = manifest.size_bytes as f64 / elapsed.as_secs_f64().max(0.001);
    context.note("backup_path", &manifest.object);
    context.note("checksum", &manifest.sha256);
    context.note("size_bytes", manifest.size_bytes);
    context.note("backup_type", manifest.backup_type);
    result.set("object", &manifest.object);
    result.set("url", &address);
    result.set("backup_type", manifest.backup_type);
    result.set("created_at", &manifest.created_at);
    result.set("sha256", &manifest.sha256);
    result.set("size_bytes", manifest.size_bytes);
    result.set("plaintext_size_bytes", manifest.plaintext_size_bytes);
    result.set("key_id", &manifest.key_id);
    result.set("run_id", &manifest.run_id);
    result.set("verification", manifest.verification);
    result.set("vault", &manifest.vault);
    result.set("attempts", context.noted().get("attempts"));
    if let Some(object) = context.noted().get("foreign_object") {
        result.set("foreign_object", object);
    }
    result.set("duration_ms", elapsed.as_millis() as u64);
    result.closing = format!(
        "{address}: {} in {}, {}/s, {}",
        output::bytes(manifest.size_bytes),
        output::duration(elapsed),
        output::bytes(rate as u64),
        if manifest.verification == Some(Verification::Full) {
            "stored and verified"
        } else {
            "stored, verified by its checksum"
        },
    );
    result
}
