//! `status`: are the newest backup and the newest drill fresh enough?

use crate::app::cli::StatusArgs;
use crate::app::context::Context;
use crate::app::output;
use crate::base::error::{Kind, Result};
use crate::commands::Done;
use crate::formats::manifest::rfc3339;
use crate::formats::naming::BackupType;
use crate::pipeline::survey::{Survey, survey};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;

/// Where staging is configured, a drill is expected weekly.
const DRILL_AGE: Duration = Duration::from_hours(8 * 24);

/// Nagios's own codes: <https://nagios-plugins.org/doc/guidelines.html>.
mod nagios {
    pub(super) const OK: u8 = 0;
    pub(super) const WARNING: u8 = 1;
    pub(super) const CRITICAL: u8 = 2;
    pub(super) const UNKNOWN: u8 = 3;
}

/// Says how fresh the backups are: exit code 0 or 9, or 0 to 3 for Nagios.
///
/// # Errors
/// The store's; with `--nagios` they are UNKNOWN instead.
pub async fn run(context: &Context, args: &StatusArgs) -> Result<Done> {
    match (report(context, args).await, args.nagios) {
        (Ok(report), true) => Ok(report.nagios()),
        (Ok(report), false) => Ok(report.done()),
        (Err(error), true) if !error.kind().is_stop() => {
            Ok(Done::text(format!("VAULT-BACKUP UNKNOWN - {error}\n")).with_code(nagios::UNKNOWN))
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
    Ok(Report::new(survey, args.max_age, max_drill_age))
}

struct Report {
    survey: Survey,
    /// Why the exit code is 9.
    stale: Vec<String>,
}

impl Report {
    fn new(survey: Survey, max_age: Duration, max_drill_age: Option<Duration>) -> Self {
        let newest = BackupType::ALL
            .iter()
            .filter_map(|t| survey.good(*t).next())
            .map(|(s, _)| s.backup.name.created_at())
            .max();
        let mut stale = Vec::new();
        stale.extend(too_old("good backup", survey.now, newest, max_age));
        if let Some(limit) = max_drill_age {
            stale.extend(too_old("passed drill", survey.now, survey.newest_drill().map(|(at, _)| at), limit));
        }
        Self { survey, stale }
    }

    fn done(&self) -> Done {
        let code = if self.stale.is_empty() { 0 } else { Kind::Stale.code() };
        Done::document(self.document()).with_text(self.text()).with_code(code)
    }

    fn nagios(&self) -> Done {
        let odd = || self.survey.anomalies.iter().map(ToString::to_string);
        let (code, word, reasons): (_, _, Vec<String>) = if !self.stale.is_empty() {
            (nagios::CRITICAL, "CRITICAL", self.stale.iter().cloned().chain(odd()).collect())
        } else if !self.survey.anomalies.is_empty() {
            (nagios::WARNING, "WARNING", odd().collect())
        } else {
            (nagios::OK, "OK", vec![self.newest_line(BackupType::Daily)])
        };
        // A bar would begin Nagios's performance data.
        let said = reasons.join("; ").replace('|', "/");
        let newest = self.survey.good(BackupType::Daily).next();
        let data = newest.map_or(String::new(), |(s, _)| {
            let age = (self.survey.now - s.backup.name.created_at()).num_seconds();
            format!(" | age={age}s size={}B backups={}", s.backup.size, self.survey.backups.len())
        });
        Done::text(format!("VAULT-BACKUP {word} - {said}{data}\n")).with_code(code)
    }

    fn newest_line(&self, of: BackupType) -> String {
        match self.survey.good(of).next() {
            Some((s, _)) => {
                let name = &s.backup.name;
                let age = said_age(self.survey.now, name.created_at());
                format!("newest good {of} backup {name}, {age} old, {}", output::bytes(s.backup.size))
            }
            None => format!("no good {of} backup"),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for of in BackupType::ALL {
            let count = self.survey.good(of).count();
            let _ = writeln!(text, "{} ({count} good)", self.newest_line(of));
        }
        let _ = match self.survey.newest_drill() {
            Some((at, s)) => {
                writeln!(text, "newest passed drill {} ago, of {}", said_age(self.survey.now, at), s.backup.name)
            }
            None => writeln!(text, "no passed drill"),
        };
        let total: u64 = self.survey.backups.iter().map(|s| s.backup.size).sum();
        let _ = writeln!(text, "{} backups, {} in all", self.survey.backups.len(), output::bytes(total));
        if self.survey.of_other_clusters() > 0 {
            let _ = writeln!(text, "{} backups of another cluster, not counted", self.survey.of_other_clusters());
        }
        for anomaly in &self.survey.anomalies {
            let _ = writeln!(text, "odd: {anomaly}");
        }
        for reason in &self.stale {
            let _ = writeln!(text, "STALE: {reason}");
        }
        text
    }

    fn document(&self) -> Value {
        let survey = &self.survey;
        let of = |t: BackupType| {
            let newest = survey.good(t).next().map(|(s, m)| {
                json!({
                    "object": m.object,
                    "created_at": m.created_at,
                    "age_seconds": (survey.now - s.backup.name.created_at()).num_seconds(),
                    "size_bytes": s.backup.size,
                })
            });
            let all = survey.backups.iter().filter(|s| s.backup.name.backup_type() == t);
            json!({ "newest_good": newest, "good": survey.good(t).count(), "count": all.count() })
        };
        let drill = survey.newest_drill().map(|(at, s)| {
            json!({
                "object": s.backup.name.object(),
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
            "size_bytes": survey.backups.iter().map(|s| s.backup.size).sum::<u64>(),
            "anomalies": survey.anomalies.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }
}

fn said_age(now: DateTime<Utc>, then: DateTime<Utc>) -> String {
    output::duration((now - then).to_std().unwrap_or_default())
}

fn too_old(what: &str, now: DateTime<Utc>, newest: Option<DateTime<Utc>>, limit: Duration) -> Option<String> {
    let allowed = output::duration(limit);
    match newest {
        None => Some(format!("there is no {what}")),
        Some(at) if (now - at).to_std().unwrap_or_default() > limit => {
            Some(format!("the newest {what} is {} old, more than {allowed}", said_age(now, at)))
        }
        Some(_) => None,
    }
}
