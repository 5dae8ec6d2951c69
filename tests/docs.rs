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

use crate::support::python::interpreter;
use crate::support::tool::{Tool, program};
use std::ffi::OsString;
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
    program("bash").args(["-euxo", "pipefail", "-c", script]).env("PATH", path())
}

/// The `PATH` of such a shell.
fn path() -> OsString {
    // The Python is the one that has what the documents tell one to install.
    let programs = [PathBuf::from(env!("CARGO_BIN_EXE_vault-backup")), interpreter()];
    let folders = programs.iter().filter_map(|program| program.parent()).map(Path::to_owned);
    let rest = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(folders.chain(std::env::split_paths(&rest))).unwrap()
}
