//! The private directory of a drill's server, and the directories that killed drills left behind.
//!
//! The directory itself is locked while its drill runs. A directory without a lock was left by a drill
//! that was killed.

use super::process;
use crate::base::error::{Error, Result};
use crate::base::lock::try_lock;
use rustix::fs::{Mode, OFlags, Stat, fstat, lstat, open};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::fs::Permissions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;
use tempfile::TempDir;

/// Prefix of the directories of drills.
const PREFIX: &str = "vault-backup-drill-";
/// Name of the server's socket.
pub(super) const SOCKET: &str = "vault.sock";
/// Number of attempts to create or remove a directory that other processes change too.
const ATTEMPTS: usize = 10;
/// Time that a killed process may need to exit.
const DYING: Duration = Duration::from_millis(20);

/// Locked private directory. Drop removes it.
#[derive(Debug)]
pub(super) struct DrillDirectory {
    // In this order: it stays locked until it is removed.
    directory: TempDir,
    _lock: OwnedFd,
}

/// Returns the error for a directory at or below `path`.
pub(super) fn unusable(path: &Path, error: io::Error) -> Error {
    Error::usage(format!("{}: cannot create the directory of the restore drill", path.display()))
        .because(error)
        .hint("set TMPDIR to a directory that this user can write to")
}

impl DrillDirectory {
    /// Creates a directory below the directory for temporary files. First removes what killed drills
    /// left there.
    ///
    /// # Errors
    /// `Usage`.
    pub(super) fn create() -> Result<Self> {
        let parent = std::env::temp_dir();
        // The server is started in its own directory, so its paths must be absolute.
        let parent = std::path::absolute(&parent).map_err(|e| unusable(&parent, e))?;
        remove_leftovers(&parent);
        for _ in 0..ATTEMPTS {
            let made =
                tempfile::Builder::new().prefix(PREFIX).permissions(Permissions::from_mode(0o700)).tempdir_in(&parent);
            let directory = made.map_err(|e| unusable(&parent, e))?;
            // Before it was locked, another drill may have removed it as a leftover.
            if let Some(lock) = lock(directory.path()).map_err(|e| unusable(directory.path(), e))? {
                return Ok(Self { directory, _lock: lock });
            }
        }
        Err(unusable(&parent, io::ErrorKind::ResourceBusy.into()))
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the socket of the server.
    pub(super) fn socket(&self) -> PathBuf {
        self.path().join(SOCKET)
    }

    /// Returns the configuration file of the server.
    pub(super) fn config(&self) -> PathBuf {
        config(self.path())
    }

    /// Creates the files that the server needs.
    pub(super) fn prepare(&self, configuration: &str) -> io::Result<()> {
        std::fs::create_dir(self.path().join("data"))?;
        std::fs::write(self.config(), configuration)
    }

    /// Returns the last line of the server's log.
    pub(super) fn last_log_line(&self) -> String {
        let log = std::fs::read(process::log(self.path())).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let last = log.lines().rev().find(|line| !line.trim().is_empty());
        last.unwrap_or("its log is empty").chars().take(300).collect()
    }
}

fn config(directory: &Path) -> PathBuf {
    directory.join("vault.hcl")
}

/// Locks the directory at `path`; `None` if it is locked, missing, or belongs to another user.
fn lock(path: &Path) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = match open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        opened => opened?,
    };
    if !try_lock(&directory)? {
        return Ok(None);
    }
    let locked = fstat(&directory)?;
    // A process locks a directory before it removes it, so this one stays from here on.
    let same = |there: Stat| (there.st_dev, there.st_ino) == (locked.st_dev, locked.st_ino);
    let ours = locked.st_uid == geteuid().as_raw() && lstat(path).is_ok_and(same);
    Ok(ours.then_some(directory))
}

/// Removes the directories of killed drills and stops their servers.
fn remove_leftovers(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(PREFIX)) {
        let path = entry.path();
        let Ok(Some(_lock)) = lock(&path) else { continue };
        tracing::info!("removing {}, left by a killed drill", path.display());
        process::end_left_over(&config(&path));
        if let Err(error) = remove(&path) {
            tracing::warn!("{}: left by a killed drill, cannot be removed: {error}", path.display());
        }
    }
}

/// Removes a directory, also if a process that was just killed still writes to it.
fn remove(path: &Path) -> io::Result<()> {
    let mut tries = 0..ATTEMPTS;
    loop {
        match std::fs::remove_dir_all(path) {
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty && tries.next().is_some() => sleep(DYING),
            removed => return removed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_directory_is_locked_until_it_is_removed() {
        let directory = DrillDirectory::create().unwrap();
        let path = directory.path().to_owned();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(lock(&path).unwrap().is_none());
        remove_leftovers(path.parent().unwrap());
        assert!(path.is_dir());
        drop(directory);
        assert!(!path.exists() && lock(&path).unwrap().is_none());
    }

    #[test]
    fn only_unlocked_directories_of_drills_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        // A drill that was killed before it locked the directory, and a later one.
        std::fs::create_dir(at("vault-backup-drill-1")).unwrap();
        std::fs::create_dir_all(at("vault-backup-drill-2/data")).unwrap();
        std::fs::create_dir(at("something-else")).unwrap();
        std::fs::write(at("vault-backup-drill-file"), "").unwrap();
        symlink(at("something-else"), at("vault-backup-drill-link")).unwrap();
        remove_leftovers(parent.path());
        let names = std::fs::read_dir(parent.path()).unwrap();
        let mut names: Vec<_> = names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["something-else", "vault-backup-drill-file", "vault-backup-drill-link"]);
    }

    #[test]
    fn a_directory_that_was_replaced_is_locked_separately() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("x");
        std::fs::create_dir(&path).unwrap();
        let first = lock(&path).unwrap().unwrap();
        std::fs::remove_dir(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(lock(&path).unwrap().is_some(), "another directory of that name");
        drop(first);
    }
}
