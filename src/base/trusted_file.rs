//! Files that other users of the machine must not read or change: the rule for keys, secrets,
//! configuration, certificate authorities, locks, audit log and metrics.
//!
//! Files to read may be owned by this user or root. A read-only mount passes as unchangeable,
//! because that is how containers get files whose owner means nothing inside.
//! Files to write in place may also belong to the owner of their directory, unless other users
//! can create files there: root may use the files of a service's user.

use crate::base::error::{Error, Result};
use rustix::fs::{StatVfsMountFlags, fstatvfs};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bits of a directory in which only the owner of a file can remove it.
const STICKY: u32 = 0o1000;

/// Protection that a file to read needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    /// Other users can neither read nor change it.
    Secret,
    /// Other users cannot change it.
    Fixed,
}

impl Protection {
    /// Checks the open `file`; `what` and `path` name it in errors. The group may read a secret
    /// if root owns the file and this process is in the group.
    ///
    /// # Errors
    /// `Usage` that names mode or owner, with the command that repairs it.
    pub(crate) fn check(self, what: &str, path: &Path, file: &File) -> Result<()> {
        let meta = file.metadata().map_err(|e| cannot_check(what, path).because(e))?;
        let mode = meta.mode() & 0o7777;
        if self == Protection::Secret {
            let group_reads = mode & 0o050 == 0 || (meta.uid() == 0 && in_group(meta.gid()));
            if mode & 0o005 != 0 || !group_reads {
                let by = if mode & 0o005 != 0 { "all users" } else { "its group" };
                return Err(refused(what, path, &format!("accessible to {by} (mode {mode:04o})"))
                    .hint(format!("run: chmod 0400 {}", path.display())));
            }
        }
        match is_read_only(file) {
            true => Ok(()),
            false => unchangeable(what, path, &meta),
        }
    }
}

/// Checks the directory of `path`, which [`Protection::check`] has passed: a user who can replace
/// entries can replace the file. If `path` is a link, the directory of its target counts, too.
///
/// # Errors
/// `Usage` that names mode or owner of the directory.
pub(crate) fn check_directory(what: &str, path: &Path) -> Result<()> {
    let unchecked = |e: io::Error| cannot_check(what, path).because(e);
    let target = path.canonicalize().map_err(unchecked)?;
    for directory in [directory_of(path), directory_of(&target)] {
        let opened = File::open(&directory).map_err(unchecked)?;
        let meta = opened.metadata().map_err(unchecked)?;
        if meta.mode() & STICKY == 0 && !is_read_only(&opened) {
            unchangeable(&format!("the directory of {what}"), &directory, &meta)?;
        }
    }
    Ok(())
}

/// Checks the open `file`, which is written in place and was opened without following a symbolic
/// link.
///
/// # Errors
/// `InvalidInput` with the reason and what to do.
pub(crate) fn check_writable(path: &Path, file: &File) -> io::Result<()> {
    let meta = file.metadata()?;
    let refused = |why: String| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    if !meta.is_file() {
        return refused("not a regular file".to_owned());
    }
    if meta.nlink() > 1 {
        return refused(format!("it has {} hard links", meta.nlink()));
    }
    if !is_ours(meta.uid()) {
        let directory = std::fs::metadata(directory_of(path))?;
        if directory.mode() & 0o002 != 0 || directory.uid() != meta.uid() {
            return refused(format!("its owner is user {}, not this user", meta.uid()));
        }
    }
    match meta.mode() & 0o002 {
        0 => Ok(()),
        _ => refused(format!("writable by all users (mode {:04o})", meta.mode() & 0o7777)),
    }
}

/// Returns the failure of a write to `what`, with a hint if [`check_writable`] or the kind of the file
/// is the cause.
pub(crate) fn cannot_write(what: &str, error: io::Error) -> Error {
    let refused = error.kind() == io::ErrorKind::InvalidInput;
    let failed = Error::partial(format!("{what}: cannot be written")).because(error);
    match refused {
        true => failed.hint("use a regular file of this user, in a directory that other users cannot write to"),
        false => failed,
    }
}

/// Returns the directory that has the entry `path`.
pub(crate) fn directory_of(path: &Path) -> PathBuf {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new(".")).to_owned()
}

fn unchangeable(what: &str, path: &Path, meta: &Metadata) -> Result<()> {
    let mode = meta.mode() & 0o7777;
    if !is_ours(meta.uid()) {
        return Err(refused(what, path, &format!("its owner is user {}, not this user or root", meta.uid()))
            .hint(format!("run: chown root {}", path.display())));
    }
    let by = match mode & 0o022 {
        0 => return Ok(()),
        0o020 => "its group",
        _ => "all users",
    };
    Err(refused(what, path, &format!("writable by {by} (mode {mode:04o})"))
        .hint(format!("run: chmod go-w {}", path.display())))
}

fn refused(what: &str, path: &Path, why: &str) -> Error {
    Error::usage(format!("{what} {}: {why}", path.display()))
}

fn cannot_check(what: &str, path: &Path) -> Error {
    Error::usage(format!("{what} {}: cannot be checked", path.display()))
}

fn is_ours(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

fn is_read_only(file: impl AsFd) -> bool {
    fstatvfs(file).is_ok_and(|fs| fs.f_flag.contains(StatVfsMountFlags::RDONLY))
}

fn in_group(gid: u32) -> bool {
    rustix::process::getegid().as_raw() == gid
        || rustix::process::getgroups().is_ok_and(|groups| groups.iter().any(|g| g.as_raw() == gid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, chown};

    /// A user that no test runs as.
    const OTHER: u32 = 65_534;

    struct Scene(tempfile::TempDir);

    impl Scene {
        fn new() -> Self {
            let scene = Self(tempfile::tempdir().unwrap());
            std::fs::write(scene.path(), "x").unwrap();
            scene
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("file")
        }

        fn set(&self, mode: u32) {
            std::fs::set_permissions(self.path(), Permissions::from_mode(mode)).unwrap();
        }

        fn check(&self, protection: Protection) -> Result<(), String> {
            let file = File::options().read(true).open(self.path()).unwrap();
            protection.check("file", &self.path(), &file).map_err(|e| e.to_string())
        }

        fn check_writable(&self) -> Result<(), String> {
            check_writable(&self.path(), &File::open(self.path()).unwrap()).map_err(|e| e.to_string())
        }
    }

    #[test]
    fn a_file_that_others_can_read_or_change_is_refused() {
        let scene = Scene::new();
        for (mode, secret, fixed) in [
            (0o400, true, true),
            (0o600, true, true),
            (0o604, false, true),
            (0o644, false, true),
            (0o620, false, false),
            (0o602, false, false),
            (0o666, false, false),
        ] {
            scene.set(mode);
            assert_eq!(scene.check(Protection::Secret).is_ok(), secret, "{mode:o}");
            assert_eq!(scene.check(Protection::Fixed).is_ok(), fixed, "{mode:o}");
        }
        let error = scene.check(Protection::Fixed).unwrap_err();
        assert!(error.contains("writable by all users (mode 0666); run: chmod go-w "), "{error}");
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        let scene = Scene::new();
        scene.set(0o600);
        chown(scene.path(), Some(OTHER), None).expect("these tests run as root");
        for protection in [Protection::Secret, Protection::Fixed] {
            let error = scene.check(protection).unwrap_err();
            assert!(error.contains("its owner is user 65534") && error.contains("chown root"), "{error}");
        }
        assert!(scene.check_writable().unwrap_err().contains("its owner is user 65534"));
    }

    #[test]
    fn the_directory_of_a_file_counts_unless_it_is_sticky() {
        let scene = Scene::new();
        let check = |mode: u32| {
            std::fs::set_permissions(scene.0.path(), Permissions::from_mode(mode)).unwrap();
            check_directory("file", &scene.path()).is_ok()
        };
        let modes = [0o700, 0o755, 0o1777, 0o775, 0o777];
        assert_eq!(modes.map(check), [true, true, true, false, false]);
        chown(scene.0.path(), Some(OTHER), None).unwrap();
        assert!(!check(0o755));
    }

    #[test]
    fn a_written_file_may_belong_to_the_owner_of_a_directory_that_is_not_shared() {
        let scene = Scene::new();
        scene.set(0o640);
        scene.check_writable().unwrap();
        let own = |path: &Path| chown(path, Some(OTHER), None).unwrap();
        own(&scene.path());
        own(scene.0.path());
        scene.check_writable().unwrap();
        std::fs::set_permissions(scene.0.path(), Permissions::from_mode(0o1777)).unwrap();
        assert!(scene.check_writable().is_err());
        std::fs::set_permissions(scene.0.path(), Permissions::from_mode(0o700)).unwrap();
        scene.set(0o646);
        assert!(scene.check_writable().unwrap_err().contains("writable by all users (mode 0646)"));
        scene.set(0o640);
        std::fs::hard_link(scene.path(), scene.0.path().join("link")).unwrap();
        assert!(scene.check_writable().unwrap_err().contains("2 hard links"));
    }
}
