//! Which backups may go: (now, backups with their facts, policy) → a plan with a
//! reason for each.
//!
//! Here: the rules, which manifests must be checked before they can be applied
//! ([`to_prove`]), and what looks odd in a list of backups ([`anomaly`]). Not here:
//! listing, fetching, checking macs and deleting, which are `pipeline`'s. Pure: no
//! clock, no I/O.

pub mod anomaly;
mod policy;
mod proof;
mod verdict;

pub use policy::{Policy, Window};
pub use proof::{ToProve, claimed_deletions, to_prove};
pub use verdict::{DeleteReason, KeepReason, Verdict};

use crate::formats::naming::{BackupName, BackupType};
use chrono::{DateTime, TimeDelta, Utc};
use std::cmp::Reverse;

/// How far a name may lie ahead of the clock before it is not believed.
pub const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(10);

/// Whether `name` lies so far in the future that it is never the newest, never
/// fresh and never counted (nor ever deleted).
pub fn is_ahead(now: DateTime<Utc>, name: &BackupName) -> bool {
    name.created_at().signed_duration_since(now) > CLOCK_TOLERANCE
}

/// What is known of a backup's manifest. Weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// There is no manifest, or it failed: mac, object or size.
    Unverified,
    /// A manifest is listed, and has not been fetched and checked yet. It protects nothing.
    Claimed,
    /// The manifest is authentic, and names another cluster: the backup is not this
    /// cluster's. It is never counted, protects nothing, and is never deleted.
    OtherCluster,
    /// The manifest was checked: its mac holds, it names this object and the listed size.
    Good,
}

/// What is known of a backup's drill record. Weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Drill {
    /// There is no record, or it failed: mac, object, or a `sha256` other than the manifest's.
    None,
    /// A record is listed, and has not been fetched and checked yet.
    Claimed,
    /// A record is listed, and no key at hand can check it (`manifest_key` alone).
    Unprovable,
    /// The record was checked.
    Passed,
}

/// A backup as the listing and the checked manifests show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name; the time in it is its age.
    pub name: BackupName,
    /// The object's size in bytes.
    pub size: u64,
    /// What its manifest is worth.
    pub standing: Standing,
    /// What its drill record is worth.
    pub drill: Drill,
}

/// What becomes of one backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The backup.
    pub candidate: Candidate,
    /// Whether it goes, and why.
    pub verdict: Verdict,
}

/// What becomes of every backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrunePlan {
    /// One decision a backup, newest first.
    pub decisions: Vec<Decision>,
}

impl PrunePlan {
    /// The backups that go, newest first.
    pub fn deletions(&self) -> impl Iterator<Item = &Candidate> {
        self.decisions.iter().filter(|d| d.verdict.is_delete()).map(|d| &d.candidate)
    }

    /// The backups whose names lie in the future: worth a warning.
    pub fn ahead(&self) -> impl Iterator<Item = &Candidate> {
        self.decisions.iter().filter(|d| d.verdict == Verdict::Keep(KeepReason::Ahead)).map(|d| &d.candidate)
    }
}

/// Decides on every backup. Call [`to_prove`] first, until it asks for nothing
/// more: only [`Standing::Good`] ones protect and are counted.
///
/// A backup goes only if it is older than its window and at least `keep_*` newer
/// good ones of its kind remain, and if it is not the newest that passed a drill.
/// The order of `candidates` does not matter; of a name that is given twice the
/// weaker standing counts.
pub fn plan(now: DateTime<Utc>, mut candidates: Vec<Candidate>, policy: &Policy) -> PrunePlan {
    newest_first(&mut candidates);
    let mut verdicts = by_age_and_number(now, &candidates, policy);
    for (index, reason) in newest_drilled(now, &candidates) {
        if let Some(verdict) = verdicts.get_mut(index).filter(|v| v.is_delete()) {
            *verdict = Verdict::Keep(reason);
        }
    }
    let decisions = candidates.into_iter().zip(verdicts);
    PrunePlan { decisions: decisions.map(|(candidate, verdict)| Decision { candidate, verdict }).collect() }
}

fn newest_first(candidates: &mut Vec<Candidate>) {
    candidates.sort_by(|a, b| (Reverse(&a.name), a.standing, a.drill).cmp(&(Reverse(&b.name), b.standing, b.drill)));
    candidates.dedup_by(|later, first| later.name == first.name);
}

/// The verdicts as if there were no drills; `candidates` are newest first.
fn by_age_and_number(now: DateTime<Utc>, candidates: &[Candidate], policy: &Policy) -> Vec<Verdict> {
    let (mut daily, mut monthly) = (0, 0);
    let judge = |candidate: &Candidate| {
        let remaining = match candidate.name.backup_type() {
            BackupType::Daily => &mut daily,
            BackupType::Monthly => &mut monthly,
        };
        let verdict = judge(now, candidate, *remaining, policy);
        let counted = candidate.standing == Standing::Good && !is_ahead(now, &candidate.name);
        if counted && !verdict.is_delete() {
            *remaining += 1;
        }
        verdict
    };
    candidates.iter().map(judge).collect()
}

/// The verdict on one backup of whose kind `newer` newer good ones remain.
fn judge(now: DateTime<Utc>, candidate: &Candidate, newer: usize, policy: &Policy) -> Verdict {
    let kind = candidate.name.backup_type();
    let (keep, window) = (policy.keep(kind), policy.window(kind));
    let good = candidate.standing == Standing::Good;
    let reason = if is_ahead(now, &candidate.name) {
        KeepReason::Ahead
    } else if candidate.standing == Standing::OtherCluster {
        KeepReason::OtherCluster
    } else if good && newer == 0 {
        KeepReason::NewestGood { kind }
    } else if candidate.name.created_at() >= window.start(now) {
        KeepReason::Within { window }
    } else if newer >= keep {
        let unverified = candidate.standing == Standing::Unverified;
        return Verdict::Delete(DeleteReason { kind, window, newer, unverified });
    } else if good {
        KeepReason::OneOfNewest { kind, keep }
    } else {
        KeepReason::TooFewNewer { kind, newer, keep }
    };
    Verdict::Keep(reason)
}

/// The positions of the backups that stay because of a drill; `candidates` are
/// newest first.
fn newest_drilled(now: DateTime<Utc>, candidates: &[Candidate]) -> impl Iterator<Item = (usize, KeepReason)> {
    let good = |c: &Candidate| c.standing == Standing::Good;
    let newest =
        move |counts: &dyn Fn(&Candidate) -> bool| candidates.iter().position(|c| !is_ahead(now, &c.name) && counts(c));
    let passed = newest(&|c| good(c) && c.drill == Drill::Passed);
    // Without the key for drill records, the newest good one that has any.
    let unprovable = newest(&|c| good(c) && c.drill > Drill::None);
    // One of the older layout can pass a drill, and has no manifest to be good by.
    let unverified = newest(&|c| c.standing != Standing::OtherCluster && c.drill > Drill::None);
    let others = [unprovable, unverified].into_iter().flatten();
    passed.into_iter().map(|p| (p, KeepReason::NewestDrilled)).chain(others.map(|p| (p, KeepReason::NewestDrillRecord)))
}

#[cfg(test)]
mod tests;
