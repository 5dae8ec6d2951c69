//! The documents are run: every `sh` block of the README and of the runbook, in
//! order, against real servers; every configuration in them is parsed; and the
//! quickstart is what the README says that it is.
//!
//! What cannot run here, such as installing or a crontab, is a `console` or
//! `text` block there.

mod links;
mod markdown;
mod operations;
mod readme;
mod runbook;

use crate::support::tool::{Tool, program};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// A path below the project's root.
fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap()
}

/// A shell that runs `script` as a careful reader would type it, the tool on its `PATH`.
fn shell(script: &str) -> Tool {
    let folder = |program: &OsStr| Path::new(program).parent().map(Path::to_owned);
    let tool = folder(env!("CARGO_BIN_EXE_vault-backup").as_ref());
    // The Python that has what the documents tell one to install.
    let python = std::env::var_os("TEST_PYTHON").and_then(|program| folder(&program));
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(tool.into_iter().chain(python).chain(std::env::split_paths(&rest))).unwrap();
    program("bash").args(["-euxo", "pipefail", "-c", script]).env("PATH", path)
}
