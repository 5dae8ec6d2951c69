//! The keys of a run: from the configuration or `--key`.

use super::Context;
use crate::app::config;
use crate::base::error::{Error, Result};
use crate::base::secret::Reference;
use crate::formats::crypto::{self, Key, Keyring};
use crate::formats::manifest::MacKey;
use crate::pipeline::trust::Trust;

impl Context {
    /// Reads the keys of `[encryption]`.
    ///
    /// # Errors
    /// `Usage` that names the reference that cannot be used.
    pub fn keyring(&self) -> Result<Keyring> {
        let config = self.config()?;
        let primary = read(config.key()?)?;
        let old = config.encryption.old_keys.iter().map(|old| {
            let key = read(&old.key)?;
            Ok(match old.until {
                Some(until) => key.until(until),
                None => key,
            })
        });
        Ok(Keyring::new(primary, old.collect::<Result<_>>()?))
    }

    /// Reads the keys of `[encryption]`, to encrypt.
    ///
    /// # Errors
    /// As [`Context::keyring`], and `Usage` if the key is not random.
    pub fn random_keyring(&self) -> Result<Keyring> {
        let keyring = self.keyring()?;
        refuse_defect(self.config()?.key()?, keyring.primary())?;
        Ok(keyring)
    }

    /// Reads only the key of `--key`, or else [`Context::keyring`].
    ///
    /// # Errors
    /// `Usage` that names the reference that cannot be used.
    pub fn keyring_or(&self, flag: Option<&str>) -> Result<Keyring> {
        let Some(text) = flag else { return self.keyring() };
        Ok(Keyring::new(read(&reference(text, "--key")?)?, Vec::new()))
    }

    /// Reads the key of `keygen --manifest-key-of`.
    ///
    /// # Errors
    /// `Usage` that names the reference that cannot be used, or a key that is not random.
    pub fn signing_key(&self, text: &str) -> Result<Key> {
        let from = reference(text, "--manifest-key-of")?;
        let key = read(&from)?;
        refuse_defect(&from, &key)?;
        Ok(key)
    }

    /// Reads only the key of `--key`, or else the configured keys, if any.
    ///
    /// # Errors
    /// `Usage` that names the reference that cannot be used.
    pub fn keyring_if_any(&self, flag: Option<&str>) -> Result<Option<Keyring>> {
        let configured = self.config().is_ok_and(|config| config.encryption.key.is_some());
        if flag.is_some() || configured { self.keyring_or(flag).map(Some) } else { Ok(None) }
    }

    /// Reads the keys that verify manifests: those of the backup keys, and the manifest key.
    ///
    /// # Errors
    /// `Usage` that names the reference that cannot be used.
    pub fn mac_keys(&self) -> Result<Vec<MacKey>> {
        let section = &self.config()?.encryption;
        let mut keys = if section.key.is_some() { self.keyring()?.mac_keys() } else { Vec::new() };
        if let Some((from, hex)) = section.read_manifest_key()? {
            let key = crypto::keys::manifest_key_from_hex(&hex).map_err(|e| e.context(from))?;
            // Next to a backup key, which has its own, it can only be an old one.
            match keys.is_empty() {
                true => keys.push(key),
                false => keys.push(key.as_old()),
            }
        }
        Ok(keys)
    }

    /// Reads the keys that verify manifests, to delete backups.
    ///
    /// # Errors
    /// As [`Context::mac_keys`], and `Usage` if the backup key is not random: anyone could sign
    /// manifests.
    pub fn random_mac_keys(&self) -> Result<Vec<MacKey>> {
        if self.config()?.encryption.key.is_some() {
            self.random_keyring()?;
        }
        self.mac_keys()
    }

    /// Returns `keys` with the cluster whose backups count. Without a configured cluster, the backups
    /// of all clusters count.
    pub fn trust(&self, keys: Vec<MacKey>) -> Trust {
        let cluster = self.config().ok().and_then(|config| config.vault.cluster_id.clone());
        Trust { keys, cluster, rotation: self.rotation.clone() }
    }
}

fn reference(text: &str, flag: &str) -> Result<Reference> {
    config::key_reference(text).map_err(|allowed| Error::usage(format!("{flag}: {allowed}")))
}

fn read(from: &Reference) -> Result<Key> {
    Key::from_hex(&from.read_key()?).map_err(|e| e.context(from))
}

/// Refuses a key that was obviously not drawn at random.
fn refuse_defect(from: &Reference, key: &Key) -> Result<()> {
    match key.defect() {
        None => Ok(()),
        Some(why) => Err(Error::usage(format!("{from}: the backup key is not random: {why}"))
            .hint("make one with `vault-backup keygen`, and keep this one in encryption.old_keys for its backups")),
    }
}
