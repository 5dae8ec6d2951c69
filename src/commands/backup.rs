//! `backup`: makes one backup, from Vault to a verified object with its manifest.

mod after;
mod name;
mod verify;

use crate::app::cli::{BackupArgs, BackupKind};
use crate::app::context::Context;
use crate::app::reporting;
use crate::base::error::{Error, Kind, Result};
use crate::commands::CommandResult;
use crate::formats::crypto::{Encryptor, Header, Keyring, SourceServer};
use crate::formats::manifest::{Manifest, VaultFacts, Verification, rfc3339};
use crate::formats::naming::{BackupName, BackupType};
use crate::pipeline::commit::write_document;
use crate::pipeline::leftovers::UploadLock;
use crate::pipeline::upload::{self, Sent};
use crate::pipeline::{clock, source};
use crate::services::notify::Operation;
use crate::services::store::{Metadata, Put, Store};
use after::Committed;
use bytes::Bytes;
use chrono::TimeDelta;
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};

/// Makes one backup and reports the result.
///
/// # Errors
/// See the exit codes. A failure leaves nothing in the store, except for an unverified
/// object if the upload was complete. The error then names it.
pub(crate) async fn run(context: &Context, args: &BackupArgs) -> Result<CommandResult> {
    lower_priority();
    reporting::run(context, Operation::Backup, Box::pin(pipeline(context, args))).await
}

/// Lowers the priority of this process: Vault often runs on the same machine and sets the
/// pace anyway. Threads that are started later inherit it.
fn lower_priority() {
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
    // Refused only by a sandbox, where the run keeps its priority.
    let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy);
}

async fn pipeline(context: &Context, args: &BackupArgs) -> Result<CommandResult> {
    let config = context.config()?;
    let keyring = context.random_keyring()?;
    let mut lock = UploadLock::take(&config.run.lock_file)?;
    let store = context.store().await?;
    let outcome = Box::pin(make(context, args, store.as_ref(), &keyring, &mut lock)).await;
    lock.finish(store.as_ref()).await;
    outcome
}

/// Number of names that are tried if foreign objects take the name while a backup is made.
const NAMES: usize = 3;

/// The result of one attempt to make the backup under one name.
enum Attempt {
    /// The backup is verified and has its manifest.
    Committed(Box<Committed>),
    /// An object that this tool did not make has taken the name, or that of the manifest.
    Taken(Error),
}

async fn make(
    context: &Context,
    args: &BackupArgs,
    store: &dyn Store,
    keyring: &Keyring,
    lock: &mut UploadLock,
) -> Result<CommandResult> {
    let stop = &context.stop;
    stop.guard(clock::check(store)).await?;
    lock.abort_leftovers(store, stop).await?;
    let kinds = kinds(args.kind);
    let mut from = context.started;
    let mut tried = 0;
    loop {
        let name = stop.guard(name::free(context, store, keyring, kinds, from)).await?;
        from = name.created_at() + TimeDelta::seconds(1);
        lock.note(store, &name);
        if args.kind == BackupKind::Scheduled {
            lock.note(store, &name.as_monthly());
        }
        let taken = match Box::pin(attempt(context, args, store, keyring, name)).await? {
            Attempt::Committed(backup) => return after::run(context, args, store, keyring, &backup).await,
            Attempt::Taken(error) => error,
        };
        tried += 1;
        if tried == NAMES {
            let hint = "find out which program writes there, and take its right to write away";
            return Err(taken.with_kind(Kind::Store).context(format!("{NAMES} names were taken meanwhile")).hint(hint));
        }
        tracing::warn!(
            "{}: this tool did not make it, so the backup is made again under the next free name; find out which \
             program writes there",
            taken.message()
        );
    }
}

/// Makes the backup `name`, from Vault to its manifest.
async fn attempt(
    context: &Context,
    args: &BackupArgs,
    store: &dyn Store,
    keyring: &Keyring,
    name: BackupName,
) -> Result<Attempt> {
    let (sent, facts) = match Box::pin(uploaded(context, store, keyring, &name)).await {
        Err(error) if error.kind() == Kind::Conflict => {
            if name::is_ours(store, &name, keyring).await {
                return Err(error.hint("another run made this backup in the same second: one is enough"));
            }
            context.note("foreign_object", name.object());
            return Ok(Attempt::Taken(error));
        }
        uploaded => uploaded?,
    };
    let verified = verify::verify(context, store, &name, &sent, args.verify).await;
    let verification = verified.map_err(|e| unverified(store, &name, e))?;
    let manifest = manifest(&name, &sent, facts, verification, keyring, context);
    let commit = Bytes::from(manifest.to_bytes(&keyring.primary().mac_key())?);
    match context.stop.guard(write_document(store, &name.manifest(), commit, Put::Create)).await {
        Ok(reported) => Ok(Attempt::Committed(Box::new(Committed { name, manifest, sent, reported }))),
        // The object is this run's, so its manifest cannot be another run's.
        Err(error) if error.kind() == Kind::Conflict => {
            context.note("foreign_object", name.manifest());
            Ok(Attempt::Taken(uncommitted(store, &name, error)))
        }
        Err(error) => Err(uncommitted(store, &name, error)),
    }
}

/// Takes the snapshot and uploads it as `name`.
async fn uploaded(
    context: &Context,
    store: &dyn Store,
    keyring: &Keyring,
    name: &BackupName,
) -> Result<(Sent, VaultFacts)> {
    let stop = &context.stop;
    let client = context.vault()?;
    let auth = context.vault_auth()?;
    let config = context.config()?;
    let (retries, cluster) = (config.run.retries, config.vault.cluster_id.as_deref());
    Box::pin(source::with_session(&client, &auth, cluster, stop, retries, async |node, session, attempt| {
        context.note("attempts", attempt);
        context.note_cluster(node.cluster_id());
        let snapshot = stop.guard(client.snapshot(node, session)).await?;
        // A different node than at login if the leader changed.
        source::expect_cluster(&snapshot.node, cluster)?;
        let facts = source::facts(&snapshot.node);
        let header = header(name, &facts, keyring);
        let encryptor = Encryptor::new(keyring.primary(), &header)?;
        let upload = stop.guard(store.upload(name.object(), metadata(&facts, &header, context))).await?;
        tracing::info!("{}: receiving the snapshot of Vault {}", store.locate(name.object()), snapshot.node.address);
        context.progress.stage("uploading", None);
        let sent = upload::send(snapshot.body, encryptor, upload, stop, &context.progress).await?;
        Ok((sent, facts))
    }))
    .await
}

/// Returns the type of the backup, then that of its copy, which may be due.
fn kinds(kind: BackupKind) -> &'static [BackupType] {
    match kind {
        BackupKind::Scheduled => &BackupType::ALL,
        BackupKind::Daily => &[BackupType::Daily],
        BackupKind::Monthly => &[BackupType::Monthly],
    }
}

fn header(name: &BackupName, facts: &VaultFacts, keyring: &Keyring) -> Header {
    Header {
        key_id: keyring.primary().id().to_owned(),
        created_at: name.created_at(),
        vault: SourceServer::from(facts),
        tool: crate::TOOL.to_owned(),
    }
}

fn metadata(facts: &VaultFacts, header: &Header, context: &Context) -> Metadata {
    let mut metadata = Metadata::from([
        ("timestamp".to_owned(), rfc3339(header.created_at)),
        ("key-id".to_owned(), header.key_id.clone()),
        ("run-id".to_owned(), context.run_id.clone()),
    ]);
    metadata.extend(facts.version.clone().map(|version| ("vault_version".to_owned(), version)));
    metadata
}

fn unverified(store: &dyn Store, name: &BackupName, error: Error) -> Error {
    let address = store.locate(name.object());
    error.context(format!("{address}: uploaded, but not verified"))
}

fn uncommitted(store: &dyn Store, name: &BackupName, error: Error) -> Error {
    let address = store.locate(name.object());
    error.context(format!("{address}: uploaded and verified, but its manifest is not known to be stored"))
}

fn manifest(
    name: &BackupName,
    sent: &Sent,
    facts: VaultFacts,
    verification: Verification,
    keyring: &Keyring,
    context: &Context,
) -> Manifest {
    let meta = &sent.snapshot.meta;
    Manifest {
        object: name.object().to_owned(),
        size_bytes: sent.encrypted.size,
        sha256: hex::encode(sent.encrypted.sha256),
        plaintext_size_bytes: Some(sent.plaintext.size),
        plaintext_sha256: Some(hex::encode(sent.plaintext.sha256)),
        created_at: rfc3339(name.created_at()),
        backup_type: name.backup_type(),
        key_id: keyring.primary().id().to_owned(),
        run_id: Some(context.run_id.clone()),
        vault: VaultFacts { raft_index: Some(meta.index), raft_term: Some(meta.term), ..facts },
        verification: Some(verification),
        tool: Some(crate::TOOL.to_owned()),
    }
}
