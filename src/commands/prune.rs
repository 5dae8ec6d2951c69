//! `prune`: backups past their retention go, and only those.

use crate::app::cli::PruneArgs;
use crate::app::context::Context;
use crate::app::output;
use crate::app::reporting;
use crate::app::reporting::prune::{execute, plan};
use crate::base::error::Result;
use crate::base::lock::Lock;
use crate::commands::Done;
use crate::formats::retention::Candidate;
use crate::pipeline::prune::Planned;
use crate::services::notify::Operation;
use serde_json::json;
use std::fmt::Write;

/// Plans, and unless it is a dry run, deletes. A dry run is no event: nobody but
/// the one who asked is told.
///
/// # Errors
/// The store's; `Usage` where nothing could be proven for want of a key.
pub async fn run(context: &Context, args: &PruneArgs) -> Result<Done> {
    if args.dry_run {
        return dry_run(context).await;
    }
    let work = async {
        let _lock = Lock::take(&context.config()?.run.lock_file)?;
        let store = context.store().await?;
        execute(context, store.as_ref()).await
    };
    reporting::run(context, Operation::Prune, Box::pin(work)).await
}

async fn dry_run(context: &Context) -> Result<Done> {
    let store = context.store().await?;
    let planned = plan(context, store.as_ref()).await?;
    if !planned.proven {
        tracing::warn!("no key: manifests were taken at their word; a real prune would delete nothing");
    }
    let decisions: Vec<_> = planned
        .plan
        .decisions
        .iter()
        .map(|d| json!({ "object": d.candidate.name.object(), "delete": d.verdict.is_delete(), "reason": d.verdict.to_string() }))
        .collect();
    Ok(Done::document(json!({ "dry_run": true, "proven": planned.proven, "plan": decisions }))
        .with_text(text(&planned)))
}

fn text(planned: &Planned) -> String {
    let mut text = String::new();
    for decision in &planned.plan.decisions {
        let Candidate { name, size, .. } = &decision.candidate;
        let _ = writeln!(text, "{name}  {:>10}  {}", output::bytes(*size), decision.verdict);
    }
    let (count, size) = planned.plan.deletions().fold((0, 0), |(n, size), c| (n + 1, size + c.size));
    let _ = writeln!(text, "{count} of {} backups would go, {}", planned.plan.decisions.len(), output::bytes(size));
    text
}
