//! The Vault that a backup is restored into.
//!
//! Here: bringing it into a state in which it takes a restore, sending one, and
//! telling when it was applied. Not here: whether it may be touched (`guard`), and
//! what is read from it afterwards.
//!
//! Every request goes to one address: a freshly restored node names the source's
//! leader as its own for a moment, so nothing that it says of a leader is followed.

use super::feed::{self, Facts, Reading};
use crate::error::{Error, Kind, Result};
use crate::pipeline::inbound::{self, Source};
use crate::report::Progress;
use crate::secret::Secret;
use crate::stop::Stop;
use crate::vault::{Client, Node, SealStatus};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use url::Url;

/// How often a state is asked for that is waited for.
const POLL: Duration = Duration::from_millis(250);

/// How long shares that were refused are tried again: while a node applies a
/// restore, it may still be its old self for a moment (5.5 s were seen).
const SHARES_GRACE: Duration = Duration::from_secs(10);

/// How long the token lives that a restore must kill.
const DOOMED_TTL: Duration = Duration::from_hours(1);

/// A single Vault node.
pub struct Target {
    /// A client of it alone.
    pub client: Client,
    /// Where it is.
    pub address: Url,
    /// The source's unseal shares.
    pub shares: Vec<Secret>,
    /// The longest wait for the restore to be applied, and for the node to come back.
    pub wait: Duration,
    touched: Cell<bool>,
}

impl Target {
    /// A node that nothing has been asked of yet.
    pub fn new(client: Client, address: Url, shares: Vec<Secret>, wait: Duration) -> Self {
        Self { client, address, shares, wait, touched: Cell::new(false) }
    }

    /// Whether it was unsealed here, or may have taken a restore: where an answer
    /// was lost, nobody knows.
    pub fn is_touched(&self) -> bool {
        self.touched.get()
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
        self.touched.set(true);
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
                    let seal = self.client.seal_status(&self.address).await?;
                    return Ok(Some(Node { address: self.address.clone(), health, seal }));
                }
                Ok(health) => *seen = format!("sys/health says {}", health.status),
                Err(error) => *seen = error.to_string(),
            }
            Ok(None)
        };
        Box::pin(self.poll(active)).await
    }

    /// Asks `probe` until it gives a value; it says what it has seen instead.
    async fn poll<T>(&self, mut probe: impl AsyncFnMut(&mut String) -> Result<Option<T>>) -> Result<T> {
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
                "Vault {} did not come back with the restored state within {} s (staging.wait): {seen}",
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
        let made = self.client.generate_root(&self.address, &self.shares).await;
        made.map_err(|e| if e.kind() == Kind::Drill { none(&e.to_string()) } else { e })
    }

    /// A token of the present state. The restore must kill it: that is the proof
    /// that it was applied.
    ///
    /// # Errors
    /// `Vault`.
    pub async fn doomed_token(&self, administrator: &Secret) -> Result<Secret> {
        self.client.create_token(&self.address, administrator, DOOMED_TTL).await
    }

    /// Streams the backup into the node, checking it on the way.
    ///
    /// # Errors
    /// The source's error first, then the backup's, then Vault's. Before Vault
    /// accepted it, nothing has changed there.
    pub async fn restore(
        &self,
        source: Source,
        how: Reading,
        token: &Secret,
        force: bool,
        stop: &Stop,
        progress: &Progress,
    ) -> Result<Facts> {
        let node = Node {
            address: self.address.clone(),
            health: self.client.health(&self.address).await?,
            seal: self.client.seal_status(&self.address).await?,
        };
        let (feeder, body) = feed::body();
        let (whole, refused) = (Arc::new(AtomicBool::new(false)), Cell::new(false));
        let fed = whole.clone();
        let reading = inbound::read(source, stop, progress, move |reader| {
            let facts = feed::pass(reader, &how, |piece| feeder.send(piece))?;
            fed.store(true, Ordering::SeqCst);
            feeder.finish();
            Ok(facts)
        });
        let sending = async {
            let sent = self.client.restore(&node, token, body.into_stream(), force).await;
            sent.map_err(|unrestored| {
                refused.set(!unrestored.unanswered);
                unrestored.error
            })
        };
        let (read, sent) = tokio::join!(reading, stop.guard(Box::pin(sending)));
        if whole.load(Ordering::SeqCst) && !refused.get() {
            self.touched.set(true);
        }
        match (read, sent) {
            (Ok(facts), Ok(())) => Ok(facts),
            // The reader stopped because nobody took its pieces any more.
            (Err(read), Err(sent)) if read.kind() == Kind::Unexpected => Err(sent),
            (Err(read), _) => Err(read),
            (Ok(_), Err(sent)) => Err(sent),
        }
    }

    /// Waits until the restore was applied: the node may seal itself, and is
    /// unsealed, or never show as sealed; it was applied once `doomed` is dead.
    ///
    /// # Errors
    /// `Drill` if the shares do not open it, or `wait` passes.
    pub async fn applied(&self, doomed: &Secret) -> Result<()> {
        let mut refused: Option<Instant> = None;
        let applied = async |seen: &mut String| {
            *seen = match self.client.seal_status(&self.address).await {
                Err(error) => error.to_string(),
                Ok(status) if status.sealed && self.shares.is_empty() => {
                    if status.seal_type == "shamir" {
                        return Err(Error::drill(format!(
                            "staging {} has sealed itself, and there are no shares to open it",
                            self.address
                        ))
                        .hint("set staging.unseal_keys to production's unseal keys"));
                    }
                    "it is sealed, and there are no shares".to_owned()
                }
                Ok(status) if status.sealed => match self.client.unseal(&self.address, &self.shares).await {
                    Ok(_) => "it was just unsealed".to_owned(),
                    Err(error) if error.kind() == Kind::Drill => {
                        if refused.get_or_insert_with(Instant::now).elapsed() >= SHARES_GRACE {
                            return Err(error.hint("are staging.unseal_keys those of the Vault that the backup was taken \
                                from? If so, and staging was initialised with another threshold: restart it, and drill again"));
                        }
                        error.to_string()
                    }
                    Err(error) => error.to_string(),
                },
                Ok(_) => match self.is_dead(doomed, seen).await {
                    true => return Ok(Some(())),
                    false => return Ok(None),
                },
            };
            Ok(None)
        };
        Box::pin(self.poll(applied)).await
    }

    /// Waits until the restore shows: the node has sealed itself under the backup's
    /// keys (true), or serves the restored state (false).
    ///
    /// # Errors
    /// `Drill` once `wait` has passed.
    pub async fn sealed_or_applied(&self, doomed: &Secret) -> Result<bool> {
        let shown = async |seen: &mut String| {
            match self.client.seal_status(&self.address).await {
                Ok(status) if status.sealed => return Ok(Some(true)),
                Ok(_) if self.is_dead(doomed, seen).await => return Ok(Some(false)),
                Ok(_) => {}
                Err(error) => *seen = error.to_string(),
            }
            Ok(None)
        };
        Box::pin(self.poll(shown)).await
    }

    /// Whether a token of the old state is dead; if not, `seen` says why.
    async fn is_dead(&self, doomed: &Secret, seen: &mut String) -> bool {
        match self.client.token_alive(&self.address, doomed).await {
            Ok(false) => return true,
            Ok(true) => *seen = "a token of its old state is still valid: it kept its old state".to_owned(),
            Err(error) => *seen = error.to_string(),
        }
        false
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
