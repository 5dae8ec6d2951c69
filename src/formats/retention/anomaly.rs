//! What looks odd in a list of backups.
//!
//! Here: gaps, sudden changes from one backup to the next, backups that cannot be
//! counted on. Not here: how old the newest may be, which is `status`'s own question.

use super::{Policy, Standing, is_ahead};
use crate::formats::naming::{BackupName, BackupType};
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use std::fmt;

/// A backup and what its manifest says of the Vault it was taken from. What a
/// manifest says is left out until the manifest has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupFacts {
    /// Its name.
    pub name: BackupName,
    /// The object's size in bytes.
    pub size: u64,
    /// What its manifest is worth.
    pub standing: Standing,
    /// The snapshot's last raft index.
    pub raft_index: Option<u64>,
    /// The cluster that it was taken from.
    pub cluster_id: Option<String>,
}

/// Something odd. `Display` is one clause that names the backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anomaly {
    /// Days (or months) without a backup between two that there are.
    Gap {
        /// Of which kind.
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
    /// Backups without a manifest that holds, newest first, those of the older
    /// service aside: it wrote none.
    Unverified {
        /// Their names; at least one.
        names: Vec<BackupName>,
    },
    /// A backup's name lies in the future.
    Ahead {
        /// Its name.
        name: BackupName,
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
                write!(f, "{name} is of cluster {cluster_id}, {before} was of {cluster_id_before}")
            }
            Anomaly::Unverified { names } => match names.as_slice() {
                [] => f.write_str("no backup is unverified"),
                [name] => write!(f, "{name} has no manifest that holds"),
                [name, others @ ..] => write!(f, "{name} and {} more have no manifest that holds", others.len()),
            },
            Anomaly::Ahead { name } => write!(f, "the name of {name} lies in the future"),
        }
    }
}

/// Everything odd in `facts`, whose order does not matter. Gaps are looked for
/// within the policy's windows only: beyond them, clean-up makes its own.
pub fn anomalies(now: DateTime<Utc>, facts: &[BackupFacts], policy: &Policy) -> Vec<Anomaly> {
    let (ahead, present) = newest_first(now, facts);
    let mut found: Vec<_> = ahead.into_iter().map(|fact| Anomaly::Ahead { name: fact.name.clone() }).collect();
    found.extend(unverified(&present));
    let runs = good_runs(&present);
    found.extend(runs.iter().zip(runs.iter().skip(1)).flat_map(|(fact, before)| changes(fact, before)));
    found.extend(BackupType::ALL.into_iter().flat_map(|kind| gaps(now, &present, kind, policy)));
    found
}

/// What makes the newest good backup doubtful: it fell to less than half, its raft
/// index went backwards, or it is of another cluster than the one before it. Needs
/// the facts of the newest two good runs; with fewer there is nothing to compare.
pub fn suspicions(now: DateTime<Utc>, facts: &[BackupFacts]) -> Vec<Anomaly> {
    let (_, present) = newest_first(now, facts);
    match good_runs(&present).as_slice() {
        [newest, before, ..] => changes(newest, before),
        _ => Vec::new(),
    }
}

/// The backups whose names lie in the future, and the others.
fn newest_first(now: DateTime<Utc>, facts: &[BackupFacts]) -> (Vec<&BackupFacts>, Vec<&BackupFacts>) {
    let mut sorted: Vec<&BackupFacts> = facts.iter().collect();
    sorted.sort_by(|a, b| b.name.cmp(&a.name));
    sorted.into_iter().partition(|fact| is_ahead(now, &fact.name))
}

/// One good backup of each run: a monthly copy has its run's time.
fn good_runs<'a>(newest_first: &[&'a BackupFacts]) -> Vec<&'a BackupFacts> {
    let mut runs: Vec<_> = newest_first.iter().copied().filter(|f| f.standing == Standing::Good).collect();
    runs.dedup_by_key(|fact| fact.name.created_at());
    runs
}

fn changes(fact: &BackupFacts, before: &BackupFacts) -> Vec<Anomaly> {
    let (name, earlier) = (|| fact.name.clone(), || before.name.clone());
    let mut found = Vec::new();
    if u128::from(fact.size) * 2 < u128::from(before.size) {
        let (size, size_before) = (fact.size, before.size);
        found.push(Anomaly::SizeFell { name: name(), size, before: earlier(), size_before });
    }
    match (&fact.cluster_id, &before.cluster_id) {
        (Some(id), Some(id_before)) if id != id_before => {
            let (cluster_id, cluster_id_before) = (id.clone(), id_before.clone());
            found.push(Anomaly::ClusterChanged { name: name(), cluster_id, before: earlier(), cluster_id_before });
        }
        // Indexes of two clusters have nothing to do with each other.
        _ => match (fact.raft_index, before.raft_index) {
            (Some(index), Some(index_before)) if index < index_before => {
                found.push(Anomaly::IndexBackwards { name: name(), index, before: earlier(), index_before });
            }
            _ => {}
        },
    }
    found
}

fn unverified(newest_first: &[&BackupFacts]) -> Option<Anomaly> {
    let ours = |name: &BackupName| *name == BackupName::new(name.backup_type(), name.created_at());
    let unverified = newest_first.iter().filter(|f| f.standing == Standing::Unverified && ours(&f.name));
    let names: Vec<_> = unverified.map(|fact| fact.name.clone()).collect();
    (!names.is_empty()).then_some(Anomaly::Unverified { names })
}

/// The gaps of `kind` within its window, newest first. A manifest that has not been
/// checked yet fills one.
fn gaps(now: DateTime<Utc>, newest_first: &[&BackupFacts], kind: BackupType, policy: &Policy) -> Vec<Anomaly> {
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
    // The period in which the window begins may have lost its backup to clean-up.
    let floor = period(policy.window(kind).start(now));
    let periods: Vec<_> = newest_first
        .iter()
        .filter(|f| f.name.backup_type() == kind && matches!(f.standing, Standing::Claimed | Standing::Good))
        .map(|f| period(f.name.created_at()))
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
