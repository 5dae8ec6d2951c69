//! The names of objects below the store's URL: one strict grammar that is
//! written and read, and a second one, read-only, for the older service.
//!
//! Here: names and the calendar rules in them. Not here: which backups are good
//! (`manifest`, `pipeline`) or due (`retention`). Pure: no clock, no I/O.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What follows an object's name to make its manifest's.
pub const MANIFEST_SUFFIX: &str = ".manifest.json";
/// What follows an object's name to make its drill record's.
pub const DRILL_SUFFIX: &str = ".drill.json";

/// `daily` or `monthly`: the folder, the retention rule, and `backup_type`. Of two backups
/// of one run the daily one is the newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupType {
    /// Below `monthly/`.
    Monthly,
    /// Below `daily/`.
    Daily,
}

impl BackupType {
    /// Both, daily first.
    pub const ALL: [BackupType; 2] = [BackupType::Daily, BackupType::Monthly];

    /// `daily` or `monthly`.
    pub fn as_str(self) -> &'static str {
        match self {
            BackupType::Daily => "daily",
            BackupType::Monthly => "monthly",
        }
    }
}

impl fmt::Display for BackupType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The name of a backup's object, relative to the store's URL.
///
/// Ordered by time, then type, then text, so that the newest is the greatest.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupName {
    created_at: DateTime<Utc>,
    backup_type: BackupType,
    object: String,
}

impl BackupName {
    /// The name of a backup of type `backup_type` whose run started at
    /// `created_at` (cut to seconds).
    pub fn new(backup_type: BackupType, created_at: DateTime<Utc>) -> Self {
        let folder = match backup_type {
            BackupType::Daily => created_at.format("daily/%Y-%m-%d"),
            BackupType::Monthly => created_at.format("monthly/%Y-%m"),
        };
        let object = format!("{folder}/vault-snapshot-{}.enc", created_at.format("%Y%m%d-%H%M%S"));
        let created_at = DateTime::from_timestamp(created_at.timestamp(), 0).unwrap_or(created_at);
        Self { created_at, backup_type, object }
    }

    /// Reads a name of either grammar; `None` for everything else.
    pub fn parse(object: &str) -> Option<Self> {
        Self::parse_current(object).or_else(|| Self::parse_older(object))
    }

    fn parse_current(object: &str) -> Option<Self> {
        let stem = object.rsplit('/').next()?.strip_prefix("vault-snapshot-")?.strip_suffix(".enc")?;
        let created_at = NaiveDateTime::parse_from_str(stem, "%Y%m%d-%H%M%S").ok()?.and_utc();
        if created_at.timestamp_subsec_nanos() != 0 {
            return None; // second 60, which chrono keeps as a leap second
        }
        // Writing it again is the whole grammar: digits, folder and calendar in one comparison.
        BackupType::ALL.into_iter().map(|t| Self::new(t, created_at)).find(|name| name.object == object)
    }

    /// `daily/2025-11-26/vault-snapshot-2025-11-26T02-00-00-000Z.enc`, and likewise
    /// below `monthly/` with the whole date in the folder.
    fn parse_older(object: &str) -> Option<Self> {
        const TIME: &str = "%Y-%m-%dT%H-%M-%S-%3fZ";
        let (folder, file) = object.split_once('/')?;
        let backup_type = BackupType::ALL.into_iter().find(|t| t.as_str() == folder)?;
        let stem = file.split_once("/vault-snapshot-")?.1.strip_suffix(".enc")?;
        let created_at = NaiveDateTime::parse_from_str(stem, TIME).ok()?.and_utc();
        if created_at.timestamp_subsec_nanos() >= 1_000_000_000 {
            return None; // second 60, as above
        }
        let again =
            format!("{folder}/{}/vault-snapshot-{}.enc", created_at.format("%Y-%m-%d"), created_at.format(TIME));
        (again == object).then(|| Self { created_at, backup_type, object: object.to_owned() })
    }

    /// The object's name, relative to the store's URL.
    pub fn object(&self) -> &str {
        &self.object
    }

    /// The name of the manifest beside it.
    pub fn manifest(&self) -> String {
        format!("{}{MANIFEST_SUFFIX}", self.object)
    }

    /// The name of the drill record beside it.
    pub fn drill_record(&self) -> String {
        format!("{}{DRILL_SUFFIX}", self.object)
    }

    /// The start of the run that made it, UTC, whole seconds in the current grammar.
    pub fn created_at(&self) -> DateTime<Utc> {
        self.created_at
    }

    /// Daily or monthly.
    pub fn backup_type(&self) -> BackupType {
        self.backup_type
    }

    /// The monthly name of the same run.
    #[must_use]
    pub fn as_monthly(&self) -> Self {
        Self::new(BackupType::Monthly, self.created_at)
    }

    /// The file part without `.enc`: what `decrypt` derives its output's name from.
    pub fn stem(&self) -> &str {
        let file = self.object.rsplit('/').next().unwrap_or(&self.object);
        file.strip_suffix(".enc").unwrap_or(file)
    }
}

impl fmt::Display for BackupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.object)
    }
}

impl fmt::Debug for BackupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.object)
    }
}

/// What an object in the store is, by its name alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A backup.
    Backup(BackupName),
    /// The manifest of a backup.
    Manifest(BackupName),
    /// The drill record of a backup.
    DrillRecord(BackupName),
    /// Not ours: never read, never touched.
    Foreign,
}

impl Role {
    /// Classifies a name relative to the store's URL.
    pub fn of(object: &str) -> Role {
        let backup = |text: &str| BackupName::parse(text);
        let role = if let Some(text) = object.strip_suffix(MANIFEST_SUFFIX) {
            backup(text).map(Role::Manifest)
        } else if let Some(text) = object.strip_suffix(DRILL_SUFFIX) {
            backup(text).map(Role::DrillRecord)
        } else {
            backup(object).map(Role::Backup)
        };
        role.unwrap_or(Role::Foreign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;
    use proptest::prelude::*;

    #[test]
    fn the_documented_names() {
        let t = Utc.with_ymd_and_hms(2025, 11, 26, 2, 0, 0).unwrap();
        let daily = BackupName::new(BackupType::Daily, t);
        assert_eq!(daily.object(), "daily/2025-11-26/vault-snapshot-20251126-020000.enc");
        assert_eq!(daily.as_monthly().object(), "monthly/2025-11/vault-snapshot-20251126-020000.enc");
        assert_eq!(daily.stem(), "vault-snapshot-20251126-020000");
        assert_eq!(Role::of(&daily.manifest()), Role::Manifest(daily.clone()));
        assert_eq!(Role::of(&daily.drill_record()), Role::DrillRecord(daily.clone()));
    }

    #[test]
    fn the_older_names() {
        for (text, kind) in [
            ("daily/2025-11-26/vault-snapshot-2025-11-26T02-00-00-000Z.enc", BackupType::Daily),
            ("monthly/2025-11-01/vault-snapshot-2025-11-01T02-00-00-123Z.enc", BackupType::Monthly),
        ] {
            let name = BackupName::parse(text).unwrap();
            assert_eq!((name.backup_type(), name.object()), (kind, text));
        }
    }

    #[test]
    fn everything_else_is_foreign() {
        for text in [
            "",
            "daily/",
            "daily/2025-11-26/vault-snapshot-20251127-020000.enc",
            "daily/2025-11-31/vault-snapshot-20251131-020000.enc",
            "daily/2025-02-29/vault-snapshot-20250229-020000.enc",
            "daily/2025-11-26/vault-snapshot-20251126-240000.enc",
            "daily/2025-11-26/vault-snapshot-20251126-020060.enc",
            "daily/2025-11-26/vault-snapshot-20251126-2000.enc",
            "daily/2025-11-26/vault-snapshot-20251126-020000.enc.bak",
            "daily/2025-11-26/vault-snapshot-20251126-020000.ENC",
            "daily/2025-11-26/ vault-snapshot-20251126-020000.enc",
            "daily/2025-11/vault-snapshot-20251126-020000.enc",
            "monthly/2025-11-26/vault-snapshot-20251126-020000.enc",
            "x/daily/2025-11-26/vault-snapshot-20251126-020000.enc",
            "/daily/2025-11-26/vault-snapshot-20251126-020000.enc",
            "weekly/2025-11-26/vault-snapshot-20251126-020000.enc",
            "daily/2025-11-26/x/vault-snapshot-2025-11-26T02-00-00-000Z.enc",
            "daily/2025-11-26/vault-snapshot-2025-11-26T02-00-00Z.enc",
            "monthly/2025-11/vault-snapshot-2025-11-01T02-00-00-000Z.enc",
            "daily/+025-11-26/vault-snapshot-+0251126-020000.enc",
        ] {
            assert_eq!(Role::of(text), Role::Foreign, "{text}");
        }
    }

    #[test]
    fn the_newest_is_the_greatest() {
        let at = |h| BackupName::new(BackupType::Daily, Utc.with_ymd_and_hms(2025, 11, 26, h, 0, 0).unwrap());
        assert!(at(3) > at(2) && at(2) > at(2).as_monthly() && at(3).as_monthly() > at(2));
    }

    proptest! {
        #[test]
        fn written_is_read(secs in 0i64..4_000_000_000, monthly: bool) {
            let kind = if monthly { BackupType::Monthly } else { BackupType::Daily };
            let name = BackupName::new(kind, DateTime::from_timestamp(secs, 0).unwrap());
            prop_assert_eq!(BackupName::parse(name.object()), Some(name));
        }

        /// With one character more, less or other a name is foreign, or names another time
        /// in the very same form.
        #[test]
        fn nearly_ours_is_foreign(secs in 0i64..4_000_000_000, monthly: bool, at: prop::sample::Index, by in ".{0,2}") {
            let kind = if monthly { BackupType::Monthly } else { BackupType::Daily };
            let name = BackupName::new(kind, DateTime::from_timestamp(secs, 0).unwrap());
            let (object, at) = (name.object(), at.index(name.object().len()));
            let form = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "0");
            for edited in [format!("{}{by}{}", &object[..at], &object[at..]), format!("{}{by}{}", &object[..at], &object[at + 1..])] {
                if let Role::Backup(read) = Role::of(&edited) {
                    prop_assert_eq!(read.object(), &edited);
                    prop_assert_eq!(form(&edited), form(object));
                }
            }
        }

        #[test]
        fn never_panics(text in ".{0,80}") {
            let _ = Role::of(&text);
        }
    }
}
