//! The seal: from key shares or a static key to the barrier's root key.
//!
//! Here: `core/seal-config` and `core/hsm/barrier-unseal-keys`, the root's or those of
//! a sealable namespace. Not here: how shares combine (`shamir`), and the keyring.
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

/// Describes the seal, in plain JSON.
pub(super) const CONFIG_ENTRY: &str = "core/seal-config";

/// Holds the root key, wrapped by the seal.
pub(super) const KEYS_ENTRY: &str = "core/hsm/barrier-unseal-keys";

const SHAMIR: &str = "shamir";
const STATIC: &str = "static";

/// Stands before a value that several seals have wrapped (Vault
/// `vault/seal_wrapped_value.go`): never Shamir's.
const MULTI_WRAP: &[u8] = b"multiwrapvalue:1";

/// The most combinations of shares that are tried to find a foreign one.
const COMBINATIONS: usize = 1_000;

/// The key of OpenBao's seal `static`.
#[derive(Clone)]
pub struct SealKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey")
    }
}

impl SealKey {
    /// Takes the key's 32 bytes.
    pub fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self(key)
    }
}

/// The seal as the snapshot describes it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct SealConfig {
    /// `shamir`, or the service that unseals: `static`, `awskms`, ….
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Number of key shares.
    #[serde(rename = "secret_shares")]
    pub shares: usize,
    /// Number of shares that open the seal.
    #[serde(rename = "secret_threshold")]
    pub threshold: usize,
}

impl SealConfig {
    /// Reads the plaintext of the entry `name`.
    ///
    /// # Errors
    /// `Drill` for anything but a seal's configuration.
    pub(super) fn parse(name: &str, plain: &[u8]) -> Result<Self> {
        let mut config: Self = serde_json::from_slice(plain).map_err(|e| json_fault(name, &e))?;
        // Old ones do not say (Vault `vault/core.go`, `PhysicalBarrierSealConfig`).
        if config.kind.is_empty() {
            SHAMIR.clone_into(&mut config.kind);
        }
        Ok(config)
    }

    /// Opens the seal: its root key. `stored` is the value of its
    /// `core/hsm/barrier-unseal-keys`; a cluster made before Vault 1.3 has none, and
    /// the combined shares are the root key. `opens` tells whether a root key is right
    /// where there is nothing else to tell by.
    ///
    /// # Errors
    /// `Drill` naming the shares that do not open it; `Usage` for a seal that neither
    /// shares nor the static key open.
    pub(super) fn open(
        &self,
        stored: Option<&[u8]>,
        shares: &[Share],
        seal_key: Option<&SealKey>,
        opens: impl Fn(&[u8; 32]) -> bool,
    ) -> Result<Zeroizing<[u8; 32]>> {
        match (self.kind.as_str(), stored) {
            (SHAMIR, stored) => {
                share::check(shares, self.threshold as u64, self.shares as u64)?;
                let blob = stored.map(Blob::parse).transpose()?;
                self.search(shares, &|key| match &blob {
                    Some(blob) => blob.shamir(key),
                    None => Ok(Some(Zeroizing::new(*key)).filter(|key| opens(key))),
                })
            }
            (STATIC, Some(stored)) => {
                let key = seal_key.ok_or_else(|| {
                    Error::usage("this backup's root key is wrapped by a static seal key, and none is given")
                        .hint("give --seal-key REF, or set staging.seal_key")
                })?;
                let blob = Blob::parse(stored)?;
                blob.static_key(&key.0)?.ok_or_else(|| {
                    Error::drill("the static seal key does not open this backup")
                        .hint(format!("give the key that the server's seal stanza called {:?}", blob.key_id()))
                })
            }
            (kind, _) => Err(unreachable_here(&format!("seal `{kind}`"))),
        }
    }

    /// Tries all shares together, then every combination of as many as are needed, so
    /// that a foreign one among them can be named.
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
                return Err(Error::drill(format!("{named}: not one of this backup's cluster"))
                    .hint("leave it out: the others open the backup"));
            }
        }
        Err(self.closed(shares))
    }

    fn closed(&self, shares: &[Share]) -> Error {
        Error::drill(format!(
            "these shares do not open this backup: {} given ({}), {} of {} needed, and at least one is wrong",
            shares.len(),
            share::origins(shares),
            self.threshold,
            self.shares
        ))
        .hint("give the shares of the cluster that the backup was taken from, as they were at that time")
    }
}

/// The combinations of `k` of the numbers below `n`.
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

/// The error for a root key that only a service can unwrap.
fn unreachable_here(what: &str) -> Error {
    Error::usage(format!("this backup's root key is wrapped by its {what}: key shares cannot open it offline"))
        .hint("use verify-restore --ephemeral with that seal's configuration, or a staging Vault")
}

/// A wrapped root key.
pub(super) struct Blob(proto::BlobInfo);

impl Blob {
    /// Reads the value of a `core/hsm/barrier-unseal-keys`.
    ///
    /// # Errors
    /// `Usage` for a form that is not known, `Drill` for a malformed one.
    pub(super) fn parse(stored: &[u8]) -> Result<Self> {
        if stored.starts_with(MULTI_WRAP) {
            return Err(unreachable_here("several seals"));
        }
        let (blob, complete): (proto::BlobInfo, _) = proto::decode(KEYS_ENTRY, stored)?;
        if !complete || !blob.hmac.is_empty() || !blob.plaintext.is_empty() || blob.wrapped {
            return Err(unreachable_here("seal in a form that this version does not know"));
        }
        Ok(Self(blob))
    }

    /// The id of the key that wrapped it: `current_key_id` of a static seal's stanza.
    fn key_id(&self) -> &str {
        let ids = self.0.key_info.as_ref().map(|info| [info.bao_key_id.as_str(), &info.key_id]);
        ids.into_iter().flatten().find(|id| !id.is_empty()).unwrap_or_default()
    }

    /// Unwraps the root key with the combined shares; `None` where they are others'.
    ///
    /// # Errors
    /// As [`Blob::unwrap`].
    pub(super) fn shamir(&self, key: &[u8; 32]) -> Result<Option<Zeroizing<[u8; 32]>>> {
        if !self.0.iv.is_empty() {
            return Err(unreachable_here("seal in a form that this version does not know"));
        }
        Self::unwrap(key, self.0.ciphertext.clone())
    }

    /// Unwraps the root key with the static seal's key; `None` where it is another.
    ///
    /// # Errors
    /// As [`Blob::unwrap`].
    fn static_key(&self, key: &[u8; 32]) -> Result<Option<Zeroizing<[u8; 32]>>> {
        Self::unwrap(key, [&self.0.iv[..], &self.0.ciphertext].concat())
    }

    /// # Errors
    /// `Drill` where the plaintext is not one root key.
    fn unwrap(key: &[u8; 32], ciphertext: Vec<u8>) -> Result<Option<Zeroizing<[u8; 32]>>> {
        let mut ciphertext = Zeroizing::new(ciphertext);
        let Some(plain) = value::open_gcm(&value::aes(key)?, "", &mut ciphertext) else { return Ok(None) };
        let keys: Vec<BarrierKey> = serde_json::from_slice(plain).map_err(|e| json_fault(KEYS_ENTRY, &e))?;
        match <[BarrierKey; 1]>::try_from(keys) {
            Ok([BarrierKey(root)]) => Ok(Some(root)),
            Err(keys) => Err(Error::drill(format!("{KEYS_ENTRY}: it holds {} keys, not one", keys.len()))),
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
