//! Environment and open files of the programs that this process starts: without its own secrets.

use std::collections::BTreeSet;
use std::sync::Mutex;

/// Prefix of this program's own variables.
const OWN: &str = "VAULT_BACKUP_";
/// Variables of Vault's clients with a token.
const TOKENS: [&str; 2] = ["VAULT_TOKEN", "BAO_TOKEN"];

/// Names of the variables that references name.
static REFERENCED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Notes that the variable `name` contains a secret.
pub(super) fn note_secret(name: &str) {
    if let Ok(mut names) = REFERENCED.lock() {
        names.insert(name.to_owned());
    }
}

/// Returns the variables of this process that no child process may have.
pub(crate) fn secret_variables() -> Vec<String> {
    let referenced = REFERENCED.lock().map(|names| names.clone()).unwrap_or_default();
    let is_secret =
        |name: &String| name.starts_with(OWN) || TOKENS.contains(&name.as_str()) || referenced.contains(name);
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).filter(is_secret).collect()
}

/// Keeps the files that this process was started with, except for the standard streams, from the
/// programs that it starts. One may be the pipe of a shell's `--key <(command)`.
#[expect(unsafe_code, reason = "a descriptor of a file that was inherited has no safe interface")]
pub(crate) fn keep_inherited_files() {
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers = open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    for number in numbers.filter(|number| *number > 2) {
        // SAFETY: it only sets a flag, which every file that this process opens itself has already.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}
