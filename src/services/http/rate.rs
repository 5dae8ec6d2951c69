//! The minimum rate of a transfer: a peer that sends or accepts a byte now and then never
//! reaches the idle timeout.

use std::fmt;
use std::time::Duration;

/// Slowest transfer that is not a stall, in bytes per second.
pub(crate) const MINIMUM_RATE: u64 = 1024;

/// Measures a transfer against a minimum rate. Only time in which this program waits for the
/// peer counts: a slow consumer of ours is no fault of the peer.
#[derive(Clone, Debug)]
pub(crate) struct MinimumRate {
    bytes_per_second: u64,
    window: Duration,
    /// Time spent waiting for the peer in the current window.
    waited: Duration,
    /// Bytes transferred in the current window.
    bytes: u64,
}

/// A transfer below its minimum rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooSlow {
    bytes: u64,
    waited: Duration,
}

impl MinimumRate {
    /// Returns a measurement with an average over each `window` of waiting. A transfer that ends
    /// within the first window is never too slow.
    pub(crate) fn new(bytes_per_second: u64, window: Duration) -> Self {
        Self { bytes_per_second, window, waited: Duration::ZERO, bytes: 0 }
    }

    /// Adds time in which this program waited for the peer.
    pub(crate) fn waiting(&mut self, time: Duration) {
        self.waited += time;
    }

    /// Adds transferred bytes.
    ///
    /// # Errors
    /// `TooSlow` if the window of waiting has passed, and its average is below the minimum.
    pub(crate) fn received(&mut self, bytes: usize) -> Result<(), TooSlow> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.waited < self.window {
            return Ok(());
        }
        let seen = TooSlow { bytes: self.bytes, waited: self.waited };
        let expected = self.waited.as_secs_f64() * self.bytes_per_second as f64;
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        if (seen.bytes as f64) < expected { Err(seen) } else { Ok(()) }
    }
}

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the transfer stalled: {} bytes in {:.0} s of waiting", self.bytes, self.waited.as_secs_f64())
    }
}

impl std::error::Error for TooSlow {}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);
    const SECOND: Duration = Duration::from_secs(1);

    /// Seconds until a peer that sends `size` bytes after each `pause` is too slow, if at all.
    fn stalls(size: usize, pause: Duration) -> Option<u64> {
        let mut rate = MinimumRate::new(1024, WINDOW);
        let mut total = Duration::ZERO;
        for _ in 0..1000 {
            rate.waiting(pause);
            total += pause;
            if rate.received(size).is_err() {
                return Some(total.as_secs());
            }
        }
        None
    }

    #[test]
    fn a_byte_a_second_is_too_slow_after_one_window() {
        assert_eq!(stalls(1, SECOND), Some(60));
        assert_eq!(stalls(1023, SECOND), Some(60));
        assert_eq!(stalls(40_000, SECOND * 59), Some(118));
    }

    #[test]
    fn the_minimum_rate_is_fast_enough() {
        assert_eq!(stalls(1024, SECOND), None);
        assert_eq!(stalls(61_440, SECOND * 59), None);
        assert_eq!(stalls(0, Duration::ZERO), None, "no time was spent waiting");
    }

    #[test]
    fn a_fast_start_does_not_pay_for_a_later_stall() {
        let mut rate = MinimumRate::new(1024, WINDOW);
        rate.received(1 << 30).unwrap();
        rate.waiting(WINDOW);
        rate.received(1).unwrap();
        rate.waiting(WINDOW);
        let slow = rate.received(1).unwrap_err();
        assert_eq!(slow.to_string(), "the transfer stalled: 1 bytes in 60 s of waiting");
    }

    #[test]
    fn a_small_body_that_ends_is_never_too_slow() {
        let mut rate = MinimumRate::new(1024, WINDOW);
        rate.waiting(WINDOW - SECOND);
        assert_eq!(rate.received(3), Ok(()));
    }
}
