//! Sets the version that `--version` prints: `0.1.0 (4799e2e 2026-11-25)`.
//!
//! The commit and its date come from the variable `VAULT_BACKUP_COMMIT`, as packagers set
//! it, or from git. Without both, as in a source archive, the version stands alone. The
//! time of the build is not in it: the same sources give the same binary.

#![allow(clippy::print_stdout, reason = "cargo reads it")]

use std::path::Path;
use std::process::Command;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=VAULT_BACKUP_COMMIT");
    // Written to by each commit and checkout.
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(root, &["rev-parse", "--git-path", name]).filter(|path| root.join(path).exists()) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    let commit = std::env::var("VAULT_BACKUP_COMMIT").ok().filter(|text| !text.is_empty()).or_else(|| commit(root));
    println!("cargo:rustc-env=VAULT_BACKUP_VERSION={}", version(env!("CARGO_PKG_VERSION"), commit.as_deref()));
}

/// Returns the version with the commit, if any.
pub fn version(version: &str, commit: Option<&str>) -> String {
    commit.map_or_else(|| version.to_owned(), |commit| format!("{version} ({commit})"))
}

/// Returns the short hash and the date of the commit that is checked out at `root`, if any.
pub fn commit(root: &Path) -> Option<String> {
    let text = git(root, &["log", "-1", "--no-show-signature", "--format=%H %cd", "--date=format:%Y-%m-%d"])?;
    let (hash, date) = text.split_once(' ')?;
    // Always 7 digits: git's own short form is longer in a larger clone.
    Some(format!("{} {date}", hash.get(..7)?))
}

/// Returns the output of a git command. A repository that merely contains `root` is not ours.
fn git(root: &Path, args: &[&str]) -> Option<String> {
    if !root.join(".git").exists() {
        return None;
    }
    let output = Command::new("git").arg("-C").arg(root).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
