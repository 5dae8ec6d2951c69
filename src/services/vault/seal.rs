//! `sys/unseal`, `sys/seal` and `sys/generate-root`. Errors about wrong shares are of kind `Drill`.

use super::call::Call;
use super::failure::RequestFailure;
use super::status::SealStatus;
use super::{Client, shown};
use crate::base::error::{Error, Result};
use crate::base::secret::Secret;
use crate::formats::share::Share;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::json;
use tracing::debug;
use url::Url;
use zeroize::Zeroizing;

/// Attempt to generate a root token, as Vault reports it.
#[derive(Deserialize)]
struct Attempt {
    nonce: String,
    #[serde(default)]
    otp: String,
    progress: u64,
    required: u64,
    complete: bool,
    #[serde(default)]
    encoded_token: String,
}

/// Settings that allow root tokens from shares, as a hint. Both are off by default.
pub const ALLOW_GENERATE_ROOT: &str = "allow root tokens from shares in the server's configuration and restart it. \
     OpenBao: disable_unauthed_generate_root_endpoints = false in the listener stanza; Vault 2: \
     enable_unauthenticated_access = [\"generate-root\"] at the top level";

const ATTEMPT: &str = "sys/generate-root/attempt";

impl Client {
    /// Unseals the node at `address` with `shares` (hex or base64), one after the other. Discards an
    /// attempt that is in progress.
    ///
    /// # Errors
    /// `Drill` if it is still sealed after all shares, or a share is wrong; `Vault` if the node does
    /// not respond.
    pub async fn unseal(&self, address: &Url, shares: &[Share]) -> Result<SealStatus> {
        let explain = |f: RequestFailure| f.explain(self, address, "unsealing", None);
        let mut status = self.seal_status(address).await?;
        if !status.sealed {
            return Ok(status);
        }
        let reset = Call::put("sys/unseal").json(&json!({ "reset": true })).map_err(explain)?;
        status = self.call(address, reset).await.and_then(|a| a.parse()).map_err(explain)?;
        for (i, share) in shares.iter().enumerate() {
            if !status.sealed {
                break;
            }
            let call = Call::put("sys/unseal").json(&json!({ "key": share.text().expose() })).map_err(explain)?;
            let given = self.call(address, call).await.and_then(|answer| answer.parse());
            status = given.map_err(|f| self.wrong_share(f, address, "unsealing", (i, share), shares.len()))?;
            debug!("Vault {}: share {} given, sealed: {}", shown(address), i + 1, status.sealed);
        }
        if !status.sealed {
            return Ok(status);
        }
        let what = format!("Vault {}: still sealed after all {} shares", shown(address), shares.len());
        Err(Error::new(crate::base::error::Kind::Drill, what)
            .because(anyhow::anyhow!("{} of {} required shares accepted", status.progress, status.threshold))
            .hint("give as many different shares of the source Vault as its threshold requires"))
    }

    /// Discards the shares that were given so far. A share that is still in transit then counts as
    /// the first one.
    ///
    /// # Errors
    /// `Vault`, also if the node is not sealed.
    pub async fn reset_unseal(&self, address: &Url) -> Result<()> {
        let explain = |f: RequestFailure| f.explain(self, address, "resetting the unseal attempt", None);
        let reset = Call::put("sys/unseal").json(&json!({ "reset": true })).map_err(explain)?;
        self.call(address, reset).await.map(drop).map_err(explain)
    }

    /// Returns the HTTP status with which the unsealed node at `address` refuses root tokens from
    /// shares; `None` if it generates them. Changes nothing.
    ///
    /// # Errors
    /// `Vault` if the node does not respond, or is sealed.
    pub async fn refuses_generate_root(&self, address: &Url) -> Result<Option<u16>> {
        // GET of an attempt may be allowed although giving a share is not.
        let asked = async {
            let call = Call::put("sys/generate-root/update").json(&json!({}))?;
            self.call(address, call.accepting(|status| matches!(status, 400 | 403..=405))).await
        };
        let explain = |f: RequestFailure| f.explain(self, address, "asking for root tokens from shares", None);
        let status = asked.await.map_err(explain)?.status;
        // 400 means that the request lacks a share: the endpoint exists.
        Ok((status != 400).then_some(status))
    }

    /// Generates a root token from `shares`. Discards an attempt that is in progress.
    ///
    /// # Errors
    /// As [`Client::unseal`].
    pub async fn generate_root(&self, address: &Url, shares: &[Share]) -> Result<Secret> {
        let made = self.root_from(address, shares).await;
        if made.is_err() {
            // Best effort: the first error is the one to report.
            let _ = self.call(address, Call::delete(ATTEMPT)).await;
        }
        made
    }

    async fn root_from(&self, address: &Url, shares: &[Share]) -> Result<Secret> {
        let doing = "generating a root token";
        let explain = |f: RequestFailure| f.explain(self, address, doing, None);
        self.call(address, Call::delete(ATTEMPT)).await.map_err(|f| match f.status() {
            Some(405) => {
                let what = format!("Vault {}: {doing}: it generates no root token from shares", shown(address));
                Error::vault(what).because(anyhow::anyhow!("{ATTEMPT}: HTTP 405")).hint(ALLOW_GENERATE_ROOT)
            }
            _ => explain(f),
        })?;
        let begin = Call::put(ATTEMPT).json(&json!({})).map_err(explain)?;
        let begun: Attempt = self.call(address, begin).await.and_then(|a| a.parse()).map_err(explain)?;
        let otp = Zeroizing::new(begun.otp);
        let mut progress = (begun.progress, begun.required);
        for (i, share) in shares.iter().enumerate() {
            let body = json!({ "key": share.text().expose(), "nonce": begun.nonce });
            let call = Call::put("sys/generate-root/update").json(&body).map_err(explain)?;
            let given = self.call(address, call).await.and_then(|answer| answer.parse());
            let after: Attempt = given.map_err(|f| self.wrong_share(f, address, doing, (i, share), shares.len()))?;
            if after.complete {
                return decode_root_token(&after.encoded_token, &otp)
                    .map_err(|e| e.context(format!("Vault {}: {doing}", shown(address))));
            }
            progress = (after.progress, after.required);
        }
        Err(Error::drill(format!("Vault {}: {doing}: not enough shares", shown(address)))
            .because(anyhow::anyhow!("{} of {} required shares accepted", progress.0, progress.1))
            .hint("give as many different unseal shares as the threshold requires"))
    }

    /// Seals the node at `address`.
    ///
    /// # Errors
    /// `Vault`, also if the token may not.
    pub async fn seal(&self, address: &Url, token: &Secret) -> Result<()> {
        let sealed = self.call(address, Call::put("sys/seal").token(token)).await;
        sealed.map(drop).map_err(|f| f.explain(self, address, "sealing", Some(("sys/seal", &["sudo", "update"]))))
    }

    /// Returns the error for share number `i`, from 0. With 400, a share is wrong.
    fn wrong_share(
        &self,
        failure: RequestFailure,
        address: &Url,
        doing: &str,
        (i, share): (usize, &Share),
        of: usize,
    ) -> Error {
        let refused = failure.status() == Some(400);
        let error =
            failure.explain(self, address, &format!("{doing}, share {} of {of} ({})", i + 1, share.from()), None);
        if refused {
            error.with_kind(crate::base::error::Kind::Drill).hint(
                "give the shares of the source Vault; if they are right, restart this Vault: after a restore it uses \
                     its old threshold until then",
            )
        } else {
            error
        }
    }
}

/// Decodes the root token of `sys/generate-root`: base64, with or without padding, XOR the one-time
/// password of the attempt.
///
/// # Errors
/// `Vault` if the token and the password do not match.
pub fn decode_root_token(encoded: &str, otp: &str) -> Result<Secret> {
    let broken = |why: &str| Error::vault(format!("invalid encoded root token: {why}"));
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let mut bytes =
        Zeroizing::new(GeneralPurpose::new(&STANDARD, config).decode(encoded).map_err(|_| broken("not base64"))?);
    if bytes.is_empty() || bytes.len() != otp.len() {
        return Err(broken("its length differs from that of the one-time password"));
    }
    bytes.iter_mut().zip(otp.bytes()).for_each(|(byte, pad)| *byte ^= pad);
    match std::str::from_utf8(&bytes) {
        Ok(token) if token.bytes().all(|b| b.is_ascii_graphic()) => Ok(Secret::new(token)),
        _ => Err(broken("it does not decode to a token")),
    }
}
