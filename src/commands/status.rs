//! `status`: checks the age of the newest backup and of the newest restore drill.

use crate::app::cli::StatusArgs;
use crate::app::context::Context;
use crate::app::output::lines::Lines;
use crate::app::output::{self, nagios};
use crate::base::error::{Kind, Result};
use crate::commands::CommandResult;
use crate::formats::backup::under_unknown_keys;
use crate::formats::manifest::rfc3339;
use crate::formats::naming::BackupType;
use crate::pipeline::survey::{Survey, survey};
use crate::services::store::Store;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::time::Duration;

/// Maximum age of the newest restore drill if staging is configured: weekly, with a day's delay.
const DRILL_AGE: Duration = Duration::from_hours(8 * 24);

/// Reports the age of the backups. Exit code 0 or 9, or 0 to 3 for Nagios.
///
/// # Errors
/// The store's; with `--nagios` they are UNKNOWN instead.
pub(crate) async fn run(context: &Context, args: &StatusArgs) -> Result<CommandResult> {
    match (report(context, args).await, args.nagios) {
        (Ok(report), true) => Ok(report.nagios()),
        (Ok(report), false) => Ok(report.done()),
        (Err(error), true) if !error.kind().is_stop() => {
            Ok(CommandResult::text(nagios::line("UNKNOWN", &error.to_string(), None)).with_code(nagios::UNKNOWN))
        }
        (Err(error), _) => Err(error),
    }
}

async fn report(context: &Context, args: &StatusArgs) -> Result<Report> {
    let staging = context.config()?.staging.configured;
    let store = context.store().await?;
    let trust = context.trust(context.mac_keys()?);
    let survey = context.stop.guard(survey(store.as_ref(), &trust, &context.policy()?, context.started)).await?;
    let max_drill_age = args.max_drill_age.or(staging.then_some(DRILL_AGE));
    let none = no_good_backup(&survey, store.as_ref());
    Ok(Report::new(survey, none, args.max_age, max_drill_age))
}

/// Returns the reason why there is no good backup, for a store that has none.
fn no_good_backup(survey: &Survey, store: &dyn Store) -> String {
    if survey.backups().next().is_none() {
        return survey.no_backups(store);
    }
    let stated = under_unknown_keys(survey.backups());
    if stated.is_empty() { "no good backup".to_owned() } else { format!("no good backup: {}", stated.join("; ")) }
}

struct Report {
    survey: Survey,
    /// Reasons for exit code 9.
    stale: Vec<String>,
}

impl Report {
    fn new(survey: Survey, no_good_backup: String, max_age: Duration, max_drill_age: Option<Duration>) -> Self {
        let newest =
            BackupType::ALL.iter().filter_map(|t| survey.good(*t).next()).map(|(b, _)| b.name.created_at()).max();
        let mut stale = Vec::new();
        match newest {
            None => stale.push(no_good_backup),
            Some(at) => stale.extend(too_old("good backup", survey.now, at, max_age)),
        }
        match (max_drill_age, survey.newest_drill()) {
            (None, _) => {}
            (Some(_), None) => stale.push("no restore drill has passed".to_owned()),
            (Some(limit), Some((at, _))) => stale.extend(too_old("restore drill", survey.now, at, limit)),
        }
        Self { survey, stale }
    }

    fn done(&self) -> CommandResult {
        let code = if self.stale.is_empty() { 0 } else { Kind::Stale.code() };
        CommandResult::document(self.document()).with_text(self.text()).with_code(code)
    }

    fn nagios(&self) -> CommandResult {
        let anomalies = || self.survey.anomalies.iter().map(ToString::to_string);
        let (code, word, reasons): (_, _, Vec<String>) = if !self.stale.is_empty() {
            (nagios::CRITICAL, "CRITICAL", self.stale.iter().cloned().chain(anomalies()).collect())
        } else if !self.survey.anomalies.is_empty() {
            (nagios::WARNING, "WARNING", anomalies().collect())
        } else {
            (nagios::OK, "OK", vec![self.newest_line(BackupType::Daily)])
        };
        let newest = self.survey.good(BackupType::Daily).next();
        let data = newest.map(|(b, _)| {
            let age = (self.survey.now - b.name.created_at()).num_seconds();
            format!("age={age}s size={}B backups={}", b.size, self.survey.backups().count())
        });
        CommandResult::text(nagios::line(word, &reasons.join("; "), data.as_deref())).with_code(code)
    }

    fn newest_line(&self, of: BackupType) -> String {
        match self.survey.good(of).next() {
            Some((backup, _)) => {
                let (name, size) = (&backup.name, output::bytes(backup.size));
                format!("newest good {of} backup {name}, {} old, {size}", age(self.survey.now, name.created_at()))
            }
            None => format!("no good {of} backup"),
        }
    }

    fn text(&self) -> Lines {
        let mut text = Lines::default();
        if self.survey.backups().next().is_none() {
            self.orphans_line().iter().for_each(|line| text.line(line));
            self.stale.iter().for_each(|reason| text.line(format!("STALE: {reason}")));
            return text;
        }
        for of in BackupType::ALL {
            let count = self.survey.good(of).count();
            let _ = writeln!(text, "{} ({count} good)", self.newest_line(of));
        }
        let _ = match self.survey.newest_drill() {
            Some((at, backup)) => {
                writeln!(text, "newest restore drill {} ago, of {}", age(self.survey.now, at), backup.name)
            }
            None => writeln!(text, "no restore drill has passed"),
        };
        let total = self.survey.backups().map(|b| b.size).sum();
        let _ = writeln!(text, "{} backups, {} in total", self.survey.backups().count(), output::bytes(total));
        if self.survey.of_other_clusters() > 0 {
            let _ = writeln!(text, "{} backups of another cluster, not counted", self.survey.of_other_clusters());
        }
        for line in under_unknown_keys(self.survey.backups()) {
            let _ = writeln!(text, "{line}");
        }
        for anomaly in &self.survey.anomalies {
            let _ = writeln!(text, "warning: {anomaly}");
        }
        self.orphans_line().iter().for_each(|line| text.line(line));
        for reason in &self.stale {
            let _ = writeln!(text, "STALE: {reason}");
        }
        text
    }

    /// Returns the line about manifests and drill records without their object, if there are any.
    fn orphans_line(&self) -> Option<String> {
        match self.survey.orphans.as_slice() {
            [] => None,
            [name] => Some(format!("warning: {name} has no backup: a prune left it, or this tool did not make it")),
            [name, others @ ..] => Some(format!(
                "warning: {name} and {} more manifests and drill records have no backup: a prune left them, or this \
                 tool did not make them",
                others.len()
            )),
        }
    }

    fn document(&self) -> Value {
        let survey = &self.survey;
        let of = |t: BackupType| {
            let newest = survey.good(t).next().map(|(b, m)| {
                json!({
                    "object": m.object,
                    "created_at": m.created_at,
                    "age_seconds": (survey.now - b.name.created_at()).num_seconds(),
                    "size_bytes": b.size,
                })
            });
            let all = survey.backups().filter(|b| b.name.backup_type() == t);
            json!({ "newest_good": newest, "good": survey.good(t).count(), "count": all.count() })
        };
        let drill = survey.newest_drill().map(|(at, b)| {
            json!({
                "object": b.name.object(),
                "drilled_at": rfc3339(at),
                "age_seconds": (survey.now - at).num_seconds(),
            })
        });
        json!({
            "fresh": self.stale.is_empty(),
            "stale": self.stale,
            "daily": of(BackupType::Daily),
            "monthly": of(BackupType::Monthly),
            "newest_drill": drill,
            "other_cluster": survey.of_other_clusters(),
            "unverified": examples(survey.unverified()),
            "orphans": examples(survey.orphans.iter().map(String::as_str)),
            "size_bytes": survey.backups().map(|b| b.size).sum::<u64>(),
            "anomalies": survey.anomalies.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }
}

/// Returns the number of `names`, and the first of them.
fn examples<'a>(names: impl Iterator<Item = &'a str>) -> Value {
    const NAMED: usize = 100;
    let names: Vec<_> = names.collect();
    json!({ "count": names.len(), "first": names.iter().take(NAMED).collect::<Vec<_>>() })
}

fn age(now: DateTime<Utc>, then: DateTime<Utc>) -> String {
    output::duration((now - then).to_std().unwrap_or_default())
}

fn too_old(what: &str, now: DateTime<Utc>, newest: DateTime<Utc>, limit: Duration) -> Option<String> {
    let exceeded = (now - newest).to_std().unwrap_or_default() > limit;
    exceeded
        .then(|| format!("the newest {what} is {} old, the maximum is {}", age(now, newest), output::duration(limit)))
}
