//! The built binary, run as a user's shell or cron would: with a clean
//! environment, and with nothing said on stderr when all is well.

use crate::support::process::{PATIENCE, Process, spawn, temp_dir};
use rustix::process::Signal;
use serde_json::Value;
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
    pub fn without_override(mut self) -> Self {
        if rustix::process::geteuid().is_root() {
            let program = std::mem::replace(&mut self.program, "setpriv".into());
            self.args.splice(0..0, ["--bounding-set=-dac_override,-dac_read_search".into(), program]);
        }
        self
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

/// The result of a run. A failing assertion shows all of it.
#[must_use = "a run proves nothing if its exit code is not checked"]
pub struct Output {
    /// The exit code; `None` after a signal that was not handled.
    pub status: Option<i32>,
    /// `true` if a signal caused a core dump.
    pub dumped_core: bool,
    /// All of stdout.
    pub stdout: Vec<u8>,
    /// All of stderr.
    pub stderr: String,
    line: String,
    room: TempDir,
}

impl Output {
    /// Asserts success, in silence on stderr.
    #[track_caller]
    pub fn ok(&self) -> &Self {
        self.code(0).stderr_is("")
    }

    /// Asserts failure with exit code `code`, and on stderr one line, at most followed by
    /// a hint, with all of `parts`.
    #[track_caller]
    pub fn fails(&self, code: i32, parts: &[&str]) -> &Self {
        assert_ne!(code, 0, "{self:?}");
        self.code(code);
        let lines: Vec<_> = self.stderr.lines().collect();
        let hinted = lines.len() == 2 && lines[1].starts_with("hint: ");
        assert!(lines.len() == 1 || hinted, "one line on stderr expected, and at most a hint: {self:?}");
        parts.iter().for_each(|part| {
            self.stderr_contains(part);
        });
        self
    }

    /// Asserts the exit code alone.
    #[track_caller]
    pub fn code(&self, code: i32) -> &Self {
        assert_eq!(self.status, Some(code), "{self:?}");
        self
    }

    /// Asserts all of stdout.
    #[track_caller]
    pub fn stdout_is(&self, text: &str) -> &Self {
        assert_eq!(self.text(), text, "{self:?}");
        self
    }

    /// Asserts a part of stdout.
    #[track_caller]
    pub fn stdout_contains(&self, text: &str) -> &Self {
        assert!(self.text().contains(text), "no {text:?} on stdout: {self:?}");
        self
    }

    /// Asserts all of stderr.
    #[track_caller]
    pub fn stderr_is(&self, text: &str) -> &Self {
        assert_eq!(self.stderr, text, "{self:?}");
        self
    }

    /// Asserts a part of stderr.
    #[track_caller]
    pub fn stderr_contains(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "no {text:?} on stderr: {self:?}");
        self
    }

    /// Asserts that `text`, a secret, is said nowhere.
    #[track_caller]
    pub fn never_says(&self, text: &str) -> &Self {
        assert!(!self.text().contains(text) && !self.stderr.contains(text), "{text:?} is said: {self:?}");
        self
    }

    /// Asserts that its `HOME` and `TMPDIR` hold nothing but `home`, names in `HOME`.
    #[track_caller]
    pub fn leaves(&self, home: &[&str]) -> &Self {
        let list = |dir: &str| {
            let entries = std::fs::read_dir(self.room.path().join(dir)).unwrap();
            let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(list("home"), home, "in HOME: {self:?}");
        assert!(list("tmp").is_empty(), "in TMPDIR {:?}: {self:?}", list("tmp"));
        self
    }

    /// Its `HOME`, to look at what it wrote.
    pub fn home(&self) -> PathBuf {
        self.room.path().join("home")
    }

    /// Stdout as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Returns the JSON document on stdout. It must fit the command's schema.
    #[track_caller]
    pub fn json(&self) -> Value {
        let document = serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|e| panic!("stdout is not one JSON document, {e}: {self:?}"));
        if let Err(violations) = crate::docs::schema::output::check(&self.line, &document) {
            panic!("the document does not fit docs/schema: {violations}: {self:?}");
        }
        document
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stdout: String = self.text().chars().take(4000).collect();
        let (line, status, stderr) = (&self.line, self.status, &self.stderr);
        write!(f, "\n$ {line}\n--- stdout ---\n{stdout}\n--- stderr ---\n{stderr}\n--- exit {status:?} ---")
    }
}
