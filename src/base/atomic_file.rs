//! Files that are written whole or not at all: written under a temporary name in the
//! target's directory, synced, then renamed. A file that is dropped first is removed.

use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Prefix of a temporary name. [`RANDOM`] letters and digits, a dot and the target's name follow.
const TEMPORARY: &str = ".tmp-";

/// Length of the random part of a temporary name.
const RANDOM: usize = 16;

/// A file that is being written and does not have its final name yet.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    file: NamedTempFile,
    target: PathBuf,
}

impl AtomicFile {
    /// Creates the temporary file for `target`, with exactly the permissions `mode`,
    /// regardless of the umask. The target's directory must exist.
    ///
    /// # Errors
    /// Those of the operating system; `InvalidInput` if `target` has no file name.
    pub(crate) fn create(target: &Path, mode: u32) -> io::Result<Self> {
        let name = target.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a file name"))?;
        let mut suffix = OsString::from(".");
        suffix.push(name);
        // 0600 until the permissions are set: the umask could only remove some of `mode`.
        let open = |path: &Path| OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .suffix(&suffix)
            .rand_bytes(RANDOM)
            .make_in(directory_of(target), open)?;
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
        Ok(Self { file, target: target.to_owned() })
    }

    /// Writes `content` and a newline to a new file at `target`, readable by its owner only.
    ///
    /// # Errors
    /// Those of [`AtomicFile::create`] and [`AtomicFile::commit_new`].
    pub(crate) fn write_new_line(target: &Path, content: &str) -> io::Result<()> {
        let mut file = Self::create(target, 0o600)?;
        writeln!(file, "{content}")?;
        file.commit_new()
    }

    /// Returns the open file, for copying into it inside the kernel.
    pub(crate) fn file_mut(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// Syncs the file and gives it its name, which must be free. If the directory cannot be
    /// synced then, the file is removed again.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken; the file of that name is not changed. After any
    /// error the file does not exist, except after one of [`Unsynced`].
    pub(crate) fn commit_new(self) -> io::Result<()> {
        let target = self.target.clone();
        match self.commit_new_or_keep() {
            Err(error) if Unsynced::is(&error) => match std::fs::remove_file(target) {
                Ok(()) => Err(io::Error::new(error.kind(), format!("it was removed again: {error}"))),
                Err(_) => Err(error),
            },
            done => done,
        }
    }

    /// Syncs the file and gives it its name, which must be free. If the directory cannot be
    /// synced then, the file stays.
    ///
    /// # Errors
    /// As [`AtomicFile::commit_new`].
    pub(crate) fn commit_new_or_keep(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        match self.file.persist_noclobber(&self.target) {
            Ok(_) => {}
            // Some network file systems support links, but not renaming without
            // overwriting. Dropping the file then removes its temporary name.
            Err(e) if e.error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => {
                std::fs::hard_link(e.file.path(), &self.target)?;
            }
            Err(e) => return Err(e.error),
        }
        sync_entry(&self.target).map_err(Unsynced::of)
    }

    /// Syncs the file and gives it its name, replacing any file of that name.
    ///
    /// # Errors
    /// Those of the operating system; the temporary file is removed. After one of
    /// [`Unsynced`] the file was replaced.
    pub(crate) fn commit_replacing(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        self.file.persist(&self.target).map_err(|e| e.error)?;
        sync_entry(&self.target).map_err(Unsynced::of)
    }
}

/// The file is complete and has its name, but its directory could not be synced: after a
/// power failure the name may be lost.
#[derive(Debug)]
pub(crate) struct Unsynced(io::Error);

impl Unsynced {
    fn of(error: io::Error) -> io::Error {
        io::Error::new(error.kind(), Self(error))
    }

    /// Returns `true` if `error` is of this type.
    pub(crate) fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Self>)
    }
}

impl fmt::Display for Unsynced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it was written, but its directory cannot be synced: {}", self.0)
    }
}

impl std::error::Error for Unsynced {}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_file_mut().flush()
    }
}

/// Returns the target's name if `file` is one of our temporary names.
pub(crate) fn target_of(file: &OsStr) -> Option<&OsStr> {
    let rest = file.as_bytes().strip_prefix(TEMPORARY.as_bytes())?;
    let (random, rest) = rest.split_at_checked(RANDOM)?;
    let target = rest.strip_prefix(b".")?;
    (random.iter().all(u8::is_ascii_alphanumeric) && !target.is_empty()).then(|| OsStr::from_bytes(target))
}

/// Creates the directory `path` and its missing parents with the permissions `mode`, and
/// syncs them.
///
/// # Errors
/// Those of the operating system.
pub(crate) fn create_directories(path: &Path, mode: u32) -> io::Result<()> {
    match std::fs::DirBuilder::new().mode(mode).create(path) {
        Ok(()) => sync_entry(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some(parent) = path.parent() else { return Err(error) };
            create_directories(parent, mode)?;
            create_directories(path, mode)
        }
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Syncs the directory that has the entry `path`.
fn sync_entry(path: &Path) -> io::Result<()> {
    match File::open(directory_of(path))?.sync_all() {
        // Some network file systems cannot sync a directory, and do not need to.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        done => done,
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_appears_only_when_committed() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a");
        let mut file = AtomicFile::create(&target, 0o640).unwrap();
        file.write_all(b"whole").unwrap();
        let temporary = names(dir.path()).remove(0);
        assert_eq!(target_of(temporary.as_ref()), Some("a".as_ref()));
        file.commit_new().unwrap();
        assert_eq!(names(dir.path()), ["a"]);
        assert_eq!(std::fs::read(&target).unwrap(), b"whole");
        assert_eq!(std::fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_dropped_file_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        drop(AtomicFile::create(&dir.path().join("a"), 0o600).unwrap());
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn commit_new_never_overwrites() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a");
        std::fs::write(&target, "old").unwrap();
        let new = || {
            let mut file = AtomicFile::create(&target, 0o600).unwrap();
            file.write_all(b"new").unwrap();
            file
        };
        assert_eq!(new().commit_new().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["a"]);
        new().commit_replacing().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["a"]);
    }

    #[test]
    fn a_symbolic_link_is_replaced_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (link, other) = (dir.path().join("link"), dir.path().join("other"));
        std::fs::write(&other, "other").unwrap();
        std::os::unix::fs::symlink(&other, &link).unwrap();
        assert_eq!(
            AtomicFile::create(&link, 0o600).unwrap().commit_new().unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        AtomicFile::create(&link, 0o600).unwrap().commit_replacing().unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_file());
        assert_eq!(std::fs::read(&other).unwrap(), b"other");
    }

    #[test]
    fn create_directories_creates_missing_parents() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("x/y/z");
        create_directories(&deep, 0o700).unwrap();
        create_directories(&deep, 0o700).unwrap();
        assert_eq!(std::fs::metadata(dir.path().join("x")).unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::write(deep.join("file"), "").unwrap();
        assert!(create_directories(&deep.join("file/below"), 0o700).is_err());
        assert!(create_directories(&deep.join("file"), 0o700).is_err());
    }

    #[test]
    fn foreign_names_are_not_temporary_names() {
        for name in [".tmp-", ".tmp-0123456789abcdef", ".tmp-0123456789abcdef.", ".tmp-0123456789abcde-.a", "a"] {
            assert_eq!(target_of(name.as_ref()), None, "{name}");
        }
    }
}
