//! What the drill records beside the backups say.

use super::{Backup, CONCURRENCY, document};
use crate::base::error::Result;
use crate::formats::manifest::{DocumentError, DrillRecord, MacKey, Manifest};
use crate::services::store::Store;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};

/// What a drill record says of a backup.
#[derive(Debug)]
pub enum DrillStatus {
    /// There is none.
    Never,
    /// It passed a drill; the record is authentic.
    Passed(Box<DrillRecord>),
    /// There is a record that no key at hand can check.
    Unprovable,
    /// There is a record that does not count, and why.
    Invalid(String),
}

impl DrillStatus {
    /// When it passed.
    pub fn at(&self) -> Option<DateTime<Utc>> {
        let DrillStatus::Passed(record) = self else { return None };
        DateTime::parse_from_rfc3339(&record.drilled_at).ok().map(|t| t.to_utc())
    }

    /// A record speaks of the object that was drilled, not of one put in its place.
    pub fn hold_against(&mut self, manifest: Option<&Manifest>) {
        if let (DrillStatus::Passed(record), Some(manifest)) = (&*self, manifest)
            && record.sha256 != manifest.sha256
        {
            *self = DrillStatus::Invalid("it is of another object under this name".to_owned());
        }
    }
}

/// Fetches and checks the drill record of `backup`.
///
/// # Errors
/// The store's; a record that fails is an answer, not an error.
async fn drilled(store: &dyn Store, backup: &Backup, keys: &[MacKey]) -> Result<DrillStatus> {
    if !backup.has_drill_record {
        return Ok(DrillStatus::Never);
    }
    let Some(bytes) = document(store, &backup.name.drill_record()).await? else { return Ok(DrillStatus::Never) };
    Ok(match DrillRecord::from_bytes(&bytes, &backup.name, keys) {
        Ok(record) => DrillStatus::Passed(Box::new(record)),
        Err(DocumentError::UnknownKey) => DrillStatus::Unprovable,
        Err(refused) => DrillStatus::Invalid(refused.to_string()),
    })
}

/// The drill records of `backups`, in the same order, fetched side by side.
///
/// # Errors
/// The store's.
pub async fn drills(store: &dyn Store, backups: &[Backup], keys: &[MacKey]) -> Result<Vec<DrillStatus>> {
    stream::iter(backups).map(|b| drilled(store, b, keys)).buffered(CONCURRENCY).try_collect().await
}
