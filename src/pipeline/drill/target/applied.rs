//! The restore itself, and how it is told that it was applied: Vault answers before it
//! begins to.

use super::{RESTORED, SHARES_GRACE, StagingTarget};
use crate::base::error::{Error, Kind, Result};
use crate::base::secret::Secret;
use crate::base::stop::Stop;
use crate::pipeline::drill::feed::{self, Facts, ReadSpec};
use crate::pipeline::reader::{self, ByteSource};
use crate::services::progress::Progress;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

impl StagingTarget {
    /// Streams the backup into the node, checking it on the way.
    ///
    /// # Errors
    /// The source's error first, then the backup's, then Vault's. Before Vault
    /// accepted it, nothing has changed there.
    pub async fn restore(
        &self,
        source: ByteSource,
        how: ReadSpec,
        token: &Secret,
        force: bool,
        stop: &Stop,
        progress: &Progress,
    ) -> Result<Facts> {
        let node = Box::pin(stop.guard(self.client.node(&self.address))).await?;
        let (feeder, body) = feed::body();
        let (whole, refused) = (Arc::new(AtomicBool::new(false)), Cell::new(false));
        let fed = whole.clone();
        let reading = reader::read(source, stop, progress, move |reader| {
            let facts = feed::pass(reader, &how, |piece| feeder.send(piece))?;
            fed.store(true, Ordering::SeqCst);
            feeder.finish();
            Ok(facts)
        });
        let sending = async {
            let sent = self.client.restore(&node, token, body.into_stream(), force).await;
            sent.map_err(|unrestored| {
                refused.set(!unrestored.unanswered);
                self.other_keys.set(unrestored.other_keys);
                unrestored.error
            })
        };
        let (read, sent) = tokio::join!(reading, stop.guard(Box::pin(sending)));
        if whole.load(Ordering::SeqCst) && !refused.get() {
            self.restored.set(true);
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
        Box::pin(self.poll(RESTORED, applied)).await
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
        Box::pin(self.poll(RESTORED, shown)).await
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
}
