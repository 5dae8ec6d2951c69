//! The request to stop a run early: one flag, raised by a signal or the deadline.
//!
//! Not here: cleanup, which each pipeline does itself.

use crate::base::error::{Error, Kind, Result};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Time for a token that is being obtained to arrive after a stop.
const GRANTED: Duration = Duration::from_secs(5);

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
    commit: Arc<watch::Sender<Commit>>,
}

/// State of the last effect of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Commit {
    None,
    Begun,
    Done,
}

impl Default for Stop {
    fn default() -> Self {
        let commit = Arc::new(watch::Sender::new(Commit::None));
        Self { flag: Arc::new(watch::Sender::new(None)), stage: Arc::default(), commit }
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

    /// Runs `work`, the last effect of a run, to its end: a stop comes either before it or
    /// after it.
    ///
    /// # Errors
    /// The reason to stop, if the flag is raised already; the error of `work`.
    pub async fn commit<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.check()?;
        self.commit.send_replace(Commit::Begun);
        let result = work.await;
        self.commit.send_replace(if result.is_ok() { Commit::Done } else { Commit::None });
        result
    }

    /// Returns the exit code of a run that ends at once by the second signal, after the end of
    /// a commit. Once that is done, the run is a success without its last notifications.
    pub async fn exit_code(&self, killed: Kind) -> u8 {
        let mut commit = self.commit.subscribe();
        match commit.wait_for(|commit| *commit != Commit::Begun).await.map(|commit| *commit) {
            Ok(Commit::Done) => Kind::Partial.code(),
            _ => killed.code(),
        }
    }

    /// Runs `work` until it ends or the flag is raised. In the second case `work` is
    /// dropped and the reason returned as an error; the caller cleans up.
    ///
    /// # Errors
    /// The error of `work`, or the reason to stop.
    pub async fn guard<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            reason = self.raised() => Err(self.error(reason)),
            done = work => done,
        }
    }

    /// [`Stop::guard`] for work that obtains a token. A stop gives it [`GRANTED`] to end: a token
    /// that is known can be revoked. The caller checks the flag afterwards.
    ///
    /// # Errors
    /// As [`Stop::guard`].
    pub async fn guard_token<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.check()?;
        let stopped = async {
            let reason = self.raised().await;
            tokio::time::sleep(GRANTED).await;
            Err(self.error(reason))
        };
        tokio::select! {
            biased;
            done = work => done,
            stopped = stopped => stopped,
        }
    }

    /// Waits until the flag is raised.
    async fn raised(&self) -> Reason {
        let mut flag = self.flag.subscribe();
        match flag.wait_for(Option::is_some).await.ok().and_then(|reason| *reason) {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_token_that_arrives_soon_after_a_stop_is_known() {
        for (after, known) in [(GRANTED / 2, true), (GRANTED * 2, false)] {
            let stop = Stop::default();
            let grant = async {
                stop.raise(Reason::Terminated);
                tokio::time::sleep(after).await;
                Ok("token")
            };
            assert_eq!(stop.guard_token(grant).await.is_ok(), known);
            assert_eq!(stop.guard_token(async { Ok("token") }).await.unwrap_err().kind(), Kind::Terminated);
        }
    }

    #[tokio::test]
    async fn the_first_reason_to_stop_is_kept() {
        let stop = Stop::default();
        assert_eq!(stop.guard(async { Ok(1) }).await.unwrap(), 1);
        stop.raise(Reason::Terminated);
        stop.raise(Reason::Deadline);
        let e = stop.guard(std::future::pending::<Result<()>>()).await.unwrap_err();
        assert_eq!(e.kind(), Kind::Terminated);
    }

    #[tokio::test]
    async fn a_commit_is_not_interrupted_and_decides_the_exit_code() {
        let stop = Stop::default();
        let (raised, code) = (stop.clone(), stop.clone());
        let work = async {
            raised.raise(Reason::Terminated);
            tokio::task::yield_now().await;
            Ok(1)
        };
        let (result, code) = tokio::join!(stop.commit(work), code.exit_code(Kind::Terminated));
        assert_eq!((result.unwrap(), code), (1, Kind::Partial.code()));
        let late = stop.commit(async { Ok(2) }).await.unwrap_err();
        assert_eq!(late.kind(), Kind::Terminated);
        let other = Stop::default();
        other.commit(async { Err::<(), _>(Error::store("s")) }).await.unwrap_err();
        assert_eq!(other.exit_code(Kind::Interrupted).await, Kind::Interrupted.code());
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
