//! Checks manifests and drill records, and decides about those under an old key that ends at
//! the first backup under the current key.
//!
//! Such a document counts unless a backup that is not newer is under the current key. So
//! older manifests are read, newest first, until one of them is. If no candidate is under an
//! old key, nothing more is read.

use super::{ManifestCheck, document, read_manifest};
use crate::base::error::Result;
use crate::formats::backup::{Backup, BackupStatus, DrillStatus};
use crate::formats::manifest::{DocumentError, DrillRecord, KeyEnd};
use crate::pipeline::trust::Trust;
use crate::services::store::Store;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::cmp::Reverse;
use std::collections::VecDeque;

/// Number of small documents that are read at a time.
pub(super) const CONCURRENCY: usize = 16;

/// Manifests under an old key, by the position of their backup.
type Held = Vec<(usize, ManifestCheck)>;

/// Checks the manifests of the backups at `wanted` that were not checked yet.
///
/// # Errors
/// The store's.
pub(super) async fn check_at(
    store: &dyn Store,
    backups: &mut [Backup],
    wanted: Vec<usize>,
    trust: &Trust,
) -> Result<()> {
    let unchecked = wanted.into_iter().filter(|index| backups[*index].status == BackupStatus::Unchecked);
    let unchecked: Vec<_> = unchecked.collect();
    let held = read(store, backups, &unchecked, trust).await?;
    let times = held.iter().map(|(index, _)| backups[*index].name.created_at()).collect();
    decide(store, backups, held, times, trust).await
}

/// Reads manifests until it is known if a backup up to `at` is under the current key.
///
/// # Errors
/// The store's.
pub(crate) async fn decide_by(
    store: &dyn Store,
    backups: &mut [Backup],
    at: DateTime<Utc>,
    trust: &Trust,
) -> Result<()> {
    decide(store, backups, Vec::new(), vec![at], trust).await
}

/// Reads and checks the manifests of the backups at `indices`, and sets their status. Returns
/// those that other backups decide about.
async fn read(store: &dyn Store, backups: &mut [Backup], indices: &[usize], trust: &Trust) -> Result<Held> {
    let names = indices.iter().map(|index| (*index, backups[*index].name.clone()));
    let checks = stream::iter(names)
        .map(async |(index, name)| Ok((index, read_manifest(store, &name, trust).await?)))
        .buffer_unordered(CONCURRENCY);
    let checked: Vec<(usize, ManifestCheck)> = checks.try_collect().await?;
    let mut held = Vec::new();
    for (index, check) in checked {
        match check {
            ManifestCheck::OldKey(_) => held.push((index, check)),
            check => backups[index].status = check.status(backups[index].size, trust),
        }
    }
    Ok(held)
}

/// Decides about `held`, and about documents of `times`: reads older manifests for as long as
/// needed.
async fn decide(
    store: &dyn Store,
    backups: &mut [Backup],
    mut held: Held,
    mut times: Vec<DateTime<Utc>>,
    trust: &Trust,
) -> Result<()> {
    times.retain(|at| trust.rotation.by(*at).is_none());
    times.sort_by_key(|at| Reverse(*at));
    let mut unread = if times.is_empty() { VecDeque::new() } else { unread(backups, &held) };
    for at in times {
        while trust.rotation.by(at).is_none() {
            while unread.front().is_some_and(|index| backups[*index].name.created_at() > at) {
                unread.pop_front();
            }
            let next: Vec<_> = unread.drain(..unread.len().min(CONCURRENCY)).collect();
            match next.is_empty() {
                true => trust.rotation.saw_none_until(at),
                false => held.extend(read(store, backups, &next, trust).await?),
            }
        }
    }
    for (index, check) in held {
        let backup = &mut backups[index];
        backup.status = check.decided(&backup.name, trust).status(backup.size, trust);
    }
    Ok(())
}

/// Returns the positions of the backups with an unread manifest, newest first.
fn unread(backups: &[Backup], held: &Held) -> VecDeque<usize> {
    let mut is_held = vec![false; backups.len()];
    held.iter().for_each(|(index, _)| is_held[*index] = true);
    let is_unread = |index: &usize| !is_held[*index] && backups[*index].status == BackupStatus::Unchecked;
    let mut unread: Vec<_> = (0..backups.len()).filter(is_unread).collect();
    unread.sort_by_key(|index| Reverse(backups[*index].name.created_at()));
    unread.into()
}

/// Checks the drill records of the `wanted` ones of `backups` that were not checked yet.
/// Check the manifests first.
///
/// # Errors
/// The store's; an invalid record is a status, not an error.
pub(crate) async fn check_drills(
    store: &dyn Store,
    backups: &mut [Backup],
    wanted: impl Fn(&Backup) -> bool,
    trust: &Trust,
) -> Result<()> {
    let unchecked = backups.iter().enumerate().filter(|(_, b)| b.drill == DrillStatus::Unchecked && wanted(b));
    let names: Vec<_> = unchecked.map(|(index, backup)| (index, backup.name.clone())).collect();
    let reads = stream::iter(names)
        .map(async |(index, name)| {
            let bytes = document(store, &name.drill_record()).await?;
            Ok((index, bytes.map(|bytes| DrillRecord::from_bytes(&bytes, &name, &trust.keys))))
        })
        .buffer_unordered(CONCURRENCY);
    let read: Vec<(usize, _)> = reads.try_collect().await?;
    for (index, record) in read {
        let drill = match record {
            None => DrillStatus::Never,
            Some(Ok((record, end))) => of_key(store, backups, index, record, end, trust).await?,
            Some(Err(DocumentError::UnknownKey)) => DrillStatus::UnknownKey,
            Some(Err(invalid)) => DrillStatus::Invalid(invalid.to_string()),
        };
        backups[index].set_drill(drill);
    }
    Ok(())
}

/// Returns the status of an authentic record under a key with this end. Under an old key,
/// both the drill and the backup must be from before its end.
async fn of_key(
    store: &dyn Store,
    backups: &mut [Backup],
    index: usize,
    record: DrillRecord,
    end: KeyEnd,
    trust: &Trust,
) -> Result<DrillStatus> {
    let passed = DrillStatus::Passed(Box::new(record));
    if end == KeyEnd::Never {
        return Ok(passed);
    }
    let invalid = |why: &str| Ok(DrillStatus::Invalid(why.to_owned()));
    let Some(drilled) = passed.at() else { return invalid("its time is malformed") };
    if backups[index].status.authentic().is_some_and(|manifest| trust.is_current(manifest)) {
        return invalid("under an old key, but its backup is under the current one");
    }
    let at = drilled.max(backups[index].name.created_at());
    if end == KeyEnd::AtRotation {
        decide_by(store, backups, at, trust).await?;
    }
    Ok(match trust.ended(end, at).flatten() {
        Some(why) => DrillStatus::Invalid(why),
        None => passed,
    })
}
