//! The keyring (`core/keyring`): the barrier's encryption keys, by term.
//!
//! Not here: the root key (`seal`). Source: Vault `vault/keyring.go`,
//! `vault/barrier_aes_gcm.go` (`persistKeyringInternal`): JSON, encrypted like any value,
//! but with the root key and always with term 1. Each `sys/rotate` adds a key; old values
//! keep their terms.

use super::{json_fault, value};
use crate::base::error::{Error, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use ring::aead::LessSafeKey;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny};
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

/// Entry with the keyring of the root namespace.
pub(super) const ENTRY: &str = "core/keyring";

/// The only known version of a key: 32 bytes for AES-256-GCM.
const KEY_VERSION: i64 = 1;

/// The barrier's decrypted keys.
pub(super) struct BarrierKeyring {
    /// Its entry: `core/keyring`, or that of a sealable namespace.
    entry: String,
    root: LessSafeKey,
    terms: BTreeMap<u32, LessSafeKey>,
}

impl BarrierKeyring {
    /// Decrypts the value of `entry`, a `core/keyring`, with the root key. `None` if it was
    /// encrypted with another key.
    ///
    /// # Errors
    /// `Drill` if the value or its plaintext has an unknown form.
    pub(super) fn unlock(root: &[u8; 32], entry: &str, encrypted: &mut [u8]) -> Result<Option<Self>> {
        let root = value::aes(root)?;
        require_own_term(entry, value::term(entry, encrypted)?)?;
        let Ok(plain) = value::decrypt(&root, entry, encrypted) else { return Ok(None) };
        let mut terms = BTreeMap::new();
        for (term, key) in parse(entry, plain)? {
            terms.insert(term, value::aes(&key)?);
        }
        Ok(Some(Self { entry: entry.to_owned(), root, terms }))
    }

    /// Returns the terms, in ascending order.
    pub(super) fn terms(&self) -> impl Iterator<Item = u32> {
        self.terms.keys().copied()
    }

    /// Decrypts the value of `name` in place. Returns its term and its plaintext.
    ///
    /// # Errors
    /// `Drill`, naming the entry, if it cannot be decrypted.
    pub(super) fn decrypt<'v>(&self, name: &str, encrypted: &'v mut [u8]) -> Result<(u32, &'v [u8])> {
        let term = value::term(name, encrypted)?;
        let key = if name == self.entry {
            require_own_term(name, term)?;
            &self.root
        } else {
            self.terms.get(&term).ok_or_else(|| {
                Error::drill(format!("{name}: the keyring has no key of its term {term}")).hint(
                    "use another backup; this value is damaged, or wrapped in a way that this version does not know",
                )
            })?
        };
        Ok((term, value::decrypt(key, name, encrypted)?))
    }
}

/// Checks the term of a keyring's own entry, which is always 1.
///
/// # Errors
/// `Drill` for any other term.
fn require_own_term(entry: &str, term: u32) -> Result<()> {
    if term == 1 { Ok(()) } else { Err(Error::drill(format!("{entry}: its term is {term}, not 1"))) }
}

/// A key of 32 bytes, base64 in JSON, wiped on drop.
pub(super) struct BarrierKey(pub(super) Zeroizing<[u8; 32]>);

impl<'de> Deserialize<'de> for BarrierKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = BarrierKey;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("32 bytes in base64")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<BarrierKey, E> {
                let wrong = |_| E::custom("not 32 bytes in base64");
                let bytes = Zeroizing::new(BASE64_STANDARD.decode(text).map_err(|_| E::custom("not base64"))?);
                Ok(BarrierKey(Zeroizing::new(bytes.as_slice().try_into().map_err(wrong)?)))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// The JSON of a keyring. An additional field means a form that this version does not know.
#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct EncodedTerms {
    #[serde(rename = "MasterKey")]
    _master_key: IgnoredAny,
    keys: Vec<EncodedKey>,
    #[serde(rename = "RotationConfig", default)]
    _rotation_config: IgnoredAny,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct EncodedKey {
    term: u32,
    version: i64,
    value: BarrierKey,
    #[serde(rename = "InstallTime", default)]
    _install_time: IgnoredAny,
    #[serde(rename = "encryptions", default)]
    _encryptions: IgnoredAny,
}

/// Parses the plaintext of `core/keyring` into keys by term.
///
/// # Errors
/// `Drill` if it does not have the known form.
fn parse(entry: &str, plain: &[u8]) -> Result<BTreeMap<u32, Zeroizing<[u8; 32]>>> {
    let encoded: EncodedTerms = serde_json::from_slice(plain).map_err(|e| json_fault(entry, &e))?;
    let mut keys = BTreeMap::new();
    for key in encoded.keys {
        if key.version != KEY_VERSION {
            let what = format!("{entry}: the key of term {} has the unknown version {}", key.term, key.version);
            return Err(Error::drill(what).hint("use a newer vault-backup (this version knows version 1)"));
        }
        if keys.insert(key.term, key.value.0).is_some() {
            return Err(Error::drill(format!("{entry}: term {} has two keys", key.term)));
        }
    }
    if keys.is_empty() {
        return Err(Error::drill(format!("{entry}: it contains no keys")));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(term: u32, fill: u8, more: &str) -> String {
        let value = BASE64_STANDARD.encode([fill; 32]);
        let time = "2025-11-26T02:00:00.123Z";
        format!(r#"{{"Term":{term},"Version":1,"Value":"{value}","InstallTime":"{time}"{more}}}"#)
    }

    fn ring(keys: &[String], more: &str) -> String {
        let rotation = r#"{"Disabled":false,"MaxOperations":3865470566,"Interval":0}"#;
        format!(r#"{{"MasterKey":"AA==","Keys":[{}],"RotationConfig":{rotation}{more}}}"#, keys.join(","))
    }

    #[test]
    fn a_keyring_parses_into_keys_by_term() {
        let text = ring(&[key(2, 20, r#","encryptions":17"#), key(1, 10, "")], "");
        let keys = parse(ENTRY, text.as_bytes()).unwrap();
        assert_eq!(keys.iter().map(|(t, k)| (*t, k[0])).collect::<Vec<_>>(), [(1, 10), (2, 20)]);
    }

    #[test]
    fn unknown_forms_are_refused_without_showing_a_key() {
        let known = key(1, 1, "");
        for (text, why) in [
            (ring(std::slice::from_ref(&known), r#","Cipher":"x""#), "structure"),
            (ring(&[key(1, 1, r#","Cipher":"x""#)], ""), "structure"),
            (ring(&[known.replace("Version\":1", "Version\":2")], ""), "unknown version 2"),
            (ring(&[known.clone(), known.clone()], ""), "two keys"),
            (ring(&[], ""), "no keys"),
            (ring(&[known.replace("Value\":\"", "Value\":\"AAAA")], ""), "structure"),
            (known.clone(), "structure"),
        ] {
            let e = parse(ENTRY, text.as_bytes()).err().unwrap().to_string();
            assert!(e.starts_with("core/keyring: ") && e.contains(why), "{e}");
            assert!(!e.contains("AQEB"), "{e}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes: Vec<u8>, text in "[{}\\[\\]\":,KeysTrmValuion01]{0,60}") {
            let _ = parse(ENTRY, &bytes);
            let _ = parse(ENTRY, text.as_bytes());
            let _ = BarrierKeyring::unlock(&[0; 32], ENTRY, &mut bytes.clone());
        }
    }
}
