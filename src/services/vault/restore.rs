//! Uploads a snapshot to Vault. Vault returns 204 before it applies the snapshot.
//!
//! If the source of the snapshot fails, the connection is broken, so that Vault does not accept a
//! truncated snapshot. Not here: the checks before and after a restore (`pipeline`).

use super::call::prepared;
use super::failure::{RequestFailure, transport};
use super::snapshot::{PATH, refuse_other_storage};
use super::status::Node;
use super::{Client, options, shown};
use crate::base::error::{Error, Result};
use crate::base::secret::Secret;
use crate::services::http::Clients;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use reqwest::{Body, Method};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use url::Url;

const FORCE_PATH: &str = "sys/storage/raft/snapshot-force";

/// Failed restore. Vault may still have accepted it, see `unanswered`.
#[derive(Debug)]
pub struct RestoreFailed {
    /// Reason.
    pub error: Error,
    /// `true` if there was no response. If everything was sent, Vault may have accepted the snapshot.
    pub unanswered: bool,
    /// `true` if it was refused because the target has other seal keys.
    pub other_keys: bool,
}

impl Client {
    /// Sends `body` to `node`, a cluster with the same seal keys, or any cluster with `force`. When
    /// this returns, Vault has the whole snapshot and starts to apply it.
    ///
    /// # Errors
    /// The error of `body`, if that is the cause; otherwise `Vault`.
    pub async fn restore(
        &self,
        node: &Node,
        token: &Secret,
        body: impl Stream<Item = Result<Bytes>> + Send + 'static,
        force: bool,
    ) -> Result<(), RestoreFailed> {
        let unrestored = |error, unanswered| RestoreFailed { error, unanswered, other_keys: false };
        refuse_other_storage(node).map_err(|e| unrestored(e, false))?;
        let address = &node.address;
        let path = if force { FORCE_PATH } else { PATH };
        let watch = RestoreUpload::default();
        let sent = self.send(address, token, path, watch.body(body));
        let limit = self.settings.idle_timeout;
        tokio::select! {
            result = sent => {
                // An error of the source is the cause of the failed request.
                if let Some(error) = watch.take_error() {
                    return Err(unrestored(error, true));
                }
                result.map_err(|failure| {
                    let unanswered = matches!(failure, RequestFailure::Transport(_));
                    let other_keys = failure.is_other_keys();
                    let error = self.explain_restore(failure, address, path, watch.bytes());
                    RestoreFailed { error, unanswered, other_keys }
                })
            }
            () = watch.stalled(limit) => {
                let bytes = watch.bytes();
                let what = format!("Vault {}: restore: no progress for {} s (run.idle_timeout), after {bytes} bytes",
                    shown(address), limit.as_secs_f64());
                let todo = "check the server's load and log; raise run.idle_timeout if it is only slow";
                Err(unrestored(Error::vault(what).hint(todo), true))
            }
        }
    }

    async fn send(&self, address: &Url, token: &Secret, path: &str, body: Body) -> Result<(), RequestFailure> {
        // Without the read timeout, which would also apply during the upload.
        let (client, base) = Clients::new(options(&self.settings, None))?.of(address)?;
        let request = prepared(&client, Method::POST, base, path, Some(token))?;
        self.refuse_errors(request.body(body).send().await?).await.map(drop)
    }

    fn explain_restore(&self, failure: RequestFailure, address: &Url, path: &str, bytes: u64) -> Error {
        match failure {
            RequestFailure::Transport(error) if bytes > 0 => {
                let what = format!("Vault {}: restore, after {bytes} bytes", shown(address));
                transport(&error, &what, &self.settings)
                    .hint("raise http_read_timeout of Vault's listener: it aborts longer uploads (30 s by default)")
            }
            other => other.explain(self, address, "restore", Some((path, &["update"]))),
        }
    }
}

/// State of a running upload.
#[derive(Clone)]
struct RestoreUpload(Arc<Mutex<UploadState>>);

struct UploadState {
    bytes: u64,
    /// Time at which Vault was last given data; `None` while waiting for the source.
    given: Option<Instant>,
    error: Option<Error>,
}

impl Default for RestoreUpload {
    fn default() -> Self {
        RestoreUpload(Arc::new(Mutex::new(UploadState { bytes: 0, given: Some(Instant::now()), error: None })))
    }
}

impl RestoreUpload {
    /// Returns `source` as the body of a request. Keeps an error of it, which breaks the connection.
    fn body(&self, source: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Body {
        let (watch, mut source) = (self.clone(), source.boxed());
        Body::wrap_stream(futures_util::stream::poll_fn(move |cx| {
            watch.with(|p| p.given = None);
            let polled = source.poll_next_unpin(cx);
            polled.map(|next| {
                watch.with(|p| p.given = Some(Instant::now()));
                next.map(|item| match item {
                    Ok(bytes) => {
                        watch.with(|p| p.bytes += bytes.len() as u64);
                        Ok(bytes)
                    }
                    Err(error) => {
                        watch.with(|p| p.error = Some(error));
                        Err(std::io::Error::other("the source of the snapshot failed"))
                    }
                })
            })
        }))
    }

    fn bytes(&self) -> u64 {
        self.with(|p| p.bytes)
    }

    fn take_error(&self) -> Option<Error> {
        self.with(|p| p.error.take())
    }

    /// Returns once Vault has neither accepted more data nor responded for longer than `limit`.
    async fn stalled(&self, limit: Duration) {
        loop {
            let idle = self.with(|p| p.given.map(|at| at.elapsed())).unwrap_or_default();
            let Some(left) = limit.checked_sub(idle).filter(|left| !left.is_zero()) else { return };
            tokio::time::sleep(left).await;
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut UploadState) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
