//! Namespaces: finds the keyring that encrypts the entries below `namespaces/<uuid>/`.
//!
//! Reads the tree from the names of entries, and decrypts sealable namespaces, which have
//! a separate keyring. Not here: the secrets in them. Source: OpenBao 2.6
//! `vault/namespace_store.go`, `vault/seal_manager.go`. `core/namespaces/<uuid>` and
//! `namespaces/<parent>/core/namespaces/<child>` describe a namespace, encrypted with the
//! keyring of its parent. A sealable namespace has its `core/keyring`,
//! `core/hsm/barrier-unseal-keys` and `core/seal-config`; only the last is encrypted with
//! the parent's keyring.

use super::keyring::{self, BarrierKeyring};
use super::seal::{self, SealConfig, WrappedRootKey};
use super::{UnsealKeys, Values, shamir};
use crate::base::error::{Error, Result};
use crate::formats::share::Share;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use zeroize::Zeroizing;

/// Prefix of the entries of all namespaces.
pub(super) const PREFIX: &str = "namespaces/";
/// First key after all entries of namespaces.
pub(super) const AFTER: &str = "namespaces0";
/// Prefix of the entries that describe the root's children.
pub(super) const CHILDREN: &str = "core/namespaces/";

/// A namespace other than the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Uuid, which is part of the keys of its entries.
    pub uuid: String,
    /// Path, such as `team/`, if known: it is encrypted with the parent's keyring.
    pub path: Option<String>,
    /// `true` if it has a separate seal.
    pub sealable: bool,
    /// `true` if its entries are decrypted: the shares of the nearest sealable namespace
    /// (itself or above) were given, or there is none.
    pub opened: bool,
}

impl Namespace {
    /// Returns the path, or the uuid if the path is unknown.
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

/// Keyring that encrypts an entry.
pub(super) enum EntryKeyring<'a> {
    /// This keyring.
    Keyring(&'a BarrierKeyring),
    /// None: the seal itself wraps the entry.
    WrappedBySeal,
    /// The keyring of a sealable namespace whose shares were not given.
    Locked,
}

/// Splits the name of an entry below `namespaces/` into uuid and rest.
pub(super) fn split(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PREFIX)?.split_once('/')
}

/// Returns `true` if the entry `name` is needed for the tree or its keys.
pub(super) fn is_needed(name: &str) -> bool {
    let of_namespace = |rest: &str| {
        [keyring::ENTRY, seal::CONFIG_ENTRY, seal::KEYS_ENTRY].contains(&rest) || rest.starts_with(CHILDREN)
    };
    name.starts_with(CHILDREN) || split(name).is_some_and(|(_, rest)| of_namespace(rest))
}

#[derive(Deserialize)]
struct NamespaceDescription {
    path: String,
}

impl Namespaces {
    /// Reads the tree from `values` and unseals every namespace whose shares are in `keys`.
    ///
    /// # Errors
    /// `Drill`, naming the namespace, for wrong shares or an entry that cannot be
    /// decrypted; `Usage` for shares of a namespace that does not exist.
    pub(super) fn read(values: &mut Values, root: &BarrierKeyring, keys: &UnsealKeys) -> Result<Self> {
        let names: BTreeSet<&str> = values.keys().map(String::as_str).collect();
        let mut tree = Self::of_names(&names);
        let mut pending: Vec<String> = tree.0.keys().cloned().collect();
        // Parents before children. After a pass without progress, the rest stays encrypted.
        loop {
            let before = pending.len();
            let mut left = Vec::new();
            for uuid in pending {
                if !tree.describe(&uuid, values, root, keys)? {
                    left.push(uuid);
                }
            }
            if left.is_empty() || left.len() == before {
                break;
            }
            pending = left;
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

    /// Reads a namespace's path, and unseals it if it is sealable and its shares are given.
    /// Returns `false` while its parent is not decrypted.
    fn describe(&mut self, uuid: &str, values: &mut Values, root: &BarrierKeyring, keys: &UnsealKeys) -> Result<bool> {
        let Some(namespace) = self.0.get(uuid) else { return Ok(true) };
        let (parent, sealable) = (namespace.parent.clone(), namespace.sealable);
        let Some(above) = self.effective(parent.as_deref(), root) else { return Ok(false) };
        let name = match &parent {
            Some(parent) => format!("{PREFIX}{parent}/{CHILDREN}{uuid}"),
            None => format!("{CHILDREN}{uuid}"),
        };
        let Some(encrypted) = values.get_mut(&name) else { return Ok(true) };
        let (_, plain) = above.decrypt(&name, encrypted)?;
        // A later version may write it in another form. The tree does not need it.
        let path = serde_json::from_slice(plain).ok().map(|NamespaceDescription { path }| path);
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

    /// Returns the keyring of `namespace`: its own, or that of the nearest sealable
    /// namespace above, or the root's. `None` if it is not decrypted.
    fn effective<'a>(&'a self, namespace: Option<&'a str>, root: &'a BarrierKeyring) -> Option<&'a BarrierKeyring> {
        let mut current = namespace;
        // A longer chain than the number of namespaces is a forged cycle.
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

    /// Returns the keyring that encrypts the entry `name`, below `namespaces/`.
    pub(super) fn keyring_of<'a>(&'a self, name: &str, root: &'a BarrierKeyring) -> EntryKeyring<'a> {
        let Some((uuid, rest)) = split(name) else { return EntryKeyring::Keyring(root) };
        // Left over from a deleted namespace: its keyring is unknown.
        let Some((uuid, node)) = self.0.get_key_value(uuid) else { return EntryKeyring::Locked };
        let owner = match rest {
            seal::KEYS_ENTRY if node.sealable => return EntryKeyring::WrappedBySeal,
            seal::CONFIG_ENTRY if node.sealable => node.parent.as_deref(),
            _ => Some(uuid.as_str()),
        };
        self.effective(owner, root).map_or(EntryKeyring::Locked, EntryKeyring::Keyring)
    }

    /// Returns all namespaces, ordered by name.
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
                Err(Error::usage(format!(
                    "shares were given for namespace {path}, which is not a sealable namespace of this backup"
                ))
                .hint(format!("give shares only for its sealable namespaces: {there}")))
            }
        }
    }
}

/// Returns the uuid of the namespace that `shares` belong to, if any, for a message. Its
/// path is encrypted with keys that are not available.
pub(super) fn belonging_to(values: &Values, shares: &[Share]) -> Option<String> {
    let key = shamir::combine(&shares.iter().collect::<Vec<_>>())?;
    let of = values.iter().filter_map(|(name, value)| Some((split(name)?, value)));
    let mut stored = of.filter(|((_, rest), _)| *rest == seal::KEYS_ENTRY);
    stored.find_map(|((uuid, _), value)| {
        let wrapped = WrappedRootKey::parse(value).ok()?;
        wrapped.unwrap_with_shares(&key).ok()?.map(|_| uuid.to_owned())
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
    let mut encrypted = values.get(&config).cloned().ok_or_else(|| missing(&config))?;
    let config = SealConfig::parse(&config, above.decrypt(&config, &mut encrypted)?.1)?;
    let stored: Zeroizing<Vec<u8>> = values.get(&stored).cloned().ok_or_else(|| missing(&stored))?;
    let context = |e: Error| e.context(format!("namespace {path}"));
    let root = config.root_key(Some(&stored), shares, None, |_| false).map_err(context)?;
    let mut encrypted = values.get(&ring).cloned().ok_or_else(|| missing(&ring))?;
    BarrierKeyring::unlock(&root, &ring, &mut encrypted)?
        .ok_or_else(|| Error::drill(format!("{ring}: authentication failed with the namespace's root key")))
}

/// Returns `true` if both texts mean the same path of a namespace.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.trim_matches('/') == b.trim_matches('/')
}
