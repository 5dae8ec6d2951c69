//! `list`: the backups, one a line.

use crate::app::cli::{ListArgs, ListKind};
use crate::app::context::Context;
use crate::app::output::lines::Lines;
use crate::app::output::table::{self, Column, Screen, table};
use crate::base::error::Result;
use crate::commands::CommandResult;
use crate::formats::backup::{Backup, BackupStatus, DrillStatus};
use crate::formats::manifest::rfc3339;
use crate::formats::naming::{BackupName, BackupType};
use crate::formats::retention::Decision;
use crate::pipeline::survey::{Survey, survey};
use crate::pipeline::trust::Trust;
use crate::pipeline::versions;
use crate::services::store::Store;
use chrono::{DateTime, Utc};
use console::Style;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Number of backups whose older versions are looked up at a time.
const CONCURRENCY: usize = 16;

/// Number of backups that are not good that the table shows, and whose older versions are
/// looked up.
const NOT_GOOD: usize = 100;

/// Lists the backups with their status, newest first.
///
/// # Errors
/// The store's.
pub(crate) async fn run(context: &Context, args: &ListArgs) -> Result<CommandResult> {
    let store = context.store().await?;
    let trust = context.trust(context.mac_keys()?);
    let policy = context.policy()?;
    let look = async {
        let mut listing = survey(store.as_ref(), &trust, &policy, context.started).await?;
        let all = listing.plan.decisions.len();
        let kind = args.kind.map(backup_type);
        listing.plan.decisions.retain(|d| kind.is_none_or(|kind| kind == d.backup.name.backup_type()));
        listing.plan.decisions.truncate(args.last.unwrap_or(usize::MAX));
        let older = older_versions(store.as_ref(), &listing, &trust).await?;
        Ok((listing, all, older))
    };
    let (listing, all, older) = context.stop.guard(look).await?;
    if let Some((name, version)) = older.iter().next_back() {
        let address = store.locate(name.object());
        let more = match older.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more such backups)"),
        };
        tracing::warn!(
            "{address}: the current version does not match its manifest; version {version} may be the verified one{more}"
        );
    }
    let text = if all == 0 {
        listing.no_backups(store.as_ref()).into()
    } else {
        let mut text = text(&listing, args, Screen::stdout());
        text.line("");
        text.line(totals(&listing, all));
        text
    };
    Ok(CommandResult::document(document(&listing, &older, store.as_ref())).with_text(text))
}

fn backup_type(kind: ListKind) -> BackupType {
    match kind {
        ListKind::Daily => BackupType::Daily,
        ListKind::Monthly => BackupType::Monthly,
    }
}

/// Returns, for backups whose manifest does not match the object, an older version that
/// it matches. Anyone who can write can make thousands of them: only the newest are looked up.
async fn older_versions(store: &dyn Store, listing: &Survey, trust: &Trust) -> Result<BTreeMap<BackupName, String>> {
    let refused = listing.backups().filter(|b| matches!(b.status, BackupStatus::Invalid(_))).take(NOT_GOOD);
    let look = stream::iter(refused).map(async |backup| {
        let name = &backup.name;
        Ok(versions::older_id(store, name, trust).await?.map(|version| (name.clone(), version)))
    });
    let found: Vec<_> = look.buffered(CONCURRENCY).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// Returns the table. Without `--last`, the oldest of too many backups that are not good are
/// one line.
fn text(listing: &Survey, args: &ListArgs, screen: Screen) -> Lines {
    let mut left = if args.last.is_some() { usize::MAX } else { NOT_GOOD };
    let mut is_shown = |decision: &&Decision| {
        decision.backup.status.authentic().is_some() || left.checked_sub(1).map(|less| left = less).is_some()
    };
    let rows: Vec<_> = listing.plan.decisions.iter().filter(|decision| is_shown(decision)).collect();
    let mut table = rows_of(listing, &rows, args.long, screen);
    let more = listing.plan.decisions.len() - rows.len();
    if more > 0 {
        table.line(format!("… and {more} more that are not good (`--last` or `--json` shows them)"));
    }
    table
}

/// Returns the table of `rows`. With `long` it has all columns and the reasons, however wide.
fn rows_of(listing: &Survey, rows: &[&Decision], long: bool, screen: Screen) -> Lines {
    let backups = || rows.iter().map(|decision| &decision.backup);
    let each = |cell: &dyn Fn(&Backup) -> String| backups().map(cell).collect::<Vec<_>>().into_iter();
    let age = |time: DateTime<Utc>| table::age(listing.now - time);
    let date = each(&|b| b.name.created_at().format("%Y-%m-%d").to_string());
    let drill = each(&|b| b.drill.at().map_or("-".to_owned(), age));
    let status = backups().map(|b| (b.status.word().to_owned(), style(&b.status)));
    let mut columns = vec![
        Column::new("NAME", each(&|b| b.name.to_string())),
        // The name has the date already.
        Column { optional: Some(0), ..Column::new("DATE", date) },
        Column { optional: Some(1), right: true, ..Column::new("AGE", each(&|b| age(b.name.created_at()))) },
        Column { optional: Some(3), right: true, ..Column::new("SIZE", each(&|b| table::size(b.size))) },
        Column { cells: status.collect(), ..Column::new("STATUS", std::iter::empty()) },
        Column { optional: Some(2), ..Column::new("DRILL", drill) },
    ];
    if !long {
        return table(columns, screen);
    }
    columns.push(Column::new("REASON", rows.iter().map(|decision| reasons(decision))));
    table(columns, Screen { width: usize::MAX / 2, ..screen })
}

fn style(status: &BackupStatus) -> Style {
    match status {
        BackupStatus::Good(_) => Style::new().green(),
        BackupStatus::Invalid(_) => Style::new().red(),
        _ => Style::new().yellow(),
    }
}

/// Returns what a prune now would do and why, and why documents do not count.
fn reasons(decision: &Decision) -> String {
    let mut reasons = decision.verdict.to_string();
    if let Some(why) = decision.backup.status.reason() {
        reasons += &format!("; manifest: {why}");
    }
    if let DrillStatus::Invalid(why) = &decision.backup.drill {
        reasons += &format!("; drill record: {why}");
    }
    reasons
}

/// Returns the last line: number and size of the listed backups, and the number of each status.
fn totals(listing: &Survey, all: usize) -> String {
    let (mut count, mut size) = (0, 0);
    let mut by_status = BTreeMap::<_, usize>::new();
    for backup in listing.backups() {
        (count, size) = (count + 1, size + backup.size);
        *by_status.entry(backup.status.word()).or_default() += 1;
    }
    let of = if count < all { format!(" of {all}") } else { String::new() };
    let s = if all == 1 { "" } else { "s" };
    let by_status: Vec<_> = by_status.iter().map(|(word, count)| format!("{count} {word}")).collect();
    let by_status = if by_status.is_empty() { String::new() } else { format!(": {}", by_status.join(", ")) };
    let foreign = match listing.foreign {
        0 => String::new(),
        1 => "; 1 foreign object ignored".to_owned(),
        n => format!("; {n} foreign objects ignored"),
    };
    format!("{count}{of} backup{s}, {}{by_status}{foreign}", table::size(size))
}

fn document(listing: &Survey, older: &BTreeMap<BackupName, String>, store: &dyn Store) -> Value {
    let entries = listing.plan.decisions.iter().map(|decision| {
        let mut entry = entry(listing.now, decision, store);
        if let Some(version) = older.get(&decision.backup.name) {
            entry["older_version"] = version.clone().into();
        }
        entry
    });
    let backups: Vec<_> = entries.collect();
    json!({ "backups": backups, "orphans": listing.orphans.len(), "foreign_objects": listing.foreign })
}

fn entry(now: DateTime<Utc>, decision: &Decision, store: &dyn Store) -> Value {
    let Decision { backup, verdict } = decision;
    let name = &backup.name;
    let mut entry = json!({
        "object": name.object(),
        "url": store.locate(name.object()),
        "backup_type": name.backup_type(),
        "created_at": rfc3339(name.created_at()),
        "age_seconds": (now - name.created_at()).num_seconds(),
        "size_bytes": backup.size,
        "standing": backup.status.word(),
        "drilled_at": backup.drill.at().map(rfc3339),
        "delete": verdict.is_delete(),
        "retention": verdict.to_string(),
    });
    if let Some(manifest) = backup.status.authentic() {
        entry["sha256"] = manifest.sha256.clone().into();
        entry["key_id"] = manifest.key_id.clone().into();
        entry["vault"] = json!(manifest.vault);
    }
    if let Some(why) = backup.status.reason() {
        entry["reason"] = why.into();
    }
    entry
}
