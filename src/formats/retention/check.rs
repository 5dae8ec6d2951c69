//! The manifests and drill records that must be checked before a plan may delete.
//!
//! A listing shows names, sizes and which backups have a manifest. A check costs a
//! request. Anyone who can write to the bucket can put forged manifests there, so none
//! is trusted unchecked, and only those are read that the plan depends on.

use super::{Backup, BackupStatus, DrillStatus, Policy, PrunePlan, Rules, newest_first};
use crate::formats::naming::{BackupName, BackupType};
use chrono::{DateTime, Utc};

/// The documents to check next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToCheck {
    /// Backups whose manifests must be checked.
    pub manifests: Vec<BackupName>,
    /// Backups whose drill records must be checked.
    pub drills: Vec<BackupName>,
}

impl ToCheck {
    /// Returns `true` if nothing is left to check, so that [`super::plan`] may be called.
    pub fn is_empty(&self) -> bool {
        self.manifests.is_empty() && self.drills.is_empty()
    }
}

/// Returns the documents to check next, so that [`super::plan`] decides as if all of them
/// had been checked. The caller checks them and calls again until nothing is left; after
/// an invalid manifest it is asked for the next older one.
///
/// If nothing could be deleted anyway, nothing is to be checked. If all manifests are
/// valid, they are the newest `keep_*` of each kind that has something to delete, and at
/// most one drill record.
pub fn to_check(now: DateTime<Utc>, backups: &[Backup], policy: &Policy) -> ToCheck {
    let mut backups = backups.to_vec();
    newest_first(&mut backups);
    let rules = Rules { now, policy, counts: |backup| backup.status.is_good() };
    let unchecked = |kind| unchecked_protectors(&rules, &backups, kind);
    let manifests: Vec<_> = BackupType::ALL.into_iter().flat_map(unchecked).collect();
    if manifests.is_empty() {
        // Only now is it certain what the rules of age and number delete.
        unchecked_drill(&rules, &backups)
    } else {
        ToCheck { manifests, drills: Vec::new() }
    }
}

/// Returns the manifests to check before `plan` may delete if only the backups of one
/// cluster may be deleted: the unchecked ones of all its deletions. Call it once
/// [`to_check`] returns nothing, and start over with the results.
pub fn unchecked_deletions(plan: &PrunePlan) -> ToCheck {
    let unchecked = plan.deletions().filter(|b| b.status == BackupStatus::Unchecked);
    ToCheck { manifests: unchecked.map(|b| b.name.clone()).collect(), drills: Vec::new() }
}

/// Returns the unchecked ones of the newest `keep_*` of `kind`, if a deletion depends on them.
fn unchecked_protectors(rules: &Rules<'_>, backups: &[Backup], kind: BackupType) -> Vec<BackupName> {
    let of_kind = || backups.iter().filter(|b| b.name.backup_type() == kind && !b.is_future(rules.now));
    let start = rules.policy.window(kind).start(rules.now);
    let Some(oldest) = of_kind().next_back().filter(|b| b.name.created_at() < start) else { return Vec::new() };
    let keep = rules.policy.keep(kind);
    let may_count = |b: &&Backup| matches!(b.status, BackupStatus::Unchecked | BackupStatus::Good(_));
    let newest: Vec<_> = of_kind().filter(|b| b.name > oldest.name).filter(may_count).take(keep).collect();
    if newest.len() < keep {
        return Vec::new(); // even if all are good, they are too few to delete even the oldest
    }
    newest.into_iter().filter(|b| b.status == BackupStatus::Unchecked).map(|b| b.name.clone()).collect()
}

/// Returns the unchecked documents of the newest drilled backup, if one with a drill
/// record would be deleted.
fn unchecked_drill(rules: &Rules<'_>, backups: &[Backup]) -> ToCheck {
    let verdicts = rules.by_age_and_number(backups);
    let at_stake = backups.iter().zip(&verdicts).any(|(b, v)| v.is_delete() && b.drill.may_have_passed());
    // An unverified one protects only itself, so the search continues with older ones.
    let may_protect_others = |b: &Backup| match b.status {
        BackupStatus::OtherCluster(..) => false,
        BackupStatus::Unverified | BackupStatus::Invalid(_) | BackupStatus::UnknownKey(_) => {
            b.drill == DrillStatus::Unchecked
        }
        BackupStatus::Unchecked | BackupStatus::Good(_) => b.drill.may_have_passed(),
    };
    let newest = backups.iter().find(|b| !b.is_future(rules.now) && may_protect_others(b));
    let Some(backup) = newest.filter(|_| at_stake) else { return ToCheck::default() };
    let ask = |unchecked: bool| if unchecked { vec![backup.name.clone()] } else { Vec::new() };
    ToCheck {
        manifests: ask(backup.status == BackupStatus::Unchecked),
        drills: ask(backup.drill == DrillStatus::Unchecked),
    }
}
