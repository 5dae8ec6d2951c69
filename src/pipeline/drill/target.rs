//! The Vault server that a backup is restored into: prepares it for a restore.
//!
//! The restore and the wait for it are in `applied`, the cleanup in `end`. Not here: the
//! checks that it may be used (`guard`), and reads after the restore.
//!
//! Every request goes to one address: for a moment after the restore, the node reports the
//! source's leader, so leader addresses are never followed.

mod applied;
mod end;

use crate::base::error::{Error, Kind, Result};
use crate::base::secret::Secret;
use crate::formats::share::Share;
use crate::services::vault::{Client, Node, SealStatus};
use std::cell::{Cell, RefCell};
use std::time::Duration;
use url::Url;

/// Polling interval.
const POLL: Duration = Duration::from_millis(250);

/// Description of the state that a restored node is expected to reach.
const RESTORED: &str = "come back with the restored state";

/// Period in which refused shares are tried again: while a node applies a restore, it may
/// still have its old state (5.5 s were measured).
const SHARES_GRACE: Duration = Duration::from_secs(10);

/// TTL of the token that a restore must invalidate.
const MARKER_TTL: Duration = Duration::from_hours(1);

/// A single Vault node that a backup is restored into.
pub(crate) struct StagingTarget {
    /// Client for this node.
    pub client: Client,
    /// Its address.
    pub address: Url,
    /// The source's unseal shares.
    pub shares: Vec<Share>,
    /// Maximum wait for the restore to be applied and for the node to become active.
    pub wait: Duration,
    unsealed: Cell<bool>,
    restored: Cell<bool>,
    other_keys: Cell<bool>,
    /// Tokens that were created here and belong to the node's current state.
    made: RefCell<Vec<Secret>>,
}

impl StagingTarget {
    /// Creates a target. Sends no request.
    pub(crate) fn new(client: Client, address: Url, shares: Vec<Share>, wait: Duration) -> Self {
        let (unsealed, restored, other_keys, made) = Default::default();
        Self { client, address, shares, wait, unsealed, restored, other_keys, made }
    }

    /// Returns `true` if the node may have applied a restore. After a lost response, this is
    /// unknown.
    pub(crate) fn may_be_restored(&self) -> bool {
        self.restored.get()
    }

    /// Returns `true` if the node refused a restore because its seal keys are different.
    pub(crate) fn has_other_keys(&self) -> bool {
        self.other_keys.get()
    }

    /// Returns `true` if the node was unsealed here or may have applied a restore.
    pub(crate) fn is_touched(&self) -> bool {
        self.unsealed.get() || self.restored.get()
    }

    /// Unseals the node if it is sealed. From the second drill on, staging has the source's
    /// seal, so the source's shares unseal it.
    ///
    /// # Errors
    /// `Usage` if it is not initialised or the shares do not unseal it; `Vault` if it does
    /// not respond.
    pub(crate) async fn unseal(&self) -> Result<SealStatus> {
        let status = self.client.seal_status(&self.address).await?;
        if !status.initialized {
            return Err(Error::usage(format!("staging {} is not initialised", self.address))
                .hint("run `vault operator init` there once, with as many shares as production has"));
        }
        if !status.sealed {
            return Ok(status);
        }
        if self.shares.is_empty() {
            return Err(Error::usage(format!(
                "staging {} is sealed, and no shares are configured to unseal it",
                self.address
            ))
            .hint("set staging.unseal_keys to production's unseal keys, or unseal it manually"));
        }
        self.unsealed.set(true);
        let status = self.client.unseal(&self.address, &self.shares).await.map_err(|e| match e.kind() {
            Kind::Drill => e
                .with_kind(Kind::Usage)
                .context(format!("staging {} is sealed, and staging.unseal_keys do not unseal it", self.address)),
            _ => e,
        })?;
        self.active().await?;
        Ok(status)
    }

    /// Waits until the node is active.
    ///
    /// # Errors
    /// `Drill` after `wait`.
    pub(crate) async fn active(&self) -> Result<Node> {
        let active = async |seen: &mut String| {
            match self.client.health(&self.address).await {
                Ok(health) if health.is_active() => {
                    return Ok(Some(self.client.node_with(&self.address, health).await?));
                }
                Ok(health) => *seen = format!("sys/health: HTTP {}", health.status),
                Err(error) => *seen = error.to_string(),
            }
            Ok(None)
        };
        Box::pin(self.poll(if self.may_be_restored() { RESTORED } else { "become active" }, active)).await
    }

    /// Calls `probe` until it returns a value. `what` is the expected state, and `probe`
    /// sets its argument to the observed state, both for the error message.
    async fn poll<T>(&self, what: &str, mut probe: impl AsyncFnMut(&mut String) -> Result<Option<T>>) -> Result<T> {
        let mut seen = "it does not respond".to_owned();
        let polling = async {
            loop {
                if let Some(value) = probe(&mut seen).await? {
                    return Ok(value);
                }
                tokio::time::sleep(POLL).await;
            }
        };
        // The timeout also covers a request that hangs.
        match tokio::time::timeout(self.wait, polling).await {
            Ok(result) => result,
            Err(_) => Err(Error::drill(format!(
                "Vault {} did not {what} within {} s (staging.wait): {seen}",
                self.address,
                self.wait.as_secs()
            ))
            .hint("check the log of that server")),
        }
    }

    /// Returns a token that may restore: `given` if it is valid, else a root token generated
    /// with the shares (the source's, after the first drill).
    ///
    /// # Errors
    /// `Usage` if neither is possible.
    pub(crate) async fn administrator(&self, given: Option<&Secret>) -> Result<Secret> {
        if let Some(token) = given
            && self.client.token_alive(&self.address, token).await?
        {
            return Ok(token.clone());
        }
        let none = |why: &str| {
            Error::usage(format!("staging {}: no administrative token: {why}", self.address))
                .hint("set staging.token to a token of the staging Vault, or staging.unseal_keys to its unseal keys")
        };
        if self.shares.is_empty() {
            return Err(none(if given.is_some() { "staging.token is not valid" } else { "none is configured" }));
        }
        self.makes_root_tokens("no administrative token").await?;
        let made = self.client.generate_root(&self.address, &self.shares).await;
        let token = made.map_err(|e| if e.kind() == Kind::Drill { none(&e.to_string()) } else { e })?;
        self.made.borrow_mut().push(token.clone());
        Ok(token)
    }

    /// Creates a token in the node's current state. The restore is applied once this token is
    /// invalid.
    ///
    /// # Errors
    /// `Vault`.
    pub(crate) async fn marker_token(&self, administrator: &Secret) -> Result<Secret> {
        let token = self.client.create_token(&self.address, administrator, MARKER_TTL).await?;
        self.made.borrow_mut().push(token.clone());
        Ok(token)
    }
}
