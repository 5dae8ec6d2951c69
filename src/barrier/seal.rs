//! The seal: what the key shares open, down to the barrier's root key.
//!
//! Here: `core/seal-config` and `core/hsm/barrier-unseal-keys`. Not here: how shares
//! combine (`shamir`), what the root key opens (`keyring`). Source: Vault
//! `vault/seal.go`, `vault/seal_config.go`, `vault/seal_util.go`
//! (`UnsealWrapStoredBarrierKeys`), go-kms-wrapping `aead/aead.go` and its
//! `types.proto`: a BlobInfo whose ciphertext is nonce ‖ ciphertext ‖ tag, no AAD.

use super::keyring::Key;
use super::{json_fault, proto, value};
use crate::error::{Error, Result};
use zeroize::Zeroizing;

/// Where the seal is described, in plain JSON.
pub(super) const CONFIG_ENTRY: &str = "core/seal-config";

/// Where the root key lies, wrapped by the seal.
pub(super) const KEYS_ENTRY: &str = "core/hsm/barrier-unseal-keys";

/// The seal that key shares open.
const SHAMIR: &str = "shamir";

/// What stands before a value that several seals have wrapped (Vault
/// `vault/seal_wrapped_value.go`): never Shamir's.
const MULTI_WRAP: &[u8] = b"multiwrapvalue:1";

/// The seal as the snapshot describes it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct SealConfig {
    /// `shamir`, or the service that unseals: `awskms`, ….
    #[serde(rename = "type", default)]
    pub kind: String,
    /// How many key shares there are.
    #[serde(rename = "secret_shares")]
    pub shares: usize,
    /// How many of them open the seal.
    #[serde(rename = "secret_threshold")]
    pub threshold: usize,
    /// 1, or 0 where the combined shares are the root key themselves (Vault before 1.3).
    #[serde(rename = "stored_shares", default)]
    stored: usize,
}

impl SealConfig {
    /// Reads `core/seal-config`.
    ///
    /// # Errors
    /// `Drill` where it is none.
    pub(super) fn parse(plain: &[u8]) -> Result<Self> {
        let mut config: Self = serde_json::from_slice(plain).map_err(|e| json_fault(CONFIG_ENTRY, &e))?;
        // Old ones do not say (Vault `vault/core.go`, `PhysicalBarrierSealConfig`).
        if config.kind.is_empty() {
            SHAMIR.clone_into(&mut config.kind);
        }
        Ok(config)
    }

    /// # Errors
    /// `Usage` where key shares cannot open this seal.
    pub(super) fn require_shamir(&self) -> Result<()> {
        if self.kind == SHAMIR { Ok(()) } else { Err(unreachable_here(&format!("seal `{}`", self.kind))) }
    }

    /// Whether the root key is stored, wrapped, rather than shared out itself.
    pub(super) fn stores_root_key(&self) -> bool {
        self.stored > 0
    }
}

/// The error for a root key that only a service can unwrap.
fn unreachable_here(what: &str) -> Error {
    Error::usage(format!("this backup's root key is wrapped by its {what}: key shares cannot open it offline"))
        .hint("use verify-restore --ephemeral with that seal's configuration, or a staging Vault")
}

/// Unwraps the value of `core/hsm/barrier-unseal-keys` with the combined shares;
/// `None` where they are not this one's.
///
/// # Errors
/// `Usage` for a form that is not Shamir's, `Drill` for a malformed one.
pub(super) fn root_key(unseal_key: &[u8; 32], stored: &[u8]) -> Result<Option<Zeroizing<[u8; 32]>>> {
    if stored.starts_with(MULTI_WRAP) {
        return Err(unreachable_here("several seals"));
    }
    let (blob, complete): (proto::BlobInfo, _) = proto::decode(KEYS_ENTRY, stored)?;
    if !complete || blob.is_more_than_ciphertext() {
        return Err(unreachable_here("seal in a form that this version does not know"));
    }
    let mut sealed = Zeroizing::new(blob.ciphertext);
    let Some(plain) = value::open_gcm(&value::aes(unseal_key)?, "", &mut sealed) else { return Ok(None) };
    let keys: Vec<Key> = serde_json::from_slice(plain).map_err(|e| json_fault(KEYS_ENTRY, &e))?;
    match <[Key; 1]>::try_from(keys) {
        Ok([Key(root)]) => Ok(Some(root)),
        Err(keys) => Err(Error::drill(format!("{KEYS_ENTRY}: it holds {} keys, not one", keys.len()))),
    }
}
