//! The keyring: the keys that the barrier's values are encrypted under, by term.
//!
//! Here: `core/keyring` and the choice of a value's key. Not here: where the root
//! key comes from (`seal`). Source: Vault `vault/keyring.go`, `vault/barrier_aes_gcm.go`
//! (`persistKeyringInternal`): JSON, encrypted like any value, but under the root key
//! and always with term 1. Each `sys/rotate` adds a key; old values keep their terms.

use super::{json_fault, value};
use crate::base::error::{Error, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use ring::aead::LessSafeKey;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny};
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

/// Holds the root's keyring.
pub(super) const ENTRY: &str = "core/keyring";

/// The only version of a key that there is: 32 bytes for AES-256-GCM.
const KEY_VERSION: i64 = 1;

/// The barrier's keys, ready for use.
pub(super) struct BarrierKeyring {
    /// The entry that holds it: `core/keyring`, or that of a sealable namespace.
    entry: String,
    root: LessSafeKey,
    terms: BTreeMap<u32, LessSafeKey>,
}

impl BarrierKeyring {
    /// Opens the value of `entry`, a `core/keyring`, with the root key; `None` where it
    /// is not this one's.
    ///
    /// # Errors
    /// `Drill` where the value, or what is in it, is not of a form that is known.
    pub(super) fn unlock(root: &[u8; 32], entry: &str, sealed: &mut [u8]) -> Result<Option<Self>> {
        let root = value::aes(root)?;
        require_own_term(entry, value::term(entry, sealed)?)?;
        let Ok(plain) = value::open(&root, entry, sealed) else { return Ok(None) };
        let mut terms = BTreeMap::new();
        for (term, key) in parse(entry, plain)? {
            terms.insert(term, value::aes(&key)?);
        }
        Ok(Some(Self { entry: entry.to_owned(), root, terms }))
    }

    /// The terms that there are keys for, in ascending order.
    pub(super) fn terms(&self) -> impl Iterator<Item = u32> {
        self.terms.keys().copied()
    }

    /// Opens the value of `name` in place: its term and its plaintext.
    ///
    /// # Errors
    /// `Drill`, naming the entry, where it does not open.
    pub(super) fn open<'v>(&self, name: &str, sealed: &'v mut [u8]) -> Result<(u32, &'v [u8])> {
        let term = value::term(name, sealed)?;
        let key = if name == self.entry {
            require_own_term(name, term)?;
            &self.root
        } else {
            self.terms.get(&term).ok_or_else(|| {
                Error::drill(format!("{name}: no key of the keyring has its term, {term}"))
                    .hint("the value is damaged, or wrapped in a way that this version does not know")
            })?
        };
        Ok((term, value::open(key, name, sealed)?))
    }
}

/// # Errors
/// `Drill` where `term`, the keyring's own, is not the one that it always has.
fn require_own_term(entry: &str, term: u32) -> Result<()> {
    if term == 1 { Ok(()) } else { Err(Error::drill(format!("{entry}: its term is {term}, not 1"))) }
}

/// 32 bytes of key, base64 in JSON; wiped on drop.
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

/// What Vault writes; a field more would be a keyring that this version does not
/// understand.
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

/// The keys in the plaintext of `core/keyring`, by term.
///
/// # Errors
/// `Drill` for anything but a keyring of the known form.
fn parse(entry: &str, plain: &[u8]) -> Result<BTreeMap<u32, Zeroizing<[u8; 32]>>> {
    let encoded: EncodedTerms = serde_json::from_slice(plain).map_err(|e| json_fault(entry, &e))?;
    let mut keys = BTreeMap::new();
    for key in encoded.keys {
        if key.version != KEY_VERSION {
            let what = format!("{entry}: the key of term {} is of version {}", key.term, key.version);
            return Err(Error::drill(what).hint("this version of vault-backup knows version 1"));
        }
        if keys.insert(key.term, key.value.0).is_some() {
            return Err(Error::drill(format!("{entry}: term {} has two keys", key.term)));
        }
    }
    if keys.is_empty() {
        return Err(Error::drill(format!("{entry}: it holds no keys")));
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
    fn keys_by_term() {
        let text = ring(&[key(2, 20, r#","encryptions":17"#), key(1, 10, "")], "");
        let keys = parse(ENTRY, text.as_bytes()).unwrap();
        assert_eq!(keys.iter().map(|(t, k)| (*t, k[0])).collect::<Vec<_>>(), [(1, 10), (2, 20)]);
    }

    #[test]
    fn what_is_not_known_is_reported_and_no_key_with_it() {
        let known = key(1, 1, "");
        for (text, why) in [
            (ring(std::slice::from_ref(&known), r#","Cipher":"x""#), "form"),
            (ring(&[key(1, 1, r#","Cipher":"x""#)], ""), "form"),
            (ring(&[known.replace("Version\":1", "Version\":2")], ""), "of version 2"),
            (ring(&[known.clone(), known.clone()], ""), "two keys"),
            (ring(&[], ""), "no keys"),
            (ring(&[known.replace("Value\":\"", "Value\":\"AAAA")], ""), "form"),
            (known.clone(), "form"),
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
