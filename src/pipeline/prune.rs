//! One prune: check, plan, delete.
//!
//! Not here: the rules (`retention`).

use super::catalog::{self, Catalog};
use super::trust::Trust;
use crate::base::error::{Error, Result};
use crate::base::stop::Stop;
use crate::formats::backup::{Backup, BackupStatus, DrillStatus};
use crate::formats::manifest::rfc3339;
use crate::formats::naming::{BackupName, Role};
use crate::formats::retention::{self, Policy, PrunePlan, ToCheck};
use crate::services::store::{Deleted, Head, Listed, Locking, Store};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeSet;
use std::fmt;

/// Minimum age of an orphaned document or unfinished upload that is deleted: its run may
/// still be going on.
const GRACE: TimeDelta = TimeDelta::days(1);

/// Number of names that are deleted between two looks at the stop flag: one request.
const BATCH: usize = 1_000;

/// Number of HEAD requests at a time, in a bucket with Object Lock.
const CONCURRENCY: usize = 16;

/// A plan for one listing.
#[derive(Debug)]
pub struct Planned {
    /// The decision on each backup.
    pub plan: PrunePlan,
    /// Manifests and drill records without their object.
    pub orphans: Vec<Listed>,
    /// `true` if the backups that protect others were checked. Otherwise there was no key,
    /// every manifest counted as valid, and nothing may be deleted.
    pub verified: bool,
}

/// Decides on the backups of `catalog`. With keys it checks the manifests of the backups
/// that protect others; without, the plan is only a preview.
///
/// # Errors
/// The store's.
pub(crate) async fn plan(
    store: &dyn Store,
    catalog: Catalog,
    trust: &Trust,
    policy: &Policy,
    now: DateTime<Utc>,
) -> Result<Planned> {
    let Catalog { mut backups, orphans, .. } = catalog;
    let verified = !trust.keys.is_empty();
    if !trust.keys.iter().any(|key| key.drill.is_some()) {
        let unchecked = backups.iter_mut().filter(|b| b.drill == DrillStatus::Unchecked);
        unchecked.for_each(|b| b.drill = DrillStatus::UnknownKey);
    }
    if !verified {
        return Ok(Planned { plan: retention::preview(now, backups, policy), orphans, verified });
    }
    loop {
        let mut next = retention::to_check(now, &backups, policy);
        if next.is_empty() {
            let plan = retention::plan(now, backups.clone(), policy);
            if trust.cluster.is_some() {
                next = retention::unchecked_deletions(&plan);
            }
            if next.is_empty() {
                return Ok(Planned { plan, orphans, verified });
            }
        }
        check(store, trust, &mut backups, next).await?;
    }
}

/// Checks the documents in `next`.
async fn check(store: &dyn Store, trust: &Trust, backups: &mut [Backup], next: ToCheck) -> Result<()> {
    let [manifests, drills] = [next.manifests, next.drills].map(BTreeSet::from_iter);
    catalog::check_manifests(store, backups, |b| manifests.contains(&b.name), trust).await?;
    for backup in backups.iter().filter(|b| manifests.contains(&b.name)) {
        if let BackupStatus::Invalid(why) = &backup.status {
            tracing::warn!(
                "{}: invalid manifest, so the backup does not count: {why}",
                store.locate(backup.name.object())
            );
        }
    }
    catalog::check_drills(store, backups, |b| drills.contains(&b.name), trust).await
}

/// Result of a prune.
#[derive(Debug, Default)]
pub(crate) struct Pruned {
    /// Backups that were deleted, or hidden by a delete marker.
    pub deleted: Vec<Backup>,
    /// Bytes that were freed, without those that a delete marker only hides.
    pub freed: u64,
    /// Number of backups that a delete marker only hides.
    pub hidden: usize,
    /// Backups that Object Lock protects.
    pub locked: Vec<LockedBackup>,
    /// Objects that could not be deleted, and the reasons.
    pub failed: Vec<(String, Error)>,
    /// Number of deleted manifests and drill records without their object.
    pub orphans: usize,
    /// Abandoned uploads that were aborted.
    pub uploads: Vec<String>,
}

/// Carries out a verified plan. Backups are deleted first; the manifest and drill record
/// of each only after its deletion was confirmed.
///
/// # Errors
/// `Usage` if the plan was not verified; the stop's reason. Single deletions that fail are
/// in the result.
pub(crate) async fn execute(store: &dyn Store, planned: &Planned, now: DateTime<Utc>, stop: &Stop) -> Result<Pruned> {
    if !planned.verified {
        return Err(Error::usage("nothing was deleted: no key to verify the backups that stay")
            .hint("set encryption.key, or encryption.manifest_key on a host that must not have the key"));
    }
    let mut pruned = Pruned::default();
    let due = unlocked(store, planned.plan.deletions().cloned().collect(), now, &mut pruned, stop).await?;
    for batch in due.chunks(BATCH) {
        let names: Vec<_> = batch.iter().map(|b| b.name.object().to_owned()).collect();
        let ends = delete(store, &names, &mut pruned.failed, stop).await?;
        let confirmed: Vec<_> = batch.iter().zip(ends).filter_map(|(b, end)| Some((b, end?))).collect();
        pruned.freed += confirmed.iter().filter(|(_, end)| *end == Deleted::Gone).map(|(b, _)| b.size).sum::<u64>();
        pruned.hidden += confirmed.iter().filter(|(_, end)| *end == Deleted::Hidden).count();
        let confirmed: Vec<_> = confirmed.into_iter().map(|(b, _)| b.clone()).collect();
        delete(store, &documents(&confirmed), &mut pruned.failed, stop).await?;
        pruned.deleted.extend(confirmed);
    }
    let orphans = planned.orphans.iter().filter(|o| o.modified.is_some_and(|t| now - t > GRACE));
    let names: Vec<_> = orphans.map(|o| o.name.clone()).collect();
    pruned.orphans = delete(store, &names, &mut pruned.failed, stop).await?.into_iter().flatten().count();
    let ours = |name: &str| matches!(Role::of(name), Role::Backup(_));
    match stop.guard(store.abort_abandoned(now - GRACE, &ours)).await {
        Ok(names) => pruned.uploads = names,
        Err(error) if error.kind().is_stop() => return Err(error),
        // They cost money, not safety; a prune role may lack the permission.
        Err(error) => tracing::info!("abandoned uploads: cannot be listed: {error}"),
    }
    Ok(pruned)
}

/// Returns the names of the documents of deleted backups, as listed.
fn documents(deleted: &[Backup]) -> Vec<String> {
    let names = deleted.iter().flat_map(|b| {
        let manifest = b.has_manifest.then(|| b.name.manifest());
        let record = b.has_drill_record.then(|| b.name.drill_record());
        manifest.into_iter().chain(record)
    });
    names.collect()
}

/// Deletes `names`. Returns the result of each, `None` if it failed; collects the failures.
async fn delete(
    store: &dyn Store,
    names: &[String],
    failed: &mut Vec<(String, Error)>,
    stop: &Stop,
) -> Result<Vec<Option<Deleted>>> {
    let mut ends = Vec::with_capacity(names.len());
    for batch in names.chunks(BATCH) {
        stop.check()?;
        // Not interrupted: the result of a request in flight would be unknown.
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

/// Returns the backups that Object Lock does not protect. A delete of the others would
/// succeed, and only hide the object behind a delete marker.
async fn unlocked(
    store: &dyn Store,
    due: Vec<Backup>,
    now: DateTime<Utc>,
    pruned: &mut Pruned,
    stop: &Stop,
) -> Result<Vec<Backup>> {
    if due.is_empty() {
        return Ok(due);
    }
    match stop.guard(store.object_lock()).await? {
        Locking::Off => return Ok(due),
        Locking::On => {}
        Locking::Unknown(why) => tracing::warn!("Object Lock is checked for each backup to delete: {why}"),
    }
    let look = stream::iter(due).map(|b| async move { Ok((store.head(b.name.object()).await?, b)) });
    let seen: Vec<(Option<Head>, Backup)> = stop.guard(look.buffered(CONCURRENCY).try_collect()).await?;
    let mut free = Vec::new();
    for (head, backup) in seen {
        match head.and_then(|head| LockedBackup::of(&backup, &head, now)) {
            Some(locked) => pruned.locked.push(locked),
            None => free.push(backup),
        }
    }
    Ok(free)
}

/// A backup that Object Lock protects.
#[derive(Clone, Debug)]
pub(crate) struct LockedBackup {
    /// Its name.
    pub name: BackupName,
    /// End of its retention, if that is in the future.
    pub until: Option<DateTime<Utc>>,
    /// `true` if it has a legal hold, which does not end by itself.
    pub legal_hold: bool,
}

impl LockedBackup {
    fn of(backup: &Backup, head: &Head, now: DateTime<Utc>) -> Option<Self> {
        let until = head.retain_until.filter(|until| *until > now);
        let legal_hold = head.legal_hold;
        (legal_hold || until.is_some()).then(|| Self { name: backup.name.clone(), until, legal_hold })
    }
}

impl fmt::Display for LockedBackup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.until {
            _ if self.legal_hold => f.write_str("locked by a legal hold"),
            Some(until) => write!(f, "locked until {}", rfc3339(until)),
            None => f.write_str("locked"),
        }
    }
}
