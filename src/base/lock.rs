//! One run at a time: an exclusive flock that is not waited for.
//!
//! Here: taking it, and naming its holder. Not here: which commands take which
//! (`commands`). The file's content is for people only; the kernel frees the lock
//! when the process ends, however it ends.

use crate::base::error::{Error, Result};
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock at `path`, making the file if need be.
    ///
    /// # Errors
    /// `Conflict` naming the holder; `Usage` if the file cannot be opened.
    pub fn take(path: &Path) -> Result<Self> {
        let unusable = |e: std::io::Error| {
            Error::usage(format!("lock file {}: cannot be used", path.display()))
                .because(e)
                .hint("set run.lock_file to a path in an existing folder that this user can write to")
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)
            .map_err(unusable)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Error::conflict(format!(
                    "another run{} holds the lock {}",
                    holder(&mut file),
                    path.display()
                ))
                .hint("wait for it to end; each run ends by itself, or at its --deadline"));
            }
            Err(errno) => return Err(unusable(errno.into())),
        }
        // For the reader of the next conflict; the lock holds without it.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let _ = file.take(20).read_to_string(&mut text);
    text.trim().parse::<u32>().map_or(String::new(), |pid| format!(" (process {pid})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Kind;

    #[test]
    fn held_once_and_freed_on_drop() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        std::fs::write(&path, "whatever the file holds").unwrap();
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
