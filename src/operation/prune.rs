//! A prune within an operation: what `prune` and `backup --prune` share.
//!
//! Here: its plan and its outcome, from the run's surroundings. Not here: listing,
//! proving and deleting (`pipeline::prune`).

use super::Outcome;
use crate::context::Context;
use crate::error::Result;
use crate::output;
use crate::pipeline::prune::{self, Planned, Pruned};
use crate::retention::Candidate;
use crate::store::Store;
use serde_json::{Value, json};

/// Lists and plans; names in the future are warned of.
///
/// # Errors
/// The store's.
pub async fn plan(context: &Context, store: &dyn Store) -> Result<Planned> {
    let (keys, policy) = (context.mac_keys()?, context.policy()?);
    context.progress.stage("listing", None);
    let planned = context.stop.guard(prune::plan(store, &keys, &policy, context.started)).await?;
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
/// The store's; `Usage` where nothing could be proven for want of a key.
pub async fn execute(context: &Context, store: &dyn Store) -> Result<Outcome> {
    let planned = plan(context, store).await?;
    context.progress.stage("pruning", None);
    let pruned = prune::execute(store, &planned, context.started, &context.stop).await?;
    Ok(outcome(store, &planned, &pruned))
}

fn outcome(store: &dyn Store, planned: &Planned, pruned: &Pruned) -> Outcome {
    let mut outcome = Outcome::new();
    let freed: u64 = pruned.deleted.iter().map(|c| c.size).sum();
    let names = |list: &[Candidate]| -> Vec<Value> { list.iter().map(|c| c.name.object().into()).collect() };
    let locked: Vec<_> =
        pruned.locked.iter().map(|(n, until)| json!({ "object": n.object(), "until": until })).collect();
    outcome.detail("deleted", names(&pruned.deleted));
    outcome.detail("freed_bytes", freed);
    outcome.detail("kept", planned.plan.decisions.len() - pruned.deleted.len());
    outcome.detail("locked", locked);
    outcome.detail("failed", pruned.failed.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
    outcome.detail("orphans_deleted", pruned.orphans);
    outcome.detail("uploads_aborted", &pruned.uploads);
    for (name, until) in &pruned.locked {
        tracing::info!("{}: due, but locked until {until}", store.locate(name.object()));
    }
    for (name, error) in &pruned.failed {
        outcome.problem(format!("{}: not deleted: {error}", store.locate(name)));
    }
    outcome.closing = format!("{} backups deleted, {} freed", pruned.deleted.len(), output::bytes(freed));
    outcome
}
