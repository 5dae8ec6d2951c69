//! A prune within an operation: what `prune` and `backup --prune` share.
//!
//! Here: its plan and its outcome, from the run's surroundings. Not here: listing,
//! proving and deleting (`pipeline::prune`).

use super::OperationResult;
use crate::app::context::Context;
use crate::app::output;
use crate::base::error::{Error, Result};
use crate::formats::retention::Candidate;
use crate::pipeline::clock;
use crate::pipeline::prune::{self, Planned, Pruned};
use crate::services::store::Store;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Lists and plans; names in the future are warned of.
///
/// # Errors
/// The store's.
pub async fn plan(context: &Context, store: &dyn Store) -> Result<Planned> {
    let (trust, policy) = (context.trust(context.mac_keys()?), context.policy()?);
    context.progress.stage("listing", None);
    let planned = context.stop.guard(prune::plan(store, &trust, &policy, context.started)).await?;
    for ahead in planned.plan.ahead() {
        tracing::warn!(
            "{}: its name lies in the future, so it is kept and not counted",
            store.locate(ahead.name.object())
        );
    }
    Ok(planned)
}

/// Plans and deletes.
///
/// # Errors
/// The store's; `Usage` where nothing could be proven for want of a key; `Unexpected`
/// where the clock is wrong.
pub async fn execute(context: &Context, store: &dyn Store) -> Result<OperationResult> {
    context.stop.guard(clock::check(store)).await?;
    let planned = plan(context, store).await?;
    context.progress.stage("pruning", None);
    let pruned = prune::execute(store, &planned, context.started, &context.stop).await?;
    Ok(outcome(store, &planned, &pruned))
}

fn outcome(store: &dyn Store, planned: &Planned, pruned: &Pruned) -> OperationResult {
    let mut outcome = OperationResult::new();
    let names = |list: &[Candidate]| -> Vec<Value> { list.iter().map(|c| c.name.object().into()).collect() };
    let locked: Vec<_> =
        pruned.locked.iter().map(|(n, until)| json!({ "object": n.object(), "until": until })).collect();
    outcome.result("deleted", names(&pruned.deleted));
    outcome.result("hidden", pruned.hidden);
    outcome.result("freed_bytes", pruned.freed);
    outcome.result("kept", planned.plan.decisions.len() - pruned.deleted.len());
    outcome.result("locked", locked);
    outcome.result("failed", pruned.failed.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
    outcome.result("failures", pruned.failed.iter().map(|(_, error)| error.to_string()).collect::<Vec<_>>());
    outcome.result("orphans_deleted", pruned.orphans);
    outcome.result("uploads_aborted", &pruned.uploads);
    for (name, until) in &pruned.locked {
        tracing::info!("{}: due, but locked until {until}", store.locate(name.object()));
    }
    for failure in failures(store, &pruned.failed) {
        outcome.problem(failure);
    }
    outcome.closing = closing(pruned);
    outcome
}

fn closing(pruned: &Pruned) -> String {
    let mut said = format!("{} backups deleted, {} freed", pruned.deleted.len(), output::bytes(pruned.freed));
    if pruned.hidden > 0 {
        let hidden = pruned.hidden;
        said +=
            &format!("; markers hide {hidden} of them, whose bytes stay until a lifecycle rule removes old versions");
    }
    if !pruned.locked.is_empty() {
        said += &format!("; {} due, but locked", pruned.locked.len());
    }
    said
}

/// One line for each reason: what denies one object mostly denies a thousand.
fn failures(store: &dyn Store, failed: &[(String, Error)]) -> Vec<String> {
    let mut by_reason: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for (name, error) in failed {
        let address = store.locate(name);
        let said = error.to_string();
        let reason = said.strip_prefix(&format!("{address}: ")).unwrap_or(&said);
        // Some servers repeat the object's name in their reason.
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
