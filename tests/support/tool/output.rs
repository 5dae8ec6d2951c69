//! The result of a run, with assertions on it.

use serde_json::Value;
use std::path::PathBuf;
use tempfile::TempDir;

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
    pub(super) line: String,
    pub(super) room: TempDir,
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
        // After a partial success, the first line says what succeeded.
        let succeeded = |line: &&str| code == 8 && line.contains("warning: completed with problems: ");
        let lines: Vec<_> = self.stderr.lines().filter(|line| !succeeded(line)).collect();
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
