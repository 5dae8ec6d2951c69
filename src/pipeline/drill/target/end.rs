//! How a node is left: without tokens that a drill made there, and, if it may be a copy
//! of production, sealed.

use super::{POLL, SHARES_GRACE, Target};
use crate::error::{Error, Result};
use std::time::Instant;

impl Target {
    /// Revokes the tokens that were made here, unless a restore has taken them.
    pub async fn withdraw(&self) {
        // The youngest first: the doomed token is the root token's child.
        for token in self.made.take().iter().rev().filter(|_| !self.may_be_restored()) {
            if let Err(error) = self.client.revoke_token(&self.address, token).await {
                tracing::info!("{error}; it was this drill's own, and nobody else knows it");
            }
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
        self.client.seal(&self.address, &token).await
    }
}
