//! A backup that Object Lock protects, and its description.

use crate::formats::backup::Backup;
use crate::formats::manifest::rfc3339;
use crate::formats::naming::BackupName;
use crate::services::store::Head;
use chrono::{DateTime, Utc};
use std::fmt;

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
    pub(super) fn of(backup: &Backup, head: &Head, now: DateTime<Utc>) -> Option<Self> {
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
