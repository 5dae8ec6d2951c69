//! Multipart uploads on the server: begun, then completed or aborted.

use super::Bucket;
use super::checksum;
use super::create::{NONE, headers};
use super::error::S3Failure;
use super::settings::protect;
use crate::base::error::{Error, Result};
use crate::services::store::{Metadata, RUN_ID, Uploaded};
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use ring::rand::{SecureRandom, SystemRandom};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Maximum number of parts of an upload.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
pub(super) const MAX_PARTS: u16 = 10_000;

/// A multipart upload. A drop starts a task that aborts it.
pub(super) struct Multipart {
    bucket: Arc<Bucket>,
    name: String,
    run_id: Option<String>,
    /// Upload id; `None` after the end of the upload.
    id: Option<String>,
}

/// Number of attempts of a request.
#[derive(Clone, Debug, Default)]
struct Attempts(Arc<AtomicUsize>);

impl Intercept for Attempts {
    fn name(&self) -> &'static str {
        "Attempts"
    }

    fn read_before_attempt(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.fetch_add(1, Relaxed);
        Ok(())
    }
}

impl Multipart {
    /// Begins an upload to `name`.
    ///
    /// The request finishes even if the caller is dropped: without its id, the upload could
    /// not be aborted.
    pub(super) async fn begin(
        bucket: &Arc<Bucket>,
        name: &str,
        metadata: Metadata,
        checksum: Option<ChecksumAlgorithm>,
    ) -> Result<Self> {
        let (sender, receiver) = oneshot::channel();
        let (shared, name) = (Arc::clone(bucket), name.to_owned());
        bucket.tasks.spawn(async move {
            let begun = Self::create(shared, name, metadata, checksum).await;
            // If the caller was dropped, this drops the upload, which aborts it.
            drop(sender.send(begun));
        });
        receiver.await.map_err(ended_early)?
    }

    async fn create(
        bucket: Arc<Bucket>,
        name: String,
        metadata: Metadata,
        checksum: Option<ChecksumAlgorithm>,
    ) -> Result<Self> {
        let run_id = metadata.get(RUN_ID).cloned();
        let request = bucket.client.create_multipart_upload().bucket(&bucket.name).key(bucket.key(&name));
        let request = protect!(request, bucket.settings.protection(&name, SystemTime::now()))
            .set_metadata(Some(headers(metadata)))
            .set_checksum_algorithm(checksum);
        let attempts = Attempts::default();
        let begun = request.customize().interceptor(attempts.clone()).send().await;
        let id = match &begun {
            Ok(begun) => begun.upload_id.clone(),
            Err(_) => None,
        };
        if attempts.0.load(Relaxed) > 1 || begun.as_ref().is_err_and(|e| e.as_service_error().is_none()) {
            // Each attempt whose response was lost may have begun an upload without a known id.
            match bucket.abort_others(&name, id.as_deref()).await {
                Ok(aborted) => tracing::debug!("{}: {} unknown uploads aborted", bucket.locate(&name), aborted.len()),
                Err(error) => {
                    bucket.upload_remains.store(true, Relaxed);
                    tracing::debug!("an unknown upload may remain until the next run: {error}");
                }
            }
        }
        begun.map_err(|e| S3Failure::new("s3:PutObject", bucket.locate(&name), &e).into_error())?;
        Ok(Self { bucket, name, run_id, id })
    }

    pub(super) fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }

    /// Creates the object from `parts` in any order, `size` bytes in total.
    pub(super) async fn complete(mut self, mut parts: Vec<CompletedPart>, size: u64) -> Result<Uploaded> {
        parts.sort_by_key(|part| part.part_number);
        let checksum = checksum::of_parts(&parts);
        let upload = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let bucket = Arc::clone(&self.bucket);
        let request = bucket.client.complete_multipart_upload().bucket(&bucket.name).key(bucket.key(&self.name));
        let request = request.upload_id(self.id()).multipart_upload(upload).if_none_match(NONE);
        let sent = request.customize().config_override(super::client::slow_request(&bucket.settings)).send().await;
        let failure = sent.err().map(|e| S3Failure::new("s3:PutObject", bucket.locate(&self.name), &e));
        if failure.is_none() {
            self.id = None;
        }
        let head = bucket.confirm(&self.name, self.run_id.as_deref(), size, failure).await;
        match head {
            Ok(_) => self.id = None,
            // The abort logs a warning if it fails.
            Err(_) => drop(self.abort().await),
        }
        head.map(|head| Uploaded { head, checksum })
    }

    /// Aborts the upload on the server.
    pub(super) async fn abort(mut self) -> Result<()> {
        match self.id.take() {
            Some(id) => match abort_task(&self.bucket, &self.name, id) {
                Some(task) => task.await.map_err(|e| Error::task_failed("S3 request", &e))?,
                None => Ok(()),
            },
            None => Ok(()),
        }
    }
}

impl Drop for Multipart {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            drop(abort_task(&self.bucket, &self.name, id));
        }
    }
}

/// Starts a task that aborts the upload, even if the caller does not wait for it. Without a
/// runtime nothing can be sent; `abort_abandoned` finds the upload later.
fn abort_task(bucket: &Arc<Bucket>, name: &str, id: String) -> Option<JoinHandle<Result<()>>> {
    let runtime = Handle::try_current().ok()?;
    let (shared, name) = (Arc::clone(bucket), name.to_owned());
    let abort = async move {
        let aborted = shared.abort(&name, &id).await;
        if let Err(error) = &aborted {
            shared.upload_remains.store(true, Relaxed);
            tracing::warn!("an unfinished upload remains: {error}");
        }
        aborted
    };
    Some(bucket.tasks.spawn_on(abort, &runtime))
}

fn ended_early(error: impl Into<anyhow::Error>) -> Error {
    Error::unexpected("S3 request: internal error (this is a bug in vault-backup)").because(error)
}

impl Bucket {
    /// Aborts upload `id`. A missing upload is not an error.
    pub(super) async fn abort(&self, name: &str, id: &str) -> Result<()> {
        let request = self.client.abort_multipart_upload().bucket(&self.name).key(self.key(name)).upload_id(id);
        match request.send().await.map_err(|e| S3Failure::new("s3:AbortMultipartUpload", self.locate(name), &e)) {
            Err(failure) if !failure.is_no_such_upload() => Err(failure.into_error()),
            _ => Ok(()),
        }
    }
}

pub(super) async fn probe(bucket: &Arc<Bucket>, prefix: &str) -> Result<()> {
    let mut random = [0; 8];
    let fail = |_| Error::unexpected("the system has no random numbers");
    SystemRandom::new().fill(&mut random).map_err(fail)?;
    let name = format!("{prefix}probe-{}", hex::encode(random));
    Multipart::begin(bucket, &name, Metadata::new(), None).await?.abort().await
}
