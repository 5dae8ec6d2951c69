//! Exclusive advisory locks (flock). The kernel releases a lock when the process ends.

use crate::base::error::{Error, Result};
use crate::base::regular_file;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest wait of [`lock_within_limit`]. Other writers keep the lock for milliseconds.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Locks `file` without waiting. Returns `false` if another process holds the lock.
///
/// # Errors
/// Those of the operating system.
pub(crate) fn try_lock(file: impl AsFd) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Locks `file` until it is closed, and waits a limited time for that.
///
/// # Errors
/// `TimedOut` if another process keeps the lock.
pub(crate) fn lock_within_limit(file: &File) -> io::Result<()> {
    let start = Instant::now();
    while !try_lock(file)? {
        if start.elapsed() >= MAX_WAIT {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "another process keeps it locked"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The lock of a run, released when dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock at `path` without waiting, and creates the file if it is missing.
    ///
    /// # Errors
    /// `Conflict` with the process that holds the lock; `Usage` if the file cannot be opened.
    pub(crate) fn take(path: &Path) -> Result<Self> {
        let unusable = |e: io::Error| {
            Error::usage(format!("lock file {}: cannot be used", path.display()))
                .because(e)
                .hint("set run.lock_file to a path in an existing directory that this user can write to")
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = regular_file::open_with(path, &mut options, libc::O_NOFOLLOW).map_err(unusable)?;
        if !try_lock(&file).map_err(unusable)? {
            let owner = owner(&mut file);
            return Err(Error::conflict(format!("lock file {}: another run{owner} holds the lock", path.display()))
                .hint("wait until that run ends; it ends at its --deadline at the latest, if it has one"));
        }
        // The process id is for the error message of another run. The lock works without it.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

/// Returns the process id in the lock file as text, or nothing.
fn owner(file: &mut File) -> String {
    let mut text = String::new();
    let _ = file.take(20).read_to_string(&mut text);
    text.trim().parse::<u32>().map_or(String::new(), |pid| format!(" (process {pid})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Kind;

    #[test]
    fn a_second_run_gets_a_conflict_until_the_lock_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        std::fs::write(&path, "any content").unwrap();
        let first = Lock::take(&path).unwrap();
        let error = Lock::take(&path).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        Lock::take(&path).unwrap();
    }

    #[test]
    fn an_unusable_path_is_a_usage_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = Lock::take(&dir.path().join("missing/lock")).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert!(error.to_string().contains("run.lock_file"), "{error}");
    }
}
