//! The request to stop a run early: one flag, raised by a signal or the deadline.
//!
//! Not here: cleanup, which each pipeline does itself.

use crate::base::error::{Error, Kind, Result};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Reason to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `--deadline` passed.
    Deadline,
    /// SIGINT.
    Interrupted,
    /// SIGTERM.
    Terminated,
}

impl Reason {
    fn error(self) -> Error {
        match self {
            Reason::Deadline => Error::new(Kind::Deadline, "the deadline passed"),
            Reason::Interrupted => Error::new(Kind::Interrupted, "interrupted"),
            Reason::Terminated => Error::new(Kind::Terminated, "terminated"),
        }
    }
}

/// Handle of the run's stop flag. Clones share the flag.
#[derive(Clone, Debug)]
pub struct Stop {
    flag: Arc<watch::Sender<Option<Reason>>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self { flag: Arc::new(watch::Sender::new(None)) }
    }
}

impl Stop {
    /// Raises the flag. A later reason does not replace the first.
    pub fn raise(&self, reason: Reason) {
        self.flag.send_if_modified(|slot| {
            let first = slot.is_none();
            slot.get_or_insert(reason);
            first
        });
    }

    /// Raises the flag after `delay`.
    pub(crate) fn raise_after(&self, delay: Duration, reason: Reason) {
        let stop = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            stop.raise(reason);
        });
    }

    /// Checks the flag, for stages that poll.
    ///
    /// # Errors
    /// The reason, if the flag is raised.
    pub fn check(&self) -> Result<()> {
        self.flag.borrow().map_or(Ok(()), |reason| Err(reason.error()))
    }

    /// Runs `work` until it ends or the flag is raised. In the second case `work` is
    /// dropped and the reason returned as an error; the caller cleans up.
    ///
    /// # Errors
    /// The error of `work`, or the reason to stop.
    pub async fn guard<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut flag = self.flag.subscribe();
        tokio::select! {
            biased;
            reason = async { flag.wait_for(Option::is_some).await.ok().and_then(|r| *r) } => match reason {
                Some(reason) => Err(reason.error()),
                None => std::future::pending().await,
            },
            done = work => done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_to_stop_is_kept() {
        let stop = Stop::default();
        assert_eq!(stop.guard(async { Ok(1) }).await.unwrap(), 1);
        stop.raise(Reason::Terminated);
        stop.raise(Reason::Deadline);
        let e = stop.guard(std::future::pending::<Result<()>>()).await.unwrap_err();
        assert_eq!(e.kind(), Kind::Terminated);
    }
}
