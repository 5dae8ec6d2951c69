//! Master keys: their text form, their derived keys, and the keyring for decryption.
//!
//! Not here: reading a key from a file or the environment (`secret`).

use super::randomness;
use crate::base::error::{Error, Result};
use crate::base::secret::Secret;
use crate::formats::manifest::{KeyEnd, MacKey};
use chrono::{DateTime, Utc};
use ring::rand::SecureRandom;
use ring::{hkdf, hmac, rand};
use std::fmt;
use std::sync::Once;
use zeroize::Zeroizing;

/// Length of a key, in bytes.
const LEN: usize = 32;

/// A master key: 32 bytes, wiped on drop, never printed.
pub struct Key {
    bytes: Zeroizing<[u8; LEN]>,
    id: String,
    manifest: Zeroizing<[u8; LEN]>,
    drill: Zeroizing<[u8; LEN]>,
    canary: Zeroizing<[u8; LEN]>,
    end: KeyEnd,
}

impl Key {
    /// Parses the text form: 64 hex digits.
    ///
    /// # Errors
    /// `Usage` for any other text, which the error does not repeat.
    pub fn from_hex(text: &Secret) -> Result<Self> {
        Self::new(decode(text, "the backup key")?)
    }

    /// Generates a new key.
    ///
    /// # Errors
    /// `Unexpected` if the system's random source fails.
    pub fn generate() -> Result<Self> {
        let mut bytes = Zeroizing::new([0; LEN]);
        rand::SystemRandom::new().fill(bytes.as_mut_slice()).map_err(|_| no_random())?;
        Self::new(bytes)
    }

    fn new(bytes: Zeroizing<[u8; LEN]>) -> Result<Self> {
        let id = hex::encode(derive(&bytes, "vault-backup/v1/key-id")?);
        let manifest = derive(&bytes, "vault-backup/v1/manifest")?;
        let drill = derive(&bytes, "vault-backup/v1/drill")?;
        let canary = derive(&bytes, "vault-backup/v1/canary")?;
        Ok(Self { bytes, id, manifest, drill, canary, end: KeyEnd::Never })
    }

    /// Returns the key as an old one whose backups and drill records count only if they are
    /// dated before `until`.
    #[must_use]
    pub fn until(self, until: DateTime<Utc>) -> Self {
        Self { end: KeyEnd::At(until), ..self }
    }

    /// Returns the reason why the key was obviously not drawn at random, if there is one.
    pub fn defect(&self) -> Option<&'static str> {
        randomness::defect(&self.bytes)
    }

    /// Returns the text form: 64 lower-case hex digits.
    pub fn to_hex(&self) -> Secret {
        Secret::new(hex::encode(self.bytes.as_slice()))
    }

    /// Returns the text form of the manifest key: 64 lower-case hex digits. That key signs
    /// and verifies manifests and cannot decrypt.
    pub fn manifest_key_to_hex(&self) -> Secret {
        Secret::new(hex::encode(self.manifest.as_slice()))
    }

    /// Returns the key id: 64 lower-case hex digits that commit to the key without revealing it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the keys for the MACs of manifests and drill records.
    pub fn mac_key(&self) -> MacKey {
        MacKey {
            key_id: Some(self.id.clone()),
            manifest: self.manifest.clone(),
            drill: Some(self.drill.clone()),
            end: self.end,
        }
    }

    /// Returns the keyed hash of a canary's value, in hex: HMAC-SHA-256 over its canonical JSON.
    pub fn canary_hash(&self, canonical: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.canary.as_slice());
        hex::encode(hmac::sign(&key, canonical.as_bytes()))
    }

    pub(super) fn bytes(&self) -> &[u8; LEN] {
        &self.bytes
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Parses `encryption.manifest_key`: 64 hex digits. The key signs and verifies manifests
/// and cannot decrypt.
///
/// # Errors
/// `Usage` for any other text, which the error does not repeat, and for a key that is not
/// random: anyone could sign with it.
pub fn manifest_key_from_hex(text: &Secret) -> Result<MacKey> {
    let manifest = decode(text, "the manifest key")?;
    randomness::defect(&manifest).map_or(Ok(()), |why| {
        Err(Error::usage(format!("the manifest key is not random: {why}"))
            .hint("derive it with `vault-backup keygen --manifest-key-of`"))
    })?;
    Ok(MacKey { key_id: None, manifest, drill: None, end: KeyEnd::Never })
}

/// The key for encryption, and old keys that are only used for decryption.
#[derive(Debug)]
pub struct Keyring {
    /// All keys, the primary key first.
    keys: Vec<Key>,
    warned: Once,
}

impl Keyring {
    /// Creates a keyring of `primary` and `old`. An old key without an end of its own ends
    /// at the first backup under `primary`.
    pub fn new(primary: Key, old: Vec<Key>) -> Self {
        let mut keys = vec![primary];
        keys.extend(old.into_iter().map(|key| Key { end: key.end.of_old_key(), ..key }));
        Self { keys, warned: Once::new() }
    }

    /// Returns the key for encryption.
    pub fn primary(&self) -> &Key {
        &self.keys[0]
    }

    /// Returns the key with this id, if any.
    pub fn find(&self, id: &str) -> Option<&Key> {
        self.iter().find(|key| key.id == id)
    }

    /// Warns once of a backup under a key that is not random. It must stay readable.
    pub(crate) fn warn_of_defect(&self, id: &str) {
        if let Some(why) = self.find(id).and_then(Key::defect) {
            self.warned.call_once(|| {
                tracing::warn!("the backup is encrypted with a key that is not random ({why}): anyone can guess it");
            });
        }
    }

    /// Returns all keys, the primary key first.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    /// Returns the MAC keys of all keys, those of the primary key first.
    pub fn mac_keys(&self) -> Vec<MacKey> {
        self.iter().map(Key::mac_key).collect()
    }
}

/// Derives a key with HKDF-SHA-256 and an empty salt.
fn derive(key: &[u8; LEN], info: &str) -> Result<Zeroizing<[u8; LEN]>> {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(key);
    let mut out = Zeroizing::new([0; LEN]);
    prk.expand(&[info.as_bytes()], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(out.as_mut_slice()))
        .map_err(|_| Error::unexpected(format!("{info} could not be derived")))?;
    Ok(out)
}

fn decode(text: &Secret, what: &str) -> Result<Zeroizing<[u8; LEN]>> {
    let text = text.expose();
    let mut bytes = Zeroizing::new([0; LEN]);
    hex::decode_to_slice(text, bytes.as_mut_slice()).map_err(|_| {
        let why = if text.len() == 2 * LEN {
            "contains a character that is not a hex digit".to_owned()
        } else {
            format!("has {} characters, not 64", text.chars().count())
        };
        let reference = ["file:", "env:", "credential:", "/"].iter().any(|start| text.starts_with(start));
        Error::usage(format!("{what} {why}")).hint(match reference {
            true => "give the key itself here; encryption.key and --key take a reference to a file",
            false => "use 64 hex digits, as `vault-backup keygen` writes them",
        })
    })?;
    Ok(bytes)
}

pub(super) fn no_random() -> Error {
    Error::unexpected("the system's random source failed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Kind;

    #[test]
    fn derived_keys_match_an_independent_implementation() {
        // Computed with Python's `cryptography`: HKDF(SHA256, 32, b"", info) of 32 bytes 0x5a.
        let key = Key::from_hex(&Secret::new("5A".repeat(32))).unwrap();
        let mac = key.mac_key();
        assert_eq!(key.id(), "6bc1f1358c69edd0de42bce8438316ce7619969b74e3fa18c654558a3821a222");
        assert_eq!(
            hex::encode(mac.manifest.as_slice()),
            "824353ed4b26b72cc2706e55e8a0024b86b6545c47c78d8c64d1daa7cc6dbb1d"
        );
        assert_eq!(
            hex::encode(mac.drill.unwrap().as_slice()),
            "8d7f6624ca129760348d55e7df993761136c0b8a90f35991b70321e6f6704fd3"
        );
        assert_eq!((mac.key_id.as_deref(), key.to_hex().expose()), (Some(key.id()), "5a".repeat(32).as_str()));
        let alone = manifest_key_from_hex(&Secret::new(hex::encode(mac.manifest.as_slice()))).unwrap();
        assert_eq!((alone.key_id, alone.manifest, alone.drill), (None, mac.manifest, None));
        // HMAC-SHA-256 of {"a":1} under HKDF with info vault-backup/v1/canary, computed in the same way.
        assert_eq!(key.canary_hash("{\"a\":1}"), "af3de157d1bc0c07ce51cc662cd8443f5f915c88158ebb7517749f2b6b682ecf");
    }

    #[test]
    fn old_keys_end_and_the_primary_key_does_not() {
        let key = || Key::generate().unwrap();
        let until = DateTime::UNIX_EPOCH;
        let ends: Vec<_> =
            Keyring::new(key(), vec![key(), key().until(until)]).mac_keys().iter().map(|key| key.end).collect();
        assert_eq!(ends, [KeyEnd::Never, KeyEnd::AtRotation, KeyEnd::At(until)]);
    }

    #[test]
    fn a_manifest_key_that_is_not_random_is_refused() {
        let error = manifest_key_from_hex(&Secret::new("00".repeat(32))).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert!(error.to_string().contains("not random: all of its bytes are equal"), "{error}");
    }

    #[test]
    fn debug_output_never_contains_a_key() {
        let text = "5a".repeat(32);
        let key = Key::from_hex(&Secret::new(text.clone())).unwrap();
        let keys = Keyring::new(key, vec![Key::generate().unwrap()]);
        assert!(!format!("{keys:?} {:?}", keys.mac_keys()).contains(&text[..8]));
        assert_eq!(keys.find(keys.iter().last().unwrap().id()).unwrap().id(), keys.iter().last().unwrap().id());
        assert!(keys.find("5a").is_none());
    }

    #[test]
    fn malformed_keys_are_refused_and_not_repeated() {
        for (text, says) in [
            (String::new(), "has 0 characters, not 64"),
            ("file:/etc/vault-backup/key".to_owned(), "give the key itself here"),
            ("5a".repeat(31), "has 62 characters, not 64"),
            ("5a".repeat(33), "has 66 characters, not 64"),
            (format!(" {}", "5a".repeat(32)), "has 65 characters"),
            ("5x".repeat(32), "not a hex digit"),
            ("é5".repeat(22), "has 44 characters"),
        ] {
            for error in [
                Key::from_hex(&Secret::new(text.clone())).unwrap_err(),
                manifest_key_from_hex(&Secret::new(text.clone())).unwrap_err(),
            ] {
                assert_eq!(error.kind(), Kind::Usage);
                assert!(error.to_string().contains(says), "{error}");
                assert!(!error.to_string().contains("5a5a") && !error.to_string().contains("5x5x"), "{error}");
            }
        }
    }

    #[test]
    fn generated_keys_differ() {
        assert_ne!(Key::generate().unwrap().id(), Key::generate().unwrap().id());
    }
}
