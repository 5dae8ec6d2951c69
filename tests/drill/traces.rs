//! Finds the traces of a drill from outside: processes, directories, plaintext.

use crate::support::process::{PATIENCE, wait_for};
use crate::support::production::{PLANTED, Site};
use std::path::{Path, PathBuf};

/// The only directory in `tmp` and the server that runs in it; `None` while there is none.
pub(super) fn room(tmp: &Path) -> Option<(PathBuf, i32)> {
    let directory = std::fs::read_dir(tmp).unwrap().next()?.unwrap().path();
    // Not its starter, which has "$1" instead.
    let argument = format!(" server -config={}", directory.display());
    let server = processes(&directory).into_iter().find(|(_, line)| line.contains(&argument))?;
    Some((directory, server.0))
}

/// The processes that work in `directory`, even after its removal, or have it in an argument.
pub(super) fn processes(directory: &Path) -> Vec<(i32, String)> {
    let directory = directory.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let entry = entry.unwrap();
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let place = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        (line.contains(directory) || place.to_str()?.starts_with(directory)).then_some((pid, line))
    });
    processes.collect()
}

/// Asserts that nothing runs in `directory`. A killed process may take a moment to end.
#[track_caller]
pub(super) fn assert_gone(directory: &Path) {
    wait_for(&format!("the end of what runs in {}", directory.display()), PATIENCE, || {
        processes(directory).is_empty().then_some(())
    });
}

/// The file below `directory` that contains a secret in plaintext, if any. Files may come and
/// go meanwhile.
pub(super) fn plaintext_in(directory: &Path, site: &Site) -> Option<PathBuf> {
    let production = &site.production;
    let shares = production.vault.shares().iter().map(String::as_str);
    let secrets = [PLANTED, &production.key, &production.reader.1, production.vault.root_token()];
    let secrets: Vec<&str> = secrets.into_iter().chain(shares).collect();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => directories.push(path),
                Ok(kind) if kind.is_file() => {
                    let bytes = std::fs::read(&path).unwrap_or_default();
                    let text = String::from_utf8_lossy(&bytes);
                    if secrets.iter().any(|secret| text.contains(secret)) {
                        return Some(path);
                    }
                }
                _ => {}
            }
        }
    }
    None
}
