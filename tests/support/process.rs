//! Child processes that never outlive their test, reserved loopback ports, and waiting by
//! polling.

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with, sockopt};
use rustix::process::{Pid, Signal, getpid, getppid, kill_process, set_parent_process_death_signal};
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::{Duration, Instant};

/// Maximum time for anything to become ready: CI machines are slow and loaded.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Maximum time for a process to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(15);

const POLL: Duration = Duration::from_millis(20);

/// Polls `probe` until it gives a value.
///
/// # Panics
/// When `patience` has passed, saying what was waited for.
pub fn wait_for<T>(what: &str, patience: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(start.elapsed() < patience, "waited {} s in vain for {what}", patience.as_secs());
        std::thread::sleep(POLL);
    }
}

/// A new private directory, removed on drop. Its path is short: the sockets in
/// it must fit into 108 bytes.
pub fn temp_dir() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("vb-test-").tempdir().unwrap()
}

/// A loopback TCP port that is ours for as long as this value lives.
///
/// It is bound, but not listened on, with `SO_REUSEADDR`: the kernel does
/// not give it to a process that asks for any free port, while a server that sets
/// `SO_REUSEADDR` (Go's and Rust's do) can listen on it, and do so again after a restart.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _held: OwnedFd,
}

impl Port {
    /// Reserves a free port.
    pub fn reserve() -> Self {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, Some(ipproto::TCP)).unwrap();
        sockopt::set_socket_reuseaddr(&socket, true).unwrap();
        rustix::net::bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = SocketAddr::try_from(rustix::net::getsockname(&socket).unwrap()).unwrap();
        Self { number: address.port(), _held: socket }
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.number)
    }
}

/// A running child process; killed and awaited on drop.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` with nothing on stdin, and stdout and stderr appended to
    /// the file `log`. `name` is what failures call it.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Self {
        let out = File::options().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        let what = format!("{command:?}");
        let child = spawn(command).unwrap_or_else(|e| panic!("{name}: cannot start {what}: {e}"));
        Self::of(name, child, log)
    }

    /// Takes charge of `child`, made by [`spawn`], which writes to the file `log`.
    pub fn of(name: &str, child: Child, log: &Path) -> Self {
        Self { name: name.to_owned(), child, log: log.to_owned(), ended: None }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns its output so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Returns `true` while it runs.
    pub fn is_running(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended.is_none()
    }

    /// Polls `probe` until it gives a value.
    ///
    /// # Panics
    /// When the process has ended, or `PATIENCE` has passed.
    pub fn wait_for<T>(&mut self, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
        let name = self.name.clone();
        wait_for(&format!("{name}: {what}"), PATIENCE, || {
            let value = probe();
            assert!(value.is_some() || self.is_running(), "{name} ended before {what}: {:?}", self.ended);
            value
        })
    }

    /// Sends `signal`, unless it has ended.
    pub fn signal(&mut self, signal: Signal) {
        // Not yet awaited, so the id is still this child's.
        if self.is_running() {
            let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
            kill_process(pid, signal).unwrap();
        }
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When `patience` has passed.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        wait_for(&what, patience, || {
            self.is_running();
            self.ended
        })
    }

    /// Ends it in good order: SIGTERM, and SIGKILL if that doesn't help.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let start = Instant::now();
        while self.is_running() && start.elapsed() < GRACE {
            std::thread::sleep(POLL);
        }
        self.kill();
    }

    /// Ends it at once: SIGKILL.
    pub fn kill(&mut self) {
        if self.is_running() {
            self.child.kill().unwrap();
            self.ended = Some(self.child.wait().unwrap());
        }
    }
}

impl Drop for Process {
    /// SIGKILL rather than SIGTERM: its data is thrown away, and Vault takes seconds to go.
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(40)..].join("\n");
            eprintln!("--- {}, {:?}, the end of its log ---\n{tail}\n---", self.name, self.ended);
        }
    }
}

type Job = (Command, mpsc::Sender<io::Result<Child>>);

/// The thread that makes all children. The kernel sends the signal that
/// `set_parent_process_death_signal` asks for when the *thread* that spawned the
/// child ends, and a test's thread ends before its process does.
static SPAWNER: LazyLock<mpsc::Sender<Job>> = LazyLock::new(|| {
    let (jobs, inbox) = mpsc::channel::<Job>();
    let serve = move || {
        for (mut command, answer) in inbox {
            let _ = answer.send(command.spawn());
        }
    };
    std::thread::Builder::new().name("spawner".into()).spawn(serve).unwrap();
    jobs
});

/// Spawns `command` so that it dies with this process, even by `kill -9`.
#[allow(unsafe_code, reason = "the death signal can only be asked for between fork and exec")]
pub fn spawn(mut command: Command) -> io::Result<Child> {
    let parent = getpid();
    let die_with_parent = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have gone before the line above.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    };
    // SAFETY: two system calls; no allocation, no lock, as is required after fork.
    unsafe { command.pre_exec(die_with_parent) };
    let (answer, result) = mpsc::channel();
    SPAWNER.send((command, answer)).unwrap();
    result.recv().unwrap()
}
