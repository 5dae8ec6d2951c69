//! What follows a backup that is verified and committed: the monthly copy, the
//! comparison with the backup before it, the prune. None of it can make the
//! backup a failed one.

use crate::app::cli::{BackupArgs, BackupKind};
use crate::app::context::Context;
use crate::app::output;
use crate::app::reporting::{OperationResult, prune};
use crate::base::error::{Error, Result};
use crate::formats::crypto::Keyring;
use crate::formats::manifest::{Manifest, Verification};
use crate::formats::naming::{BackupName, BackupType};
use crate::formats::retention;
use crate::formats::retention::anomaly::{self, BackupFacts};
use crate::pipeline::catalog::Catalog;
use crate::pipeline::monthly;
use crate::services::store::{Head, Store};

/// A backup that is verified and has its manifest.
pub(super) struct Committed {
    /// Its name.
    pub(super) name: BackupName,
    /// Its manifest.
    pub(super) manifest: Manifest,
    /// What the store said of the object.
    pub(super) head: Head,
}

/// Does all of it; what fails is a problem of the outcome.
///
/// # Errors
/// The stop's reason alone, saying that the backup is good.
pub(super) async fn run(
    context: &Context,
    args: &BackupArgs,
    store: &dyn Store,
    keyring: &Keyring,
    backup: &Committed,
) -> Result<OperationResult> {
    let mut outcome = completed(context, store, &backup.manifest);
    let newest = Some((backup.name.created_at(), backup.manifest.size_bytes));
    match backup.name.backup_type() {
        BackupType::Daily => outcome.figures.newest_daily = newest,
        BackupType::Monthly => outcome.figures.newest_monthly = newest,
    }
    let tell = |error: Error| {
        let good = format!("{} is good, but the run ended before its last steps", store.locate(backup.name.object()));
        if error.kind().is_stop() { Err(error.context(good)) } else { Ok(error) }
    };
    if args.kind == BackupKind::Scheduled {
        match Box::pin(monthly_copy(context, store, keyring, backup)).await {
            Ok(copy) => {
                if copy.is_some() {
                    outcome.figures.newest_monthly = newest;
                }
                outcome.result("monthly_copy", copy.map(|name| name.object().to_owned()));
            }
            Err(error) => {
                outcome.problem(format!("the monthly copy failed, the next run tries again: {}", tell(error)?));
            }
        }
    }
    let doubtful = match Box::pin(doubts(context, store, keyring, backup)).await {
        Ok(doubtful) => doubtful,
        Err(error) => {
            let error = tell(error)?;
            outcome.problem(format!("the backup is good, but was not compared with the one before it: {error}"));
            true
        }
    };
    if args.prune && doubtful {
        outcome.problem("not pruned: the new backup looks doubtful beside the one before it; see the warnings, then run: vault-backup prune");
    } else if args.prune {
        let pruned = Box::pin(prune::execute(context, store)).await;
        outcome.pruned(context, pruned).or_else(|error| tell(error).map(drop))?;
    }
    Ok(outcome)
}

/// Copies the backup to `monthly/` if its month has no good one yet.
async fn monthly_copy(
    context: &Context,
    store: &dyn Store,
    keyring: &Keyring,
    backup: &Committed,
) -> Result<Option<BackupName>> {
    let copy = async {
        if !monthly::is_due(store, &backup.name, &context.trust(keyring.mac_keys())).await? {
            return Ok(None);
        }
        context.progress.stage("monthly copy", None);
        let mac_key = keyring.primary().mac_key();
        monthly::copy(store, &backup.name, &backup.manifest, &backup.head, &mac_key).await.map(Some)
    };
    context.stop.guard(copy).await
}

/// Whether this backup looks odd beside the good one before it; what is odd is
/// warned of. Clean-up then waits until somebody has looked.
async fn doubts(context: &Context, store: &dyn Store, keyring: &Keyring, backup: &Committed) -> Result<bool> {
    let before = async {
        let mut catalog = Catalog::read(store).await?;
        catalog.backups.retain(|b| b.name.created_at() < backup.name.created_at());
        catalog.newest_good(store, &context.trust(keyring.mac_keys()), context.started, None).await
    };
    let Some((earlier, manifest)) = context.stop.guard(before).await? else { return Ok(false) };
    let facts = [(&backup.name, &backup.manifest), (&earlier.name, &manifest)].map(|(name, m)| BackupFacts {
        name: name.clone(),
        size: m.size_bytes,
        standing: retention::Standing::Good,
        raft_index: m.vault.raft_index,
        cluster_id: m.vault.cluster_id.clone(),
    });
    let doubts = anomaly::suspicions(context.started, &facts);
    for doubt in &doubts {
        tracing::warn!("{doubt}");
    }
    Ok(!doubts.is_empty())
}

/// The outcome of the backup itself.
fn completed(context: &Context, store: &dyn Store, manifest: &Manifest) -> OperationResult {
    let mut outcome = OperationResult::new();
    let address = store.locate(&manifest.object);
    let elapsed = context.elapsed();
    let rate = manifest.size_bytes as f64 / elapsed.as_secs_f64().max(0.001);
    context.note("backup_path", &manifest.object);
    context.note("checksum", &manifest.sha256);
    context.note("size_bytes", manifest.size_bytes);
    context.note("backup_type", manifest.backup_type);
    outcome.result("object", &manifest.object);
    outcome.result("url", &address);
    outcome.result("backup_type", manifest.backup_type);
    outcome.result("created_at", &manifest.created_at);
    outcome.result("sha256", &manifest.sha256);
    outcome.result("size_bytes", manifest.size_bytes);
    outcome.result("plaintext_size_bytes", manifest.plaintext_size_bytes);
    outcome.result("key_id", &manifest.key_id);
    outcome.result("run_id", &manifest.run_id);
    outcome.result("verification", manifest.verification);
    outcome.result("vault", &manifest.vault);
    outcome.result("attempts", context.noted().get("attempts"));
    outcome.result("duration_ms", elapsed.as_millis() as u64);
    outcome.closing = format!(
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
    outcome
}
