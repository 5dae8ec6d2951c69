//! Names of objects below the store's URL: one strict grammar for reading and writing, and
//! the legacy names of the previous service, which are only read.
//!
//! Not here: which backups are good (`manifest`, `pipeline`) or due (`retention`).

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Suffix of a manifest's name, after the object's name.
pub const MANIFEST_SUFFIX: &str = ".manifest.json";
/// Suffix of a drill record's name, after the object's name.
pub const DRILL_SUFFIX: &str = ".drill.json";

/// `daily` or `monthly`: the directory, the retention rule and `backup_type`. Of two backups
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

    /// Returns `daily` or `monthly`.
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

/// Name of a backup's object, relative to the store's URL.
///
/// Ordered by time, so that the newest is the greatest. At the same time a daily backup is
/// greater than its monthly copy.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupName {
    created_at: DateTime<Utc>,
    backup_type: BackupType,
    object: String,
}

impl BackupName {
    /// Returns the name of a backup of this type whose run started at `created_at`, which
    /// is truncated to seconds.
    pub fn new(backup_type: BackupType, created_at: DateTime<Utc>) -> Self {
        let directory = match backup_type {
            BackupType::Daily => created_at.format("daily/%Y-%m-%d"),
            BackupType::Monthly => created_at.format("monthly/%Y-%m"),
        };
        let object = format!("{directory}/vault-snapshot-{}.enc", created_at.format("%Y%m%d-%H%M%S"));
        let created_at = DateTime::from_timestamp(created_at.timestamp(), 0).unwrap_or(created_at);
        Self { created_at, backup_type, object }
    }

    /// Parses a name of either grammar. `None` for any other text.
    pub fn parse(object: &str) -> Option<Self> {
        Self::parse_current(object).or_else(|| Self::parse_legacy(object))
    }

    fn parse_current(object: &str) -> Option<Self> {
        let stem = object.rsplit('/').next()?.strip_prefix("vault-snapshot-")?.strip_suffix(".enc")?;
        let created_at = NaiveDateTime::parse_from_str(stem, "%Y%m%d-%H%M%S").ok()?.and_utc();
        if created_at.timestamp_subsec_nanos() != 0 {
            return None; // second 60, which chrono keeps as a leap second
        }
        // Formatting it again checks the whole grammar: digits, directory and calendar.
        BackupType::ALL.into_iter().map(|t| Self::new(t, created_at)).find(|name| name.object == object)
    }

    /// Parses `daily/2025-11-26/vault-snapshot-2025-11-26T02-00-00-000Z.enc`, and the same
    /// below `monthly/`, also with the whole date in the directory.
    fn parse_legacy(object: &str) -> Option<Self> {
        const TIME: &str = "%Y-%m-%dT%H-%M-%S-%3fZ";
        let (directory, file) = object.split_once('/')?;
        let backup_type = BackupType::ALL.into_iter().find(|t| t.as_str() == directory)?;
        let stem = file.split_once("/vault-snapshot-")?.1.strip_suffix(".enc")?;
        let created_at = NaiveDateTime::parse_from_str(stem, TIME).ok()?.and_utc();
        if created_at.timestamp_subsec_nanos() >= 1_000_000_000 {
            return None; // second 60, as above
        }
        let again =
            format!("{directory}/{}/vault-snapshot-{}.enc", created_at.format("%Y-%m-%d"), created_at.format(TIME));
        (again == object).then(|| Self { created_at, backup_type, object: object.to_owned() })
    }

    /// Returns the object's name, relative to the store's URL.
    pub fn object(&self) -> &str {
        &self.object
    }

    /// Returns the name of its manifest.
    pub fn manifest(&self) -> String {
        format!("{}{MANIFEST_SUFFIX}", self.object)
    }

    /// Returns the name of its drill record.
    pub fn drill_record(&self) -> String {
        format!("{}{DRILL_SUFFIX}", self.object)
    }

    /// Returns the start of the run that made it, in UTC; whole seconds in the current grammar.
    pub fn created_at(&self) -> DateTime<Utc> {
        self.created_at
    }

    /// Returns the type, daily or monthly.
    pub fn backup_type(&self) -> BackupType {
        self.backup_type
    }

    /// Returns the monthly name of the same run.
    #[must_use]
    pub fn as_monthly(&self) -> Self {
        Self::new(BackupType::Monthly, self.created_at)
    }

    /// Returns the beginning that all names of this type and hour share.
    pub fn hour(&self) -> &str {
        self.object.split_at_checked(self.object.len().saturating_sub("MMSS.enc".len())).unwrap_or_default().0
    }

    /// Returns the file name without `.enc`. `decrypt` derives the name of its output from it.
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

/// Kind of an object in the store, according to its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A backup.
    Backup(BackupName),
    /// The manifest of a backup.
    Manifest(BackupName),
    /// The drill record of a backup.
    DrillRecord(BackupName),
    /// Any other object: never read or changed.
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
    fn names_match_the_documentation() {
        let t = Utc.with_ymd_and_hms(2025, 11, 26, 2, 0, 0).unwrap();
        let daily = BackupName::new(BackupType::Daily, t);
        assert_eq!(daily.object(), "daily/2025-11-26/vault-snapshot-20251126-020000.enc");
        assert_eq!(daily.as_monthly().object(), "monthly/2025-11/vault-snapshot-20251126-020000.enc");
        assert_eq!(daily.stem(), "vault-snapshot-20251126-020000");
        assert_eq!(daily.hour(), "daily/2025-11-26/vault-snapshot-20251126-02");
        assert_eq!(Role::of(&daily.manifest()), Role::Manifest(daily.clone()));
        assert_eq!(Role::of(&daily.drill_record()), Role::DrillRecord(daily.clone()));
    }

    #[test]
    fn legacy_names_are_read() {
        for (text, kind) in [
            ("daily/2025-11-26/vault-snapshot-2025-11-26T02-00-00-000Z.enc", BackupType::Daily),
            ("monthly/2025-11-01/vault-snapshot-2025-11-01T02-00-00-123Z.enc", BackupType::Monthly),
        ] {
            let name = BackupName::parse(text).unwrap();
            assert_eq!((name.backup_type(), name.object()), (kind, text));
        }
    }

    #[test]
    fn all_other_names_are_foreign() {
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
    fn the_newest_name_is_the_greatest() {
        let at = |h| BackupName::new(BackupType::Daily, Utc.with_ymd_and_hms(2025, 11, 26, h, 0, 0).unwrap());
        assert!(at(3) > at(2) && at(3).as_monthly() > at(2));
        assert!(at(2) > at(2).as_monthly(), "the copy is not newer than the backup itself");
    }

    proptest! {
        #[test]
        fn names_round_trip(secs in 0i64..4_000_000_000, monthly: bool) {
            let kind = if monthly { BackupType::Monthly } else { BackupType::Daily };
            let name = BackupName::new(kind, DateTime::from_timestamp(secs, 0).unwrap());
            prop_assert_eq!(BackupName::parse(name.object()), Some(name));
        }

        /// A name with one character added, removed or replaced is foreign, or has the same
        /// form with another time.
        #[test]
        fn an_edited_name_is_foreign_or_another_time(secs in 0i64..4_000_000_000, monthly: bool, at: prop::sample::Index, by in ".{0,2}") {
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
