//! How long backups stay at least, and how many.

use crate::formats::naming::BackupType;
use chrono::{DateTime, Months, TimeDelta, Utc};
use std::fmt;

/// `[retention]` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long daily backups stay at least, in days.
    pub daily_days: u32,
    /// How long monthly backups stay at least, in calendar months.
    pub monthly_months: u32,
    /// How many good daily backups stay at least, however old. 0 counts as 1.
    pub keep_daily: u32,
    /// How many good monthly backups stay at least, however old. 0 counts as 1.
    pub keep_monthly: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self { daily_days: 30, monthly_months: 12, keep_daily: 30, keep_monthly: 12 }
    }
}

impl Policy {
    /// How many newer good backups of `kind` must remain before one goes.
    pub fn keep(&self, kind: BackupType) -> usize {
        let keep = match kind {
            BackupType::Daily => self.keep_daily,
            BackupType::Monthly => self.keep_monthly,
        };
        // With none at all, backups without a manifest could go down to the last.
        keep.max(1) as usize
    }

    /// How old backups of `kind` must be before one goes.
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
    /// Calendar months: 31 March less one is 28 or 29 February, at the same time of day.
    Months(u32),
}

impl Window {
    /// Where the window that ends `now` begins. A backup made at that instant is inside.
    pub fn start(self, now: DateTime<Utc>) -> DateTime<Utc> {
        let start = match self {
            Window::Days(days) => now.checked_sub_signed(TimeDelta::days(days.into())),
            Window::Months(months) => now.checked_sub_months(Months::new(months)),
        };
        // A window longer than the calendar holds every backup.
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
    fn months_are_calendar_months() {
        let month = Window::Months(1);
        assert_eq!(month.start(at(2025, 3, 31)), at(2025, 2, 28));
        assert_eq!(month.start(at(2024, 3, 31)), at(2024, 2, 29));
        assert_eq!(month.start(at(2025, 1, 15)), at(2024, 12, 15));
        assert_eq!(Window::Months(12).start(at(2024, 2, 29)), at(2023, 2, 28));
        assert_eq!(Window::Months(12).start(at(2025, 2, 28)), at(2024, 2, 28));
    }

    #[test]
    fn days_are_24_hours() {
        assert_eq!(Window::Days(30).start(at(2025, 3, 31)), at(2025, 3, 1));
        assert_eq!(Window::Days(0).start(at(2025, 3, 31)), at(2025, 3, 31));
    }

    #[test]
    fn longer_than_the_calendar() {
        for window in [Window::Days(u32::MAX), Window::Months(u32::MAX)] {
            assert_eq!(window.start(at(2025, 3, 31)), DateTime::<Utc>::MIN_UTC);
        }
    }

    #[test]
    fn at_least_one_stays() {
        let none = Policy { keep_daily: 0, keep_monthly: 0, ..Policy::default() };
        assert_eq!(BackupType::ALL.map(|kind| none.keep(kind)), [1, 1]);
    }
}
