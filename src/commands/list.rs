//! `list`: the backups, one a line.

use crate::app::context::Context;
use crate::app::output;
use crate::base::error::Result;
use crate::commands::Done;
use crate::formats::manifest::{MacKey, rfc3339};
use crate::formats::naming::BackupName;
use crate::pipeline::catalog::BackupStatus;
use crate::pipeline::survey::{ListedBackup, Survey, survey};
use crate::pipeline::versions;
use crate::services::store::Store;
use chrono::TimeDelta;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// For how many backups older versions are looked for at a time.
const CONCURRENCY: usize = 16;

/// Lists every backup with what is known of it, newest first.
///
/// # Errors
/// The store's.
pub async fn run(context: &Context) -> Result<Done> {
    let store = context.store().await?;
    let trust = context.trust(context.mac_keys()?);
    let policy = context.policy()?;
    let look = async {
        let listing = survey(store.as_ref(), &trust, &policy, context.started).await?;
        let older = older_versions(store.as_ref(), &listing, &trust.keys).await?;
        Ok((listing, older))
    };
    let (listing, older) = context.stop.guard(look).await?;
    for (name, version) in &older {
        let address = store.locate(name.object());
        tracing::warn!("{address}: the current version is not what its manifest names; version {version} may be");
    }
    Ok(Done::document(document(&listing, &older, store.as_ref())).with_text(table(&listing)))
}

/// Of backups whose manifest does not fit the object: the older version that it fits.
async fn older_versions(store: &dyn Store, listing: &Survey, keys: &[MacKey]) -> Result<BTreeMap<BackupName, String>> {
    let refused = listing.backups.iter().filter(|s| matches!(s.standing, BackupStatus::Invalid(_)));
    let look = stream::iter(refused).map(async |s| {
        let name = &s.backup.name;
        Ok(versions::older_id(store, name, keys).await?.map(|version| (name.clone(), version)))
    });
    let found: Vec<_> = look.buffered(CONCURRENCY).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

fn table(listing: &Survey) -> String {
    let mut text = String::new();
    if listing.backups.is_empty() {
        return "no backups\n".into();
    }
    let width = listing.backups.iter().map(|s| s.backup.name.object().len()).max().unwrap_or(0);
    let _ = writeln!(
        text,
        "{:<width$}  {:>8}  {:>10}  {:<13}  {:<10}  RETENTION",
        "NAME", "AGE", "SIZE", "VERIFIED", "DRILLED"
    );
    for s in &listing.backups {
        let drilled = s.drilled.at().map_or("-".to_owned(), |at| at.format("%Y-%m-%d").to_string());
        let _ = writeln!(
            text,
            "{:<width$}  {:>8}  {:>10}  {:<13}  {drilled:<10}  {}",
            s.backup.name,
            age(listing.now - s.backup.name.created_at()),
            output::bytes(s.backup.size),
            s.standing.word(),
            s.verdict,
        );
    }
    text
}

/// An age in its largest unit.
fn age(age: TimeDelta) -> String {
    match age.to_std() {
        Err(_) => "future".to_owned(),
        Ok(age) => match age.as_secs() {
            s @ 0..=119 => format!("{s} s"),
            s @ 120..=7_199 => format!("{} min", s / 60),
            s @ 7_200..=172_799 => format!("{} h", s / 3_600),
            s => format!("{} d", s / 86_400),
        },
    }
}

fn document(listing: &Survey, older: &BTreeMap<BackupName, String>, store: &dyn Store) -> Value {
    let entries = listing.backups.iter().map(|s| {
        let mut entry = entry(listing, s, store);
        if let Some(version) = older.get(&s.backup.name) {
            entry["older_version"] = version.clone().into();
        }
        entry
    });
    let backups: Vec<_> = entries.collect();
    json!({ "backups": backups, "orphans": listing.orphans, "foreign_objects": listing.foreign })
}

fn entry(listing: &Survey, s: &ListedBackup, store: &dyn Store) -> Value {
    let name = &s.backup.name;
    let mut entry = json!({
        "object": name.object(),
        "url": store.locate(name.object()),
        "backup_type": name.backup_type(),
        "created_at": rfc3339(name.created_at()),
        "age_seconds": (listing.now - name.created_at()).num_seconds(),
        "size_bytes": s.backup.size,
        "standing": s.standing.word(),
        "drilled_at": s.drilled.at().map(rfc3339),
        "delete": s.verdict.is_delete(),
        "retention": s.verdict.to_string(),
    });
    if let Some(manifest) = s.standing.authentic() {
        entry["sha256"] = manifest.sha256.clone().into();
        entry["key_id"] = manifest.key_id.clone().into();
        entry["vault"] = json!(manifest.vault);
    }
    if let Some(why) = s.standing.reason() {
        entry["reason"] = why.into();
    }
    entry
}
