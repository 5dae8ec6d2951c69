//! The minimum age and number of backups that are kept.

use crate::formats::naming::BackupType;
use chrono::{DateTime, Months, TimeDelta, Utc};
use std::fmt;

/// `[retention]` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Minimum age in days before a daily backup is deleted.
    pub daily_days: u32,
    /// Minimum age in calendar months before a monthly backup is deleted.
    pub monthly_months: u32,
    /// Minimum number of good daily backups to keep, of any age. 0 counts as 1.
    pub keep_daily: u32,
    /// Minimum number of good monthly backups to keep, of any age. 0 counts as 1.
    pub keep_monthly: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self { daily_days: 30, monthly_months: 12, keep_daily: 30, keep_monthly: 12 }
    }
}

impl Policy {
    /// Returns the number of newer good backups of `kind` that must remain when one is deleted.
    pub fn keep(&self, kind: BackupType) -> usize {
        let keep = match kind {
            BackupType::Daily => self.keep_daily,
            BackupType::Monthly => self.keep_monthly,
        };
        // With 0, even the last backup without a manifest could be deleted.
        keep.max(1) as usize
    }

    /// Returns the minimum age of a backup of `kind` that is deleted.
    pub fn window(&self, kind: BackupType) -> Window {
        match kind {
            BackupType::Daily => Window::Days(self.daily_days),
            BackupType::Monthly => Window::Months(self.monthly_months),
        }
    }
}

/// A length of time in which nothing is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Days of 24 hours.
    Days(u32),
    /// Calendar months: 31 March minus one month is 28 or 29 February, at the same time of day.
    Months(u32),
}

impl Window {
    /// Returns the start of the window that ends `now`. A backup made at that instant is inside.
    pub fn start(self, now: DateTime<Utc>) -> DateTime<Utc> {
        let start = match self {
            Window::Days(days) => now.checked_sub_signed(TimeDelta::days(days.into())),
            Window::Months(months) => now.checked_sub_months(Months::new(months)),
        };
        // A window longer than the calendar contains every backup.
        start.unwrap_or(DateTime::<Utc>::MIN_UTC)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = match self {
            Window::Days(days) => (days, "day"),
            Window::Months(months) => (months, "month"),
        };
        write!(f, "{number} {unit}{}", if *number == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    fn at(year: i32, month: u32, day: u32) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(year, month, day, 2, 30, 0).unwrap()
    }

    #[test]
    fn a_window_in_months_uses_calendar_months() {
        let month = Window::Months(1);
        assert_eq!(month.start(at(2025, 3, 31)), at(2025, 2, 28));
        assert_eq!(month.start(at(2024, 3, 31)), at(2024, 2, 29));
        assert_eq!(month.start(at(2025, 1, 15)), at(2024, 12, 15));
        assert_eq!(Window::Months(12).start(at(2024, 2, 29)), at(2023, 2, 28));
        assert_eq!(Window::Months(12).start(at(2025, 2, 28)), at(2024, 2, 28));
    }

    #[test]
    fn a_window_in_days_uses_24_hours_a_day() {
        assert_eq!(Window::Days(30).start(at(2025, 3, 31)), at(2025, 3, 1));
        assert_eq!(Window::Days(0).start(at(2025, 3, 31)), at(2025, 3, 31));
    }

    #[test]
    fn a_window_longer_than_the_calendar_contains_everything() {
        for window in [Window::Days(u32::MAX), Window::Months(u32::MAX)] {
            assert_eq!(window.start(at(2025, 3, 31)), DateTime::<Utc>::MIN_UTC);
        }
    }

    #[test]
    fn keep_0_counts_as_1() {
        let none = Policy { keep_daily: 0, keep_monthly: 0, ..Policy::default() };
        assert_eq!(BackupType::ALL.map(|kind| none.keep(kind)), [1, 1]);
    }
}
