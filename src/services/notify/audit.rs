//! The audit log: one compact JSON line an operation, appended and durable.
//!
//! The file is opened anew for each line, so logrotate may rename it, and written
//! at its end, so logrotate may cut it (copytruncate).

use super::Event;
use crate::base::error::{Error, Result};
use crate::base::lock::lock_within_limit;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The rights of a file that is made here; those of one that exists stay.
const MODE: u32 = 0o640;

/// An audit log.
#[derive(Clone, Debug)]
pub struct Audit {
    path: PathBuf,
}

impl Audit {
    /// The log at `path`; nothing is opened yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Opens the file, so that it is known before the run whether it can be written.
    ///
    /// # Errors
    /// `Partial`: the run goes on.
    pub fn check(&self) -> Result<()> {
        open(&self.path).map(drop).map_err(|e| self.broken(e))
    }

    /// Appends the line of `event`, durably.
    ///
    /// # Errors
    /// `Partial`; then the caller shows the line elsewhere.
    pub fn append(&self, event: &Event) -> Result<()> {
        append(&self.path, &event.audit_line()).map_err(|e| self.broken(e))
    }

    fn broken(&self, error: io::Error) -> Error {
        Error::partial(format!("audit log {} cannot be written", self.path.display())).because(error)
    }
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = open_locked(path)?;
    let mut bytes = Vec::with_capacity(line.len() + 2);
    if ends_torn(&file)? {
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(line.as_bytes());
    bytes.push(b'\n');
    file.write_all(&bytes)?;
    file.sync_all()
}

/// Opens the file at `path`, makes it if it is missing.
fn open(path: &Path) -> io::Result<File> {
    loop {
        let mut options = OpenOptions::new();
        options.read(true).append(true);
        match options.open(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Ok(file) if !file.metadata()?.is_file() => {
                return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
            }
            done => return done,
        }
        match options.create_new(true).mode(MODE).open(path) {
            // Somebody else has just made it.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
            Ok(file) => {
                file.set_permissions(Permissions::from_mode(MODE))?; // whatever the umask
                return Ok(file);
            }
        }
    }
}

/// Opens the file and locks it, and makes sure that it was not renamed meanwhile:
/// a line in a rotated file may be lost to its compression.
fn open_locked(path: &Path) -> io::Result<File> {
    loop {
        let file = open(path)?;
        lock_within_limit(&file)?;
        let held = file.metadata()?;
        match std::fs::metadata(path) {
            Ok(named) if (named.dev(), named.ino()) == (held.dev(), held.ino()) => return Ok(file),
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
}

/// Whether the last line has no end: its writer crashed, or the disk was full.
fn ends_torn(file: &File) -> io::Result<bool> {
    let Some(last) = file.metadata()?.len().checked_sub(1) else { return Ok(false) };
    let mut byte = [0];
    // Nothing is read where the file was cut just now.
    Ok(file.read_at(&mut byte, last)? == 1 && byte != *b"\n")
}

#[cfg(test)]
mod tests;
