//! Master keys: their text form, what is derived from them, and the ring of
//! keys that decrypt.
//!
//! Not here: reading a key from a file or the environment (`secret`).

use crate::error::{Error, Result};
use crate::manifest::MacKey;
use crate::secret::Secret;
use ring::rand::SecureRandom;
use ring::{hkdf, rand};
use std::fmt;
use zeroize::Zeroizing;

/// Length of a key, in bytes.
const LEN: usize = 32;

/// A master key: 32 bytes, wiped on drop, never printed.
pub struct Key {
    bytes: Zeroizing<[u8; LEN]>,
    id: String,
    manifest: Zeroizing<[u8; LEN]>,
    drill: Zeroizing<[u8; LEN]>,
}

impl Key {
    /// Reads the text form: 64 hex digits.
    ///
    /// # Errors
    /// `Usage` for anything else; the text is not repeated.
    pub fn from_hex(text: &Secret) -> Result<Self> {
        Self::new(decode(text, "the backup key")?)
    }

    /// Draws a new key.
    ///
    /// # Errors
    /// `Unexpected` if the system has no random numbers.
    pub fn generate() -> Result<Self> {
        let mut bytes = Zeroizing::new([0; LEN]);
        rand::SystemRandom::new().fill(bytes.as_mut_slice()).map_err(|_| no_random())?;
        Self::new(bytes)
    }

    fn new(bytes: Zeroizing<[u8; LEN]>) -> Result<Self> {
        let id = hex::encode(derive(&bytes, "vault-backup/v1/key-id")?);
        let manifest = derive(&bytes, "vault-backup/v1/manifest")?;
        let drill = derive(&bytes, "vault-backup/v1/drill")?;
        Ok(Self { bytes, id, manifest, drill })
    }

    /// The text form: 64 lower-case hex digits.
    pub fn to_hex(&self) -> Secret {
        Secret::new(hex::encode(self.bytes.as_slice()))
    }

    /// Names the key and commits to it, but reveals nothing of it: 64 lower-case hex digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The keys for the macs of manifests and drill records.
    pub fn mac_key(&self) -> MacKey {
        MacKey { key_id: Some(self.id.clone()), manifest: self.manifest.clone(), drill: Some(self.drill.clone()) }
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

/// Reads `encryption.manifest_key`: 64 hex digits that check and make macs of
/// manifests, and decrypt nothing.
///
/// # Errors
/// `Usage` for anything else; the text is not repeated.
pub fn manifest_key_from_hex(text: &Secret) -> Result<MacKey> {
    Ok(MacKey { key_id: None, manifest: decode(text, "the manifest key")?, drill: None })
}

/// The key that encrypts, and the older ones that still decrypt.
#[derive(Debug)]
pub struct Keyring {
    /// The primary key first.
    keys: Vec<Key>,
}

impl Keyring {
    /// A ring of `primary` and `old`.
    pub fn new(primary: Key, old: Vec<Key>) -> Self {
        let mut keys = vec![primary];
        keys.extend(old);
        Self { keys }
    }

    /// The key that encrypts.
    pub fn primary(&self) -> &Key {
        &self.keys[0]
    }

    /// The key named `id`.
    pub fn find(&self, id: &str) -> Option<&Key> {
        self.iter().find(|key| key.id == id)
    }

    /// All keys, the primary one first.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    /// What all keys check macs with, the primary one first.
    pub fn mac_keys(&self) -> Vec<MacKey> {
        self.iter().map(Key::mac_key).collect()
    }
}

/// HKDF-SHA-256 with empty salt.
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
            "holds something that is not a hex digit".to_owned()
        } else {
            format!("has {} characters, not 64", text.chars().count())
        };
        Error::usage(format!("{what} {why}")).hint("it must be 64 hex digits, as `vault-backup keygen` writes them")
    })?;
    Ok(bytes)
}

pub(super) fn no_random() -> Error {
    Error::unexpected("the system gave no random numbers")
}
