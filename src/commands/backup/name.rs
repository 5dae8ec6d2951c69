//! The name of a new backup. Names are predictable, so another program can take them first:
//! then the backup takes the next free second, and warns.

use crate::app::context::Context;
use crate::base::error::{Error, Result};
use crate::formats::crypto::{self, Keyring, Layouts};
use crate::formats::naming::{BackupName, BackupType, Role};
use crate::services::store::{ReadAt, Store};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt;
use std::collections::{BTreeMap, HashSet};
use std::io::BufRead;

/// Number of seconds after the start of the run that are tried.
const AHEAD: i64 = 3_600;

/// Number of skipped names whose objects are read to find out who made them.
const LOOKS: usize = 4;

/// Bytes of an object that contain its header and first segment, and one byte of the next.
const BEGINNING: u64 = 2 * 1024 * 1024;

/// Returns the first free name of the first of `kinds` from `from` on, before any request to
/// Vault. A name is free if neither an object nor a manifest nor a drill record has it, for
/// each of `kinds`. Warns about names that were not taken by this tool.
///
/// # Errors
/// The store's; `Store` if every name of the next hour is taken.
pub(super) async fn free(
    context: &Context,
    store: &dyn Store,
    keyring: &Keyring,
    kinds: &[BackupType],
    from: DateTime<Utc>,
) -> Result<BackupName> {
    let kind = kinds.first().copied().unwrap_or(BackupType::Daily);
    let (mut taken, mut listed) = (BTreeMap::new(), HashSet::new());
    let mut skipped = Vec::new();
    for second in 0..AHEAD {
        let name = BackupName::new(kind, from + TimeDelta::seconds(second));
        for kind in kinds {
            let hour = BackupName::new(*kind, name.created_at()).hour().to_owned();
            if listed.insert(hour.clone()) {
                for (second, found) in store.taken(&hour).await?.into_iter().filter_map(taken_second) {
                    taken.entry(second).or_insert(found);
                }
            }
        }
        match taken.remove(&name.created_at()) {
            Some(found) => skipped.push(found),
            None => {
                report_skipped(context, store, keyring, &skipped, &name).await;
                return Ok(name);
            }
        }
    }
    let first = BackupName::new(kind, from);
    let what = format!("{}: the name is taken, like every name of the next hour", store.locate(first.object()));
    Err(Error::store(what).hint("find out which program writes there, and take its right to write away"))
}

/// Returns the second that the object `found` takes, if it has a backup's name.
fn taken_second(found: String) -> Option<(DateTime<Utc>, (BackupName, String))> {
    match Role::of(&found) {
        Role::Backup(name) | Role::Manifest(name) | Role::DrillRecord(name) => Some((name.created_at(), (name, found))),
        Role::Foreign => None,
    }
}

async fn report_skipped(
    context: &Context,
    store: &dyn Store,
    keyring: &Keyring,
    skipped: &[(BackupName, String)],
    instead: &BackupName,
) {
    let mut foreign = skipped.get(LOOKS);
    for one in skipped.iter().take(LOOKS) {
        if foreign.is_none() && !is_ours(store, &one.0, keyring).await {
            foreign = Some(one);
        }
    }
    let more = match skipped.len() {
        0 | 1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    match (foreign, skipped.first()) {
        (Some((_, object)), _) => {
            context.note("foreign_object", object);
            tracing::warn!(
                "{}: it has this backup's name{more}, and was not made by this tool; using {instead}; find out which \
                 program writes there",
                store.locate(object)
            );
        }
        (None, Some((_, object))) => tracing::info!("{}: already exists{more}; using {instead}", store.locate(object)),
        (None, None) => {}
    }
}

/// Returns `true` if the object is a backup of exactly this name under one of our keys: its
/// header and first segment are authentic. One that cannot be read is not known to be ours.
pub(super) async fn is_ours(store: &dyn Store, name: &BackupName, keyring: &Keyring) -> bool {
    let at = ReadAt { version: None, first: Some(BEGINNING) };
    let Ok(download) = store.get(name.object(), at).await else { return false };
    let Ok(beginning) = download.body.try_collect::<Vec<_>>().await else { return false };
    let beginning = beginning.concat();
    let Ok(mut backup) = crypto::open(&beginning[..], keyring, Layouts::Format1) else { return false };
    let is_named = backup.header().is_some_and(|header| header.check_name(name).is_ok());
    is_named && backup.fill_buf().is_ok()
}
