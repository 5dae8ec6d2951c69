//! Python programs that the format is compared with.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The interpreter in `TEST_PYTHON`, else the one that tests/servers/python.sh makes.
pub fn interpreter() -> PathBuf {
    let ours = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
    std::env::var_os("TEST_PYTHON").map_or_else(ours, PathBuf::from)
}

/// Runs a Python program of this repository, from its root, with [`interpreter`].
pub fn python(arguments: &[&str]) -> Ran {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let interpreter = interpreter();
    let output = Command::new(&interpreter)
        .args(arguments)
        .current_dir(root)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap_or_else(|e| {
            panic!(
                "{} does not run ({e}): run tests/servers/python.sh, or set TEST_PYTHON to a Python with tink and cryptography",
                interpreter.display()
            )
        });
    let ran = Ran { program: arguments[0].to_owned(), output };
    assert!(
        !ran.stderr().contains("ModuleNotFoundError"),
        "{} lacks a package: run tests/servers/python.sh\n{}",
        interpreter.display(),
        ran.stderr()
    );
    ran
}

/// A Python program that has ended.
#[must_use]
pub struct Ran {
    program: String,
    output: Output,
}

impl Ran {
    fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// Returns its stdout; it must succeed.
    pub fn success(self) -> String {
        assert!(self.output.status.success(), "{}: {}", self.program, self.stderr());
        String::from_utf8(self.output.stdout).unwrap()
    }

    /// Returns its stderr; it must fail.
    pub fn failure(self) -> String {
        assert!(!self.output.status.success(), "{} must fail and did not", self.program);
        self.stderr()
    }
}
