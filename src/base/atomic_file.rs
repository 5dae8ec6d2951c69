//! A file that appears only whole: written under a temporary name in the target's
//! folder, made durable, then renamed; dropped before that, it is removed.
//!
//! Here: that, and folders that are durable too. Not here: what is written
//! (`store::local`, `decrypt`, metrics), and which class of failure it would be:
//! errors are plain `io::Error`s.

use ring::rand::{SecureRandom, SystemRandom};
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// How a temporary name begins; 16 hex digits, a dot and the target's name follow.
const TEMPORARY: &str = ".tmp-";

/// A file that is being written, and that has no name of its own yet.
#[derive(Debug)]
pub struct AtomicFile {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    committed: bool,
}

impl AtomicFile {
    /// Begins a file that will be `target`, with exactly the rights `mode`, whatever
    /// the umask. The target's folder must exist.
    ///
    /// # Errors
    /// As the operating system gives them; `InvalidInput` if `target` names no file.
    pub fn create(target: &Path, mode: u32) -> io::Result<Self> {
        let temporary = temporary_path(target)?;
        // 0600 until the rights are set: the umask could only take away from `mode`.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        let new = Self { file, temporary, target: target.to_owned(), committed: false };
        new.file.set_permissions(Permissions::from_mode(mode))?;
        Ok(new)
    }

    /// The file being written, for copying into it without a buffer.
    pub fn file_mut(&mut self) -> &mut File {
        &mut self.file
    }

    /// Makes it appear, durably, under a name that nothing has.
    ///
    /// # Errors
    /// `AlreadyExists` if something has that name, and it stays what it was. After
    /// any error the temporary file is gone.
    pub fn commit_new(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        match rustix::fs::renameat_with(CWD, &self.temporary, CWD, &self.target, RenameFlags::NOREPLACE) {
            Ok(()) => self.committed = true,
            // Some file systems (NFS, FUSE) cannot rename so, but they can link; then
            // dropping `self` removes the temporary name.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => std::fs::hard_link(&self.temporary, &self.target)?,
            Err(error) => return Err(error.into()),
        }
        sync_folder(&self.target)
    }

    /// Makes it appear, durably, in the place of whatever file has that name.
    ///
    /// # Errors
    /// As the operating system gives them; then the temporary file is gone.
    pub fn commit_replacing(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.temporary, &self.target)?;
        self.committed = true;
        sync_folder(&self.target)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed {
            // Nobody is left to tell; a leftover is recognised by its name.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

/// The file that was to get the name `file`, if that is a temporary name of ours.
pub fn target_of(file: &OsStr) -> Option<&OsStr> {
    let rest = file.as_bytes().strip_prefix(TEMPORARY.as_bytes())?;
    let (random, rest) = rest.split_at_checked(16)?;
    let target = rest.strip_prefix(b".")?;
    (random.iter().all(u8::is_ascii_hexdigit) && !target.is_empty()).then(|| OsStr::from_bytes(target))
}

/// Makes the folder `path` and those above it that are missing, with the rights
/// `mode`, durably.
///
/// # Errors
/// As the operating system gives them.
pub fn create_folders(path: &Path, mode: u32) -> io::Result<()> {
    match std::fs::DirBuilder::new().mode(mode).create(path) {
        Ok(()) => sync_folder(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some(parent) = path.parent() else { return Err(error) };
            create_folders(parent, mode)?;
            create_folders(path, mode)
        }
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes the entry `path` durable: syncs the folder that it is in.
fn sync_folder(path: &Path) -> io::Result<()> {
    match File::open(folder_of(path))?.sync_all() {
        // Some network file systems cannot sync a folder, and need not.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        done => done,
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn temporary_path(target: &Path) -> io::Result<PathBuf> {
    let name = target.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a file's name"))?;
    let mut random = [0; 8];
    SystemRandom::new().fill(&mut random).map_err(|_| io::Error::other("no random numbers"))?;
    let mut temporary = format!("{TEMPORARY}{}.", hex::encode(random)).into_bytes();
    temporary.extend_from_slice(name.as_bytes());
    Ok(folder_of(target).join(OsString::from_vec(temporary)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn appears_only_when_committed() {
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
    fn leaves_nothing_when_dropped() {
        let dir = tempfile::tempdir().unwrap();
        drop(AtomicFile::create(&dir.path().join("a"), 0o600).unwrap());
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn replaces_only_where_told_to() {
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
    fn a_link_is_replaced_not_followed() {
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
    fn folders() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("x/y/z");
        create_folders(&deep, 0o700).unwrap();
        create_folders(&deep, 0o700).unwrap();
        assert_eq!(std::fs::metadata(dir.path().join("x")).unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::write(deep.join("file"), "").unwrap();
        assert!(create_folders(&deep.join("file/below"), 0o700).is_err());
        assert!(create_folders(&deep.join("file"), 0o700).is_err());
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in [".tmp-", ".tmp-0123456789abcdef", ".tmp-0123456789abcdef.", ".tmp-0123456789abcdeX.a", "a"] {
            assert_eq!(target_of(name.as_ref()), None, "{name}");
        }
    }
}
