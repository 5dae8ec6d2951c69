//! Which manifests and drill records must be checked before a plan may delete.
//!
//! A listing shows names, sizes, and which backups have a manifest; whether one
//! holds costs a request. Whoever can write to the bucket can put any number of
//! false ones there, so nothing is deleted on their word, and no more are fetched
//! than the plan depends on.

use super::{Candidate, Drill, Policy, PrunePlan, Standing, by_age_and_number, is_ahead, newest_first};
use crate::formats::naming::{BackupName, BackupType};
use chrono::{DateTime, Utc};

/// What to fetch and check next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToProve {
    /// Backups whose manifests are to be checked: they become [`Standing::Good`],
    /// [`Standing::OtherCluster`] or [`Standing::Unverified`].
    pub manifests: Vec<BackupName>,
    /// Backups whose drill records are to be checked: they become [`Drill::Passed`]
    /// or [`Drill::None`].
    pub drills: Vec<BackupName>,
}

impl ToProve {
    /// Whether nothing remains to be proven, so that [`super::plan`] may be called.
    pub fn is_empty(&self) -> bool {
        self.manifests.is_empty() && self.drills.is_empty()
    }
}

/// What must be proven next for [`super::plan`] to decide as if everything were
/// known. The caller settles all that is asked for and calls again, until nothing
/// is; a claim that fails makes it ask for the next older one.
///
/// Where nothing could be deleted anyway it asks for nothing. Where every claim is
/// true it asks for the newest `keep_*` of each kind that has something to delete,
/// and for at most one drill.
pub fn to_prove(now: DateTime<Utc>, candidates: &[Candidate], policy: &Policy) -> ToProve {
    let mut candidates = candidates.to_vec();
    newest_first(&mut candidates);
    let claimed = |kind| unproven_protectors(now, &candidates, kind, policy);
    let manifests: Vec<_> = BackupType::ALL.into_iter().flat_map(claimed).collect();
    if manifests.is_empty() {
        // Only now is it certain what the rules of age and number delete.
        unproven_drill(now, &candidates, policy)
    } else {
        ToProve { manifests, drills: Vec::new() }
    }
}

/// The manifests to check before `plan` may delete where the backups of one cluster
/// alone may go: those of everything it deletes that has one. Call it once
/// [`to_prove`] asks for nothing, and begin again with what was found.
pub fn claimed_deletions(plan: &PrunePlan) -> ToProve {
    let claimed = plan.deletions().filter(|c| c.standing == Standing::Claimed);
    ToProve { manifests: claimed.map(|c| c.name.clone()).collect(), drills: Vec::new() }
}

/// The claims among the newest `keep_*` of `kind`, if anything depends on them.
fn unproven_protectors(
    now: DateTime<Utc>,
    candidates: &[Candidate],
    kind: BackupType,
    policy: &Policy,
) -> Vec<BackupName> {
    let of_kind = || candidates.iter().filter(|c| c.name.backup_type() == kind && !is_ahead(now, &c.name));
    let start = policy.window(kind).start(now);
    let Some(oldest) = of_kind().next_back().filter(|c| c.name.created_at() < start) else { return Vec::new() };
    let keep = policy.keep(kind);
    let counts = |c: &&Candidate| matches!(c.standing, Standing::Claimed | Standing::Good);
    let newest: Vec<_> = of_kind().filter(|c| c.name > oldest.name).filter(counts).take(keep).collect();
    if newest.len() < keep {
        return Vec::new(); // however good they are, they are too few for even the oldest to go
    }
    newest.into_iter().filter(|c| c.standing == Standing::Claimed).map(|c| c.name.clone()).collect()
}

/// What is unproven of the newest drill, if a backup with a drill record would go.
fn unproven_drill(now: DateTime<Utc>, candidates: &[Candidate], policy: &Policy) -> ToProve {
    let verdicts = by_age_and_number(now, candidates, policy);
    let at_stake = candidates.iter().zip(&verdicts).any(|(c, v)| v.is_delete() && c.drill > Drill::None);
    // One that turned out unverified protects itself, and the search goes on behind it.
    let settled = |c: &Candidate| match c.standing {
        Standing::OtherCluster => true,
        Standing::Unverified => c.drill != Drill::Claimed,
        Standing::Claimed | Standing::Good => false,
    };
    let newest = candidates.iter().find(|c| c.drill > Drill::None && !is_ahead(now, &c.name) && !settled(c));
    let Some(candidate) = newest.filter(|_| at_stake) else { return ToProve::default() };
    let ask = |unproven: bool| if unproven { vec![candidate.name.clone()] } else { Vec::new() };
    ToProve { manifests: ask(candidate.standing == Standing::Claimed), drills: ask(candidate.drill == Drill::Claimed) }
}
