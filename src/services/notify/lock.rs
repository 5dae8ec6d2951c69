//! An advisory lock (flock) that is not waited for without end.

use std::fs::{File, TryLockError};
use std::io;
use std::time::{Duration, Instant};

/// The longest wait; honest holders take milliseconds.
const LONGEST: Duration = Duration::from_secs(10);

/// Locks `file` until it is closed.
///
/// # Errors
/// `TimedOut` if somebody else keeps it locked.
pub(super) fn lock(file: &File) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(e)) => return Err(e),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LONGEST => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "another process keeps it locked"));
            }
        }
    }
}
