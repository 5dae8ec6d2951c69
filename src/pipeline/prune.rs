//! One prune: list, prove, plan, delete.
//!
//! Here: what `prune` and `backup --prune` share: proving the protectors of a plan
//! and carrying it out. Not here: the rules (`retention`).

use super::catalog::{self, BackupStatus, Catalog, DrillStatus};
use super::trust::Trust;
use crate::base::error::{Error, Result};
use crate::base::stop::Stop;
use crate::formats::manifest::MacKey;
use crate::formats::naming::{BackupName, Role};
use crate::formats::retention::{self, Candidate, Drill, Policy, PrunePlan};
use crate::services::store::{Deleted, Head, Locking, Store};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeMap;

/// How long a stray document or upload is left alone: its run may still be going.
const GRACE: TimeDelta = TimeDelta::days(1);

/// How many names are deleted between two looks at the stop flag: one request.
const BATCH: usize = 1_000;

/// How many candidates are HEADed at a time on a bucket with Object Lock.
const CONCURRENCY: usize = 16;

/// A plan, and the listing that it is about.
#[derive(Debug)]
pub struct Planned {
    /// The listing.
    pub catalog: Catalog,
    /// What becomes of each backup.
    pub plan: PrunePlan,
    /// Whether its protectors were proven. Otherwise no key was at hand, claims
    /// were taken as true, and nothing may be deleted.
    pub proven: bool,
}

/// Lists the store and decides. With keys, the backups that protect others are
/// proven by their manifests; without, the plan is only to look at.
///
/// # Errors
/// The store's: nothing is decided on an incomplete listing.
pub async fn plan(store: &dyn Store, trust: &Trust, policy: &Policy, now: DateTime<Utc>) -> Result<Planned> {
    let catalog = Catalog::read(store).await?;
    let keys = &trust.keys;
    let proven = !keys.is_empty();
    let mut facts: BTreeMap<BackupName, Candidate> =
        catalog.backups.iter().map(|b| (b.name.clone(), candidate(b, proven, keys))).collect();
    loop {
        let candidates: Vec<_> = facts.values().cloned().collect();
        let mut ask = retention::to_prove(now, &candidates, policy);
        if ask.is_empty() || !proven {
            let plan = retention::plan(now, candidates, policy);
            if proven && trust.cluster.is_some() {
                ask = retention::claimed_deletions(&plan);
            }
            if ask.is_empty() || !proven {
                return Ok(Planned { plan, catalog, proven });
            }
        }
        prove(store, trust, &catalog, &ask, &mut facts).await?;
    }
}

/// What the listing alone says of a backup.
fn candidate(backup: &catalog::Backup, proven: bool, keys: &[MacKey]) -> Candidate {
    let standing = match (backup.has_manifest, proven) {
        (false, _) => retention::Standing::Unverified,
        (true, true) => retention::Standing::Claimed,
        (true, false) => retention::Standing::Good,
    };
    let drill = match (backup.has_drill_record, keys.iter().any(|key| key.drill.is_some())) {
        (false, _) => Drill::None,
        (true, true) => Drill::Claimed,
        (true, false) => Drill::Unprovable,
    };
    Candidate { name: backup.name.clone(), size: backup.size, standing, drill }
}

/// Settles everything that was asked for.
async fn prove(
    store: &dyn Store,
    trust: &Trust,
    catalog: &Catalog,
    ask: &retention::ToProve,
    facts: &mut BTreeMap<BackupName, Candidate>,
) -> Result<()> {
    let of = |names: &[BackupName]| -> Vec<_> { names.iter().filter_map(|n| catalog.find(n).cloned()).collect() };
    let claimed = of(&ask.manifests);
    for (backup, standing) in claimed.iter().zip(catalog::standings(store, &claimed, trust).await?) {
        if let BackupStatus::Invalid(why) = &standing {
            tracing::warn!("{}: its manifest fails: {why}; it is not counted on", store.locate(backup.name.object()));
        }
        let settled = match standing {
            BackupStatus::Good(_) => retention::Standing::Good,
            BackupStatus::OtherCluster(..) => retention::Standing::OtherCluster,
            BackupStatus::Unverified | BackupStatus::Invalid(_) | BackupStatus::Unproven => {
                retention::Standing::Unverified
            }
        };
        facts.entry(backup.name.clone()).and_modify(|c| c.standing = settled);
    }
    let drilled = of(&ask.drills);
    let standings = catalog::standings(store, &drilled, trust).await?;
    let records = catalog::drills(store, &drilled, &trust.keys).await?;
    for ((backup, mut record), standing) in drilled.iter().zip(records).zip(standings) {
        record.hold_against(standing.authentic());
        let settled = if matches!(record, DrillStatus::Passed(_)) { Drill::Passed } else { Drill::None };
        facts.entry(backup.name.clone()).and_modify(|c| c.drill = settled);
    }
    Ok(())
}

/// What a prune did.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Backups that are gone, or are hidden by a marker.
    pub deleted: Vec<Candidate>,
    /// How many bytes they had that are gone: none of those that a marker only hides.
    pub freed: u64,
    /// How many of them a marker only hides.
    pub hidden: usize,
    /// Backups that Object Lock keeps for now, and until when.
    pub locked: Vec<(BackupName, String)>,
    /// Objects that could not be deleted, and why.
    pub failed: Vec<(String, Error)>,
    /// Manifests and drill records without their object that are gone.
    pub orphans: usize,
    /// Abandoned uploads that were aborted.
    pub uploads: Vec<String>,
}

/// Carries a proven plan out. Backups go first; the manifest and drill record of
/// each follow only when its deletion was confirmed.
///
/// # Errors
/// `Usage` if the plan was not proven; the stop's reason. Single deletions that
/// fail are in the result.
pub async fn execute(store: &dyn Store, planned: &Planned, now: DateTime<Utc>, stop: &Stop) -> Result<Pruned> {
    if !planned.proven {
        return Err(Error::usage("no key to prove the backups that stay, so nothing was deleted")
            .hint("set encryption.key, or encryption.manifest_key where the key must not be"));
    }
    let mut pruned = Pruned::default();
    let due = unlocked(store, planned.plan.deletions().cloned().collect(), now, &mut pruned, stop).await?;
    for batch in due.chunks(BATCH) {
        let names: Vec<_> = batch.iter().map(|c| c.name.object().to_owned()).collect();
        let ends = delete(store, &names, &mut pruned.failed, stop).await?;
        let confirmed: Vec<_> = batch.iter().zip(ends).filter_map(|(c, end)| Some((c, end?))).collect();
        pruned.freed += confirmed.iter().filter(|(_, end)| *end == Deleted::Gone).map(|(c, _)| c.size).sum::<u64>();
        pruned.hidden += confirmed.iter().filter(|(_, end)| *end == Deleted::Hidden).count();
        let confirmed: Vec<_> = confirmed.into_iter().map(|(c, _)| c.clone()).collect();
        delete(store, &documents(&planned.catalog, &confirmed), &mut pruned.failed, stop).await?;
        pruned.deleted.extend(confirmed);
    }
    let orphans: Vec<_> =
        planned.catalog.orphans.iter().filter(|o| o.modified.is_some_and(|t| now - t > GRACE)).collect();
    let names: Vec<_> = orphans.iter().map(|o| o.name.clone()).collect();
    pruned.orphans = delete(store, &names, &mut pruned.failed, stop).await?.into_iter().flatten().count();
    let ours = |name: &str| matches!(Role::of(name), Role::Backup(_));
    match stop.guard(store.abort_abandoned(now - GRACE, &ours)).await {
        Ok(names) => pruned.uploads = names,
        Err(error) if error.kind().is_stop() => return Err(error),
        // They cost money, not safety; a prune role may lack the right.
        Err(error) => tracing::info!("abandoned uploads could not be looked for: {error}"),
    }
    Ok(pruned)
}

/// The documents that lie beside deleted backups, as the listing showed them.
fn documents(catalog: &Catalog, deleted: &[Candidate]) -> Vec<String> {
    let listed = deleted.iter().filter_map(|c| catalog.find(&c.name));
    let beside = listed.flat_map(|b| {
        let manifest = b.has_manifest.then(|| b.name.manifest());
        let record = b.has_drill_record.then(|| b.name.drill_record());
        manifest.into_iter().chain(record)
    });
    beside.collect()
}

/// Deletes `names`; what became of each, none if it failed. Failures are collected.
async fn delete(
    store: &dyn Store,
    names: &[String],
    failed: &mut Vec<(String, Error)>,
    stop: &Stop,
) -> Result<Vec<Option<Deleted>>> {
    let mut ends = Vec::with_capacity(names.len());
    for batch in names.chunks(BATCH) {
        stop.check()?;
        // Not cut short: what a request in flight did would not be known.
        for (name, result) in batch.iter().zip(store.delete(batch).await) {
            match result {
                Ok(end) => ends.push(Some(end)),
                Err(error) => {
                    failed.push((name.clone(), error));
                    ends.push(None);
                }
            }
        }
    }
    Ok(ends)
}

/// Leaves out what Object Lock keeps. A delete there would succeed and only hide
/// the object behind a marker.
async fn unlocked(
    store: &dyn Store,
    due: Vec<Candidate>,
    now: DateTime<Utc>,
    pruned: &mut Pruned,
    stop: &Stop,
) -> Result<Vec<Candidate>> {
    if due.is_empty() {
        return Ok(due);
    }
    match stop.guard(store.object_lock()).await? {
        Locking::Off => return Ok(due),
        Locking::On => {}
        Locking::Unknown(why) => tracing::warn!("each backup that is due is asked whether it is locked: {why}"),
    }
    let look = stream::iter(due).map(|c| async move { Ok((store.head(c.name.object()).await?, c)) });
    let seen: Vec<(Option<Head>, Candidate)> = stop.guard(look.buffered(CONCURRENCY).try_collect()).await?;
    let mut free = Vec::new();
    for (head, candidate) in seen {
        match head.and_then(|head| lock_of(&head, now)) {
            Some(until) => pruned.locked.push((candidate.name, until)),
            None => free.push(candidate),
        }
    }
    Ok(free)
}

/// Until when the object is locked, in words.
fn lock_of(head: &Head, now: DateTime<Utc>) -> Option<String> {
    let until = head.retain_until.filter(|until| *until > now);
    match (head.legal_hold, until) {
        (true, _) => Some("a legal hold is lifted".to_owned()),
        (false, until) => until.map(crate::formats::manifest::rfc3339),
    }
}
