//! `prune`: deletes the backups that are past their retention, and only those.

use crate::app::cli::PruneArgs;
use crate::app::context::Context;
use crate::app::output::lines::Lines;
use crate::app::output::table;
use crate::app::reporting;
use crate::app::reporting::prune::{execute, list, plan};
use crate::base::error::Result;
use crate::commands::CommandResult;
use crate::formats::backup::Backup;
use crate::pipeline::catalog::check_all;
use crate::pipeline::clock;
use crate::pipeline::leftovers::UploadLock;
use crate::pipeline::prune::Planned;
use crate::services::notify::Operation;
use chrono::{DateTime, Utc};
use serde_json::json;

/// Deletes the backups that are due, or prints the plan. A dry run is not audited and
/// sends no notifications.
///
/// # Errors
/// The store's; `Usage` without a key to verify the backups that stay; `Unexpected` if the
/// clock is wrong.
pub(crate) async fn run(context: &Context, args: &PruneArgs) -> Result<CommandResult> {
    if args.dry_run {
        return dry_run(context).await;
    }
    let work = async {
        context.random_mac_keys()?;
        let mut lock = UploadLock::take(&context.config()?.run.lock_file)?;
        let store = context.store().await?;
        context.stop.guard(clock::check(store.as_ref())).await?;
        lock.abort_leftovers(store.as_ref(), &context.stop).await?;
        execute(context, store.as_ref(), list(context, store.as_ref()).await?).await
    };
    reporting::run(context, Operation::Prune, Box::pin(work)).await
}

async fn dry_run(context: &Context) -> Result<CommandResult> {
    let store = context.store().await?;
    let mut catalog = list(context, store.as_ref()).await?;
    let trust = context.trust(context.mac_keys()?);
    if !trust.keys.is_empty() {
        // A prune checks only what its decisions depend on; a person also wants the reasons
        // that `list` gives.
        let check = check_all(store.as_ref(), &mut catalog.backups, &trust);
        context.stop.guard(check).await?;
    }
    let planned = plan(context, store.as_ref(), &trust, catalog).await?;
    if !planned.verified {
        tracing::warn!("no key: manifests were not verified; without a key `prune` deletes nothing");
    }
    let decisions: Vec<_> = planned
        .plan
        .decisions
        .iter()
        .map(|d| json!({ "object": d.backup.name.object(), "delete": d.verdict.is_delete(), "reason": d.verdict.to_string() }))
        .collect();
    Ok(CommandResult::document(json!({ "dry_run": true, "proven": planned.verified, "plan": decisions }))
        .with_text(text(&planned, context.started)))
}

/// Maximum number of backups that the plan lists for one reason.
const ROWS: usize = 100;

/// Returns the plan in two groups, each by reason.
fn text(planned: &Planned, now: DateTime<Utc>) -> Lines {
    let mut text = Lines::default();
    for (delete, word) in [(true, "remove"), (false, "keep")] {
        let mut groups: Vec<(String, Vec<&Backup>)> = Vec::new();
        for decision in planned.plan.decisions.iter().filter(|d| d.verdict.is_delete() == delete) {
            let reason = decision.verdict.reason().to_string();
            match groups.iter_mut().find(|(other, _)| *other == reason) {
                Some((_, backups)) => backups.push(&decision.backup),
                None => groups.push((reason, vec![&decision.backup])),
            }
        }
        let all = || groups.iter().flat_map(|(_, backups)| backups);
        let _ = writeln!(text, "{word} {}, {}", all().count(), table::size(all().map(|b| b.size).sum()));
        for (reason, backups) in &groups {
            let _ = writeln!(text, "  {reason}:");
            for Backup { name, size, .. } in backups.iter().take(ROWS) {
                let (age, size) = (table::age(now - name.created_at()), table::size(*size));
                let _ = writeln!(text, "    {name:<51}  {age:>6}  {size:>7}");
            }
            if backups.len() > ROWS {
                let _ = writeln!(text, "    … and {} more (`--json` lists them)", backups.len() - ROWS);
            }
        }
    }
    text
}
