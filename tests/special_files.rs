//! FIFOs, sockets, directories, devices and links where a regular file is expected: refused at
//! once, without waiting for another end, and never written to.

mod input;
mod output;
mod stored;

use crate::support::tool::{Output, Tool};
use rustix::fs::{CWD, FileType, Mode, mkfifoat, mknodat};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

/// Maximum time of a run that must not wait: far below every timeout of the tool.
const AT_ONCE: Duration = Duration::from_secs(20);

/// A file that is not a regular one, with its other end open, so that an open of it works.
struct Special {
    fifo: Option<File>,
    _socket: Option<UnixListener>,
}

/// The kinds, by the word that messages have for them.
const KINDS: [&str; 4] = ["FIFO", "socket", "directory", "device"];

impl Special {
    /// Creates one at `path`. `kind` is of [`KINDS`], or "lonely FIFO" for one without any
    /// other end.
    fn at(path: &Path, kind: &str) -> Self {
        let (mut fifo, mut socket) = (None, None);
        match kind {
            "lonely FIFO" => mkfifoat(CWD, path, Mode::RWXU).unwrap(),
            "FIFO" => {
                mkfifoat(CWD, path, Mode::RWXU).unwrap();
                // Reader and writer at once: neither a read nor a write fails, and a read waits.
                let options = File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).clone();
                fifo = Some(options.open(path).unwrap());
            }
            "socket" => socket = Some(UnixListener::bind(path).unwrap()),
            "directory" => std::fs::create_dir(path).unwrap(),
            // /dev/zero never ends. Without the right to make devices, a link to it is as good.
            "device" => {
                let zero = rustix::fs::makedev(1, 5);
                if mknodat(CWD, path, FileType::CharacterDevice, Mode::RWXU, zero).is_err() {
                    symlink("/dev/zero", path).unwrap();
                }
            }
            other => panic!("{other} is no kind"),
        }
        Self { fifo, _socket: socket }
    }

    /// Asserts that nothing was written to it.
    #[track_caller]
    fn assert_untouched(mut self) {
        if let Some(fifo) = &mut self.fifo {
            let read = fifo.read(&mut [0; 16]);
            assert_eq!(read.map_err(|e| e.kind()), Err(ErrorKind::WouldBlock), "something was written to the FIFO");
        }
    }
}

/// Runs it to its end, which must come at once.
#[track_caller]
fn at_once(tool: Tool) -> Output {
    let begun = Instant::now();
    let output = tool.run();
    assert!(begun.elapsed() < AT_ONCE, "it waited {:?}: {output:?}", begun.elapsed());
    output
}
