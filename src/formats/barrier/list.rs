//! Lists the names of secrets in KV mounts, without their values.
//!
//! Not here: the data (`kv`). Source: as `kv`. All names are kept in memory, because the
//! entries are not ordered by name.

use super::kv::{SecretVersion, warn_unless};
use super::mounts::{KvStorage, Mounts};
use super::proto;
use crate::base::error::Result;

/// A secret in the result of [`super::Barrier::list`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSecret {
    /// Full path with its mount.
    pub path: String,
    /// Current version, if any: KV v1 has no versions.
    pub current: Option<u64>,
    /// Known versions, in order; empty on KV v1.
    pub versions: Vec<SecretVersion>,
}

/// A KV mount that can contain names below the prefix.
struct ListedMount {
    mount: String,
    /// Prefix of the keys of its entries with one secret each.
    names: String,
    v2: bool,
}

/// Collects names while the entries are read.
pub(super) struct SecretListing {
    prefix: String,
    /// Ordered by `names`.
    targets: Vec<ListedMount>,
    found: Vec<ListedSecret>,
    complete: bool,
}

impl SecretListing {
    /// Starts a list of all secrets at or below the path `prefix`; all if it is empty.
    ///
    /// # Errors
    /// `Drill` if a mount below it has an unknown version of KV.
    pub(super) fn new(mounts: &Mounts, prefix: &str) -> Result<Self> {
        let prefix = prefix.trim_matches('/').to_owned();
        let mut targets = Vec::new();
        for mount in mounts.iter().filter(|mount| is_below(&mount.path, &prefix) || is_below(&prefix, &mount.path)) {
            let mount_path = mount.path.clone();
            match mount.kv()? {
                Some(KvStorage::V1(names)) => targets.push(ListedMount { mount: mount_path, names, v2: false }),
                Some(KvStorage::V2(storage)) => {
                    targets.push(ListedMount { mount: mount_path, names: format!("{storage}metadata/"), v2: true });
                }
                None => {}
            }
        }
        targets.sort_by(|a, b| a.names.cmp(&b.names));
        Ok(Self { prefix, targets, found: Vec::new(), complete: true })
    }

    /// Returns the mount whose secret the entry `name` describes, if any.
    fn target(&self, name: &str) -> Option<&ListedMount> {
        let after = self.targets.partition_point(|target| target.names.as_str() <= name);
        self.targets[..after].last().filter(|target| name.starts_with(&target.names))
    }

    /// Returns `true` if the plaintext of the entry `name` is needed.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.target(name).is_some()
    }

    /// Takes the plaintext of a wanted entry.
    ///
    /// # Errors
    /// `Drill`, naming the entry, if it is malformed.
    pub(super) fn take(&mut self, name: &str, plain: &[u8]) -> Result<()> {
        let Some(target) = self.target(name) else { return Ok(()) };
        let mut complete = true;
        let listed = if target.v2 {
            let metadata: proto::KeyMetadata;
            (metadata, complete) = proto::decode(name, plain)?;
            let versions = metadata.versions.iter().map(|(number, version)| SecretVersion::new(name, *number, version));
            ListedSecret {
                path: format!("{}{}", target.mount, metadata.key),
                current: Some(metadata.current_version),
                versions: versions.collect::<Result<_>>()?,
            }
        } else {
            let path = format!("{}{}", target.mount, &name[target.names.len()..]);
            ListedSecret { path, current: None, versions: Vec::new() }
        };
        self.complete &= complete;
        if is_below(&listed.path, &self.prefix) {
            self.found.push(listed);
        }
        Ok(())
    }

    /// Returns the secrets, ordered by path.
    pub(super) fn finish(mut self) -> Vec<ListedSecret> {
        warn_unless(self.complete, "metadata of secrets");
        self.found.sort_by(|a, b| a.path.cmp(&b.path));
        self.found
    }
}

/// Returns `true` if `path` is `directory` or below it. Every path is below the empty one.
fn is_below(path: &str, directory: &str) -> bool {
    let directory = directory.trim_end_matches('/');
    match path.strip_prefix(directory) {
        Some(rest) => directory.is_empty() || rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}
