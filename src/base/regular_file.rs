//! Opens files by path, and checks output files: regular files only, and without waiting.
//!
//! A plain open of a FIFO waits for its other end, possibly forever, and one of a device may do
//! anything. Every file that this program reads by path is opened here.

use crate::base::error::{Error, Result};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::geteuid;
use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Opens the regular file at `path` for reading. Follows symbolic links.
///
/// # Errors
/// Those of the operating system; `InvalidInput`, with the kind of the file, if it is not regular.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    open_with(path, OpenOptions::new().read(true), 0)
}

/// Opens the regular file at `path` with `options` and the further `flags` of open(2).
///
/// # Errors
/// As [`open`].
pub(crate) fn open_with(path: &Path, options: &mut OpenOptions, flags: i32) -> io::Result<File> {
    open_any(path, options, flags, |kind| kind.is_file())
}

/// Opens the regular file at `path` for reading, or a pipe that this process was started with:
/// the `/dev/fd/63` of a shell's `<(command)`, or `/dev/stdin`. Its end has a writer already, so
/// only reading waits.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_or_inherited_pipe(path: &Path) -> io::Result<File> {
    let inherited =
        ["/dev/fd", "/proc/self/fd"].iter().any(|dir| path.starts_with(dir)) || path == Path::new("/dev/stdin");
    open_any(path, OpenOptions::new().read(true), 0, |kind| kind.is_file() || (inherited && kind.is_fifo()))
}

/// Reads the regular file at `path`, which must be UTF-8.
///
/// # Errors
/// As [`open`]; `InvalidData` if it is not UTF-8.
pub(crate) fn read_to_string(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Returns the kind of a file that is not a regular one, in words.
pub(crate) fn kind(file: FileType) -> &'static str {
    match file {
        kind if kind.is_dir() => "a directory",
        kind if kind.is_symlink() => "a symbolic link",
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

/// Checks that an output file can be created at `path`, or replaced. Only a regular file is ever
/// replaced, and nothing is written through anything else: a FIFO, a device or a link leads the
/// output to a place that another user may have chosen. Returns `true` if there is a file.
///
/// # Errors
/// `Usage` for anything but a regular file, which must be this user's if it is to be replaced.
pub(crate) fn check_target(path: &Path, replace: bool) -> Result<bool> {
    let refused = |what: &str| Error::usage(format!("{}: {what}", path.display()));
    let Ok(meta) = path.symlink_metadata() else { return Ok(false) };
    let kind = kind(meta.file_type());
    match meta.file_type() {
        file if file.is_dir() => Err(refused("it is a directory").hint("give -o FILE")),
        file if file.is_symlink() => {
            Err(refused("it is a symbolic link").hint("give the path that it leads to, or write to stdout"))
        }
        file if !file.is_file() => Err(refused(&format!("it is {kind}, not a regular file"))
            .hint("write to stdout, and lead stdout there: `-o - > FILE` of decrypt, no -o of other commands")),
        _ if replace && meta.uid() != geteuid().as_raw() => {
            Err(refused("the file belongs to another user").hint("choose another path, or remove the file first"))
        }
        _ => Ok(true),
    }
}

fn open_any(
    path: &Path,
    options: &mut OpenOptions,
    flags: i32,
    accepted: impl Fn(&FileType) -> bool,
) -> io::Result<File> {
    let refused = |file: FileType| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("it is {}, not a regular file", kind(file)))
    };
    let opened = options.custom_flags(flags | libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let file = opened.map_err(|error| {
        let named = match flags & libc::O_NOFOLLOW {
            0 => path.metadata(),
            _ => path.symlink_metadata(),
        };
        // The operating system's own words for these do not name the reason.
        named.ok().filter(|meta| !accepted(&meta.file_type())).map_or(error, |meta| refused(meta.file_type()))
    })?;
    let found = file.metadata()?.file_type();
    if !accepted(&found) {
        return Err(refused(found));
    }
    fcntl_setfl(&file, fcntl_getfl(&file)?.difference(OFlags::NONBLOCK))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixListener;

    #[test]
    fn only_regular_files_are_opened_and_nothing_waits() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), "text").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("fifo"), at("link-to-fifo")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("fifo"), rustix::fs::Mode::RWXU).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        for name in ["file", "link"] {
            assert_eq!(read_to_string(&at(name)).unwrap(), "text");
            assert!(!fcntl_getfl(open(&at(name)).unwrap()).unwrap().contains(OFlags::NONBLOCK));
        }
        for (path, is) in [
            (at("fifo"), "a FIFO"),
            (at("link-to-fifo"), "a FIFO"),
            (at("socket"), "a socket"),
            (dir.path().to_owned(), "a directory"),
            ("/dev/null".into(), "a device"),
        ] {
            for error in [
                open(&path).unwrap_err(),
                open_or_inherited_pipe(&path).unwrap_err(),
                open_with(&path, OpenOptions::new().read(true).write(true).create(true).truncate(false), 0)
                    .unwrap_err(),
            ] {
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
                assert_eq!(error.to_string(), format!("it is {is}, not a regular file"));
            }
        }
        assert_eq!(open(&at("missing")).unwrap_err().kind(), io::ErrorKind::NotFound);
        let no_link = open_with(&at("link"), OpenOptions::new().read(true), libc::O_NOFOLLOW);
        assert!(no_link.is_err());
    }

    #[test]
    fn only_a_regular_file_can_be_an_output() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), "").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("missing"), at("dangling")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("fifo"), rustix::fs::Mode::RWXU).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        for replace in [false, true] {
            assert!(!check_target(&at("missing"), replace).unwrap());
            assert!(check_target(&at("file"), replace).unwrap());
            for (path, is) in [
                (at("link"), "a symbolic link"),
                (at("dangling"), "a symbolic link"),
                (at("fifo"), "a FIFO"),
                (at("socket"), "a socket"),
                ("/dev/null".into(), "a device"),
                ("/dev/stdout".into(), "a symbolic link"),
                (dir.path().to_owned(), "a directory"),
            ] {
                let error = check_target(&path, replace).unwrap_err();
                assert!(error.to_string().contains(&format!(": it is {is}")), "{error}");
            }
        }
        if geteuid().is_root() {
            std::os::unix::fs::chown(at("file"), Some(4711), None).unwrap();
            assert!(check_target(&at("file"), false).unwrap());
            assert!(check_target(&at("file"), true).unwrap_err().to_string().contains("belongs to another user"));
        }
    }

    #[test]
    fn a_pipe_that_was_inherited_is_read() {
        let (reader, mut writer) = io::pipe().unwrap();
        io::Write::write_all(&mut writer, b"secret").unwrap();
        drop(writer);
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        assert!(open(path.as_ref()).is_err());
        let mut text = String::new();
        open_or_inherited_pipe(path.as_ref()).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "secret");
    }
}
