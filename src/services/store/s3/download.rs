//! Reads an object as a stream that resumes after connection failures.

use super::Bucket;
use super::client::{ATTEMPTS, FIRST_WAIT};
use super::error::S3Failure;
use super::head::describe;
use crate::base::error::{Error, Result};
use crate::services::store::{Download, ReadAt};
use aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt, try_unfold};
use std::sync::Arc;

/// Number of bytes between two failures that counts as progress. A server that sends a few
/// bytes at a time would otherwise be asked forever.
const PROGRESS: u64 = 64 * 1024;

pub(super) async fn start(bucket: Arc<Bucket>, name: &str, at: ReadAt) -> Result<Download> {
    if at.first == Some(0) {
        return empty(&bucket, name).await;
    }
    let last = at.first.map(|first| first - 1);
    let request = request(&bucket, name, at.version.as_deref(), range(0, last));
    let output = match request.send().await {
        Ok(output) => output,
        Err(error) => {
            let failure = S3Failure::new(action(at.version.as_deref()), bucket.locate(name), &error);
            // An empty object has no range.
            return if failure.is_range() { empty(&bucket, name).await } else { Err(failure.into_error()) };
        }
    };
    let sent = output.content_length.and_then(|n| u64::try_from(n).ok());
    let whole = output.content_range.as_deref().and_then(|range| range.rsplit_once('/')?.1.parse().ok()).or(sent);
    let Some(whole) = whole else {
        return Err(Error::store(format!("{}: the store did not send its size", bucket.locate(name))));
    };
    let head = describe!(output, whole);
    let reading = RangeReader {
        bucket,
        name: name.to_owned(),
        version: at.version,
        etag: head.etag.clone(),
        body: Some(output.body),
        position: 0,
        end: at.first.map_or(whole, |first| first.min(whole)),
        failures: 0,
        failed_at: 0,
    };
    Ok(Download { head, body: try_unfold(reading, RangeReader::next).boxed() })
}

/// Returns the permission that a read needs. Naming a version, even the latest, needs another one.
fn action(version: Option<&str>) -> &'static str {
    if version.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" }
}

async fn empty(bucket: &Bucket, name: &str) -> Result<Download> {
    match bucket.head(name).await? {
        Some(head) => Ok(Download { head, body: stream::empty().boxed() }),
        None => Err(Error::store(format!("{}: no such object", bucket.locate(name)))),
    }
}

fn request(bucket: &Bucket, name: &str, version: Option<&str>, range: Option<String>) -> GetObjectFluentBuilder {
    let request = bucket.client.get_object().bucket(&bucket.name).key(bucket.key(name));
    request.set_version_id(version.map(str::to_owned)).set_range(range)
}

/// Returns the value of the Range header; `None` for the whole object.
fn range(from: u64, last: Option<u64>) -> Option<String> {
    match last {
        Some(last) => Some(format!("bytes={from}-{last}")),
        None if from > 0 => Some(format!("bytes={from}-")),
        None => None,
    }
}

struct RangeReader {
    bucket: Arc<Bucket>,
    name: String,
    version: Option<String>,
    etag: Option<String>,
    /// The response's body; `None` after the connection failed.
    body: Option<ByteStream>,
    position: u64,
    /// Position after the last requested byte.
    end: u64,
    /// Connection failures without much progress between them.
    failures: u32,
    /// Position at the last failure.
    failed_at: u64,
}

impl RangeReader {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        while self.position < self.end {
            let Some(body) = &mut self.body else {
                self.body = Some(self.resume().await?);
                continue;
            };
            let why = match body.next().await {
                Some(Ok(chunk)) if chunk.is_empty() => continue,
                Some(Ok(mut chunk)) => {
                    // The server may send more than requested.
                    let left = self.end - self.position;
                    chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                    self.position += chunk.len() as u64;
                    return Ok(Some((chunk, self)));
                }
                Some(Err(error)) => anyhow::Error::from(error),
                None => anyhow::anyhow!("the store ended the response early"),
            };
            self.body = None;
            if self.position - self.failed_at >= PROGRESS {
                self.failures = 0;
            }
            self.failed_at = self.position;
            self.failures += 1;
            if self.failures == ATTEMPTS {
                return Err(self.error("the connection failed repeatedly").because(why));
            }
            tracing::info!("{}: resuming at byte {}: {why:#}", self.bucket.locate(&self.name), self.position);
        }
        Ok(None)
    }

    /// Requests the rest of the same object.
    async fn resume(&self) -> Result<ByteStream> {
        tokio::time::sleep(FIRST_WAIT * 2u32.pow(self.failures.saturating_sub(1))).await;
        let range = range(self.position, Some(self.end - 1));
        let request = request(&self.bucket, &self.name, self.version.as_deref(), range);
        let output = match request.set_if_match(self.etag.clone()).send().await {
            Ok(output) => output,
            Err(error) => {
                let action = action(self.version.as_deref());
                let failure = S3Failure::new(action, self.bucket.locate(&self.name), &error);
                if failure.is_condition() {
                    return Err(self.error("the object was replaced meanwhile"));
                }
                return Err(failure.into_error());
            }
        };
        // A server that ignores Range begins at the first byte again.
        let expected = format!("bytes {}-", self.position);
        match output.content_range {
            Some(range) if range.starts_with(&expected) => Ok(output.body),
            None if self.position == 0 => Ok(output.body),
            _ => Err(self.error("the store does not support Range")),
        }
    }

    fn error(&self, why: &str) -> Error {
        let (address, position, end) = (self.bucket.locate(&self.name), self.position, self.end);
        Error::store(format!("{address}: read failed after {position} of {end} bytes: {why}"))
    }
}
