//! How a node is left: without tokens that a drill made there, and, if it may be a copy
//! of production, sealed.

use super::{POLL, SHARES_GRACE, StagingTarget};
use crate::base::error::{Error, Result};
use crate::base::secret::Secret;
use crate::formats::product::{Product, ServerVersion};
use crate::services::vault::{ALLOW_GENERATE_ROOT, SealStatus};
use std::time::Instant;

impl StagingTarget {
    /// Revokes the tokens that were made here, unless a restore has taken them.
    pub async fn withdraw(&self) {
        // The youngest first: the doomed token is the root token's child.
        for token in self.made.take().iter().rev().filter(|_| !self.may_be_restored()) {
            if let Err(error) = self.client.revoke_token(&self.address, token).await {
                tracing::info!("{error}; it was this drill's own, and nobody else knows it");
            }
        }
    }

    /// Checks that the unsealed node, a `server` with this `seal`, can be sealed once it has
    /// another's state: then a root token made from the shares is the only way.
    ///
    /// # Errors
    /// `Usage` saying what to set; nothing has been sent then.
    pub async fn sealable(&self, server: &ServerVersion, seal: &SealStatus) -> Result<()> {
        let cannot =
            |why: &str| Error::usage(format!("staging {}: it cannot be sealed after the restore: {why}", self.address));
        // Seen on OpenBao 2.6.1 and 2.7.2: two seconds after sys/seal it is open again. Vault
        // stays sealed until it is restarted.
        if seal.is_automatic() && server.product != Some(Product::Vault) {
            return Err(cannot("its seal is automatic, and OpenBao opens itself again").hint(
                "nothing was restored; drill with --ephemeral, or set staging.seal_after = false and stop the staging \
                 server yourself after the drill",
            ));
        }
        if self.shares.is_empty() {
            return Err(cannot("there are no shares to make a root token with").hint(
                "nothing was restored; set staging.unseal_keys to production's unseal keys (recovery keys with an \
                 automatic seal), or staging.seal_after = false",
            ));
        }
        self.makes_root_tokens("it cannot be sealed after the restore").await
    }

    /// Checks that the unsealed node makes root tokens from shares; without that, `then`.
    pub(super) async fn makes_root_tokens(&self, then: &str) -> Result<()> {
        let Some(status) = self.client.refuses_generate_root(&self.address).await? else { return Ok(()) };
        let what = format!("staging {}: {then}: it makes no root token from shares", self.address);
        Err(Error::usage(what)
            .because(anyhow::anyhow!("sys/generate-root: HTTP {status}"))
            .hint(format!("nothing was restored; {ALLOW_GENERATE_ROOT}")))
    }

    /// Seals a node that holds its own state, with `token`. Best effort.
    pub async fn close_with(&self, token: &Secret) {
        match self.client.seal(&self.address, token).await {
            Ok(()) => self.opened.set(false),
            Err(error) => tracing::warn!("{error}"),
        }
    }

    /// Sees to it that the node is sealed, with a root token made from the shares.
    /// One that is just applying a restore may take a while to be so.
    ///
    /// # Errors
    /// `Drill`: an unlocked copy of production may stay behind.
    pub async fn seal(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            match self.try_seal().await {
                Ok(()) => return Ok(()),
                Err(error) if begun.elapsed() >= SHARES_GRACE || self.shares.is_empty() => {
                    let what = format!("staging left unsealed: {} may be an open copy of production", self.address);
                    return Err(Error::drill(what).because(error).hint("seal it by hand: vault operator seal"));
                }
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    async fn try_seal(&self) -> Result<()> {
        // A run that was ended may have a share on its way still: it must not be the
        // last one that is needed. An open node refuses this, and is sealed below.
        if let Err(error) = self.client.reset_unseal(&self.address).await {
            tracing::debug!("{error}");
        }
        if self.client.seal_status(&self.address).await?.sealed {
            return Ok(());
        }
        // One that is not active would forward what follows, if just restored to its source.
        if !self.client.health(&self.address).await?.is_active() {
            return Err(Error::drill("it is not active"));
        }
        let token = self.client.generate_root(&self.address, &self.shares).await?;
        self.client.seal(&self.address, &token).await?;
        match self.client.seal_status(&self.address).await?.sealed {
            true => Ok(()),
            false => Err(Error::drill("it answered that it is sealed, and is not")),
        }
    }
}
