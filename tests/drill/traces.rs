//! What a drill may leave behind: processes, folders, plaintext. Looked for from
//! outside.

use crate::support::process::{PATIENCE, wait_for};
use crate::support::production::{PLANTED, Site};
use std::path::{Path, PathBuf};

/// The one folder in `tmp`, and the server that runs in it; `None` while there is none.
pub(super) fn room(tmp: &Path) -> Option<(PathBuf, i32)> {
    let folder = std::fs::read_dir(tmp).unwrap().next()?.unwrap().path();
    // Not what starts it, which says "$1" instead.
    let argument = format!(" server -config={}", folder.display());
    let server = processes(&folder).into_iter().find(|(_, line)| line.contains(&argument))?;
    Some((folder, server.0))
}

/// The processes that work in `folder`, also if it is gone, or name something in it.
pub(super) fn processes(folder: &Path) -> Vec<(i32, String)> {
    let folder = folder.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let entry = entry.unwrap();
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let place = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        (line.contains(folder) || place.to_str()?.starts_with(folder)).then_some((pid, line))
    });
    processes.collect()
}

/// Asserts that nothing runs in `folder`. What was killed may take a moment to be gone.
#[track_caller]
pub(super) fn assert_gone(folder: &Path) {
    wait_for(&format!("the end of what runs in {}", folder.display()), PATIENCE, || {
        processes(folder).is_empty().then_some(())
    });
}

/// The file below `folder` that holds a secret in plain, if there is one. Files may
/// come and go meanwhile.
pub(super) fn plaintext_in(folder: &Path, site: &Site) -> Option<PathBuf> {
    let production = &site.production;
    let shares = production.vault.shares().iter().map(String::as_str);
    let secrets = [PLANTED, &production.key, &production.reader.1, production.vault.root_token()];
    let secrets: Vec<&str> = secrets.into_iter().chain(shares).collect();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
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
