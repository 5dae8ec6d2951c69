//! Creates objects with one request, and finds out who created an object after a lost
//! response.
//!
//! The SDK repeats a request without a response. If the first one succeeded, the second
//! fails because the object exists. The object's metadata then shows which run created it.

use super::Bucket;
use super::body::{PendingChunks, RequestBody};
use super::error::S3Failure;
use super::settings::protect;
use crate::base::error::{Error, Result};
use crate::services::store::{CHECKSUM, Head, Metadata, Put, RUN_ID};
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::put_object::PutObjectError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ring::digest::{SHA256, digest};
use std::time::SystemTime;

/// Value of `If-None-Match` of a create: no object may have the name.
pub(super) const NONE: &str = "*";

impl Bucket {
    pub(super) async fn put_small(&self, name: &str, body: Bytes, put: Put) -> Result<()> {
        let sha256 = digest(&SHA256, &body);
        let mut pending = PendingChunks::default();
        pending.push(body.clone());
        let sent = self.put(name, &pending.take(u64::MAX), sha256.as_ref(), Metadata::new(), put).await;
        match sent.map_err(|e| S3Failure::new("s3:PutObject", self.locate(name), &e)) {
            Ok(()) => Ok(()),
            Err(failure) if put == Put::Create && failure.is_condition() => {
                if self.has_content(name, &body).await? {
                    Ok(())
                } else {
                    Err(self.taken(name))
                }
            }
            Err(failure) => Err(failure.into_error()),
        }
    }

    /// Creates an object of `body`, at most [`super::upload::SINGLE_PUT_MAX`] bytes.
    pub(super) async fn put_whole(
        &self,
        name: &str,
        body: &RequestBody,
        sha256: [u8; 32],
        mut metadata: Metadata,
    ) -> Result<Head> {
        let run_id = metadata.get(RUN_ID).cloned();
        metadata.insert(CHECKSUM.to_owned(), hex::encode(sha256));
        let failure = match self.put(name, body, &sha256, metadata, Put::Create).await {
            Ok(()) => None,
            Err(error) => Some(S3Failure::new("s3:PutObject", self.locate(name), &error)),
        };
        self.confirm(name, run_id.as_deref(), body.len(), failure).await
    }

    async fn put(
        &self,
        name: &str,
        body: &RequestBody,
        sha256: &[u8],
        metadata: Metadata,
        put: Put,
    ) -> Result<(), SdkError<PutObjectError, HttpResponse>> {
        let request = self.client.put_object().bucket(&self.name).key(self.key(name));
        let request = protect!(request, self.settings.protection(name, SystemTime::now()))
            .set_metadata(Some(headers(metadata)))
            .checksum_sha256(STANDARD.encode(sha256))
            .set_if_none_match((put == Put::Create).then(|| NONE.to_owned()))
            .content_length(i64::try_from(body.len()).unwrap_or(i64::MAX))
            .body(body.to_stream());
        // The checksum covers the payload; signing it too would hash it twice.
        request.customize().disable_payload_signing().send().await.map(drop)
    }

    /// Checks the object after a create of `size` bytes by run `run_id` that succeeded, or
    /// failed with `failure`.
    ///
    /// # Errors
    /// `Conflict` if another run created it; `failure` if it does not exist.
    pub(super) async fn confirm(
        &self,
        name: &str,
        run_id: Option<&str>,
        size: u64,
        failure: Option<S3Failure>,
    ) -> Result<Head> {
        let failure = match failure {
            Some(failure) if !failure.may_have_happened() => return Err(failure.into_error()),
            other => other,
        };
        let head = match (self.head(name).await?, failure) {
            (Some(head), None) => head,
            (Some(head), Some(failure)) if is_of(&head, run_id) => {
                tracing::debug!("the object was created, although the response was: {}", failure.into_error());
                head
            }
            (Some(_), Some(_)) => return Err(self.taken(name)),
            (None, Some(failure)) => return Err(failure.into_error()),
            (None, None) => {
                return Err(Error::store(format!("{}: disappeared right after it was created", self.locate(name))));
            }
        };
        if head.size != size {
            let (address, stored) = (self.locate(name), head.size);
            return Err(Error::integrity(format!(
                "{address}: size mismatch: {size} bytes sent, the store has {stored}"
            )));
        }
        Ok(head)
    }

    /// Returns `true` if the object `name` has exactly `bytes`.
    async fn has_content(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let fail = |e| S3Failure::new("s3:GetObject", self.locate(name), &e).into_error();
        let output = self.client.get_object().bucket(&self.name).key(self.key(name)).send().await.map_err(fail)?;
        if output.content_length != i64::try_from(bytes.len()).ok() {
            return Ok(false);
        }
        let broken = |e| Error::store(format!("{}: cannot be read back", self.locate(name))).because(e);
        Ok(output.body.collect().await.map_err(broken)?.into_bytes() == bytes)
    }

    pub(super) fn taken(&self, name: &str) -> Error {
        Error::conflict(format!("{}: already exists", self.locate(name)))
    }
}

/// Returns `true` if run `run_id` created the object.
fn is_of(head: &Head, run_id: Option<&str>) -> bool {
    run_id.is_some() && head.metadata.get(RUN_ID).map(String::as_str) == run_id
}

/// Returns metadata for headers: ASCII without control characters.
pub(super) fn headers(metadata: Metadata) -> std::collections::HashMap<String, String> {
    let clean = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    metadata.into_iter().map(|(key, value)| (key, value.trim().chars().map(clean).collect())).collect()
}
