//! The verdicts of a plan and their reasons, each of which reads as one clause.

use super::Window;
use crate::formats::naming::BackupType;
use std::fmt;

/// Whether a backup goes, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays.
    Keep(KeepReason),
    /// It goes.
    Delete(DeleteReason),
}

impl Verdict {
    /// Whether the backup goes.
    pub fn is_delete(&self) -> bool {
        matches!(self, Verdict::Delete(_))
    }
}

/// `keep: within 30 days`
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Keep(reason) => write!(f, "keep: {reason}"),
            Verdict::Delete(reason) => write!(f, "delete: {reason}"),
        }
    }
}

/// Why a backup stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeepReason {
    /// Its name lies in the future: somebody's clock is wrong, so it is not judged.
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
        /// How many are kept.
        keep: usize,
    },
    /// It is not known to be good, and too few newer good ones of its kind remain.
    TooFewNewer {
        /// Its kind.
        kind: BackupType,
        /// How many newer good ones remain.
        newer: usize,
        /// How many there must be.
        keep: usize,
    },
    /// It is the newest whose drill record holds.
    NewestDrilled,
    /// It is the newest with a drill record; the record, or the backup, could not be checked.
    NewestDrillRecord,
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ahead => f.write_str("its name lies in the future"),
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

/// Why a backup goes: it is older than its window, and enough newer good ones remain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteReason {
    /// Its kind.
    pub kind: BackupType,
    /// The window that it has outlived.
    pub window: Window,
    /// How many newer good ones of its kind remain.
    pub newer: usize,
    /// Whether it has no manifest that holds.
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
