//! The verdicts of a plan. Each reason reads as one clause.

use super::Window;
use crate::formats::naming::BackupType;
use std::fmt;

/// Verdict on one backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The backup stays.
    Keep(KeepReason),
    /// The backup is deleted.
    Delete(DeleteReason),
}

impl Verdict {
    /// Returns `true` if the backup is deleted.
    pub fn is_delete(&self) -> bool {
        matches!(self, Verdict::Delete(_))
    }

    /// Returns the reason alone.
    pub fn reason(&self) -> &dyn fmt::Display {
        match self {
            Verdict::Keep(reason) => reason,
            Verdict::Delete(reason) => reason,
        }
    }
}

/// `keep: within 30 days`
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", if self.is_delete() { "delete" } else { "keep" }, self.reason())
    }
}

/// Reason to keep a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeepReason {
    /// Its name is in the future: a clock was wrong, so its age is unknown.
    Ahead,
    /// It is of another cluster than the one that is backed up here.
    OtherCluster,
    /// It is the newest good one of its kind.
    NewestGood {
        /// Its kind.
        kind: BackupType,
    },
    /// It is younger than its window.
    Within {
        /// The window.
        window: Window,
    },
    /// It is good, and fewer than `keep` newer good ones of its kind remain.
    OneOfNewest {
        /// Its kind.
        kind: BackupType,
        /// Number of good backups of this kind to keep.
        keep: usize,
    },
    /// It is not known to be good, and too few newer good ones of its kind remain.
    TooFewNewer {
        /// Its kind.
        kind: BackupType,
        /// Number of newer good ones that remain.
        newer: usize,
        /// Number of newer good ones that are required.
        keep: usize,
    },
    /// It is the newest good one with a valid drill record.
    NewestDrilled,
    /// It is the newest with a drill record; the record, or the backup, could not be checked.
    NewestDrillRecord,
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ahead => f.write_str("its name is in the future"),
            Self::OtherCluster => f.write_str("of another cluster"),
            Self::NewestGood { kind } => write!(f, "newest good {kind} backup"),
            Self::Within { window } => write!(f, "within {window}"),
            Self::OneOfNewest { kind, keep } => write!(f, "one of the {keep} newest good {kind} backups"),
            Self::TooFewNewer { kind, newer: 0, .. } => write!(f, "no newer good {kind} backup"),
            Self::TooFewNewer { kind, newer, keep } => {
                write!(f, "only {newer} of {keep} newer good {kind} backups")
            }
            Self::NewestDrilled => f.write_str("newest that passed a drill"),
            Self::NewestDrillRecord => f.write_str("newest with a drill record"),
        }
    }
}

/// Reason to delete a backup: it is older than its window, and enough newer good ones remain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteReason {
    /// Its kind.
    pub kind: BackupType,
    /// Window that it is older than.
    pub window: Window,
    /// Number of newer good ones of its kind that remain.
    pub newer: usize,
    /// `true` if it has no valid manifest.
    pub unverified: bool,
}

impl fmt::Display for DeleteReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, window, newer, unverified } = self;
        let unverified = if *unverified { "unverified, " } else { "" };
        let (remain, s) = if *newer == 1 { ("remains", "") } else { ("remain", "s") };
        write!(f, "{unverified}older than {window}, and {newer} newer good {kind} backup{s} {remain}")
    }
}
