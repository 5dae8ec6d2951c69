//! The offline drill: decrypts every entry in memory with the unseal shares.

use super::pick;
use super::result::{CheckedCanary, record};
use crate::app::cli::VerifyRestoreArgs;
use crate::app::context::Context;
use crate::app::output;
use crate::base::error::{Error, Result};
use crate::commands::CommandResult;
use crate::formats::barrier::{Namespace, Query, ScanResult, SecretAnswer};
use crate::formats::crypto::Keyring;
use crate::pipeline::drill::Steps;
use crate::pipeline::drill::canary::{self, CanaryState, CanaryValue};
use crate::pipeline::input::BackupSource;
use crate::pipeline::object::Chosen;
use crate::pipeline::offline;
use crate::pipeline::verified::ReadSpec;
use chrono::{DateTime, Utc};
use std::sync::Arc;

/// Reads the backup twice: first the keys, then all entries.
///
/// # Errors
/// `Usage` for a seal other than Shamir's; `Integrity` for a damaged backup; `Drill` for
/// entries that cannot be decrypted with the shares.
pub(super) async fn drill(context: &Context, args: &VerifyRestoreArgs, steps: &mut Steps) -> Result<CommandResult> {
    context.note("backup_tested", args.object.as_deref());
    context.note("mode", "offline");
    let staging = &context.config()?.staging;
    let keyring = Arc::new(context.keyring()?);
    let shares = Arc::new(context.unseal_keys(&args.unseal).await?);
    let store = context.store().await?;

    let picking = pick::backup(context, store.as_ref(), &keyring, args);
    let chosen = Arc::new(steps.time("pick", context.stop.guard(picking)).await?);
    context.note("backup_tested", chosen.name.object());
    let manifest = chosen.insist()?.cloned();
    context.note_cluster(manifest.as_ref().and_then(|manifest| manifest.vault.cluster_id.as_deref()));
    let legacy = context.legacy(args.legacy.allowed);
    let source = BackupSource::of_object(store.clone(), chosen.clone(), Some(keyring.clone()), legacy);
    let unlock = move |reader, how: &ReadSpec| offline::unlock(reader, how, &shares);
    let unlocking = source.read("unlocking", &context.stop, &context.progress, unlock);
    let barrier = steps.time("unlock", unlocking).await?;

    let query = Query { path: staging.canary.clone(), version: None, at: Utc::now() };
    let namespaces = barrier.namespaces();
    let scan = move |reader, how: &ReadSpec| offline::read(reader, how, |state| barrier.scan(state, Some(&query)));
    let scanning = source.read("opening", &context.stop, &context.progress, scan);
    let read = steps.time("open", scanning).await?;
    let (_, result) = read.result;

    context.trust(keyring.mac_keys()).check_key(&chosen.address, read.header.as_ref())?;
    note_unread(&result, &namespaces);
    canary::check(&staging.canary, found(&result)?, chosen.name.created_at(), staging.canary_max_age)?;
    let checked = compared(context, &keyring, &result)?;
    let recorded = (manifest.as_ref(), &checked);
    let at = record(context, store.as_ref(), &chosen, &keyring, recorded, super::Mode::Offline, steps).await?;
    let mut outcome = passed(context, &chosen, &result, steps, at);
    outcome.set("canary_compared", checked.compared);
    outcome.set("canary_hash", &checked.hash);
    let sealable = || namespaces.iter().filter(|namespace| namespace.sealable);
    let names = |opened: bool| sealable().filter(|n| n.opened == opened).map(Namespace::name).collect::<Vec<_>>();
    outcome.set("namespaces_opened", names(true));
    outcome.set("namespaces_sealed", names(false));
    Ok(outcome)
}

/// Logs the number of entries that were not decrypted. They are not a failure: the hashes of
/// the archive cover every byte.
fn note_unread(scan: &ScanResult, namespaces: &[Namespace]) {
    if scan.unknown > 0 {
        let more = if scan.unknown > scan.unknown_names.len() as u64 { ", …" } else { "" };
        tracing::info!(
            "{} entries outside of the barrier are unknown to this version: {}{more}",
            scan.unknown,
            scan.unknown_names.join(", ")
        );
    }
    let sealed: Vec<_> = namespaces.iter().filter(|n| n.sealable && !n.opened).map(Namespace::name).collect();
    if !sealed.is_empty() {
        tracing::info!(
            "{} entries of sealable namespaces were not decrypted: {}; to decrypt them, give --share NAMESPACE=REF or \
             set staging.namespace_unseal_keys",
            scan.unopened,
            sealed.join(", ")
        );
    }
}

/// Compares the canary, which was read from the backup itself, with the configured hash.
fn compared(context: &Context, keyring: &Keyring, scan: &ScanResult) -> Result<CheckedCanary> {
    let staging = &context.config()?.staging;
    let value = scan.answer.as_ref().and_then(CanaryValue::stored);
    let value = value.ok_or_else(|| Error::drill(format!("the canary {} is not a JSON object", staging.canary)))?;
    value.check_hash(&staging.canary, staging.canary_hash.as_deref(), keyring)?;
    Ok(CheckedCanary { compared: Some("backup"), hash: value.hash(keyring) })
}

fn found(scan: &ScanResult) -> Result<CanaryState> {
    Ok(match &scan.answer {
        Some(SecretAnswer::Found(_, version)) => CanaryState::Secret(version.and_then(|v| v.created)),
        Some(SecretAnswer::Deleted(_)) => CanaryState::Deleted,
        Some(SecretAnswer::Destroyed(_)) => CanaryState::Destroyed,
        Some(SecretAnswer::Missing(why)) => {
            tracing::info!("{why}");
            CanaryState::Missing
        }
        None => return Err(Error::unexpected("the canary was not searched")),
    })
}

fn passed(context: &Context, chosen: &Chosen, scan: &ScanResult, steps: &Steps, at: DateTime<Utc>) -> CommandResult {
    let mut outcome = CommandResult::default();
    let canary = context.config().map(|c| c.staging.canary.clone()).unwrap_or_default();
    let total = &scan.summary.total;
    outcome.set("backup_tested", chosen.name.object());
    outcome.set("mode", "offline");
    outcome.set("canary", &canary);
    outcome.set("drilled_at", crate::formats::manifest::rfc3339(at));
    outcome.set("durations_ms", &steps.0);
    outcome.set("entries", total.entries);
    outcome.set("state_bytes", total.bytes);
    outcome.set("entries_by_term", &scan.terms);
    outcome.set("entries_outside", scan.outside);
    outcome.set("entries_unknown", scan.unknown);
    outcome.set("entries_sealed", scan.unopened);
    outcome.figures.newest_drill = Some(at);
    outcome.closing = format!(
        "{}: {} of {} entries decrypted, canary {canary} read, in {}",
        chosen.name,
        scan.terms.values().sum::<u64>(),
        total.entries,
        output::duration(context.elapsed()),
    );
    outcome
}
