//! The steps that `prune` and `backup --prune` share, and their result.
//!
//! Not here: checking and deleting (`pipeline::prune`).

use crate::app::context::Context;
use crate::app::output::{self, CommandResult};
use crate::base::error::{Error, Result};
use crate::formats::backup::Backup;
use crate::formats::manifest::rfc3339;
use crate::pipeline::catalog::Catalog;
use crate::pipeline::prune::{self, Planned, Pruned};
use crate::pipeline::trust::Trust;
use crate::services::store::Store;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Lists the store.
///
/// # Errors
/// The store's.
pub async fn list(context: &Context, store: &dyn Store) -> Result<Catalog> {
    context.progress.stage("listing", None);
    context.stop.guard(Catalog::read(store)).await
}

/// Plans the prune of what is listed. Warns about names in the future, and about what is no file.
///
/// # Errors
/// The store's.
pub async fn plan(context: &Context, store: &dyn Store, trust: &Trust, catalog: Catalog) -> Result<Planned> {
    let policy = context.policy()?;
    catalog.warn_of_skipped(store);
    let planned = context.stop.guard(prune::plan(store, catalog, trust, &policy, context.started)).await?;
    let ahead: Vec<_> = planned.plan.ahead().collect();
    if let Some(first) = ahead.first() {
        let address = store.locate(first.name.object());
        match ahead.len() - 1 {
            0 => tracing::warn!("{address}: its name is in the future, so it is kept and not counted"),
            more => tracing::warn!(
                "{address} and {more} more: their names are in the future, so they are kept and not counted"
            ),
        }
    }
    Ok(planned)
}

/// Plans and deletes.
///
/// # Errors
/// The store's; `Usage` without a random key to verify the backups that stay.
pub async fn execute(context: &Context, store: &dyn Store, catalog: Catalog) -> Result<CommandResult> {
    let trust = context.trust(context.random_mac_keys()?);
    let planned = plan(context, store, &trust, catalog).await?;
    context.progress.stage("pruning", None);
    let pruned = prune::execute(store, &planned, context.started, &context.stop).await?;
    Ok(result(store, &planned, &pruned))
}

fn result(store: &dyn Store, planned: &Planned, pruned: &Pruned) -> CommandResult {
    let mut result = CommandResult::default();
    let names = |list: &[Backup]| -> Vec<Value> { list.iter().map(|b| b.name.object().into()).collect() };
    let locked = pruned
        .locked
        .iter()
        .map(|l| json!({ "object": l.name.object(), "until": l.until.map(rfc3339), "legal_hold": l.legal_hold }));
    result.set("deleted", names(&pruned.deleted));
    result.set("hidden", pruned.hidden);
    result.set("freed_bytes", pruned.freed);
    result.set("kept", planned.plan.decisions.len() - pruned.deleted.len());
    result.set("locked", locked.collect::<Vec<_>>());
    result.set("failed", pruned.failed.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
    result.set("failures", pruned.failed.iter().map(|(_, error)| error.to_string()).collect::<Vec<_>>());
    result.set("orphans_deleted", pruned.orphans);
    result.set("uploads_aborted", &pruned.uploads);
    for locked in &pruned.locked {
        tracing::info!("{}: due, but {locked}", store.locate(locked.name.object()));
    }
    for failure in failures(store, &pruned.failed) {
        result.problem(failure);
    }
    if let Some(error) = &pruned.unchecked {
        result.problem(format!("the deletions were not compared with a new listing: {error}"));
    }
    result.closing = closing(pruned);
    result
}

fn closing(pruned: &Pruned) -> String {
    let s = if pruned.deleted.len() == 1 { "" } else { "s" };
    let mut text = format!("{} backup{s} deleted, {} freed", pruned.deleted.len(), output::bytes(pruned.freed));
    if pruned.hidden > 0 {
        let hidden = pruned.hidden;
        text += &format!("; {hidden} of them only hidden by delete markers: a lifecycle rule must remove old versions");
    }
    if !pruned.locked.is_empty() {
        text += &format!("; {} due, but locked", pruned.locked.len());
    }
    text
}

/// Returns one line for each reason: the store mostly refuses many objects for the same one.
fn failures(store: &dyn Store, failed: &[(String, Error)]) -> Vec<String> {
    let mut by_reason: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for (name, error) in failed {
        let address = store.locate(name);
        let error = error.to_string();
        let reason = error.strip_prefix(&format!("{address}: ")).unwrap_or(&error);
        // Some servers repeat the object's name in the reason.
        let seen = by_reason
            .entry(reason.replace(name.as_str(), ""))
            .or_insert_with(|| (format!("{address}: not deleted: {reason}"), 0));
        seen.1 += 1;
    }
    let line = |(first, count): (String, usize)| match count {
        1 => first,
        _ => format!("{first} (and {} more for this reason)", count - 1),
    };
    by_reason.into_values().map(line).collect()
}
