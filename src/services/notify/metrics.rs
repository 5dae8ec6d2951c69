//! Metrics in Prometheus' text format, for node_exporter's textfile collector.
//!
//! Timestamps instead of ages: an age in a file becomes wrong. The file is replaced
//! atomically. Metrics that an operation does not know keep their value.

use super::{Event, EventOutcome};
use crate::base::atomic_file::AtomicFile;
use crate::base::error::Result;
use crate::base::lock::lock_within_limit;
use crate::base::{regular_file, trusted_file};
use crate::formats::naming::BackupType;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::Path;

/// State of the store after an operation. `None` keeps the old value.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Time and size in bytes of the newest good daily backup, if known.
    pub newest_daily: Option<(DateTime<Utc>, u64)>,
    /// Time and size in bytes of the newest good monthly backup, if known.
    pub newest_monthly: Option<(DateTime<Utc>, u64)>,
    /// Time of the newest passed drill, if known.
    pub newest_drill: Option<DateTime<Utc>>,
}

/// All metrics with their help. All are gauges named `vault_backup_…`.
const METRICS: [(&str, &str); 7] = [
    ("last_run_timestamp_seconds", "Time of the last end of the operation, successful or not."),
    ("last_success_timestamp_seconds", "Time of the last successful end of the operation."),
    ("last_run_duration_seconds", "Duration of the last run of the operation."),
    ("last_run_exit_code", "Exit code of the last run of the operation."),
    ("newest_good_backup_timestamp_seconds", "Time of the newest good backup."),
    ("newest_good_backup_size_bytes", "Size of the newest good backup."),
    ("newest_drill_timestamp_seconds", "Time of the newest passed restore drill."),
];

/// Mode of the file: the collector runs as another user.
const MODE: u32 = 0o644;

/// Largest old file to merge with, in bytes.
const MAX_OLD: u64 = 1 << 20;

/// Metric → labels → value, both as written.
type Samples = BTreeMap<&'static str, BTreeMap<String, String>>;

/// Merges the outcome of an operation into the file at `path`.
///
/// # Errors
/// `Partial`; the file is then unchanged.
pub fn update(path: &Path, event: &Event, figures: &Figures) -> Result<()> {
    replace(path, &new_samples(event, figures))
        .map_err(|e| trusted_file::cannot_write(&format!("metrics file {}", path.display()), e))
}

fn new_samples(event: &Event, figures: &Figures) -> Samples {
    let mut samples = Samples::new();
    let mut set = |name, labels: &str, value: String| {
        samples.entry(name).or_default().insert(labels.to_owned(), value);
    };
    let operation = format!("{{operation=\"{}\"}}", event.operation.as_str());
    let ended = event.ended_at.timestamp().to_string();
    if event.outcome == EventOutcome::Success {
        set("last_success_timestamp_seconds", &operation, ended.clone());
    }
    set("last_run_timestamp_seconds", &operation, ended);
    set("last_run_duration_seconds", &operation, format!("{:.3}", event.took.as_secs_f64()));
    set("last_run_exit_code", &operation, event.exit_code.to_string());
    for (kind, newest) in [(BackupType::Daily, figures.newest_daily), (BackupType::Monthly, figures.newest_monthly)] {
        if let Some((time, size)) = newest {
            let labels = format!("{{type=\"{kind}\"}}");
            set("newest_good_backup_timestamp_seconds", &labels, time.timestamp().to_string());
            set("newest_good_backup_size_bytes", &labels, size.to_string());
        }
    }
    if let Some(time) = figures.newest_drill {
        set("newest_drill_timestamp_seconds", "", time.timestamp().to_string());
    }
    samples
}

fn replace(path: &Path, new: &Samples) -> io::Result<()> {
    let directory = path.parent().filter(|p| *p != Path::new("")).unwrap_or(Path::new("."));
    // A drill and a backup may end at the same time. The file cannot be the lock: it is replaced.
    let guard = File::open(directory)?;
    lock_within_limit(&guard)?;
    let old = match regular_file::open_with(path, OpenOptions::new().read(true), libc::O_NOFOLLOW) {
        Ok(file) => {
            trusted_file::check_writable(path, &file)?;
            let mut bytes = Vec::new();
            file.take(MAX_OLD).read_to_end(&mut bytes)?;
            String::from_utf8_lossy(&bytes).into_owned()
        }
        Err(e) if e.kind() == ErrorKind::NotFound => String::new(),
        Err(e) => return Err(e),
    };
    let mut samples = parse(&old);
    for (name, values) in new {
        samples.entry(name).or_default().extend(values.clone());
    }
    let mut file = AtomicFile::create(path, MODE)?;
    file.write_all(render(&samples).as_bytes())?;
    file.commit_replacing()
}

/// Returns the samples of our metrics in `text` and ignores everything else.
fn parse(text: &str) -> Samples {
    let mut samples = Samples::new();
    for line in text.lines() {
        let Some((series, value)) = line.rsplit_once(' ').filter(|(_, value)| value.parse::<f64>().is_ok()) else {
            continue;
        };
        let (name, labels) = series.split_at(series.find('{').unwrap_or(series.len()));
        let known = METRICS.iter().find(|(metric, _)| name.strip_prefix("vault_backup_") == Some(metric));
        if let Some((metric, _)) = known.filter(|_| labels.bytes().all(|b| b.is_ascii_graphic())) {
            samples.entry(metric).or_default().insert(labels.to_owned(), value.to_owned());
        }
    }
    samples
}

fn render(samples: &Samples) -> String {
    let mut text = String::new();
    for (metric, help) in METRICS {
        let Some(values) = samples.get(metric) else { continue };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP vault_backup_{metric} {help}\n# TYPE vault_backup_{metric} gauge");
        for (labels, value) in values {
            let _ = writeln!(text, "vault_backup_{metric}{labels} {value}");
        }
    }
    text
}

#[cfg(test)]
mod tests;
