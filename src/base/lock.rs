//! Exclusive advisory locks (flock). The kernel releases a lock when the process ends.

use crate::base::error::{Error, Result};
use crate::base::regular_file;
use crate::base::trusted_file;
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

/// Maximum size of a lock file that is read.
const MAX_SIZE: u64 = 64 * 1024;

/// The lock of a run, released when dropped. Its file has the process id in the first line,
/// then the notes.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    notes: Vec<String>,
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
        let mut file = open(path).map_err(unusable)?;
        trusted_file::check_writable(path, &file).map_err(|e| {
            Error::usage(format!("lock file {}: not trusted", path.display()))
                .because(e)
                .hint("run as the user that owns it, or set run.lock_file to a path in a directory of this user")
        })?;
        if !try_lock(&file).map_err(unusable)? {
            let owner = owner(&mut file);
            return Err(Error::conflict(format!("lock file {}: another run{owner} holds the lock", path.display()))
                .hint("wait until that run ends; it ends at its --deadline at the latest, if it has one"));
        }
        let notes = content(&mut file).lines().skip(1).map(str::to_owned).collect();
        let mut lock = Self { file, notes: Vec::new() };
        lock.set_notes(notes);
        Ok(lock)
    }

    /// Returns the lines that this run, or the last one before it, has left in the file.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Replaces the notes. They and the process id, which is for the error message of another
    /// run, are hints: the lock works without them.
    pub(crate) fn set_notes(&mut self, notes: Vec<String>) {
        self.notes = notes;
        let lines = self.notes.iter().fold(std::process::id().to_string(), |all, note| all + "\n" + note);
        let _ = self.file.set_len(0).and_then(|()| self.file.rewind()).and_then(|()| writeln!(self.file, "{lines}"));
    }
}

/// Opens the file at `path`, and creates it if it is missing. A plain open with `O_CREAT` fails for
/// the file of another user in a sticky directory (`fs.protected_regular`), without the reason.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    loop {
        match regular_file::open_with(path, &mut options, libc::O_NOFOLLOW) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            done => return done,
        }
        match regular_file::open_with(path, options.clone().create_new(true), libc::O_NOFOLLOW) {
            // Another process has just created it.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            done => return done,
        }
    }
}

/// Returns the beginning of the lock file.
fn content(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let _ = file.take(MAX_SIZE).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the process id in the lock file as text, or nothing.
fn owner(file: &mut File) -> String {
    let content = content(file);
    content.lines().next().unwrap_or_default().parse::<u32>().map_or(String::new(), |pid| format!(" (process {pid})"))
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
    fn the_next_run_finds_the_notes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let mut lock = Lock::take(&path).unwrap();
        assert_eq!(lock.notes(), [""; 0]);
        lock.set_notes(vec!["a".into(), "b".into()]);
        let error = Lock::take(&path).unwrap_err();
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        drop(lock);
        drop(Lock::take(&path).unwrap());
        let mut lock = Lock::take(&path).unwrap();
        assert_eq!(lock.notes(), ["a", "b"]);
        lock.set_notes(Vec::new());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
    }

    #[test]
    fn an_unusable_path_is_a_usage_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = Lock::take(&dir.path().join("missing/lock")).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert!(error.to_string().contains("run.lock_file"), "{error}");
    }
}
