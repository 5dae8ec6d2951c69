//! The pause that a server asks for with `Retry-After`.

use chrono::{DateTime, Utc};
use std::time::Duration;

/// Returns the pause in a `Retry-After` header: a number of seconds, or the time to wait for. `None`
/// if it is neither. The caller limits the pause.
pub(crate) fn pause_until(header: &str, now: DateTime<Utc>) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are a long pause, too.
        return Some(Duration::from_secs(header.parse().unwrap_or(u64::MAX)));
    }
    let until = DateTime::parse_from_rfc2822(header).ok()?;
    Some(until.signed_duration_since(now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
        let now = "2026-05-01T07:28:00Z".parse().unwrap();
        let pause = |header| pause_until(header, now).map(|pause| pause.as_secs());
        assert_eq!(pause("0"), Some(0));
        assert_eq!(pause(" 120 "), Some(120));
        assert_eq!(pause("99999999999999999999999"), Some(u64::MAX));
        assert_eq!(pause("Fri, 01 May 2026 07:28:30 GMT"), Some(30));
        assert_eq!(pause("Thu, 30 Apr 2026 07:28:30 GMT"), Some(0), "in the past");
        for neither in ["", "soon", "-1", "1.5", "Fri, 99 May 2026"] {
            assert_eq!(pause(neither), None, "{neither}");
        }
    }
}
