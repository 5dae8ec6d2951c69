//! `backup`: one backup, from Vault to a verified object with its manifest.

use crate::cli::{BackupArgs, BackupKind, VerifyMode};
use crate::commands::Done;
use crate::context::Context;
use crate::envelope::{Header, Keyring, Sealer, Source};
use crate::error::{Error, Result};
use crate::lock::Lock;
use crate::manifest::{Manifest, VaultFacts, Verification, rfc3339};
use crate::naming::{BackupName, BackupType};
use crate::operation::{Operation, Outcome, prune};
use crate::output;
use crate::pipeline::catalog::Catalog;
use crate::pipeline::outbound::{self, Sent};
use crate::pipeline::{inbound, monthly, source};
use crate::retention;
use crate::retention::anomaly::{self, Fact};
use crate::store::{Metadata, Put, Store};
use bytes::Bytes;
use chrono::TimeDelta;

/// How far this machine's clock may be from the store's: names carry the time.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// Takes one backup, and tells people how it went.
///
/// # Errors
/// See the exit codes; a failure leaves nothing behind but, once the upload was
/// complete, an unverified object, which the error names.
pub async fn run(context: &Context, args: &BackupArgs) -> Result<Done> {
    Operation::Backup.run(context, Box::pin(pipeline(context, args))).await
}

async fn pipeline(context: &Context, args: &BackupArgs) -> Result<Outcome> {
    let config = context.config()?;
    let keyring = context.keyring()?;
    let _lock = Lock::take(&config.run.lock_file)?;
    let store = context.store().await?;
    let name = BackupName::new(first_type(args.kind), context.started);
    check_clock(context, store.as_ref()).await?;
    check_name_is_free(store.as_ref(), &name).await?;

    let mut outcome = Outcome::new();
    let client = context.vault()?;
    let auth = context.vault_auth()?;
    let (sent, facts) = source::with_session(&client, &auth, &context.stop, async |node, session| {
        let snapshot = client.snapshot(node, session).await?;
        let facts = source::facts(&snapshot.node);
        let header = header(&facts, &keyring, context);
        let sealer = Sealer::new(keyring.primary(), &header)?;
        let upload = store.upload(name.object(), metadata(&facts, &header, context)).await?;
        context.progress.stage("uploading", None);
        let sent = outbound::send(snapshot.body, sealer, upload, &context.stop, &context.progress).await?;
        Ok((sent, facts))
    })
    .await?;

    let verified = verify(context, store.as_ref(), &name, &sent, args.verify).await;
    let verification = verified.map_err(|e| unverified(store.as_ref(), &name, e))?;
    let manifest = manifest(&name, &sent, facts, verification, &keyring, context);
    let mac_key = keyring.primary().mac_key();
    let commit = Bytes::from(manifest.to_bytes(&mac_key)?);
    store.put(&name.manifest(), commit, Put::Create).await.map_err(|e| unverified(store.as_ref(), &name, e))?;

    if args.kind == BackupKind::Scheduled {
        match monthly_copy(context, store.as_ref(), &name, &manifest, &sent, &keyring).await {
            Ok(copy) => outcome.detail("monthly_copy", copy.map(|name| name.object().to_owned())),
            Err(error) => outcome.problem(format!("the monthly copy failed, the next run tries again: {error}")),
        }
    }
    let doubts = doubts(context, store.as_ref(), &name, &manifest, &keyring).await?;
    let mut outcome = completed(outcome, context, store.as_ref(), &manifest);
    if args.prune && doubts {
        outcome.problem("not pruned: this backup looks doubtful beside the one before it, see the warnings");
    } else if args.prune {
        outcome.pruned(prune::execute(context, store.as_ref()).await);
    }
    Ok(outcome)
}

/// Whether this backup looks odd beside the good one before it; what is odd is
/// warned of. Clean-up then waits until somebody has looked.
async fn doubts(
    context: &Context,
    store: &dyn Store,
    name: &BackupName,
    manifest: &Manifest,
    keyring: &Keyring,
) -> Result<bool> {
    let before = async {
        let mut catalog = Catalog::read(store).await?;
        catalog.backups.retain(|b| b.name.created_at() < name.created_at());
        catalog.newest_good(store, &keyring.mac_keys(), context.started, None).await
    };
    let Some((backup, earlier)) = context.stop.guard(before).await? else { return Ok(false) };
    let facts = [(name.clone(), manifest), (backup.name, &earlier)].map(|(name, m)| Fact {
        name,
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

fn first_type(kind: BackupKind) -> BackupType {
    match kind {
        BackupKind::Scheduled | BackupKind::Daily => BackupType::Daily,
        BackupKind::Monthly => BackupType::Monthly,
    }
}

async fn check_clock(context: &Context, store: &dyn Store) -> Result<()> {
    let Some(theirs) = context.stop.guard(store.clock()).await? else { return Ok(()) };
    let ours = chrono::Utc::now();
    if (ours - theirs).abs() <= CLOCK_TOLERANCE {
        return Ok(());
    }
    Err(Error::unexpected(format!("the clock here says {}, the store's {}", rfc3339(ours), rfc3339(theirs)))
        .hint("set this machine's clock (NTP): names and retention go by it"))
}

/// Before anything is asked of Vault: a collision costs nothing.
async fn check_name_is_free(store: &dyn Store, name: &BackupName) -> Result<()> {
    match store.head(name.object()).await? {
        None => Ok(()),
        Some(_) => Err(Error::conflict(format!("{}: exists already", store.locate(name.object())))
            .hint("another run made it within this second; nothing was changed")),
    }
}

fn header(facts: &VaultFacts, keyring: &Keyring, context: &Context) -> Header {
    let VaultFacts { version, cluster_id, cluster_name, .. } = facts.clone();
    Header {
        key_id: keyring.primary().id().to_owned(),
        created_at: context.started,
        vault: Source { version, cluster_id, cluster_name },
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

/// Verification ends a backup's work on the object; the key is read anew, so that
/// a key that changed or went away under the run is found now, not in an emergency.
async fn verify(
    context: &Context,
    store: &dyn Store,
    name: &BackupName,
    sent: &Sent,
    mode: VerifyMode,
) -> Result<Verification> {
    match mode {
        VerifyMode::Full => {
            let keyring = context.keyring()?;
            inbound::read_back(store, name, sent, keyring, &context.stop, &context.progress).await?;
            Ok(Verification::Full)
        }
        VerifyMode::Head => {
            let head = context.stop.guard(store.head(name.object())).await?;
            match head {
                Some(head) if head.size == sent.sealed.size && head.etag == sent.head.etag => Ok(Verification::Head),
                _ => Err(Error::integrity(format!(
                    "{}: the store does not hold what was sent",
                    store.locate(name.object())
                ))),
            }
        }
    }
}

fn unverified(store: &dyn Store, name: &BackupName, error: Error) -> Error {
    let address = store.locate(name.object());
    error.context(format!("{address} was uploaded whole, but stays unverified"))
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
        size_bytes: sent.sealed.size,
        sha256: hex::encode(sent.sealed.sha256),
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

async fn monthly_copy(
    context: &Context,
    store: &dyn Store,
    name: &BackupName,
    manifest: &Manifest,
    sent: &Sent,
    keyring: &Keyring,
) -> Result<Option<BackupName>> {
    let copy = async {
        if !monthly::is_due(store, name, &keyring.mac_keys()).await? {
            return Ok(None);
        }
        context.progress.stage("monthly copy", None);
        monthly::copy(store, name, manifest, &sent.head, &keyring.primary().mac_key()).await.map(Some)
    };
    context.stop.guard(copy).await
}

fn completed(mut outcome: Outcome, context: &Context, store: &dyn Store, manifest: &Manifest) -> Outcome {
    let address = store.locate(&manifest.object);
    let elapsed = context.elapsed();
    let rate = manifest.size_bytes as f64 / elapsed.as_secs_f64().max(0.001);
    outcome.detail("backup_path", &manifest.object);
    outcome.detail("url", &address);
    outcome.detail("checksum", &manifest.sha256);
    outcome.closing = format!(
        "{address}: {} in {}, {}/s, {}",
        output::bytes(manifest.size_bytes),
        output::duration(elapsed),
        output::bytes(rate as u64),
        if manifest.verification == Some(Verification::Full) { "verified" } else { "verified by its checksum" },
    );
    outcome
}
