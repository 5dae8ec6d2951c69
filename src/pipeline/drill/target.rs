//! The Vault that a backup is restored into.
//!
//! Here: bringing it into a state in which it takes a restore. Sending one and telling
//! when it was applied is `applied`, leaving it as it should be is `end`. Not here:
//! whether it may be touched (`guard`), and what is read from it afterwards.
//!
//! Every request goes to one address: a freshly restored node names the source's
//! leader as its own for a moment, so nothing that it says of a leader is followed.

mod applied;
mod end;

use crate::base::error::{Error, Kind, Result};
use crate::base::secret::Secret;
use crate::formats::share::Share;
use crate::services::vault::{Client, Node, SealStatus};
use std::cell::{Cell, RefCell};
use std::time::Duration;
use url::Url;

/// How often a state is asked for that is waited for.
const POLL: Duration = Duration::from_millis(250);

/// What a node that was restored is waited for to do.
const RESTORED: &str = "come back with the restored state";

/// How long shares that were refused are tried again: while a node applies a
/// restore, it may still be its old self for a moment (5.5 s were seen).
const SHARES_GRACE: Duration = Duration::from_secs(10);

/// How long the token lives that a restore must kill.
const DOOMED_TTL: Duration = Duration::from_hours(1);

/// A single Vault node.
pub struct StagingTarget {
    /// A client of it alone.
    pub client: Client,
    /// Where it is.
    pub address: Url,
    /// The source's unseal shares.
    pub shares: Vec<Share>,
    /// The longest wait for the restore to be applied, and for the node to come back.
    pub wait: Duration,
    opened: Cell<bool>,
    restored: Cell<bool>,
    other_keys: Cell<bool>,
    /// Tokens that were made here and are of the node's present state.
    made: RefCell<Vec<Secret>>,
}

impl StagingTarget {
    /// A node that nothing has been asked of yet.
    pub fn new(client: Client, address: Url, shares: Vec<Share>, wait: Duration) -> Self {
        let (opened, restored, other_keys, made) = Default::default();
        Self { client, address, shares, wait, opened, restored, other_keys, made }
    }

    /// Whether it may have taken a restore: where an answer was lost, nobody knows.
    pub fn may_be_restored(&self) -> bool {
        self.restored.get()
    }

    /// Whether it has refused a restore that other seal keys than its own sealed.
    pub fn has_other_keys(&self) -> bool {
        self.other_keys.get()
    }

    /// Whether it was unsealed here, or may have taken a restore.
    pub fn is_touched(&self) -> bool {
        self.opened.get() || self.restored.get()
    }

    /// Opens the seal if need be: from the second drill on, staging is found sealed
    /// as the source, so the source's shares open it.
    ///
    /// # Errors
    /// `Usage` if it is not initialised, or the shares do not open it; `Vault` if it
    /// does not answer.
    pub async fn open(&self) -> Result<SealStatus> {
        let status = self.client.seal_status(&self.address).await?;
        if !status.initialized {
            return Err(Error::usage(format!("staging {} is not initialised", self.address))
                .hint("run vault operator init there once, with as many shares as production has"));
        }
        if !status.sealed {
            return Ok(status);
        }
        if self.shares.is_empty() {
            return Err(Error::usage(format!(
                "staging {} is sealed, and there are no shares to open it",
                self.address
            ))
            .hint("set staging.unseal_keys to production's unseal keys, or unseal it by hand"));
        }
        self.opened.set(true);
        let opened = self.client.unseal(&self.address, &self.shares).await.map_err(|e| match e.kind() {
            Kind::Drill => e
                .with_kind(Kind::Usage)
                .context(format!("staging {} is sealed, and staging.unseal_keys do not open it", self.address)),
            _ => e,
        })?;
        self.active().await?;
        Ok(opened)
    }

    /// Waits until the node is active.
    ///
    /// # Errors
    /// `Drill` once `wait` has passed.
    pub async fn active(&self) -> Result<Node> {
        let active = async |seen: &mut String| {
            match self.client.health(&self.address).await {
                Ok(health) if health.is_active() => {
                    return Ok(Some(self.client.node_with(&self.address, health).await?));
                }
                Ok(health) => *seen = format!("sys/health says {}", health.status),
                Err(error) => *seen = error.to_string(),
            }
            Ok(None)
        };
        Box::pin(self.poll(if self.may_be_restored() { RESTORED } else { "become active" }, active)).await
    }

    /// Asks `probe` until it gives a value; it says what it has seen instead. `what` is
    /// what the node does then.
    async fn poll<T>(&self, what: &str, mut probe: impl AsyncFnMut(&mut String) -> Result<Option<T>>) -> Result<T> {
        let mut seen = "it does not answer".to_owned();
        let polling = async {
            loop {
                if let Some(value) = probe(&mut seen).await? {
                    return Ok(value);
                }
                tokio::time::sleep(POLL).await;
            }
        };
        // Also over a request that hangs.
        match tokio::time::timeout(self.wait, polling).await {
            Ok(result) => result,
            Err(_) => Err(Error::drill(format!(
                "Vault {} did not {what} within {} s (staging.wait): {seen}",
                self.address,
                self.wait.as_secs()
            ))
            .hint("look at that server's log")),
        }
    }

    /// A token that may restore: `given`, if it is alive, else a root token made
    /// from the shares (the source's, once a drill has been through).
    ///
    /// # Errors
    /// `Usage` if there is neither.
    pub async fn administrator(&self, given: Option<&Secret>) -> Result<Secret> {
        if let Some(token) = given
            && self.client.token_alive(&self.address, token).await?
        {
            return Ok(token.clone());
        }
        let none = |why: &str| {
            Error::usage(format!("staging {}: no administrative token: {why}", self.address))
                .hint("set staging.token to a token of the staging Vault, or staging.unseal_keys to what unseals it")
        };
        if self.shares.is_empty() {
            return Err(none(if given.is_some() { "staging.token is dead" } else { "none is configured" }));
        }
        self.makes_root_tokens("no administrative token").await?;
        let made = self.client.generate_root(&self.address, &self.shares).await;
        let token = made.map_err(|e| if e.kind() == Kind::Drill { none(&e.to_string()) } else { e })?;
        self.made.borrow_mut().push(token.clone());
        Ok(token)
    }

    /// A token of the present state. The restore must kill it: that is the proof
    /// that it was applied.
    ///
    /// # Errors
    /// `Vault`.
    pub async fn doomed_token(&self, administrator: &Secret) -> Result<Secret> {
        let token = self.client.create_token(&self.address, administrator, DOOMED_TTL).await?;
        self.made.borrow_mut().push(token.clone());
        Ok(token)
    }
}
