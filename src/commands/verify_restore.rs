//! `verify-restore`: runs a restore drill.

mod offline;
mod pick;
mod result;
mod stage;

use crate::app::cli::VerifyRestoreArgs;
use crate::app::context::Context;
use crate::app::reporting;
use crate::base::error::{Error, Kind, Result};
use crate::base::lock::Lock;
use crate::base::secret::Secret;
use crate::commands::CommandResult;
use crate::formats::crypto::Keyring;
use crate::formats::manifest::Manifest;
use crate::formats::product::ServerVersion;
use crate::pipeline::drill::Steps;
use crate::pipeline::drill::canary::{self, CanaryState, CanaryValue, FoundCanary, StoredCanary};
use crate::pipeline::drill::feed::{self, Facts};
use crate::pipeline::input::BackupSource;
use crate::pipeline::object::Chosen;
use crate::pipeline::source;
use crate::services::notify::Operation;
use crate::services::vault::SecretRead;
use chrono::{DateTime, Utc};
use result::{compared, passed, record};
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
    guard_backup(context, &keyring, &chosen, &facts)?;

    let stored = stage::stored_canary(context, &source, steps).await?;

    let origin = origin(&facts, manifest.as_ref());
    let mut stage =
        steps.time("prepare", context.stop.guard(Box::pin(StagingServer::find(context, mode, origin)))).await?;
    let preparing = context.stop.guard_token(Box::pin(stage.prepare(context, &facts, manifest.as_ref())));
    let drilled = match steps.time("prepare", preparing).await {
        Ok(administrator) => {
            let given = (&stage, &administrator);
            let read = restore_and_read(context, given, &source, &chosen, &stored, &facts, steps).await;
            read.and_then(|(served, found)| compared(context, &keyring, &chosen, &served, (stored, found)))
        }
        Err(error) => Err(error),
    };
    let ended = match tokio::time::timeout(CLEANUP, stage.end()).await {
        Ok(ended) => ended,
        Err(_) => Err(stage.target.left_unsealed().because(anyhow::anyhow!("it did not respond"))),
    };
    let canary = match (drilled, ended) {
        (Ok(canary), ended) => ended.map(|()| canary)?,
        (Err(error), ended) => {
            if let Err(left) = ended {
                tracing::warn!("{left}");
            }
            return Err(error);
        }
    };
    // Last: a record means that the drill passed, including its cleanup.
    let at = record(context, store.as_ref(), &chosen, &keyring, (manifest.as_ref(), &canary), mode, steps).await?;
    Ok(passed(context, &chosen, &canary, mode, steps, at))
}

fn guard_backup(context: &Context, keyring: &Keyring, chosen: &Chosen, facts: &Facts) -> Result<()> {
    let cluster = facts.header.as_ref().and_then(|h| h.vault.cluster_id.as_deref());
    let trust = context.trust(keyring.mac_keys());
    trust.check_key(&chosen.address, facts.header.as_ref())?;
    trust.check_cluster(&chosen.address, cluster)
}

/// Returns the server that the backup was taken from, by its header, else by its manifest.
fn origin(facts: &Facts, manifest: Option<&Manifest>) -> ServerVersion {
    let (header, manifest) = (facts.header.as_ref().map(|h| &h.vault), manifest.map(|m| &m.vault));
    let product = header.and_then(|v| v.product).or(manifest.and_then(|v| v.product));
    let version = header.and_then(|v| v.version.as_deref()).or(manifest.and_then(|v| v.version.as_deref()));
    ServerVersion::new(product, version)
}

/// Restores the backup and reads the canary: from staging, and on the way from the backup.
async fn restore_and_read(
    context: &Context,
    (stage, administrator): (&StagingServer, &Secret),
    source: &BackupSource,
    chosen: &Chosen,
    stored: &StoredCanary,
    facts: &Facts,
    steps: &mut Steps,
) -> Result<(CanaryValue, FoundCanary)> {
    let target = &stage.target;
    let (stop, progress) = (&context.stop, &context.progress);
    let marker = stop.guard_token(target.marker_token(administrator)).await?;
    let bytes = stop.guard(source.bytes()).await.map_err(|e| source.about(e))?;
    progress.stage("restoring", source.size);
    let search = stored.search(&context.config()?.staging.canary);
    let restore = target.restore((bytes, source.how.clone()), administrator, true, stop, progress, search);
    let (_, found) = steps.time("restore", Box::pin(restore)).await.map_err(|e| source.about_contents(e))?;

    progress.stage("waiting", None);
    steps.time("wait", stop.guard(Box::pin(target.applied(&marker)))).await?;
    steps
        .time("unseal", stop.guard(Box::pin(target.active())))
        .await
        .and_then(|node| same_cluster(context, facts, node.health.cluster_id.as_deref()))?;
    progress.stage("canary", None);
    let reading = Box::pin(read_canary(context, stage, chosen.name.created_at()));
    Ok((steps.time("canary", reading).await?, found))
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
async fn read_canary(context: &Context, stage: &StagingServer, backup: DateTime<Utc>) -> Result<CanaryValue> {
    let staging = &context.config()?.staging;
    let target = &stage.target;
    let failed = |e: Error| if e.kind() == Kind::Vault { e.with_kind(Kind::Drill) } else { e };
    let auth = staging.login()?.read()?;
    let node = context.stop.guard(target.active()).await?;
    let login = async {
        let session = target.client.login(&node, &auth).await;
        session.map_err(|e| failed(e).context("logging in with the source's credentials"))
    };
    let session = context.stop.guard_token(login).await?;
    let reading = target.client.read_secret(&target.address, session.token(), &staging.canary);
    let read = context.stop.guard(reading).await.map_err(failed);
    if let Err(error) = source::revoke(&target.client, &target.address, session).await {
        tracing::debug!("{error}");
    }
    let check = |found| canary::check(&staging.canary, found, backup, staging.canary_max_age);
    let absent = match read? {
        SecretRead::Found { data, version, created_time } => {
            check(CanaryState::Secret(created_time))?;
            return Ok(CanaryValue::served(data.into(), version, created_time));
        }
        SecretRead::Missing => CanaryState::Missing,
        SecretRead::Deleted { .. } => CanaryState::Deleted,
        SecretRead::Destroyed { .. } => CanaryState::Destroyed,
    };
    check(absent)?;
    Err(Error::unexpected("the canary was not read"))
}

/// Reads an optional secret at its time of use.
fn optional(reference: Option<&crate::base::secret::Reference>) -> Result<Option<Secret>> {
    reference.map(crate::base::secret::Reference::read).transpose()
}
