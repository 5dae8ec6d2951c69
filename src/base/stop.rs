//! The request to stop a run early: one flag, raised by a signal or the deadline.
//!
//! Not here: cleanup, which each pipeline does itself.

use crate::base::error::{Error, Kind, Result};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Reason to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The deadline passed.
    Deadline,
    /// SIGINT.
    Interrupted,
    /// SIGTERM.
    Terminated,
    /// SIGHUP: the terminal was closed.
    HungUp,
}

/// Handle of the run's stop flag. Clones share the flag.
#[derive(Clone, Debug)]
pub struct Stop {
    flag: Arc<watch::Sender<Option<Reason>>>,
    /// Current stage of the run, for the message about the deadline.
    stage: Arc<Mutex<Option<&'static str>>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self { flag: Arc::new(watch::Sender::new(None)), stage: Arc::default() }
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

    /// Raises the flag after `delay`, unless the returned task is aborted before.
    pub(crate) fn raise_after(&self, delay: Duration, reason: Reason) -> AbortHandle {
        let stop = self.clone();
        let raising = tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            stop.raise(reason);
        });
        raising.abort_handle()
    }

    /// Records the stage that begins now, which the error of a deadline names.
    pub fn enter(&self, stage: &'static str) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = Some(stage);
    }

    fn error(&self, reason: Reason) -> Error {
        let stage = *self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        match (reason, stage) {
            (Reason::Deadline, Some(stage)) => {
                Error::new(Kind::Deadline, format!("the deadline passed (stage: {stage})"))
            }
            (Reason::Deadline, None) => Error::new(Kind::Deadline, "the deadline passed"),
            (Reason::Interrupted, _) => Error::new(Kind::Interrupted, "interrupted"),
            (Reason::Terminated, _) => Error::new(Kind::Terminated, "terminated"),
            (Reason::HungUp, _) => Error::new(Kind::Terminated, "terminated (SIGHUP)"),
        }
    }

    /// Checks the flag, for stages that poll.
    ///
    /// # Errors
    /// The reason, if the flag is raised.
    pub fn check(&self) -> Result<()> {
        self.flag.borrow().map_or(Ok(()), |reason| Err(self.error(reason)))
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
                Some(reason) => Err(self.error(reason)),
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

    #[test]
    fn a_deadline_names_the_stage() {
        let stop = Stop::default();
        stop.raise(Reason::Deadline);
        assert_eq!(stop.check().unwrap_err().message(), "the deadline passed");
        stop.enter("uploading");
        assert_eq!(stop.check().unwrap_err().message(), "the deadline passed (stage: uploading)");
    }
}
