//! What the drill records beside the backups say.

use super::{Backup, CONCURRENCY, document};
use crate::error::Result;
use crate::manifest::{DrillRecord, MacKey, Manifest, Refused};
use crate::store::Store;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};

/// What a drill record says of a backup.
#[derive(Debug)]
pub enum Drilled {
    /// There is none.
    Never,
    /// It passed a drill; the record is authentic.
    Passed(Box<DrillRecord>),
    /// There is a record that no key at hand can check.
    Unprovable,
    /// There is a record that does not count, and why.
    Refused(String),
}

impl Drilled {
    /// When it passed.
    pub fn at(&self) -> Option<DateTime<Utc>> {
        let Drilled::Passed(record) = self else { return None };
        DateTime::parse_from_rfc3339(&record.drilled_at).ok().map(|t| t.to_utc())
    }

    /// A record speaks of the object that was drilled, not of one put in its place.
    pub fn hold_against(&mut self, manifest: Option<&Manifest>) {
        if let (Drilled::Passed(record), Some(manifest)) = (&*self, manifest)
            && record.sha256 != manifest.sha256
        {
            *self = Drilled::Refused("it is of another object under this name".to_owned());
        }
    }
}

/// Fetches and checks the drill record of `backup`.
///
/// # Errors
/// The store's; a record that fails is an answer, not an error.
async fn drilled(store: &dyn Store, backup: &Backup, keys: &[MacKey]) -> Result<Drilled> {
    if !backup.has_drill_record {
        return Ok(Drilled::Never);
    }
    let Some(bytes) = document(store, &backup.name.drill_record()).await? else { return Ok(Drilled::Never) };
    Ok(match DrillRecord::from_bytes(&bytes, &backup.name, keys) {
        Ok(record) => Drilled::Passed(Box::new(record)),
        Err(Refused::UnknownKey) => Drilled::Unprovable,
        Err(refused) => Drilled::Refused(refused.to_string()),
    })
}

/// The drill records of `backups`, in the same order, fetched side by side.
///
/// # Errors
/// The store's.
pub async fn drills(store: &dyn Store, backups: &[Backup], keys: &[MacKey]) -> Result<Vec<Drilled>> {
    stream::iter(backups).map(|b| drilled(store, b, keys)).buffered(CONCURRENCY).try_collect().await
}
