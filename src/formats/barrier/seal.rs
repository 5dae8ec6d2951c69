//! The seal: gets the barrier's root key with key shares or a static key.
//!
//! Reads `core/seal-config` and `core/hsm/barrier-unseal-keys` of the root or of a sealable
//! namespace. Not here: combining shares (`shamir`), the keyring.
//! Source: Vault `vault/seal.go`, `vault/seal_config.go`, `vault/seal_util.go`
//! (`UnsealWrapStoredBarrierKeys`), go-kms-wrapping `aead/aead.go` (a BlobInfo whose
//! ciphertext is nonce ‖ ciphertext ‖ tag) and OpenBao's wrapper `static` (the nonce is
//! in `iv`); no AAD in either. OpenBao from 2.6 on writes no `stored_shares`.

use super::keyring::BarrierKey;
use super::{json_fault, proto, shamir, value};
use crate::base::error::{Error, Result};
use crate::formats::share::{self, Share};
use std::fmt;
use zeroize::Zeroizing;

/// Entry with the seal's configuration, in plain JSON.
pub(super) const CONFIG_ENTRY: &str = "core/seal-config";

/// Entry with the root key, wrapped by the seal.
pub(super) const KEYS_ENTRY: &str = "core/hsm/barrier-unseal-keys";

const SHAMIR: &str = "shamir";
const STATIC: &str = "static";

/// Prefix of a value wrapped by several seals (Vault `vault/seal_wrapped_value.go`), which
/// are never Shamir seals.
const MULTI_WRAP: &[u8] = b"multiwrapvalue:1";

/// Maximum number of combinations of shares that are tried to find a foreign share.
const COMBINATIONS: usize = 1_000;

/// Key of OpenBao's seal `static`.
#[derive(Clone)]
pub struct SealKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey")
    }
}

impl SealKey {
    /// Creates a key from its 32 bytes.
    pub fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self(key)
    }
}

/// Configuration of the seal in the snapshot.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct SealConfig {
    /// Type: `shamir`, `static`, `awskms`, ….
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Number of key shares.
    #[serde(rename = "secret_shares")]
    pub shares: usize,
    /// Number of shares needed to unseal.
    #[serde(rename = "secret_threshold")]
    pub threshold: usize,
}

impl SealConfig {
    /// Parses the plaintext of the entry `name`.
    ///
    /// # Errors
    /// `Drill` if it is not a seal's configuration.
    pub(super) fn parse(name: &str, plain: &[u8]) -> Result<Self> {
        let mut config: Self = serde_json::from_slice(plain).map_err(|e| json_fault(name, &e))?;
        // Old versions do not write it (Vault `vault/core.go`, `PhysicalBarrierSealConfig`).
        if config.kind.is_empty() {
            SHAMIR.clone_into(&mut config.kind);
        }
        Ok(config)
    }

    /// Returns the root key. `stored` is the value of `core/hsm/barrier-unseal-keys`. A
    /// cluster made before Vault 1.3 has none: there the combined shares are the root key,
    /// and `is_root_key` checks it.
    ///
    /// # Errors
    /// `Drill` naming the wrong shares; `Usage` for a seal that needs other keys than
    /// shares or the static key.
    pub(super) fn root_key(
        &self,
        stored: Option<&[u8]>,
        shares: &[Share],
        seal_key: Option<&SealKey>,
        is_root_key: impl Fn(&[u8; 32]) -> bool,
    ) -> Result<Zeroizing<[u8; 32]>> {
        match (self.kind.as_str(), stored) {
            (SHAMIR, stored) => {
                share::check(shares, self.threshold as u64, self.shares as u64)?;
                let wrapped = stored.map(WrappedRootKey::parse).transpose()?;
                self.search(shares, &|key| match &wrapped {
                    Some(wrapped) => wrapped.unwrap_with_shares(key),
                    None => Ok(Some(Zeroizing::new(*key)).filter(|key| is_root_key(key))),
                })
            }
            (STATIC, Some(stored)) => {
                let key = seal_key.ok_or_else(|| {
                    Error::usage("this backup's root key is wrapped by a static seal key, and no seal key was given")
                        .hint("give --seal-key REF, or set staging.seal_key")
                })?;
                let wrapped = WrappedRootKey::parse(stored)?;
                wrapped.unwrap_with_static_key(&key.0)?.ok_or_else(|| {
                    Error::drill("the static seal key does not unseal this backup")
                        .hint(format!("give the key that the server's seal stanza calls {:?}", wrapped.key_id()))
                })
            }
            (kind, _) => Err(needs_service(&format!("seal `{kind}`"))),
        }
    }

    /// Tries all shares together, then every combination of the needed number, so that a
    /// foreign share can be named.
    fn search(
        &self,
        shares: &[Share],
        try_key: &impl Fn(&[u8; 32]) -> Result<Option<Zeroizing<[u8; 32]>>>,
    ) -> Result<Zeroizing<[u8; 32]>> {
        let attempt = |subset: &[&Share]| match shamir::combine(subset) {
            Some(key) => try_key(&key),
            None => Ok(None),
        };
        let all: Vec<_> = shares.iter().collect();
        if let Some(root) = attempt(&all)? {
            return Ok(root);
        }
        if shares.len() > self.threshold {
            for subset in combinations(shares.len(), self.threshold).take(COMBINATIONS) {
                let chosen: Vec<_> = subset.iter().map(|i| &shares[*i]).collect();
                if attempt(&chosen)?.is_none() {
                    continue;
                }
                let fits = |i: usize| {
                    let with: Vec<_> = chosen[1..].iter().copied().chain([&shares[i]]).collect();
                    subset.contains(&i) || attempt(&with).is_ok_and(|root| root.is_some())
                };
                let foreign: Vec<_> = (0..shares.len()).filter(|i| !fits(*i)).collect();
                let named = |i: &usize| format!("share {} of {} ({})", i + 1, shares.len(), shares[*i].from());
                let named = foreign.iter().map(named).collect::<Vec<_>>().join(" and ");
                return Err(Error::drill(format!("{named}: does not belong to this backup's cluster"))
                    .hint("omit it; the other shares unseal the backup"));
            }
        }
        Err(self.wrong_shares(shares))
    }

    fn wrong_shares(&self, shares: &[Share]) -> Error {
        Error::drill(format!(
            "the shares do not unseal this backup: {} given ({}), {} of {} needed, at least one is wrong",
            shares.len(),
            share::origins(shares),
            self.threshold,
            self.shares
        ))
        .hint("give the shares that the backup's cluster had when it was taken")
    }
}

/// Returns the combinations of `k` of the numbers below `n`.
fn combinations(n: usize, k: usize) -> impl Iterator<Item = Vec<usize>> {
    let mut next = (k <= n && k > 0).then(|| (0..k).collect::<Vec<_>>());
    std::iter::from_fn(move || {
        let current = next.take()?;
        next = (0..k).rev().find(|i| current[*i] < n - k + i).map(|i| {
            let mut following = current.clone();
            following[i] += 1;
            (i + 1..k).for_each(|j| following[j] = following[j - 1] + 1);
            following
        });
        Some(current)
    })
}

/// Returns the error for a root key that only a service can unwrap.
fn needs_service(what: &str) -> Error {
    Error::usage(format!(
        "this backup's root key is wrapped by its {what}: it cannot be unsealed offline with key shares"
    ))
    .hint("use `vault-backup verify-restore --ephemeral` with that seal's configuration, or a staging Vault")
}

/// A wrapped root key.
pub(super) struct WrappedRootKey(proto::BlobInfo);

impl WrappedRootKey {
    /// Parses the value of a `core/hsm/barrier-unseal-keys`.
    ///
    /// # Errors
    /// `Usage` for an unknown form, `Drill` for a malformed value.
    pub(super) fn parse(stored: &[u8]) -> Result<Self> {
        if stored.starts_with(MULTI_WRAP) {
            return Err(needs_service("several seals"));
        }
        let (wrapped, complete): (proto::BlobInfo, _) = proto::decode(KEYS_ENTRY, stored)?;
        if !complete || !wrapped.hmac.is_empty() || !wrapped.plaintext.is_empty() || wrapped.wrapped {
            return Err(needs_service("seal in a form that this version does not know"));
        }
        Ok(Self(wrapped))
    }

    /// Returns the id of the wrapping key: `current_key_id` of a static seal's stanza.
    fn key_id(&self) -> &str {
        let ids = self.0.key_info.as_ref().map(|info| [info.bao_key_id.as_str(), &info.key_id]);
        ids.into_iter().flatten().find(|id| !id.is_empty()).unwrap_or_default()
    }

    /// Unwraps the root key with the combined shares. `None` if they are wrong.
    ///
    /// # Errors
    /// As [`WrappedRootKey::unwrap`].
    pub(super) fn unwrap_with_shares(&self, key: &[u8; 32]) -> Result<Option<Zeroizing<[u8; 32]>>> {
        if !self.0.iv.is_empty() {
            return Err(needs_service("seal in a form that this version does not know"));
        }
        Self::unwrap(key, self.0.ciphertext.clone())
    }

    /// Unwraps the root key with the static seal's key. `None` if it is another key.
    ///
    /// # Errors
    /// As [`WrappedRootKey::unwrap`].
    fn unwrap_with_static_key(&self, key: &[u8; 32]) -> Result<Option<Zeroizing<[u8; 32]>>> {
        Self::unwrap(key, [&self.0.iv[..], &self.0.ciphertext].concat())
    }

    /// # Errors
    /// `Drill` if the plaintext is not exactly one root key.
    fn unwrap(key: &[u8; 32], ciphertext: Vec<u8>) -> Result<Option<Zeroizing<[u8; 32]>>> {
        let mut ciphertext = Zeroizing::new(ciphertext);
        let Some(plain) = value::decrypt_gcm(&value::aes(key)?, "", &mut ciphertext) else { return Ok(None) };
        let keys: Vec<BarrierKey> = serde_json::from_slice(plain).map_err(|e| json_fault(KEYS_ENTRY, &e))?;
        match <[BarrierKey; 1]>::try_from(keys) {
            Ok([BarrierKey(root)]) => Ok(Some(root)),
            Err(keys) => Err(Error::drill(format!("{KEYS_ENTRY}: it contains {} keys instead of one", keys.len()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_are_complete_and_in_order() {
        let all: Vec<_> = combinations(4, 2).collect();
        assert_eq!(all, [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]);
        assert_eq!(combinations(3, 3).collect::<Vec<_>>(), [[0, 1, 2]]);
        assert_eq!(combinations(2, 3).count() + combinations(2, 0).count(), 0);
    }
}
