//! Names of objects as paths below the store's folder, and the way back.

use crate::base::error::{Error, Result};
use crate::services::store::Listed;
use std::fs::DirEntry;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The store's folder.
pub(super) struct Root(PathBuf);

impl Root {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The address of `name`, for messages.
    pub(super) fn locate(&self, name: &str) -> String {
        format!("file://{}", self.0.join(name).display())
    }

    /// An error of class `Store`: `what` happened to `name` because of `error`.
    pub(super) fn failed(&self, what: &str, name: &str, error: io::Error) -> Error {
        let address = self.locate(name);
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::store(format!("{address}: the store is full"))
                .because(error)
                .hint("free space there, or run vault-backup prune"),
            ErrorKind::NotFound => Error::store(format!("{address}: no such object")),
            ErrorKind::PermissionDenied => Error::store(format!("{address}: {what}"))
                .because(error)
                .hint("run as the user that owns the store's folder"),
            _ => Error::store(format!("{address}: {what}")).because(error),
        }
    }

    /// The path of `name`.
    ///
    /// # Errors
    /// `Store` for a name that would leave the folder, lexically or over a symbolic
    /// link. Who can change the folder meanwhile can delete the backups anyway.
    pub(super) fn resolve(&self, name: &str) -> Result<PathBuf> {
        let mut path = self.0.clone();
        let mut may_exist = true;
        for part in name.split('/') {
            if matches!(part, "" | "." | "..") || part.contains('\0') {
                return Err(Error::store(format!("{}: that name cannot be a file's", self.locate(name))));
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
                        .hint("the store follows none; give the folder it leads to as the store's URL"));
                    }
                    Ok(_) => {}
                    Err(_) => may_exist = false,
                }
            }
        }
        Ok(path)
    }

    /// The folder that names beginning with `prefix` are in, or the nearest one above
    /// it that exists.
    pub(super) fn nearest_folder(&self, prefix: &str) -> Result<PathBuf> {
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let path = if folder.is_empty() { self.0.clone() } else { self.resolve(folder)? };
        let existing = path.ancestors().find(|p| p.exists());
        Ok(existing.unwrap_or(Path::new("/")).to_owned())
    }

    /// Removes the day's or month's folder that `name` was in, if it is empty.
    pub(super) fn tidy(&self, name: &str) {
        if let Some((folder, _)) = name.rsplit_once('/')
            && folder.split_once('/').is_some_and(|(kind, rest)| is_kind(kind) && !rest.contains('/'))
        {
            // It is not empty, or gone already: both are fine.
            let _ = std::fs::remove_dir(self.0.join(folder));
        }
    }

    /// All plain files whose name begins with `prefix`, temporary ones included, in
    /// order of name. Symbolic links, and names that are not UTF-8, are passed over:
    /// they are nobody's that this program knows.
    pub(super) fn walk(&self, prefix: &str) -> Result<Vec<Listed>> {
        let mut files = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let entries = match std::fs::read_dir(self.0.join(&folder)) {
                Ok(entries) => entries,
                // A prune at the same time took it away.
                Err(e) if e.kind() == ErrorKind::NotFound && !folder.is_empty() => continue,
                Err(e) => return Err(self.unlisted(&folder, e)),
            };
            for entry in entries {
                let entry = entry.map_err(|e| self.unlisted(&folder, e))?;
                let Ok(base) = entry.file_name().into_string() else { continue };
                let kind = entry.file_type().map_err(|e| self.unlisted(&folder, e))?;
                let name = format!("{folder}{base}");
                if kind.is_dir() {
                    let below = format!("{name}/");
                    if below.starts_with(prefix) || prefix.starts_with(&below) {
                        folders.push(below);
                    }
                } else if kind.is_file() && name.starts_with(prefix) {
                    files.extend(listed(&entry, name).map_err(|e| self.unlisted(&folder, e))?);
                }
            }
        }
        files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    fn unlisted(&self, folder: &str, error: io::Error) -> Error {
        let address = self.locate(folder);
        if error.kind() == ErrorKind::NotFound {
            return Error::store(format!("{address}: there is no such folder"))
                .hint("the first backup makes it; is the right volume mounted?");
        }
        Error::store(format!("{address}: cannot be listed")).because(error)
    }
}

fn is_kind(folder: &str) -> bool {
    crate::formats::naming::BackupType::ALL.iter().any(|kind| kind.as_str() == folder)
}

/// `None` if the file went away meanwhile.
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
    fn a_full_disk_is_named() {
        let root = Root::new("/backups".into());
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
            let line = root.failed("cannot be written", "daily/x", kind.into()).to_string();
            assert!(line.starts_with("file:///backups/daily/x: the store is full") && line.contains("prune"), "{line}");
        }
    }
}
