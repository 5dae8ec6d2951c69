//! Tests of the documents: every `sh` block of the README and of the runbook runs, in order,
//! against real servers; every configuration in them is parsed; the quickstart works; the
//! JSON Schemas are current.
//!
//! Commands that cannot run here, such as installing or a crontab, are `console` or `text`
//! blocks.

mod links;
mod markdown;
mod operations;
mod readme;
mod runbook;
pub mod schema;
mod words;

use crate::support::python::interpreter;
use crate::support::tool::{Tool, program};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Returns a path below the project's root.
fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap()
}

/// Returns a shell that runs `script` with the tool on its `PATH` and stops at the first error.
fn shell(script: &str) -> Tool {
    program("bash").args(["-euxo", "pipefail", "-c", script]).env("PATH", path())
}

/// Returns the `PATH` of such a shell.
fn path() -> OsString {
    // This Python has the packages that the documents ask for.
    let programs = [PathBuf::from(env!("CARGO_BIN_EXE_vault-backup")), interpreter()];
    let directories = programs.iter().filter_map(|program| program.parent()).map(Path::to_owned);
    let rest = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(directories.chain(std::env::split_paths(&rest))).unwrap()
}
