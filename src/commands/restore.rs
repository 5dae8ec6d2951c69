//! `restore`: restores a backup into a real cluster, with a confirmation by a person.

mod plan;

use crate::app::cli::RestoreArgs;
use crate::app::context::Context;
use crate::app::prompt;
use crate::app::reporting;
use crate::base::error::{Error, Result};
use crate::base::lock::Lock;
use crate::commands::CommandResult;
use crate::pipeline::drill::feed;
use crate::pipeline::drill::target::StagingTarget;
use crate::pipeline::input::{BackupSource, Input};
use crate::pipeline::object::{self, Chosen};
use crate::pipeline::verified::ReadSpec;
use crate::services::notify::Operation;
use crate::services::vault::{Node, Session};
use plan::RestorePlan;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Time limit for revoking the token. Otherwise it expires by its TTL.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Checks the whole backup, shows the plan, asks for confirmation, and only then sends it.
///
/// # Errors
/// `Usage` for anything suspicious; nothing was sent then.
pub(crate) async fn run(context: &Context, args: &RestoreArgs) -> Result<CommandResult> {
    if args.confirm.is_none() && !args.dry_run && !std::io::stdin().is_terminal() {
        return Err(Error::usage("a restore replaces everything in the target, and it was not confirmed")
            .hint("give --confirm with the target cluster's name, or --dry-run"));
    }
    if args.dry_run {
        // It changes nothing, so it sends no notifications.
        let plan = Box::pin(dry_run(context, args)).await?;
        return Ok(CommandResult::document(plan.document()).with_text(plan.text()));
    }
    reporting::run(context, Operation::Restore, Box::pin(restore(context, args))).await
}

async fn dry_run(context: &Context, args: &RestoreArgs) -> Result<RestorePlan> {
    let backup = find(context, args).await?;
    let (target, node, session) = connect(context, args).await?;
    let plan = checked_plan(context, args, &backup, &target, &node, &session).await;
    revoke(&target, session).await;
    plan
}

async fn restore(context: &Context, args: &RestoreArgs) -> Result<CommandResult> {
    let _lock = Lock::take(&context.config()?.run.lock_file)?;
    context.note("backup", args.file.given(args.input.as_deref()));
    context.note("target", &args.address);
    let backup = find(context, args).await?;
    let (target, node, session) = connect(context, args).await?;
    context.note_cluster(node.cluster_id());
    let outcome = send(context, args, &backup, &target, &node, &session).await;
    if tokio::time::timeout(REVOKE_TIMEOUT, target.revoke_tokens()).await.is_err() {
        tracing::debug!("{} did not respond to the revocation", target.address);
    }
    revoke(&target, session).await;
    outcome
}

async fn send(
    context: &Context,
    args: &RestoreArgs,
    backup: &BackupSource,
    target: &StagingTarget,
    node: &Node,
    session: &Session,
) -> Result<CommandResult> {
    let plan = checked_plan(context, args, backup, target, node, session).await?;
    if let Some(note) = plan.note() {
        context.note("note", &note);
        tracing::info!("{note}");
    }
    confirm(context, args, &plan).await?;
    let marker = context.stop.guard_token(target.marker_token(session.token())).await?;
    let sending = async |force| {
        let (stop, progress) = (&context.stop, &context.progress);
        let bytes = stop.guard(backup.bytes()).await.map_err(|e| backup.about(e))?;
        progress.stage("restoring", backup.size);
        let sent = (bytes, backup.how.clone());
        let restored = target.restore(sent, session.token(), force, stop, progress, |_| Ok(())).await;
        restored.map_err(|e| backup.about_contents(e))
    };
    let mut sent = Box::pin(sending(plan.foreign)).await;
    if args.force && !plan.foreign && target.has_other_keys() {
        // The same cluster, rekeyed since the backup. Vault has changed nothing yet.
        sent = match plan.refuse_several_peers() {
            Ok(()) => Box::pin(sending(true)).await,
            Err(refused) => Err(refused),
        };
    }
    let unchanged = |e: Error| match target.may_be_restored() {
        true => e.context("the target received the whole backup, and it is unknown whether the backup was restored"),
        false => e.context("nothing was changed in the target"),
    };
    sent.map_err(unchanged)?;

    context.progress.stage("waiting", None);
    let back = context.stop.guard(Box::pin(target.sealed_or_applied(&marker))).await;
    let sealed = back.map_err(|e| e.context("the target accepted the backup"))?;
    let closing = format!("{} restored into {}", plan.backup, plan.target_name);
    let mut outcome = CommandResult::text(plan.next_steps(sealed)).with_closing(closing);
    outcome.set("backup", &plan.backup);
    outcome.set("target", target.address.as_str());
    outcome.set("sealed", sealed);
    outcome.set("note", plan.note());
    Ok(outcome)
}

/// Revokes the token. After a restore it is invalid together with the old state.
async fn revoke(target: &StagingTarget, session: Session) {
    if let Err(error) = crate::pipeline::source::revoke(&target.client, &target.address, session).await {
        tracing::debug!("{error}");
    }
}

/// Logs in at the given address with the credentials of `[vault]`.
async fn connect(context: &Context, args: &RestoreArgs) -> Result<(StagingTarget, Node, Session)> {
    let address: Url = args.address.parse().map_err(|e: url::ParseError| {
        Error::usage(format!("--address {}: {e}", args.address)).hint("write https://HOST:8200")
    })?;
    let client = context.vault_at(&address)?;
    let auth = context.vault_auth()?;
    let node = Box::pin(context.stop.guard(client.leader())).await?;
    let session = Box::pin(context.stop.guard_token(client.login(&node, &auth))).await?;
    let wait = context.config()?.staging.wait;
    Ok((StagingTarget::new(client, node.address.clone(), Vec::new(), wait), node, session))
}

/// The first pass: checks every byte of the backup and compares it with the target. All that is
/// sent later is bound to the bytes that the plan is about.
async fn checked_plan(
    context: &Context,
    args: &RestoreArgs,
    backup: &BackupSource,
    target: &StagingTarget,
    node: &Node,
    session: &Session,
) -> Result<RestorePlan> {
    let check = |reader, how: &ReadSpec| feed::pass(reader, how, |_| Ok(()), |_| Ok(()));
    let (facts, ()) = backup.read("checking", &context.stop, &context.progress, check).await?;
    let keys = backup.how.keyring.as_ref().map(|keyring| keyring.mac_keys());
    let trust = context.trust(keys.unwrap_or_default());
    let checked = trust.check_key(&backup.label, facts.header.as_ref());
    checked.or_else(|ended| object::accept_if_unverified(ended, args.unverified))?;
    let cluster = facts.header.as_ref().and_then(|h| h.vault.cluster_id.as_deref());
    trust.check_cluster(&backup.label, cluster)?;
    let peers = target.client.raft_configuration(&target.address, session.token()).await?;
    let manifest = backup.chosen().and_then(|chosen| chosen.status.manifest());
    let plan = RestorePlan::new(backup.label.clone(), &facts, manifest, node, peers.len(), context.started);
    plan.refuse_doubts(args.force)?;
    Ok(plan)
}

/// Finds the backup to restore, and checks its manifest.
async fn find(context: &Context, args: &RestoreArgs) -> Result<BackupSource> {
    let keyring = context.keyring()?;
    let trust = context.trust(keyring.mac_keys());
    let input = context.input(args.input.as_deref(), &args.file, &trust).await?;
    input.refuse_stdin()?;
    if let Input::Object(name, _) = &input {
        context.note("backup", name.object());
    }
    let check = |chosen: &Chosen| chosen.insist_on_good(args.unverified);
    let (keyring, legacy) = (Some(Arc::new(keyring)), args.file.legacy.allowed);
    Ok(context.open_checked(&input, &trust, keyring, legacy, check).await?.before_restore())
}

/// Asks for confirmation: the cluster's name, typed by a person or given by `--confirm`.
async fn confirm(context: &Context, args: &RestoreArgs, plan: &RestorePlan) -> Result<()> {
    let given = match &args.confirm {
        Some(name) => name.clone(),
        None => {
            context.progress.clear();
            context.output.note(plan.text());
            context.output.note("Everything in the target will be replaced. Type its cluster name to continue:");
            prompt::line(&context.stop).await?.trim().to_owned()
        }
    };
    if given == plan.target_name {
        return Ok(());
    }
    Err(Error::usage(format!(
        "'{given}' is not the target's cluster name, which is '{}'; nothing was changed",
        plan.target_name
    ))
    .hint("check that --address is the intended cluster"))
}
