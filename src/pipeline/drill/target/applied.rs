//! Sends the restore and waits until it is applied: Vault responds before it applies a
//! restore.

use super::{RESTORED, SHARES_GRACE, StagingTarget};
use crate::base::error::{Error, Kind, Result};
use crate::base::secret::Secret;
use crate::base::stop::Stop;
use crate::pipeline::drill::feed::{self, Facts};
use crate::pipeline::reader::{self, ByteSource};
use crate::pipeline::verified::ReadSpec;
use crate::services::progress::Progress;
use std::cell::Cell;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

impl StagingTarget {
    /// Streams the backup into the node, checks it on the way, and returns the result of
    /// `on_state`, which gets the state.
    ///
    /// # Errors
    /// The source's error first, then the backup's, then Vault's. Until Vault accepts the
    /// restore, its state is unchanged.
    pub(crate) async fn restore<T: Send + 'static>(
        &self,
        (source, how): (ByteSource, ReadSpec),
        token: &Secret,
        force: bool,
        stop: &Stop,
        progress: &Progress,
        on_state: impl FnMut(&mut dyn Read) -> Result<T> + Send + 'static,
    ) -> Result<(Facts, T)> {
        let node = Box::pin(stop.guard(self.client.node(&self.address))).await?;
        let (feeder, body) = feed::body();
        let (complete, refused) = (Arc::new(AtomicBool::new(false)), Cell::new(false));
        let sent_all = complete.clone();
        let reading = reader::read(source, stop, progress, move |reader| {
            let facts = feed::pass(reader, &how, |piece| feeder.send(piece), on_state)?;
            sent_all.store(true, Ordering::SeqCst);
            feeder.finish();
            Ok(facts)
        });
        let sending = async {
            let sent = self.client.restore(&node, token, body.into_stream(), force).await;
            sent.map_err(|failure| {
                refused.set(!failure.unanswered);
                self.other_keys.set(failure.other_keys);
                failure.error
            })
        };
        let (read, sent) = tokio::join!(reading, stop.guard(Box::pin(sending)));
        if complete.load(Ordering::SeqCst) && !refused.get() {
            self.restored.set(true);
        }
        match (read, sent) {
            (Ok(facts), Ok(())) => Ok(facts),
            // The reader stopped because the request had ended.
            (Err(read), Err(sent)) if read.kind() == Kind::Unexpected => Err(sent),
            (Err(read), _) => Err(read),
            (Ok(_), Err(sent)) => Err(sent),
        }
    }

    /// Waits until the restore is applied, that is, until `marker` is invalid. If the node
    /// seals itself, it is unsealed.
    ///
    /// # Errors
    /// `Drill` if the shares do not unseal it, or after `wait`.
    pub(crate) async fn applied(&self, marker: &Secret) -> Result<()> {
        let mut refused: Option<Instant> = None;
        let applied = async |seen: &mut String| {
            *seen = match self.client.seal_status(&self.address).await {
                Err(error) => error.to_string(),
                Ok(status) if status.sealed && self.shares.is_empty() => {
                    if status.seal_type == "shamir" {
                        return Err(Error::drill(format!(
                            "staging {} has sealed itself, and no shares are configured to unseal it",
                            self.address
                        ))
                        .hint("set staging.unseal_keys to production's unseal keys"));
                    }
                    "it is sealed, and no shares are configured".to_owned()
                }
                Ok(status) if status.sealed => match self.client.unseal(&self.address, &self.shares).await {
                    Ok(_) => "it was just unsealed".to_owned(),
                    Err(error) if error.kind() == Kind::Drill => {
                        if refused.get_or_insert_with(Instant::now).elapsed() >= SHARES_GRACE {
                            return Err(error.hint(
                                "set staging.unseal_keys to the unseal keys of the backup's source; if they are, \
                                and staging was initialised with another threshold, restart it and repeat the drill",
                            ));
                        }
                        error.to_string()
                    }
                    Err(error) => error.to_string(),
                },
                Ok(_) => match self.is_invalid(marker, seen).await {
                    true => return Ok(Some(())),
                    false => return Ok(None),
                },
            };
            Ok(None)
        };
        Box::pin(self.poll(RESTORED, applied)).await
    }

    /// Waits until the restore is applied. Returns `true` if the node has sealed itself with
    /// the backup's keys, `false` if it serves the restored state.
    ///
    /// # Errors
    /// `Drill` after `wait`.
    pub(crate) async fn sealed_or_applied(&self, marker: &Secret) -> Result<bool> {
        let shown = async |seen: &mut String| {
            match self.client.seal_status(&self.address).await {
                Ok(status) if status.sealed => return Ok(Some(true)),
                Ok(_) if self.is_invalid(marker, seen).await => return Ok(Some(false)),
                Ok(_) => {}
                Err(error) => *seen = error.to_string(),
            }
            Ok(None)
        };
        Box::pin(self.poll(RESTORED, shown)).await
    }

    /// Returns `true` if a token of the old state is invalid; otherwise sets `seen`.
    async fn is_invalid(&self, marker: &Secret, seen: &mut String) -> bool {
        match self.client.token_alive(&self.address, marker).await {
            Ok(false) => return true,
            Ok(true) => *seen = "a token of its old state is still valid: it kept its old state".to_owned(),
            Err(error) => *seen = error.to_string(),
        }
        false
    }
}
