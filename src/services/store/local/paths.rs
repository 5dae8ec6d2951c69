//! Converts names of objects to paths in the store's directory and back.

use crate::base::atomic_file::Unsynced;
use crate::base::error::{Error, Result};
use crate::base::regular_file;
use crate::formats::naming::Role;
use crate::services::store::{Listed, Listing};
use std::fs::DirEntry;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Directory of a store.
pub(super) struct StoreDirectory(PathBuf);

impl StoreDirectory {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Returns the address of `name` for messages.
    pub(super) fn locate(&self, name: &str) -> String {
        format!("file://{}", self.0.join(name).display())
    }

    /// Returns a `Store` error: `what` failed for `name` with `error`.
    pub(super) fn failed(&self, what: &str, name: &str, error: io::Error) -> Error {
        let address = self.locate(name);
        match error.kind() {
            _ if Unsynced::is(&error) => Error::store(format!("{address}: {error}"))
                .hint("check the disk: after a power failure the file may be lost"),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::store(format!("{address}: the store is full"))
                .because(error)
                .hint("free space there, or run vault-backup prune"),
            ErrorKind::NotFound => Error::store(format!("{address}: no such object")),
            ErrorKind::PermissionDenied => Error::store(format!("{address}: {what}"))
                .because(error)
                .hint("run as the user that owns the store's directory"),
            _ => Error::store(format!("{address}: {what}")).because(error),
        }
    }

    /// Returns the path of `name`.
    ///
    /// # Errors
    /// `Store` for a name that leads out of the directory, by `..` or a symbolic link. A
    /// concurrent change is not detected: a user who can do that can also delete backups.
    pub(super) fn resolve(&self, name: &str) -> Result<PathBuf> {
        let mut path = self.0.clone();
        let mut may_exist = true;
        for part in name.split('/') {
            if matches!(part, "" | "." | "..") || part.contains('\0') {
                return Err(Error::store(format!("{}: not a valid object name", self.locate(name))));
            }
            path.push(part);
            if may_exist {
                match std::fs::symlink_metadata(&path) {
                    Ok(meta) if meta.is_symlink() => {
                        return Err(Error::store(format!(
                            "{}: {} is a symbolic link",
                            self.locate(name),
                            path.display()
                        ))
                        .hint("use the link's target as store.url: the store does not follow symbolic links"));
                    }
                    Ok(_) => {}
                    Err(_) => may_exist = false,
                }
            }
        }
        Ok(path)
    }

    /// Returns the directory of names that begin with `prefix`, or its nearest parent that
    /// exists.
    pub(super) fn nearest_directory(&self, prefix: &str) -> Result<PathBuf> {
        let directory = prefix.rsplit_once('/').map_or("", |(directory, _)| directory);
        let path = if directory.is_empty() { self.0.clone() } else { self.resolve(directory)? };
        let existing = path.ancestors().find(|p| p.exists());
        Ok(existing.unwrap_or(Path::new("/")).to_owned())
    }

    /// Removes the day's or month's directory of `name` if it is empty.
    pub(super) fn remove_empty_directory(&self, name: &str) {
        if let Some((directory, _)) = name.rsplit_once('/')
            && directory.split_once('/').is_some_and(|(kind, rest)| is_kind(kind) && !rest.contains('/'))
        {
            // Fails if the directory is not empty or was removed before.
            let _ = std::fs::remove_dir(self.0.join(directory));
        }
    }

    /// Lists the plain files whose name begins with `prefix` and that `wanted` accepts, and
    /// keeps those that `ours` accepts. Skips names that are not UTF-8 and all other files: this
    /// program creates none. Notes those with the name of a backup or its documents.
    pub(super) fn walk(
        &self,
        prefix: &str,
        wanted: impl Fn(&str) -> bool,
        ours: impl Fn(&str) -> bool,
    ) -> Result<Listing> {
        let mut files = Listing::default();
        let mut directories = vec![String::new()];
        while let Some(directory) = directories.pop() {
            let entries = match std::fs::read_dir(self.0.join(&directory)) {
                Ok(entries) => entries,
                // A concurrent prune removed it.
                Err(e) if e.kind() == ErrorKind::NotFound && !directory.is_empty() => continue,
                Err(e) => return Err(self.list_error(&directory, e)),
            };
            for entry in entries {
                let entry = entry.map_err(|e| self.list_error(&directory, e))?;
                let Ok(base) = entry.file_name().into_string() else { continue };
                let kind = entry.file_type().map_err(|e| self.list_error(&directory, e))?;
                let name = format!("{directory}{base}");
                if kind.is_dir() {
                    let below = format!("{name}/");
                    if below.starts_with(prefix) || prefix.starts_with(&below) {
                        directories.push(below);
                    }
                } else if kind.is_file() && name.starts_with(prefix) && wanted(&name) {
                    if let Some(file) = listed(&entry, name).map_err(|e| self.list_error(&directory, e))? {
                        files.add(file, &ours, &self.locate(""))?;
                    }
                } else if !kind.is_file() && name.starts_with(prefix) && Role::of(&name) != Role::Foreign {
                    files.skipped.push((name, regular_file::kind(kind)));
                }
            }
        }
        Ok(files.sorted())
    }

    /// Returns every name that begins with `prefix` in its directory, whatever has the name.
    pub(super) fn entries(&self, prefix: &str) -> Result<Vec<String>> {
        let (directory, _) = prefix.rsplit_once('/').unwrap_or_default();
        let entries = match std::fs::read_dir(self.resolve(directory)?) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|e| self.list_error(directory, e))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let base = entry.map_err(|e| self.list_error(directory, e))?.file_name();
            let name = format!("{directory}/{}", base.to_string_lossy());
            if name.starts_with(prefix) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn list_error(&self, directory: &str, error: io::Error) -> Error {
        let address = self.locate(directory);
        if error.kind() == ErrorKind::NotFound {
            return Error::store(format!("{address}: no such directory"))
                .hint("check that the volume is mounted; the first backup creates the directory");
        }
        Error::store(format!("{address}: cannot be listed")).because(error)
    }
}

fn is_kind(directory: &str) -> bool {
    crate::formats::naming::BackupType::ALL.iter().any(|kind| kind.as_str() == directory)
}

/// Returns `None` if the file was removed meanwhile.
fn listed(entry: &DirEntry, name: String) -> io::Result<Option<Listed>> {
    match entry.metadata() {
        Ok(meta) => Ok(Some(Listed { name, size: meta.len(), modified: meta.modified().ok().map(Into::into) })),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_reported_with_a_hint() {
        let root = StoreDirectory::new("/backups".into());
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
            let line = root.failed("cannot be written", "daily/x", kind.into()).to_string();
            assert!(line.starts_with("file:///backups/daily/x: the store is full") && line.contains("prune"), "{line}");
        }
    }
}
