//! Retention: which backups may be deleted, and why.
//!
//! The rules, the manifests that must be checked before the rules apply ([`to_check`]),
//! and the anomalies in a list of backups ([`anomaly`]). Pure: no clock, no I/O.

pub mod anomaly;
mod check;
mod policy;
mod verdict;

pub use check::{ToCheck, to_check, unchecked_deletions};
pub use policy::{Policy, Window};
pub use verdict::{DeleteReason, KeepReason, Verdict};

use crate::formats::backup::{Backup, BackupStatus, DrillStatus};
use crate::formats::naming::BackupType;
use chrono::{DateTime, Utc};
use std::cmp::Reverse;

/// The decision on one backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The backup.
    pub backup: Backup,
    /// The verdict and its reason.
    pub verdict: Verdict,
}

/// The decisions on all backups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrunePlan {
    /// One decision for each backup, newest first.
    pub decisions: Vec<Decision>,
}

impl PrunePlan {
    /// Returns the backups to delete, newest first.
    pub fn deletions(&self) -> impl Iterator<Item = &Backup> {
        self.decisions.iter().filter(|d| d.verdict.is_delete()).map(|d| &d.backup)
    }

    /// Returns the backups whose names are in the future, newest first.
    pub fn ahead(&self) -> impl Iterator<Item = &Backup> {
        self.decisions.iter().filter(|d| d.verdict == Verdict::Keep(KeepReason::Ahead)).map(|d| &d.backup)
    }
}

/// Decides on every backup. Call [`to_check`] until it returns nothing more: only good
/// backups protect others and are counted.
///
/// A backup is deleted only if it is older than its window, if at least `keep_*` newer
/// good ones of its kind remain, and if it is not the newest that passed a drill. The
/// order of `backups` does not matter. If a name occurs twice, the weaker status counts.
pub fn plan(now: DateTime<Utc>, backups: Vec<Backup>, policy: &Policy) -> PrunePlan {
    Rules { now, policy, counts: |backup| backup.status.is_good() }.plan(backups)
}

/// Decides as [`plan`] would if every listed manifest were valid: a preview for a host
/// without a key.
pub fn preview(now: DateTime<Utc>, backups: Vec<Backup>, policy: &Policy) -> PrunePlan {
    Rules { now, policy, counts: |backup| backup.has_manifest }.plan(backups)
}

fn newest_first(backups: &mut Vec<Backup>) {
    backups.sort_by_cached_key(|b| (Reverse(b.name.clone()), b.status.rank(), b.drill.rank()));
    backups.dedup_by(|later, first| later.name == first.name);
}

struct Rules<'a> {
    now: DateTime<Utc>,
    policy: &'a Policy,
    /// Returns `true` for a backup that protects others.
    counts: fn(&Backup) -> bool,
}

impl Rules<'_> {
    fn plan(&self, mut backups: Vec<Backup>) -> PrunePlan {
        newest_first(&mut backups);
        let mut verdicts = self.by_age_and_number(&backups);
        for (index, reason) in self.newest_drilled(&backups) {
            if let Some(verdict) = verdicts.get_mut(index).filter(|v| v.is_delete()) {
                *verdict = Verdict::Keep(reason);
            }
        }
        let decisions = backups.into_iter().zip(verdicts);
        PrunePlan { decisions: decisions.map(|(backup, verdict)| Decision { backup, verdict }).collect() }
    }

    /// Returns the verdicts without regard to drills; `backups` are newest first.
    fn by_age_and_number(&self, backups: &[Backup]) -> Vec<Verdict> {
        let (mut daily, mut monthly) = (0, 0);
        let judge = |backup: &Backup| {
            let remaining = match backup.name.backup_type() {
                BackupType::Daily => &mut daily,
                BackupType::Monthly => &mut monthly,
            };
            let verdict = self.judge(backup, *remaining);
            if (self.counts)(backup) && !backup.is_future(self.now) && !verdict.is_delete() {
                *remaining += 1;
            }
            verdict
        };
        backups.iter().map(judge).collect()
    }

    /// Returns the verdict on one backup of whose kind `newer` newer good ones remain.
    fn judge(&self, backup: &Backup, newer: usize) -> Verdict {
        let kind = backup.name.backup_type();
        let (keep, window) = (self.policy.keep(kind), self.policy.window(kind));
        let good = (self.counts)(backup);
        let reason = if backup.is_future(self.now) {
            KeepReason::Ahead
        } else if matches!(backup.status, BackupStatus::OtherCluster(..)) {
            KeepReason::OtherCluster
        } else if good && newer == 0 {
            KeepReason::NewestGood { kind }
        } else if backup.name.created_at() >= window.start(self.now) {
            KeepReason::Within { window }
        } else if newer >= keep {
            let unverified = backup.status.is_unverified();
            return Verdict::Delete(DeleteReason { kind, window, newer, unverified });
        } else if good {
            KeepReason::OneOfNewest { kind, keep }
        } else {
            KeepReason::TooFewNewer { kind, newer, keep }
        };
        Verdict::Keep(reason)
    }

    /// Returns the positions of the backups that a drill protects; `backups` are newest first.
    fn newest_drilled(&self, backups: &[Backup]) -> impl Iterator<Item = (usize, KeepReason)> {
        let newest = |which: &dyn Fn(&Backup) -> bool| backups.iter().position(|b| !b.is_future(self.now) && which(b));
        let passed = newest(&|b| (self.counts)(b) && matches!(b.drill, DrillStatus::Passed(_)));
        // Without the key for drill records: the newest good one that has a record.
        let unknown_key = newest(&|b| (self.counts)(b) && b.drill.may_have_passed());
        // A backup in the legacy format can pass a drill, but has no manifest.
        let unverified = newest(&|b| !matches!(b.status, BackupStatus::OtherCluster(..)) && b.drill.may_have_passed());
        let others = [unknown_key, unverified].into_iter().flatten().map(|p| (p, KeepReason::NewestDrillRecord));
        passed.map(|p| (p, KeepReason::NewestDrilled)).into_iter().chain(others)
    }
}

#[cfg(test)]
mod tests;
