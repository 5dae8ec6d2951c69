//! The MAC of manifests and drill records, and the keys for it.

use super::{DocumentError, canonical};
use crate::base::error::{Error, Result};
use chrono::{DateTime, Utc};
use ring::hmac;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::fmt;
use zeroize::Zeroizing;

/// The only schema version.
const SCHEMA: u32 = 1;

/// End of the period in which the documents of a key count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyEnd {
    /// None: the current key.
    Never,
    /// The configured end of an old key.
    At(DateTime<Utc>),
    /// The first backup under the current key: the end of an old key without a configured one.
    AtRotation,
}

impl KeyEnd {
    /// Returns the end of a key that is used as an old one.
    #[must_use]
    pub(crate) fn of_old_key(self) -> Self {
        match self {
            KeyEnd::Never => KeyEnd::AtRotation,
            end => end,
        }
    }
}

/// Keys for the MACs of documents: those of a master key, or `manifest_key` alone.
#[derive(Clone)]
pub struct MacKey {
    /// The `key_id` of the master key, if known: `manifest_key` alone has none.
    pub key_id: Option<String>,
    /// HKDF of the master key with info `vault-backup/v1/manifest`.
    pub manifest: Zeroizing<[u8; 32]>,
    /// HKDF of the master key with info `vault-backup/v1/drill`, if the master key is known.
    pub drill: Option<Zeroizing<[u8; 32]>>,
    /// End of the key: of an old key, only earlier documents count.
    pub end: KeyEnd,
}

impl MacKey {
    /// Returns the key as an old one.
    #[must_use]
    pub fn as_old(self) -> Self {
        Self { end: self.end.of_old_key(), ..self }
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MacKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

pub(super) fn sign(document: &impl Serialize, key: &[u8; 32]) -> Result<Vec<u8>> {
    let failed = |e: String| Error::unexpected("a manifest could not be written").because(anyhow::anyhow!(e));
    let mut value = serde_json::to_value(document).map_err(|e| failed(e.to_string()))?;
    if let Value::Object(map) = &mut value {
        map.insert("schema".into(), SCHEMA.into());
        let text = canonical::write(&Value::Object(map.clone())).map_err(failed)?;
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
        map.insert("mac".into(), hex::encode(tag).into());
    }
    let mut text = canonical::write(&value).map_err(failed)?;
    text.push('\n');
    Ok(text.into_bytes())
}

/// Verifies a document's MAC with each of `keys`, and returns the document and the key that
/// signed it. The MAC covers the value as read, including unknown keys.
pub(super) fn verify<'k, T: DeserializeOwned>(
    bytes: &[u8],
    keys: &'k [MacKey],
    select: impl for<'a> Fn(&'a MacKey) -> Option<&'a Zeroizing<[u8; 32]>>,
) -> Result<(T, &'k MacKey), DocumentError> {
    let malformed = |why: &str| DocumentError::Malformed(why.to_owned());
    let mut value = canonical::parse(bytes).map_err(DocumentError::Malformed)?;
    let map = value.as_object_mut().ok_or_else(|| malformed("not a JSON object"))?;
    if map.get("schema") != Some(&Value::from(SCHEMA)) {
        return Err(malformed("schema is not 1"));
    }
    let Some(Value::String(mac)) = map.remove("mac") else { return Err(malformed("it has no `mac`")) };
    let mac = hex::decode(mac).map_err(|_| malformed("its `mac` is not hex"))?;
    let key_id = map.get("key_id").and_then(Value::as_str).map(str::to_owned);
    let text = canonical::write(&value).map_err(DocumentError::Malformed)?;
    let is_valid =
        |key: &[u8; 32]| hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes(), &mac).is_ok();
    let Some(signer) = keys.iter().find(|key| select(key).is_some_and(|key| is_valid(key))) else {
        // Only the named key can prove that the MAC is invalid.
        let available = keys.iter().any(|k| select(k).is_some() && (k.key_id == key_id || key_id.is_none()));
        return Err(if available { DocumentError::Forged } else { DocumentError::UnknownKey });
    };
    let document = serde_json::from_value(value).map_err(|e| DocumentError::Malformed(e.to_string()))?;
    Ok((document, signer))
}
