//! Namespaces: which keyring the entries below `namespaces/<uuid>/` are under.
//!
//! Here: the tree, read from the names of entries, and sealable namespaces, which have a
//! keyring of their own. Not here: the secrets in them. Source: OpenBao 2.6
//! `vault/namespace_store.go`, `vault/seal_manager.go`. `core/namespaces/<uuid>` and
//! `namespaces/<parent>/core/namespaces/<child>` describe a namespace, under the keyring
//! of its parent. A sealable one has `core/keyring`, `core/hsm/barrier-unseal-keys` and
//! `core/seal-config` of its own; only the last is under the parent's keyring.

use super::keyring::{self, BarrierKeyring};
use super::seal::{self, Blob, SealConfig};
use super::{UnsealKeys, Values, shamir};
use crate::base::error::{Error, Result};
use crate::formats::share::Share;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use zeroize::Zeroizing;

/// Stands before the entries of all namespaces.
pub(super) const PREFIX: &str = "namespaces/";
/// The first key after all entries of namespaces.
pub(super) const AFTER: &str = "namespaces0";
/// Stands before the entries that describe the root's children.
pub(super) const CHILDREN: &str = "core/namespaces/";

/// A namespace other than the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its uuid, which the keys of its entries name.
    pub uuid: String,
    /// Its path, such as `team/`; absent where its parent is not open.
    pub path: Option<String>,
    /// Whether it has a seal of its own.
    pub sealable: bool,
    /// Whether its entries are opened: its shares, or those of the next sealable
    /// namespace above it, were given, or there is none.
    pub opened: bool,
}

impl Namespace {
    /// The path; the uuid where the path is not known.
    pub fn name(&self) -> &str {
        self.path.as_deref().unwrap_or(&self.uuid)
    }
}

struct NamespaceNode {
    parent: Option<String>,
    path: Option<String>,
    sealable: bool,
    keyring: Option<BarrierKeyring>,
}

/// All namespaces of a snapshot, by uuid.
#[derive(Default)]
pub(super) struct Namespaces(BTreeMap<String, NamespaceNode>);

/// Keyring that an entry is under.
pub(super) enum Under<'a> {
    /// This one.
    Keyring(&'a BarrierKeyring),
    /// None: the seal itself wraps it.
    Seal,
    /// That of a sealable namespace that is not open.
    Unopened,
}

/// Splits the name of an entry below `namespaces/` into uuid and rest.
pub(super) fn split(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PREFIX)?.split_once('/')
}

/// Whether the entry `name` says something about the tree or its keys.
pub(super) fn is_needed(name: &str) -> bool {
    let of_namespace = |rest: &str| {
        [keyring::ENTRY, seal::CONFIG_ENTRY, seal::KEYS_ENTRY].contains(&rest) || rest.starts_with(CHILDREN)
    };
    name.starts_with(CHILDREN) || split(name).is_some_and(|(_, rest)| of_namespace(rest))
}

#[derive(Deserialize)]
struct Description {
    path: String,
}

impl Namespaces {
    /// Reads the tree from `values`, and opens every namespace whose shares are among `keys`.
    ///
    /// # Errors
    /// `Drill`, naming the namespace, for shares that do not open it or an entry that
    /// does not open; `Usage` for shares of a namespace that is not there.
    pub(super) fn read(values: &mut Values, root: &BarrierKeyring, keys: &UnsealKeys) -> Result<Self> {
        let names: BTreeSet<&str> = values.keys().map(String::as_str).collect();
        let mut tree = Self::of_names(&names);
        let mut open: Vec<String> = tree.0.keys().cloned().collect();
        // Parents before children; a pass without progress leaves what nobody can open.
        loop {
            let before = open.len();
            let mut left = Vec::new();
            for uuid in open {
                if !tree.describe(&uuid, values, root, keys)? {
                    left.push(uuid);
                }
            }
            if left.is_empty() || left.len() == before {
                break;
            }
            open = left;
        }
        tree.check_all_used(keys)?;
        Ok(tree)
    }

    fn of_names(names: &BTreeSet<&str>) -> Self {
        let mut tree = Self::default();
        for name in names {
            let (parent, uuid) = match (name.strip_prefix(CHILDREN), split(name)) {
                (Some(child), _) => (None, child),
                (None, Some((parent, rest))) => match rest.strip_prefix(CHILDREN) {
                    Some(child) => (Some(parent.to_owned()), child),
                    None => continue,
                },
                (None, None) => continue,
            };
            let sealable = names.contains(format!("{PREFIX}{uuid}/{}", keyring::ENTRY).as_str());
            tree.0.insert(uuid.to_owned(), NamespaceNode { parent, path: None, sealable, keyring: None });
        }
        tree
    }

    /// Finds out a namespace's path, and opens it if it is sealable and its shares are
    /// given; false while its parent is not open.
    fn describe(&mut self, uuid: &str, values: &mut Values, root: &BarrierKeyring, keys: &UnsealKeys) -> Result<bool> {
        let Some(namespace) = self.0.get(uuid) else { return Ok(true) };
        let (parent, sealable) = (namespace.parent.clone(), namespace.sealable);
        let Some(above) = self.effective(parent.as_deref(), root) else { return Ok(false) };
        let name = match &parent {
            Some(parent) => format!("{PREFIX}{parent}/{CHILDREN}{uuid}"),
            None => format!("{CHILDREN}{uuid}"),
        };
        let Some(sealed) = values.get_mut(&name) else { return Ok(true) };
        let (_, plain) = above.open(&name, sealed)?;
        // A later version may write it in another form; the tree is known without it.
        let path = serde_json::from_slice(plain).ok().map(|Description { path }| path);
        let shares = path.as_ref().filter(|_| sealable).and_then(|path| Some((path, keys.of_namespace(path)?)));
        let opened = match shares {
            Some((path, shares)) => Some(unlock(uuid, path, values, above, shares)?),
            None => None,
        };
        if let Some(namespace) = self.0.get_mut(uuid) {
            namespace.path = path;
            namespace.keyring = opened;
        }
        Ok(true)
    }

    /// The keyring of `namespace`: its own, or that of the next sealable one above; the
    /// root's if there is none. `None` where it is not open.
    fn effective<'a>(&'a self, namespace: Option<&'a str>, root: &'a BarrierKeyring) -> Option<&'a BarrierKeyring> {
        let mut current = namespace;
        // No chain is longer than there are namespaces, unless somebody made it up.
        for _ in 0..=self.0.len() {
            let Some(uuid) = current else { return Some(root) };
            let found = self.0.get(uuid)?;
            if found.sealable {
                return found.keyring.as_ref();
            }
            current = found.parent.as_deref();
        }
        None
    }

    /// The keyring that the entry `name`, below `namespaces/`, is under.
    pub(super) fn under<'a>(&'a self, name: &str, root: &'a BarrierKeyring) -> Under<'a> {
        let Some((uuid, rest)) = split(name) else { return Under::Keyring(root) };
        // Left over from a namespace that was deleted: nothing says whose it is.
        let Some((uuid, node)) = self.0.get_key_value(uuid) else { return Under::Unopened };
        let owner = match rest {
            seal::KEYS_ENTRY if node.sealable => return Under::Seal,
            seal::CONFIG_ENTRY if node.sealable => node.parent.as_deref(),
            _ => Some(uuid.as_str()),
        };
        self.effective(owner, root).map_or(Under::Unopened, Under::Keyring)
    }

    /// All namespaces, in order of their names.
    pub(super) fn all(&self, root: &BarrierKeyring) -> Vec<Namespace> {
        let describe = |(uuid, node): (&String, &NamespaceNode)| Namespace {
            uuid: uuid.clone(),
            path: node.path.clone(),
            sealable: node.sealable,
            opened: self.effective(Some(uuid), root).is_some(),
        };
        let mut all: Vec<_> = self.0.iter().map(describe).collect();
        all.sort_by(|a, b| a.name().cmp(b.name()));
        all
    }

    fn check_all_used(&self, keys: &UnsealKeys) -> Result<()> {
        let sealable = || self.0.iter().filter(|(_, node)| node.sealable);
        let names = || sealable().map(|(uuid, node)| node.path.as_ref().unwrap_or(uuid).as_str());
        match keys.namespaces.keys().find(|path| !names().any(|name| same(name, path))) {
            None => Ok(()),
            Some(path) => {
                let mut names: Vec<_> = names().collect();
                names.sort_unstable();
                let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                Err(Error::usage(format!("shares are given for the namespace {path}, which is not sealable here"))
                    .hint(format!("sealable namespaces of this backup: {there}")))
            }
        }
    }
}

/// The uuid of the namespace that `shares` open instead of the server's own seal, for a
/// message. Its path is encrypted under the keys that are missing.
pub(super) fn belonging_to(values: &Values, shares: &[Share]) -> Option<String> {
    let key = shamir::combine(&shares.iter().collect::<Vec<_>>())?;
    let of = values.iter().filter_map(|(name, value)| Some((split(name)?, value)));
    let mut stored = of.filter(|((_, rest), _)| *rest == seal::KEYS_ENTRY);
    stored.find_map(|((uuid, _), value)| {
        let blob = Blob::parse(value).ok()?;
        blob.shamir(&key).ok()?.map(|_| uuid.to_owned())
    })
}

fn unlock(
    uuid: &str,
    path: &str,
    values: &mut Values,
    above: &BarrierKeyring,
    shares: &[Share],
) -> Result<BarrierKeyring> {
    let at = |entry: &str| format!("{PREFIX}{uuid}/{entry}");
    let missing = |name: &str| Error::drill(format!("the snapshot has no {name}"));
    let (config, stored, ring) = (at(seal::CONFIG_ENTRY), at(seal::KEYS_ENTRY), at(keyring::ENTRY));
    let mut sealed = values.get(&config).cloned().ok_or_else(|| missing(&config))?;
    let config = SealConfig::parse(&config, above.open(&config, &mut sealed)?.1)?;
    let stored: Zeroizing<Vec<u8>> = values.get(&stored).cloned().ok_or_else(|| missing(&stored))?;
    let context = |e: Error| e.context(format!("namespace {path}"));
    let root = config.open(Some(&stored), shares, None, |_| false).map_err(context)?;
    let mut sealed = values.get(&ring).cloned().ok_or_else(|| missing(&ring))?;
    BarrierKeyring::unlock(&root, &ring, &mut sealed)?
        .ok_or_else(|| Error::drill(format!("{ring}: authentication failed under the namespace's root key")))
}

/// Whether two ways to write a namespace's path mean the same one.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.trim_matches('/') == b.trim_matches('/')
}
