//! One prune: check, plan, delete.
//!
//! Not here: the rules (`retention`).

mod locked;

use super::catalog::{self, Catalog};
use super::trust::Trust;
use crate::base::error::{Error, Result};
use crate::base::stop::Stop;
use crate::formats::backup::{Backup, BackupStatus, DrillStatus};
use crate::formats::naming::{BackupName, Role};
use crate::formats::retention::{self, Policy, PrunePlan, ToCheck};
use crate::services::store::{Deleted, Head, Listed, Locking, Store};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use locked::LockedBackup;
use std::collections::BTreeSet;

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
    let is_unchecked = |backup: &&Backup| backup.status == BackupStatus::Unchecked;
    let unchecked: BTreeSet<_> = backups.iter().filter(is_unchecked).map(|backup| backup.name.clone()).collect();
    let mut extra = 0;
    loop {
        let mut next = retention::to_check(now, &backups, policy);
        if next.is_empty() {
            let plan = retention::plan(now, backups.clone(), policy);
            if trust.cluster.is_some() {
                next = retention::unchecked_deletions(&plan);
            }
            if next.is_empty() {
                warn_of_invalid(store, &plan, &unchecked);
                return Ok(Planned { plan, orphans, verified });
            }
        }
        let all_good = check(store, trust, &mut backups, next, extra).await?;
        // Among many forged documents, rounds of a constant size would take for ever.
        extra = if all_good { 0 } else { (extra * 2).max(CONCURRENCY) };
    }
}

/// Checks the documents in `next`, and those of `extra` older backups. Returns `true` if all
/// count.
async fn check(store: &dyn Store, trust: &Trust, backups: &mut [Backup], next: ToCheck, extra: usize) -> Result<bool> {
    let [mut manifests, mut drills] = [next.manifests, next.drills].map(BTreeSet::from_iter);
    if let Some(oldest) = manifests.iter().chain(&drills).min().cloned() {
        let with_drills = !drills.is_empty();
        let open =
            |b: &&Backup| b.status == BackupStatus::Unchecked || (with_drills && b.drill == DrillStatus::Unchecked);
        for older in backups.iter().filter(|b| b.name < oldest).filter(open).take(extra) {
            manifests.insert(older.name.clone());
            drills.extend(with_drills.then(|| older.name.clone()));
        }
    }
    catalog::check_manifests(store, backups, |b| manifests.contains(&b.name), trust).await?;
    catalog::check_drills(store, backups, |b| drills.contains(&b.name), trust).await?;
    let counts = |b: &Backup| {
        (!manifests.contains(&b.name) || b.status.authentic().is_some())
            && (!drills.contains(&b.name) || b.drill.may_have_passed())
    };
    Ok(backups.iter().all(counts))
}

/// Warns about the backups among `checked` with an invalid manifest in one line, however many
/// there are.
fn warn_of_invalid(store: &dyn Store, plan: &PrunePlan, checked: &BTreeSet<BackupName>) {
    let checked = plan.decisions.iter().filter(|decision| checked.contains(&decision.backup.name));
    let mut invalid = checked.filter_map(|decision| match &decision.backup.status {
        BackupStatus::Invalid(why) => Some((store.locate(decision.backup.name.object()), why)),
        _ => None,
    });
    if let Some((first, why)) = invalid.next() {
        match invalid.count() {
            0 => tracing::warn!("{first}: invalid manifest, so the backup does not count: {why}"),
            more => tracing::warn!("{first}: invalid manifest, so the backup does not count: {why} (and {more} more)"),
        }
    }
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
    /// The error of the listing that compares the store with the confirmed deletions, if any.
    pub unchecked: Option<Error>,
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
    let (mut backups, mut others) = (Vec::new(), BTreeSet::new());
    for batch in due.chunks(BATCH) {
        let names: Vec<_> = batch.iter().map(|b| b.name.object().to_owned()).collect();
        let ends = delete(store, &names, &mut pruned.failed, stop).await?;
        let confirmed: Vec<_> = batch.iter().zip(ends).filter_map(|(b, end)| Some((b.clone(), end?))).collect();
        let names = documents(confirmed.iter().map(|(backup, _)| backup));
        let ends = delete(store, &names, &mut pruned.failed, stop).await?;
        others.extend(names.into_iter().zip(ends).filter_map(|(name, end)| end.map(|_| name)));
        backups.extend(confirmed);
    }
    let orphans = planned.orphans.iter().filter(|o| o.modified.is_some_and(|t| now - t > GRACE));
    let names: Vec<_> = orphans.map(|o| o.name.clone()).collect();
    let ends = delete(store, &names, &mut pruned.failed, stop).await?;
    let mut orphans: Vec<_> = names.into_iter().zip(ends).filter_map(|(name, end)| end.map(|_| name)).collect();
    others.extend(orphans.iter().cloned());

    let left = still_listed(store, &mut pruned, &backups, &others, stop).await?;
    backups.retain(|(backup, _)| !left.contains(backup.name.object()));
    orphans.retain(|name| !left.contains(name));
    pruned.orphans = orphans.len();
    pruned.freed = backups.iter().filter(|(_, end)| *end == Deleted::Gone).map(|(b, _)| b.size).sum();
    pruned.hidden = backups.iter().filter(|(_, end)| *end == Deleted::Hidden).count();
    pruned.deleted = backups.into_iter().map(|(backup, _)| backup).collect();
    pruned.uploads = abort_abandoned(store, now, stop).await?;
    Ok(pruned)
}

/// Aborts the uploads of backups that a killed run left behind, or whose id was lost. A listing
/// does not show which host began them, so they must be older than any run. Returns their names.
///
/// # Errors
/// Only the stop's reason: abandoned uploads cost money, not safety, and a role may lack the
/// permission.
pub(crate) async fn abort_abandoned(store: &dyn Store, now: DateTime<Utc>, stop: &Stop) -> Result<Vec<String>> {
    let ours = |name: &str| matches!(Role::of(name), Role::Backup(_));
    match stop.guard(store.abort_abandoned(now - GRACE, ours)).await {
        Err(error) if !error.kind().is_stop() => {
            tracing::info!("abandoned uploads: cannot be aborted: {error}");
            Ok(Vec::new())
        }
        aborted => aborted,
    }
}

/// Lists the store once more, if anything was deleted, and returns the names that it still
/// lists although it confirmed their deletion. They count as failed.
async fn still_listed(
    store: &dyn Store,
    pruned: &mut Pruned,
    backups: &[(Backup, Deleted)],
    others: &BTreeSet<String>,
    stop: &Stop,
) -> Result<BTreeSet<String>> {
    if backups.is_empty() && others.is_empty() {
        return Ok(BTreeSet::new());
    }
    let confirmed: BTreeSet<_> =
        backups.iter().map(|(b, _)| b.name.object()).chain(others.iter().map(String::as_str)).collect();
    let listed = match stop.guard(Catalog::list(store)).await {
        Ok(listing) => listing.objects.into_iter().map(|object| object.name),
        Err(error) if error.kind().is_stop() => return Err(error),
        Err(error) => {
            pruned.unchecked = Some(error);
            return Ok(BTreeSet::new());
        }
    };
    let left: BTreeSet<_> = listed.filter(|name| confirmed.contains(name.as_str())).collect();
    let lied = |name: &String| {
        let what = format!("{}: the store confirmed the deletion, but still lists it", store.locate(name));
        (name.clone(), Error::store(what).hint("check the store, and any proxy in front of it"))
    };
    pruned.failed.extend(left.iter().map(lied));
    Ok(left)
}

/// Returns the names of the documents of deleted backups, as listed.
fn documents<'a>(deleted: impl Iterator<Item = &'a Backup>) -> Vec<String> {
    let names = deleted.flat_map(|b| {
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
