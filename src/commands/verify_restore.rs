//! `verify-restore`: runs a restore drill.

mod offline;
mod pick;
mod stage;

use crate::app::cli::VerifyRestoreArgs;
use crate::app::context::Context;
use crate::app::output;
use crate::app::reporting;
use crate::base::error::{Error, Kind, Result};
use crate::base::lock::Lock;
use crate::base::secret::Secret;
use crate::commands::CommandResult;
use crate::formats::manifest::{DrillRecord, Manifest, rfc3339};
use crate::formats::product::ServerVersion;
use crate::pipeline::drill::Steps;
use crate::pipeline::drill::canary::{self, CanaryState};
use crate::pipeline::drill::feed::{self, Facts};
use crate::pipeline::input::BackupSource;
use crate::pipeline::object::Chosen;
use crate::services::notify::Operation;
use crate::services::store::{Put, Store};
use crate::services::vault::SecretRead;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use stage::{Mode, StagingServer};
use std::sync::Arc;
use std::time::Duration;

/// Time limit for sealing or stopping staging.
const CLEANUP: Duration = Duration::from_secs(30);

/// Restores a backup into staging and reads the canary from it.
///
/// # Errors
/// `Usage` if the guard refuses; `Drill` for any failure after the restore was accepted.
pub(crate) async fn run(context: &Context, args: &VerifyRestoreArgs) -> Result<CommandResult> {
    reporting::run(context, Operation::Drill, async {
        args.check()?;
        let _lock = Lock::take(&stage::lock_file(context)?)?;
        let mut steps = Steps::default();
        let drilled = match Mode::of(args, context.config()?.staging.mode) {
            Mode::Offline => Box::pin(offline::drill(context, args, &mut steps)).await,
            mode => Box::pin(drill(context, args, mode, &mut steps)).await,
        };
        context.note("durations_ms", &steps.0);
        drilled
    })
    .await
}

async fn drill(context: &Context, args: &VerifyRestoreArgs, mode: Mode, steps: &mut Steps) -> Result<CommandResult> {
    context.note("backup_tested", args.object.as_deref());
    context.note("staging_vault", stage::name(context, mode));
    let store = context.store().await?;
    let keyring = Arc::new(context.keyring()?);

    let picking = pick::backup(context, store.as_ref(), &keyring, args);
    let chosen = Arc::new(steps.time("pick", context.stop.guard(picking)).await?);
    context.note("backup_tested", chosen.name.object());
    let manifest = chosen.insist()?.cloned();
    context.note_cluster(manifest.as_ref().and_then(|manifest| manifest.vault.cluster_id.as_deref()));
    let legacy = context.legacy(args.legacy.allowed);
    let source = BackupSource::of_object(store.clone(), chosen.clone(), Some(keyring.clone()), legacy).before_restore();
    let peek = source.read("looking", &context.stop, &context.progress, feed::peek);
    let facts = steps.time("peek", peek).await?;
    guard_backup(context, &chosen, &facts)?;

    let origin = origin(&facts, manifest.as_ref());
    let mut stage =
        steps.time("prepare", context.stop.guard(Box::pin(StagingServer::find(context, mode, origin)))).await?;
    let preparing = context.stop.guard(Box::pin(stage.prepare(context, &facts, manifest.as_ref())));
    let drilled = match steps.time("prepare", preparing).await {
        Ok(administrator) => {
            let given = (&stage, &administrator);
            restore_and_read(context, given, &source, &chosen, &facts, steps).await
        }
        Err(error) => Err(error),
    };
    let ended = match tokio::time::timeout(CLEANUP, stage.end()).await {
        Ok(ended) => ended,
        Err(_) => Err(stage.target.left_unsealed().because(anyhow::anyhow!("it did not respond"))),
    };
    match (drilled, ended) {
        (Ok(()), ended) => ended?,
        (Err(error), ended) => {
            if let Err(left) = ended {
                tracing::warn!("{left}");
            }
            return Err(error);
        }
    }
    // Last: a record means that the drill passed, including its cleanup.
    let recording = record(context, store.as_ref(), &chosen, &keyring, manifest.as_ref(), mode, steps);
    let at = context.stop.guard(recording).await?;
    Ok(passed(context, &chosen, mode, steps, at))
}

fn guard_backup(context: &Context, chosen: &Chosen, facts: &Facts) -> Result<()> {
    let cluster = facts.header.as_ref().and_then(|h| h.vault.cluster_id.as_deref());
    context.trust(Vec::new()).check_cluster(&chosen.address, cluster)
}

/// Returns the server that the backup was taken from, by its header, else by its manifest.
fn origin(facts: &Facts, manifest: Option<&Manifest>) -> ServerVersion {
    let (header, manifest) = (facts.header.as_ref().map(|h| &h.vault), manifest.map(|m| &m.vault));
    let product = header.and_then(|v| v.product).or(manifest.and_then(|v| v.product));
    let version = header.and_then(|v| v.version.as_deref()).or(manifest.and_then(|v| v.version.as_deref()));
    ServerVersion::new(product, version)
}

/// Restores the backup and reads the canary.
async fn restore_and_read(
    context: &Context,
    (stage, administrator): (&StagingServer, &Secret),
    source: &BackupSource,
    chosen: &Chosen,
    facts: &Facts,
    steps: &mut Steps,
) -> Result<()> {
    let target = &stage.target;
    let (stop, progress) = (&context.stop, &context.progress);
    let marker = stop.guard(target.marker_token(administrator)).await?;
    let bytes = stop.guard(source.bytes()).await.map_err(|e| source.about(e))?;
    progress.stage("restoring", source.size);
    let restore = target.restore(bytes, source.how.clone(), administrator, true, stop, progress);
    steps.time("restore", Box::pin(restore)).await.map_err(|e| source.about_contents(e))?;

    progress.stage("waiting", None);
    steps.time("wait", stop.guard(Box::pin(target.applied(&marker)))).await?;
    steps
        .time("unseal", stop.guard(Box::pin(target.active())))
        .await
        .and_then(|node| same_cluster(context, facts, node.health.cluster_id.as_deref()))?;
    progress.stage("canary", None);
    steps.time("canary", stop.guard(Box::pin(read_canary(context, stage, chosen.name.created_at())))).await
}

/// Checks that the restored Vault is the cluster that the backup was taken from.
fn same_cluster(context: &Context, facts: &Facts, restored: Option<&str>) -> Result<()> {
    let named = facts.header.as_ref().and_then(|h| h.vault.cluster_id.as_deref());
    // A legacy backup does not record it.
    let expected = named.or(context.config()?.vault.cluster_id.as_deref());
    match (expected, restored) {
        (Some(expected), Some(restored)) if expected != restored => Err(Error::drill(format!(
            "the restored Vault is cluster {restored}, but the backup was taken from cluster {expected}"
        ))),
        _ => Ok(()),
    }
}

/// Logs in with the source's credentials and reads the canary.
async fn read_canary(context: &Context, stage: &StagingServer, backup: DateTime<Utc>) -> Result<()> {
    let staging = &context.config()?.staging;
    let target = &stage.target;
    let failed = |e: Error| if e.kind() == Kind::Vault { e.with_kind(Kind::Drill) } else { e };
    let auth = staging.login()?.read()?;
    let node = target.active().await?;
    let session = target
        .client
        .login(&node, &auth)
        .await
        .map_err(|e| failed(e).context("logging in with the source's credentials"))?;
    let read = target.client.read_secret(&target.address, session.token(), &staging.canary).await;
    if let Err(error) = target.client.revoke(session).await {
        tracing::debug!("{error}");
    }
    let found = match read.map_err(failed)? {
        SecretRead::Found { created_time, .. } => CanaryState::Secret(created_time),
        SecretRead::Missing => CanaryState::Missing,
        SecretRead::Deleted { .. } => CanaryState::Deleted,
        SecretRead::Destroyed { .. } => CanaryState::Destroyed,
    };
    canary::check(&staging.canary, found, backup, staging.canary_max_age)
}

/// Writes the drill record, the only object that a later run may replace.
async fn record(
    context: &Context,
    store: &dyn Store,
    chosen: &Chosen,
    keyring: &crate::formats::crypto::Keyring,
    manifest: Option<&Manifest>,
    mode: Mode,
    steps: &Steps,
) -> Result<DateTime<Utc>> {
    let now = Utc::now();
    let Some(manifest) = manifest else {
        tracing::warn!(
            "{}: the restore drill passed, but no drill record was written because the backup has no manifest",
            chosen.address
        );
        return Ok(now);
    };
    let record = DrillRecord {
        object: chosen.name.object().to_owned(),
        sha256: manifest.sha256.clone(),
        drilled_at: rfc3339(now),
        mode: mode.as_str().to_owned(),
        staging_vault: (mode != Mode::Offline).then(|| stage::name(context, mode)),
        canary: context.config()?.staging.canary.clone(),
        durations_ms: steps.0.clone(),
        tool: crate::TOOL.to_owned(),
    };
    let bytes = Bytes::from(record.to_bytes(&keyring.primary().mac_key())?);
    store.put(&chosen.name.drill_record(), bytes, Put::Replace).await?;
    Ok(now)
}

fn passed(context: &Context, chosen: &Chosen, mode: Mode, steps: &Steps, at: DateTime<Utc>) -> CommandResult {
    let mut outcome = CommandResult::default();
    let canary = context.config().map(|c| c.staging.canary.clone()).unwrap_or_default();
    outcome.set("backup_tested", chosen.name.object());
    outcome.set("staging_vault", stage::name(context, mode));
    outcome.set("mode", mode.as_str());
    outcome.set("canary", &canary);
    outcome.set("drilled_at", rfc3339(at));
    outcome.set("durations_ms", &steps.0);
    outcome.figures.newest_drill = Some(at);
    outcome.closing = format!(
        "{}: restored into {}, canary {canary} read back, in {}",
        chosen.name,
        stage::name(context, mode),
        output::duration(context.elapsed()),
    );
    outcome
}

/// Reads an optional secret at its time of use.
fn optional(reference: Option<&crate::base::secret::Reference>) -> Result<Option<Secret>> {
    reference.map(crate::base::secret::Reference::read).transpose()
}
