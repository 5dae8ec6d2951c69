//! Cleans up a node: revokes the tokens that a drill created there and seals it if it may be
//! a copy of production.

use super::{POLL, SHARES_GRACE, StagingTarget};
use crate::base::error::{Error, Result};
use crate::base::secret::Secret;
use crate::formats::product::{Product, ServerVersion};
use crate::services::vault::{ALLOW_GENERATE_ROOT, SealStatus};
use std::time::Instant;

impl StagingTarget {
    /// Revokes the tokens that were created here, unless a restore has removed them.
    pub(crate) async fn revoke_tokens(&self) {
        // In reverse order: the marker token is the root token's child.
        for token in self.made.take().iter().rev().filter(|_| !self.may_be_restored()) {
            if let Err(error) = self.client.revoke_token(&self.address, token).await {
                tracing::info!("{error}; this token of the drill stays valid until its TTL expires");
            }
        }
    }

    /// Checks that the unsealed node, a `server` with this `seal`, can be sealed after the
    /// restore. Then only a root token generated with the shares can do that.
    ///
    /// # Errors
    /// `Usage` naming the setting to change; nothing has been restored then.
    pub(crate) async fn sealable(&self, server: &ServerVersion, seal: &SealStatus) -> Result<()> {
        let cannot = |why: &str| {
            Error::usage(format!(
                "staging {}: it cannot be sealed after the restore: {why}; nothing was restored",
                self.address
            ))
        };
        // OpenBao 2.6.1 and 2.7.2 were unsealed again two seconds after sys/seal. Vault stays
        // sealed until it is restarted.
        if seal.is_automatic() && server.product != Some(Product::Vault) {
            return Err(cannot("its seal is automatic, and OpenBao unseals itself again").hint(
                "use --ephemeral, or set staging.seal_after = false and stop the staging server \
                 manually after the drill",
            ));
        }
        if self.shares.is_empty() {
            return Err(cannot("no shares are configured to generate a root token").hint(
                "set staging.unseal_keys to production's unseal keys (recovery keys with an \
                 automatic seal), or staging.seal_after = false",
            ));
        }
        self.makes_root_tokens("it cannot be sealed after the restore").await
    }

    /// Checks that the unsealed node generates root tokens from shares. `then` is the
    /// consequence if it does not, for the message.
    pub(super) async fn makes_root_tokens(&self, then: &str) -> Result<()> {
        let Some(status) = self.client.refuses_generate_root(&self.address).await? else { return Ok(()) };
        let what = format!("staging {}: {then}: it makes no root token from shares", self.address);
        Err(Error::usage(what)
            .because(anyhow::anyhow!("sys/generate-root: HTTP {status}"))
            .hint(format!("nothing was restored; {ALLOW_GENERATE_ROOT}")))
    }

    /// Seals a node that still has its old state, with `token`. A failure is only a warning.
    pub(crate) async fn seal_with(&self, token: &Secret) {
        match self.client.seal(&self.address, token).await {
            Ok(()) => self.unsealed.set(false),
            Err(error) => tracing::warn!("{error}"),
        }
    }

    /// Seals the node with a root token generated with the shares. Tries again for a while,
    /// because a node that is applying a restore refuses it.
    ///
    /// # Errors
    /// `Drill`: an unsealed copy of production may be left.
    pub(crate) async fn seal(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            match self.try_seal().await {
                Ok(()) => return Ok(()),
                Err(error) if begun.elapsed() >= SHARES_GRACE || self.shares.is_empty() => {
                    return Err(self.left_unsealed().because(error));
                }
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Returns the error for a node that could not be sealed.
    pub(crate) fn left_unsealed(&self) -> Error {
        let address = &self.address;
        Error::drill(format!("staging left unsealed: {address} may be an unsealed copy of production"))
            .hint(format!("seal it now: `vault operator seal -address={address}`"))
    }

    async fn try_seal(&self) -> Result<()> {
        // A share of a stopped run may still arrive: it must not be the last one that is
        // needed. An unsealed node refuses this and is sealed below.
        if let Err(error) = self.client.reset_unseal(&self.address).await {
            tracing::debug!("{error}");
        }
        if self.client.seal_status(&self.address).await?.sealed {
            return Ok(());
        }
        // A node that is not active would forward the requests: just after a restore, to the
        // source.
        if !self.client.health(&self.address).await?.is_active() {
            return Err(Error::drill("it is not active"));
        }
        let token = self.client.generate_root(&self.address, &self.shares).await?;
        self.client.seal(&self.address, &token).await?;
        match self.client.seal_status(&self.address).await?.sealed {
            true => Ok(()),
            false => Err(Error::drill("it accepted the seal request, but is still unsealed")),
        }
    }
}
