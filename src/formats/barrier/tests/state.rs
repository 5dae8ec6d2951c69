//! Generates a state.bin that no real Vault writes: older seals, newer fields, damage that is
//! authenticated. It does not use this crate, so that the fuzz targets can include it.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use std::collections::BTreeMap;

/// The root key, and the only key share.
const ROOT: [u8; 32] = [1; 32];
/// The keyring's only key, of term 1.
const TERM_1: [u8; 32] = [2; 32];
/// The storage prefix of the mount `kv/`, of version 2.
pub(super) const KV: &str = "logical/u/w/";

/// The keyring's plaintext, of one key.
pub(super) const KEYRING: &str =
    r#"{"MasterKey":"","Keys":[{"Term":1,"Version":1,"Value":"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="}]}"#;
/// The mount table's plaintext: `kv/` of version 2, `old/` of version 1.
pub(super) const MOUNTS: &str = r#"{"type":"mounts","entries":[
    {"path":"kv/","type":"kv","uuid":"u","backend_aware_uuid":"w","options":{"version":"2"}},
    {"path":"old/","type":"kv","uuid":"v"}]}"#;

/// Entries in order of their keys.
#[derive(Clone)]
pub(super) struct State(BTreeMap<String, Vec<u8>>);

impl State {
    /// A state.bin like that of Vault before 1.3: the only share is the root key itself.
    pub(super) fn new() -> Self {
        Self::with_seal(r#"{"type":"shamir","secret_shares":1,"secret_threshold":1,"stored_shares":0}"#)
    }

    /// A state.bin with this `core/seal-config`, a keyring and mounts.
    pub(super) fn with_seal(config: &str) -> Self {
        let state = Self(BTreeMap::new()).put("core/seal-config", config.as_bytes());
        state.keyring(KEYRING.as_bytes()).encrypt("core/mounts", MOUNTS.as_bytes())
    }

    /// The share that unseals it, in hex.
    pub(super) fn share() -> String {
        "01".repeat(32)
    }

    /// Adds this entry unchanged.
    pub(super) fn put(mut self, key: &str, value: &[u8]) -> Self {
        self.0.insert(key.to_owned(), value.to_vec());
        self
    }

    /// Removes this entry.
    pub(super) fn without(mut self, key: &str) -> Self {
        self.0.remove(key);
        self
    }

    /// Adds this entry, encrypted with the keyring's key.
    pub(super) fn encrypt(self, key: &str, plain: &[u8]) -> Self {
        let value = [&[0, 0, 0, 1, 2][..], &encrypted(&TERM_1, key, plain)].concat();
        self.put(key, &value)
    }

    /// Adds this entry, encrypted with another key as its term 1.
    pub(super) fn encrypt_with(self, term_key: &[u8; 32], key: &str, plain: &[u8]) -> Self {
        let value = [&[0, 0, 0, 1, 2][..], &encrypted(term_key, key, plain)].concat();
        self.put(key, &value)
    }

    /// Sets the plaintext of the keyring.
    pub(super) fn keyring(self, plain: &[u8]) -> Self {
        let value = [&[0, 0, 0, 1, 2][..], &encrypted(&ROOT, "core/keyring", plain)].concat();
        self.put("core/keyring", &value)
    }

    /// The bytes of the state.bin.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let field = |tag, bytes: &[u8]| [&[tag][..], &varint(bytes.len()), bytes].concat();
        let message = |(key, value): (&String, &Vec<u8>)| [field(0x0a, key.as_bytes()), field(0x12, value)].concat();
        self.0.iter().map(message).flat_map(|message| [varint(message.len()), message].concat()).collect()
    }
}

/// The root key wrapped by the share, as the ciphertext in a BlobInfo.
pub(super) fn wrapped(keys: &str) -> Vec<u8> {
    encrypted(&ROOT, "", keys.as_bytes())
}

/// nonce ‖ ciphertext ‖ tag.
fn encrypted(key: &[u8; 32], aad: &str, plain: &[u8]) -> Vec<u8> {
    let nonce = [3; 12];
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    let mut body = plain.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut body).unwrap();
    [&nonce[..], &body].concat()
}

/// `n` as an unsigned varint.
pub(super) fn varint(mut n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while n >= 0x80 {
        bytes.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
    bytes
}
