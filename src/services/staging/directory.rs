//! The private folder of a drill's server, and what killed drills left of theirs.
//!
//! A folder is locked, the folder itself, for as long as its drill lives. One that
//! nobody has locked was left by a drill that was killed, at whatever moment. Here:
//! making, locking and removing them. Not here: the server (`process`).

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

/// How the folders of drills are named.
const PREFIX: &str = "vault-backup-drill-";
/// The name of the server's socket.
pub(super) const SOCKET: &str = "vault.sock";
/// How often a folder is made or removed where others are at it too.
const ATTEMPTS: usize = 10;
/// How long a process that was killed may still do something.
const DYING: Duration = Duration::from_millis(20);

/// A private folder, locked. Dropped, it is removed.
#[derive(Debug)]
pub(super) struct Folder {
    // In this order: it stays locked until it is gone.
    folder: TempDir,
    _lock: OwnedFd,
}

/// The failure to use a folder at, or below, `path`.
pub(super) fn unusable(path: &Path, error: io::Error) -> Error {
    Error::usage(format!("{}: no folder for the drill can be made there", path.display()))
        .because(error)
        .hint("set TMPDIR to a folder that this user can write to")
}

impl Folder {
    /// Makes one below the folder for temporary files, after removing there what
    /// killed drills left.
    ///
    /// # Errors
    /// `Usage`.
    pub(super) fn create() -> Result<Self> {
        let parent = std::env::temp_dir();
        // The server is started in its own folder, so its paths must be full ones.
        let parent = std::path::absolute(&parent).map_err(|e| unusable(&parent, e))?;
        remove_leftovers(&parent);
        for _ in 0..ATTEMPTS {
            let made =
                tempfile::Builder::new().prefix(PREFIX).permissions(Permissions::from_mode(0o700)).tempdir_in(&parent);
            let folder = made.map_err(|e| unusable(&parent, e))?;
            // Before it was locked, another drill may have taken it for a leftover.
            if let Some(lock) = lock(folder.path()).map_err(|e| unusable(folder.path(), e))? {
                return Ok(Self { folder, _lock: lock });
            }
        }
        Err(unusable(&parent, io::ErrorKind::ResourceBusy.into()))
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where the server listens.
    pub(super) fn socket(&self) -> PathBuf {
        self.path().join(SOCKET)
    }

    /// The server's configuration file.
    pub(super) fn config(&self) -> PathBuf {
        config(self.path())
    }

    /// Writes what the server needs.
    pub(super) fn prepare(&self, configuration: &str) -> io::Result<()> {
        std::fs::create_dir(self.path().join("data"))?;
        std::fs::write(self.config(), configuration)
    }

    /// The last line that the server logged.
    pub(super) fn last_words(&self) -> String {
        let log = std::fs::read(process::log(self.path())).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let last = log.lines().rev().find(|line| !line.trim().is_empty());
        last.unwrap_or("it logged nothing").chars().take(300).collect()
    }
}

fn config(folder: &Path) -> PathBuf {
    folder.join("vault.hcl")
}

/// Locks the folder at `path`; `None` if it is locked, gone, or another user's.
fn lock(path: &Path) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = match open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        opened => opened?,
    };
    if !try_lock(&folder)? {
        return Ok(None);
    }
    let locked = fstat(&folder)?;
    // Whoever removes a folder has it locked, so it stays from here on.
    let same = |there: Stat| (there.st_dev, there.st_ino) == (locked.st_dev, locked.st_ino);
    let ours = locked.st_uid == geteuid().as_raw() && lstat(path).is_ok_and(same);
    Ok(ours.then_some(folder))
}

/// Removes folders of drills that were killed, and ends what still runs in them.
fn remove_leftovers(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(PREFIX)) {
        let path = entry.path();
        let Ok(Some(_lock)) = lock(&path) else { continue };
        tracing::info!("removing {}, which a killed drill left", path.display());
        process::end_left_over(&config(&path));
        if let Err(error) = remove(&path) {
            tracing::warn!("{}: left by a killed drill, and cannot be removed: {error}", path.display());
        }
    }
}

/// Removes a folder, also if what was just ended is still writing into it.
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
    fn locked_until_it_is_gone() {
        let folder = Folder::create().unwrap();
        let path = folder.path().to_owned();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(lock(&path).unwrap().is_none());
        remove_leftovers(path.parent().unwrap());
        assert!(path.is_dir());
        drop(folder);
        assert!(!path.exists() && lock(&path).unwrap().is_none());
    }

    #[test]
    fn what_nobody_holds_is_removed_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        // A drill that was killed before it had locked anything, and a later one.
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
    fn a_folder_that_was_removed_meanwhile_is_not_ours() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("x");
        std::fs::create_dir(&path).unwrap();
        let first = lock(&path).unwrap().unwrap();
        std::fs::remove_dir(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(lock(&path).unwrap().is_some(), "another folder of that name");
        drop(first);
    }
}
