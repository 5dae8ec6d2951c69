//! Anomalies in a list of backups: gaps, sudden changes from one backup to the next,
//! backups that do not count.
//!
//! Not here: the age of the newest one, which `status` checks.

use super::Policy;
use crate::base::text::value;
use crate::formats::backup::{Backup, BackupStatus};
use crate::formats::naming::{BackupName, BackupType};
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use std::fmt;

/// An anomaly. `Display` is one clause that names the backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anomaly {
    /// Days (or months) without a backup between two existing ones.
    Gap {
        /// Kind of the missing backups.
        kind: BackupType,
        /// The first day without one; for months, the first of that month.
        first: NaiveDate,
        /// The last day without one; for months, the first of that month.
        last: NaiveDate,
    },
    /// A good backup has less than half the size of the good one before it.
    SizeFell {
        /// The smaller one.
        name: BackupName,
        /// Its size in bytes.
        size: u64,
        /// The one before it.
        before: BackupName,
        /// The size of that one in bytes.
        size_before: u64,
    },
    /// A good backup's raft index is below that of the good one before it.
    IndexBackwards {
        /// The one with the lower index.
        name: BackupName,
        /// Its index.
        index: u64,
        /// The one before it.
        before: BackupName,
        /// The index of that one.
        index_before: u64,
    },
    /// A good backup is of another cluster than the good one before it.
    ClusterChanged {
        /// The first of the other cluster.
        name: BackupName,
        /// Its cluster.
        cluster_id: String,
        /// The one before it.
        before: BackupName,
        /// The cluster of that one.
        cluster_id_before: String,
    },
    /// Backups without a valid manifest, newest first, except those of the legacy
    /// service, which wrote none.
    Unverified {
        /// Their names; at least one.
        names: Vec<BackupName>,
    },
    /// Names in the future, newest first.
    Ahead {
        /// The names; at least one.
        names: Vec<BackupName>,
    },
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Anomaly::Gap { kind, first, last } => {
                let (format, within) = if *kind == BackupType::Daily { ("%Y-%m-%d", "on") } else { ("%Y-%m", "in") };
                let (from, to) = (first.format(format), last.format(format));
                match first == last {
                    true => write!(f, "no good {kind} backup {within} {from}"),
                    false => write!(f, "no good {kind} backup from {from} to {to}"),
                }
            }
            Anomaly::SizeFell { name, size, before, size_before } => {
                write!(f, "{name} has {size} bytes, less than half of the {size_before} bytes of {before}")
            }
            Anomaly::IndexBackwards { name, index, before, index_before } => {
                write!(f, "{name} has raft index {index}, below the {index_before} of {before}")
            }
            Anomaly::ClusterChanged { name, cluster_id, before, cluster_id_before } => {
                let (cluster, other) = (value(cluster_id), value(cluster_id_before));
                write!(f, "{name} is of cluster {cluster}, {before} was of {other}")
            }
            Anomaly::Unverified { names } => match names.as_slice() {
                [] => f.write_str("no backup is unverified"),
                [name] => {
                    write!(f, "{name} has no valid manifest: an unfinished run left it, or this tool did not make it")
                }
                [name, others @ ..] => write!(
                    f,
                    "{name} and {} more have no valid manifest: unfinished runs left them, or this tool did not make \
                     them",
                    others.len()
                ),
            },
            Anomaly::Ahead { names } => match names.as_slice() {
                [] => f.write_str("no name is in the future"),
                [name] => write!(f, "the name of {name} is in the future"),
                [name, others @ ..] => write!(f, "the names of {name} and {} more are in the future", others.len()),
            },
        }
    }
}

/// Returns all anomalies in `backups`, whose order does not matter. Gaps are reported
/// only within the policy's windows: prune makes gaps in what is older.
pub fn anomalies(now: DateTime<Utc>, backups: &[Backup], policy: &Policy) -> Vec<Anomaly> {
    let (ahead, present) = newest_first(now, backups);
    let mut found = Vec::new();
    if !ahead.is_empty() {
        found.push(Anomaly::Ahead { names: ahead.into_iter().map(|b| b.name.clone()).collect() });
    }
    found.extend(unverified(&present));
    let runs = good_runs(&present);
    found.extend(runs.iter().zip(runs.iter().skip(1)).flat_map(|(backup, before)| changes(backup, before)));
    found.extend(BackupType::ALL.into_iter().flat_map(|kind| gaps(now, &present, kind, policy)));
    found
}

/// Returns the anomalies of the newest good backup: its size fell to less than half, its
/// raft index went backwards, or it is of another cluster than the one before it. Compares
/// the newest two good runs; with fewer there is nothing to compare.
pub fn suspicions(now: DateTime<Utc>, backups: &[Backup]) -> Vec<Anomaly> {
    let (_, present) = newest_first(now, backups);
    match good_runs(&present).as_slice() {
        [newest, before, ..] => changes(newest, before),
        _ => Vec::new(),
    }
}

/// Returns the backups whose names are in the future, and the others.
fn newest_first(now: DateTime<Utc>, backups: &[Backup]) -> (Vec<&Backup>, Vec<&Backup>) {
    let mut sorted: Vec<&Backup> = backups.iter().collect();
    sorted.sort_by(|a, b| b.name.cmp(&a.name));
    sorted.into_iter().partition(|backup| backup.is_future(now))
}

/// Returns one good backup of each run: a monthly copy has the time of its run.
fn good_runs<'a>(newest_first: &[&'a Backup]) -> Vec<&'a Backup> {
    let mut runs: Vec<_> = newest_first.iter().copied().filter(|b| b.status.is_good()).collect();
    runs.dedup_by_key(|backup| backup.name.created_at());
    runs
}

fn changes(backup: &Backup, before: &Backup) -> Vec<Anomaly> {
    let (name, earlier) = (|| backup.name.clone(), || before.name.clone());
    let mut found = Vec::new();
    if u128::from(backup.size) * 2 < u128::from(before.size) {
        let (size, size_before) = (backup.size, before.size);
        found.push(Anomaly::SizeFell { name: name(), size, before: earlier(), size_before });
    }
    let [vault, vault_before] = [backup, before].map(|b| b.status.manifest().map(|m| &m.vault));
    let (Some(vault), Some(vault_before)) = (vault, vault_before) else { return found };
    match (&vault.cluster_id, &vault_before.cluster_id) {
        (Some(id), Some(id_before)) if id != id_before => {
            let (cluster_id, cluster_id_before) = (id.clone(), id_before.clone());
            found.push(Anomaly::ClusterChanged { name: name(), cluster_id, before: earlier(), cluster_id_before });
        }
        // The indexes of two clusters cannot be compared.
        _ => match (vault.raft_index, vault_before.raft_index) {
            (Some(index), Some(index_before)) if index < index_before => {
                found.push(Anomaly::IndexBackwards { name: name(), index, before: earlier(), index_before });
            }
            _ => {}
        },
    }
    found
}

fn unverified(newest_first: &[&Backup]) -> Option<Anomaly> {
    let ours = |name: &BackupName| *name == BackupName::new(name.backup_type(), name.created_at());
    let unverified = newest_first.iter().filter(|b| b.status.is_unverified() && ours(&b.name));
    let names: Vec<_> = unverified.map(|backup| backup.name.clone()).collect();
    (!names.is_empty()).then_some(Anomaly::Unverified { names })
}

/// Returns the gaps of `kind` within its window, newest first. A backup whose manifest
/// was not or could not be checked is not missing.
fn gaps(now: DateTime<Utc>, newest_first: &[&Backup], kind: BackupType, policy: &Policy) -> Vec<Anomaly> {
    let period = |time: DateTime<Utc>| match kind {
        BackupType::Daily => time.date_naive(),
        BackupType::Monthly => first_of_month(time.date_naive()),
    };
    let next = |date: NaiveDate| match kind {
        BackupType::Daily => date.checked_add_days(Days::new(1)),
        BackupType::Monthly => date.checked_add_months(Months::new(1)),
    };
    let previous = |date: NaiveDate| match kind {
        BackupType::Daily => date.checked_sub_days(Days::new(1)),
        BackupType::Monthly => date.checked_sub_months(Months::new(1)),
    };
    // Prune may have deleted the backup of the period in which the window starts.
    let floor = period(policy.window(kind).start(now));
    let missing = |s: &BackupStatus| s.is_unverified() || matches!(s, BackupStatus::OtherCluster(..));
    let periods: Vec<_> = newest_first
        .iter()
        .filter(|b| b.name.backup_type() == kind && !missing(&b.status))
        .map(|b| period(b.name.created_at()))
        .collect();
    let between = periods.iter().zip(periods.iter().skip(1)).filter_map(|(later, earlier)| {
        let (first, last) = (next((*earlier).max(floor))?, previous(*later)?);
        (first <= last).then_some(Anomaly::Gap { kind, first, last })
    });
    between.collect()
}

fn first_of_month(date: NaiveDate) -> NaiveDate {
    date.with_day(1).unwrap_or(date)
}

#[cfg(test)]
mod tests;
