//! The audit log: one compact JSON line per operation, appended and synced.
//!
//! The file is opened again for each line, so logrotate may rename it, and opened for
//! appending, so logrotate may truncate it (copytruncate).

use super::Event;
use crate::base::error::{Error, Result};
use crate::base::lock::lock_within_limit;
use crate::base::{regular_file, trusted_file};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Mode of a new file. An existing file keeps its mode.
const MODE: u32 = 0o640;

/// An audit log.
#[derive(Clone, Debug)]
pub struct Audit {
    path: PathBuf,
}

impl Audit {
    /// Returns the log at `path`, without opening it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Opens the file, to report before the run that it cannot be written.
    ///
    /// # Errors
    /// `Partial`; the run continues.
    pub fn check(&self) -> Result<()> {
        open(&self.path).map(drop).map_err(|e| self.broken(e))
    }

    /// Appends the line of `event` and syncs the file.
    ///
    /// # Errors
    /// `Partial`; the caller then prints the line.
    pub fn append(&self, event: &Event) -> Result<()> {
        append(&self.path, &event.audit_line()).map_err(|e| self.broken(e))
    }

    fn broken(&self, error: io::Error) -> Error {
        trusted_file::cannot_write(&format!("audit log {}", self.path.display()), error)
    }
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = open_locked(path)?;
    let mut bytes = Vec::with_capacity(line.len() + 2);
    if ends_within_line(&file)? {
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(line.as_bytes());
    bytes.push(b'\n');
    file.write_all(&bytes)?;
    file.sync_all()
}

/// Opens the file at `path`, and creates it if it is missing.
fn open(path: &Path) -> io::Result<File> {
    loop {
        let mut options = OpenOptions::new();
        options.read(true).append(true);
        match regular_file::open_with(path, &mut options, libc::O_NOFOLLOW) {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
            Ok(file) => return trusted_file::check_writable(path, &file).map(|()| file),
        }
        match options.create_new(true).mode(MODE).open(path) {
            // Another process has just created it.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
            Ok(file) => {
                file.set_permissions(Permissions::from_mode(MODE))?; // regardless of the umask
                return Ok(file);
            }
        }
    }
}

/// Opens and locks the file, and checks that it was not renamed meanwhile: logrotate may
/// compress a rotated file and lose the line.
fn open_locked(path: &Path) -> io::Result<File> {
    loop {
        let file = open(path)?;
        lock_within_limit(&file)?;
        let locked = file.metadata()?;
        match std::fs::metadata(path) {
            Ok(named) if (named.dev(), named.ino()) == (locked.dev(), locked.ino()) => return Ok(file),
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
}

/// Returns `true` if the last line has no newline: its writer crashed, or the disk was full.
fn ends_within_line(file: &File) -> io::Result<bool> {
    let Some(last) = file.metadata()?.len().checked_sub(1) else { return Ok(false) };
    let mut byte = [0];
    // Nothing is read if the file was truncated meanwhile.
    Ok(file.read_at(&mut byte, last)? == 1 && byte != *b"\n")
}

#[cfg(test)]
mod tests;
