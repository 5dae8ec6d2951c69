//! The names of secrets in KV mounts, without their values.
//!
//! Here: which entries name secrets, and what they say. Not here: the data (`kv`).
//! Source: as `kv`. The names are held in memory, for they come in no useful order.

use super::kv::{SecretVersion, warn_unless};
use super::mounts::{Kv, Mounts};
use super::proto;
use crate::base::error::Result;

/// One secret, as [`super::Barrier::list`] names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSecret {
    /// Its whole path, mount first.
    pub path: String,
    /// Its current version; `None` on KV v1, which has none.
    pub current: Option<u64>,
    /// Its versions that there is something known of, in order; none on KV v1.
    pub versions: Vec<SecretVersion>,
}

/// A KV mount that can hold names below the prefix.
struct ListedMount {
    mount: String,
    /// What the keys of the entries begin with that stand for a secret each.
    names: String,
    v2: bool,
}

/// The names being gathered while the entries pass.
pub(super) struct Listing {
    prefix: String,
    /// In order of `names`.
    targets: Vec<ListedMount>,
    found: Vec<ListedSecret>,
    complete: bool,
}

impl Listing {
    /// All secrets at or below `prefix`, which ends at a `/` or where a name ends;
    /// all there are if it is empty.
    ///
    /// # Errors
    /// `Drill` where a mount below it is of a version of KV that is not known.
    pub(super) fn new(mounts: &Mounts, prefix: &str) -> Result<Self> {
        let prefix = prefix.trim_matches('/').to_owned();
        let mut targets = Vec::new();
        for mount in mounts.iter().filter(|mount| is_below(&mount.path, &prefix) || is_below(&prefix, &mount.path)) {
            let mount_path = mount.path.clone();
            match mount.kv()? {
                Some(Kv::V1(names)) => targets.push(ListedMount { mount: mount_path, names, v2: false }),
                Some(Kv::V2(storage)) => {
                    targets.push(ListedMount { mount: mount_path, names: format!("{storage}metadata/"), v2: true });
                }
                None => {}
            }
        }
        targets.sort_by(|a, b| a.names.cmp(&b.names));
        Ok(Self { prefix, targets, found: Vec::new(), complete: true })
    }

    /// Which target's secret the entry `name` stands for.
    fn target(&self, name: &str) -> Option<&ListedMount> {
        let after = self.targets.partition_point(|target| target.names.as_str() <= name);
        self.targets[..after].last().filter(|target| name.starts_with(&target.names))
    }

    /// Whether the plaintext of the entry `name` is needed.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.target(name).is_some()
    }

    /// Takes the plaintext of an entry that is wanted.
    ///
    /// # Errors
    /// `Drill`, naming the entry, where it is not what it should be.
    pub(super) fn take(&mut self, name: &str, plain: &[u8]) -> Result<()> {
        let Some(target) = self.target(name) else { return Ok(()) };
        let mut complete = true;
        let listed = if target.v2 {
            let metadata: proto::KeyMetadata;
            (metadata, complete) = proto::decode(name, plain)?;
            let versions = metadata.versions.iter().map(|(number, facts)| SecretVersion::new(name, *number, facts));
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

    /// The secrets, in order of path.
    pub(super) fn finish(mut self) -> Vec<ListedSecret> {
        warn_unless(self.complete, "metadata of secrets");
        self.found.sort_by(|a, b| a.path.cmp(&b.path));
        self.found
    }
}

/// Whether `path` is `folder` or lies below it; everything lies below the empty one.
fn is_below(path: &str, folder: &str) -> bool {
    let folder = folder.trim_end_matches('/');
    match path.strip_prefix(folder) {
        Some(rest) => folder.is_empty() || rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}
