//! Unlocks the barrier with the user's keys: selects the entries that are needed and
//! decrypts them in order.
//!
//! Not here: the steps (`seal`, `keyring`, `namespaces`, `mounts`).

use super::entries::Entry;
use super::keyring::{self, BarrierKeyring};
use super::mounts::Mounts;
use super::namespaces::{self, Namespaces};
use super::seal::{self, SealConfig, SealKey};
use super::{Barrier, Values};
use crate::base::error::{Error, Result};
use crate::formats::product::Product;
use crate::formats::share::{self, Share};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// First key after all keys under `core/`.
const AFTER_CORE: &str = "core0";

/// The keys that unseal a snapshot.
#[derive(Clone, Debug, Default)]
pub struct UnsealKeys {
    /// Shares of the server's seal.
    pub shares: Vec<Share>,
    /// Shares of sealable namespaces, by path.
    pub namespaces: BTreeMap<String, Vec<Share>>,
    /// Key of OpenBao's seal `static`, if any.
    pub seal_key: Option<SealKey>,
}

impl UnsealKeys {
    /// Creates keys from shares of the server's seal alone.
    pub fn of_shares(shares: Vec<Share>) -> Self {
        Self { shares, ..Self::default() }
    }

    pub(super) fn of_namespace(&self, path: &str) -> Option<&[Share]> {
        self.namespaces.iter().find(|(name, _)| namespaces::same(name, path)).map(|(_, shares)| shares.as_slice())
    }
}

/// The entries with the keys and the mounts.
#[derive(Default)]
pub(super) struct CoreEntries {
    values: Values,
    /// `true` if there are namespaces (OpenBao `vault/namespace_store.go`).
    namespaces: bool,
    /// `true` if an entry was seen that only OpenBao writes: the lock of its
    /// initialisation, or a mount in a separate entry.
    openbao: bool,
}

impl CoreEntries {
    /// Returns the first key that is not needed.
    pub(super) fn end(&self) -> &'static str {
        if self.namespaces { namespaces::AFTER } else { AFTER_CORE }
    }

    pub(super) fn keep(&mut self, entry: &Entry<'_>) {
        let key = entry.key;
        let needed = [seal::CONFIG_ENTRY, seal::KEYS_ENTRY, keyring::ENTRY].contains(&key);
        if needed || Mounts::is_table(key) || namespaces::is_needed(key) {
            self.values.insert(key.to_owned(), Zeroizing::new(entry.value.to_vec()));
        }
        self.namespaces |= key.starts_with(namespaces::CHILDREN);
        self.openbao |= key == "core/initialize-lock" || key.starts_with("core/mounts/");
    }

    pub(super) fn unlock(self, keys: &UnsealKeys) -> Result<Barrier> {
        let Self { values: mut core, namespaces, openbao } = self;
        let seal = SealConfig::parse(seal::CONFIG_ENTRY, &take(&mut core, seal::CONFIG_ENTRY)?)?;
        let stored = core.remove(seal::KEYS_ENTRY);
        let encrypted = take(&mut core, keyring::ENTRY)?;
        let unlock = |root: &[u8; 32]| BarrierKeyring::unlock(root, keyring::ENTRY, &mut encrypted.clone());
        let is_root_key = |root: &[u8; 32]| matches!(unlock(root), Ok(Some(_)) | Err(_));
        let root =
            seal.root_key(stored.as_deref().map(Vec::as_slice), &keys.shares, keys.seal_key.as_ref(), is_root_key);
        let root = root.map_err(|e| match namespaces::belonging_to(&core, &keys.shares) {
            Some(uuid) => {
                let origins = share::origins(&keys.shares);
                Error::drill(format!(
                    "the shares ({origins}) belong to the namespace with uuid {uuid}, not to the server's seal"
                ))
                .hint("give them as --share NAMESPACE=REF, and the server's shares as --share REF")
            }
            None => e,
        })?;
        let keyring = unlock(&root)?
            .ok_or_else(|| Error::drill(format!("{}: authentication failed with the root key", keyring::ENTRY)))?;
        let tree = Namespaces::read(&mut core, &keyring, keys)?;
        let (mounts, others) = Mounts::read(&mut core, &keyring)?;
        let product = if openbao { Product::OpenBao } else { Product::Vault };
        Ok(Barrier { seal, keyring, mounts, tree, namespaces: namespaces || others, product })
    }
}

/// Removes the entry `name` from `core`.
fn take(core: &mut Values, name: &str) -> Result<Zeroizing<Vec<u8>>> {
    core.remove(name).ok_or_else(|| Error::drill(format!("the snapshot has no {name}: its Vault was not initialised")))
}
