//! The built binary, run as a user's shell or cron would: with a clean
//! environment, and with nothing said on stderr when all is well.

mod output;

pub use output::Output;

use crate::support::process::{PATIENCE, Process, spawn, temp_dir};
use rustix::process::Signal;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Seek, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The binary with no arguments yet.
pub fn tool() -> Tool {
    program(env!("CARGO_BIN_EXE_vault-backup"))
}

/// Any other program, such as a script among the examples, run in the same way.
pub fn program(program: impl AsRef<OsStr>) -> Tool {
    let room = temp_dir();
    for dir in ["home", "tmp", "run"] {
        std::fs::create_dir(room.path().join(dir)).unwrap();
    }
    let dir = |name: &str| room.path().join(name).into_os_string();
    let env = vec![
        ("PATH".into(), std::env::var_os("PATH").unwrap_or_default()),
        ("HOME".into(), dir("home")),
        ("TMPDIR".into(), dir("tmp")),
        ("XDG_RUNTIME_DIR".into(), dir("run")),
    ];
    let program = program.as_ref().to_owned();
    let cwd = room.path().join("home");
    Tool { program, cwd, room, args: Vec::new(), env, stdin: Vec::new(), secrets: Vec::new() }
}

/// One run of the binary, being prepared. `HOME`, `TMPDIR` and `XDG_RUNTIME_DIR`
/// are its own empty directories; it starts in `HOME`.
#[must_use]
pub struct Tool {
    program: OsString,
    room: TempDir,
    cwd: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    stdin: Vec<u8>,
    secrets: Vec<String>,
}

impl Tool {
    /// Adds one argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets environment variables.
    pub fn envs<K: AsRef<OsStr>, V: AsRef<OsStr>>(self, vars: impl IntoIterator<Item = (K, V)>) -> Self {
        vars.into_iter().fold(self, |tool, (key, value)| tool.env(key, value))
    }

    /// Has its end assert that none of `secrets` was said anywhere.
    pub fn keeps<S: Into<String>>(mut self, secrets: impl IntoIterator<Item = S>) -> Self {
        self.secrets.extend(secrets.into_iter().map(Into::into));
        self
    }

    /// Gives it `bytes` on stdin, which otherwise is empty.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Starts it in `dir`.
    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        dir.as_ref().clone_into(&mut self.cwd);
        self
    }

    /// Has files' permissions apply to it, also where it is root's.
    pub fn without_override(self) -> Self {
        match rustix::process::geteuid().is_root() {
            true => self.under("setpriv", &["--bounding-set=-dac_override,-dac_read_search"]),
            false => self,
        }
    }

    /// Has `program`, with these arguments, start it.
    pub fn under(mut self, program: &str, args: &[&str]) -> Self {
        let started = std::mem::replace(&mut self.program, program.into());
        self.args.splice(0..0, args.iter().map(OsString::from).chain([started]));
        self
    }

    /// Starts it in a shell, after `script`, such as `ulimit -n 7`.
    pub fn after(self, script: &str) -> Self {
        self.under("bash", &["-c", &format!("{script}; exec \"$0\" \"$@\"")])
    }

    /// Its `HOME`, to put files into.
    pub fn home(&self) -> PathBuf {
        self.room.path().join("home")
    }

    /// Its `TMPDIR`, unless it is given another.
    pub fn tmp(&self) -> PathBuf {
        self.room.path().join("tmp")
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// If that doesn't come within [`PATIENCE`].
    pub fn run(self) -> Output {
        self.start().wait()
    }

    /// Starts it.
    pub fn start(self) -> Running {
        let mut stdin = tempfile::tempfile().unwrap();
        stdin.write_all(&self.stdin).unwrap();
        stdin.rewind().unwrap();
        let file = |name: &str| File::create(self.room.path().join(name)).unwrap();
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear().envs(self.env).current_dir(&self.cwd);
        command.stdin(stdin).stdout(file("stdout")).stderr(file("stderr"));
        let line = format!("{} {}", self.program.display(), self.args.join(OsStr::new(" ")).display());
        let child = spawn(command).unwrap_or_else(|e| panic!("cannot start {line}: {e}"));
        let process = Process::of(&line, child, &self.room.path().join("stderr"));
        Running { process, line, room: self.room, secrets: self.secrets }
    }
}

/// The binary while it runs; killed if dropped.
pub struct Running {
    process: Process,
    line: String,
    room: TempDir,
    secrets: Vec<String>,
}

impl Running {
    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Returns `true` while it runs.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Sends `signal`.
    pub fn signal(&mut self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Its `HOME`.
    pub fn home(&self) -> PathBuf {
        self.room.path().join("home")
    }

    /// Its `TMPDIR`.
    pub fn tmp(&self) -> PathBuf {
        self.room.path().join("tmp")
    }

    /// Returns its stderr so far.
    pub fn stderr(&self) -> String {
        self.process.log()
    }

    /// Polls `probe` until it gives a value; panics if the run ends before.
    pub fn wait_for<T>(&mut self, what: &str, probe: impl FnMut() -> Option<T>) -> T {
        self.process.wait_for(what, probe)
    }

    /// Waits until `main` has begun, before which nothing can handle a signal: until the
    /// runtime of Rust handles a stack overflow.
    pub fn wait_for_main(&mut self) {
        let status = format!("/proc/{}/status", self.pid());
        while self.process.is_running() {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let caught =
                text.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigCgt:")?.trim(), 16).ok());
            if caught.is_some_and(|mask| mask & (1 << (libc::SIGSEGV - 1)) != 0) {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Asserts that it does not end within `time`.
    pub fn goes_on_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            assert!(self.process.is_running(), "{} ended: {}", self.line, self.stderr());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If that doesn't come within [`PATIENCE`].
    pub fn wait(mut self) -> Output {
        let status = self.process.wait(PATIENCE);
        let read = |name: &str| std::fs::read(self.room.path().join(name)).unwrap();
        let stderr = String::from_utf8(read("stderr")).expect("UTF-8 on stderr");
        let dumped_core = status.core_dumped();
        let output = Output {
            status: status.code(),
            dumped_core,
            stdout: read("stdout"),
            stderr,
            line: self.line,
            room: self.room,
        };
        self.secrets.iter().for_each(|secret| {
            output.never_says(secret);
        });
        output
    }
}
