//! Streamed uploads. A small object is buffered and sent as one PUT, a larger one as parts,
//! several at a time, in the same amount of memory.

use super::Bucket;
use super::body::{PendingChunks, RequestBody};
use super::checksum;
use super::error::S3Failure;
use super::multipart::{MAX_PARTS, Multipart};
use crate::base::error::{Error, Result};
use crate::services::store::{Metadata, Upload, Uploaded};
use async_trait::async_trait;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedPart};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle, JoinSet};

/// Largest object that is sent as one PUT, with its SHA-256 in the metadata. Also the memory
/// of an upload: chunks that wait and parts that are being sent.
pub(super) const SINGLE_PUT_MAX: u64 = 32 * 1024 * 1024;

/// Time for the running parts of an aborted upload to finish.
const GRACE: Duration = Duration::from_secs(5);

/// An upload to one bucket.
pub(super) struct S3Upload {
    bucket: Arc<Bucket>,
    name: String,
    metadata: Metadata,
    pending: PendingChunks,
    size: u64,
    /// Parts that are being sent.
    sending: JoinSet<Result<CompletedPart>>,
    sent: Vec<CompletedPart>,
    /// Number of parts begun so far. The first part is number 1.
    numbered: u16,
    multipart: Option<Multipart>,
    failed: bool,
}

impl S3Upload {
    pub(super) fn new(bucket: Arc<Bucket>, name: &str, metadata: Metadata) -> Self {
        Self {
            bucket,
            name: name.to_owned(),
            metadata,
            pending: PendingChunks::default(),
            size: 0,
            sending: JoinSet::new(),
            sent: Vec::new(),
            numbered: 0,
            multipart: None,
            failed: false,
        }
    }

    /// Sends all complete parts.
    async fn advance(&mut self) -> Result<()> {
        let part_size = self.bucket.settings.part_size;
        if self.multipart.is_none() && self.pending.len() <= SINGLE_PUT_MAX {
            return Ok(());
        }
        while self.pending.len() >= part_size {
            self.send(part_size).await?;
        }
        Ok(())
    }

    /// Sends the first `size` waiting bytes as the next part, as soon as memory allows.
    async fn send(&mut self, size: u64) -> Result<()> {
        // One part is being filled; the others may be in flight.
        let room = usize::try_from(SINGLE_PUT_MAX / self.bucket.settings.part_size).unwrap_or_default();
        while self.sending.len() >= room.saturating_sub(1).max(1) {
            self.reap().await?;
        }
        if self.numbered == MAX_PARTS {
            return Err(Error::store(format!("{}: more than {MAX_PARTS} parts", self.bucket.locate(&self.name)))
                .hint("raise run.part_size"));
        }
        let multipart = match &self.multipart {
            Some(multipart) => multipart,
            None => {
                let (metadata, checksum) = (self.metadata.clone(), Some(ChecksumAlgorithm::Crc32C));
                let begun = Multipart::begin(&self.bucket, &self.name, metadata, checksum).await?;
                self.multipart.insert(begun)
            }
        };
        self.numbered += 1;
        let (id, number, part) = (multipart.id().to_owned(), self.numbered.into(), self.pending.take(size));
        self.sending.spawn(send_part(Arc::clone(&self.bucket), self.name.clone(), id, number, part));
        Ok(())
    }

    /// Waits for the end of a part. Returns `false` if none is being sent.
    async fn reap(&mut self) -> Result<bool> {
        match self.sending.join_next().await {
            Some(end) => self.sent.push(finished(end)?),
            None => return Ok(false),
        }
        Ok(true)
    }

    async fn finish(&mut self, sha256: [u8; 32], size: u64) -> Result<Uploaded> {
        if self.failed {
            return Err(self.over());
        }
        if self.size != size {
            let (address, taken) = (self.bucket.locate(&self.name), self.size);
            return Err(Error::integrity(format!("{address}: size mismatch: {taken} bytes written, {size} expected")));
        }
        if self.multipart.is_none() {
            let body = self.pending.take(u64::MAX);
            let metadata = std::mem::take(&mut self.metadata);
            let head = self.bucket.put_whole(&self.name, &body, sha256, metadata).await?;
            return Ok(Uploaded { head, checksum: Some(checksum::of_whole(&sha256)) });
        }
        if self.pending.len() > 0 {
            self.send(u64::MAX).await?;
        }
        while self.reap().await? {}
        match self.multipart.take() {
            Some(multipart) => multipart.complete(std::mem::take(&mut self.sent), size).await,
            None => Err(self.over()),
        }
    }

    fn over(&self) -> Error {
        Error::unexpected(format!("{}: the upload has already failed", self.bucket.locate(&self.name)))
    }

    /// Starts a task that aborts the upload on the server, even if the caller does not wait
    /// for it. Without a runtime nothing can be sent.
    fn release(&mut self) -> Option<JoinHandle<Result<()>>> {
        self.failed = true;
        self.pending = PendingChunks::default();
        let (sending, multipart) = (std::mem::take(&mut self.sending), self.multipart.take()?);
        let runtime = Handle::try_current().ok()?;
        Some(self.bucket.tasks.spawn_on(abort_upload(sending, multipart), &runtime))
    }

    async fn clean_up(&mut self) -> Result<()> {
        match self.release() {
            Some(task) => task.await.map_err(|e| Error::task_failed("S3 request", &e))?,
            None => Ok(()),
        }
    }
}

impl Drop for S3Upload {
    fn drop(&mut self) {
        drop(self.release());
    }
}

/// Waits a moment for running parts, then aborts. A part that a server finishes after the
/// abort may remain, and on some servers bring the upload back.
async fn abort_upload(mut sending: JoinSet<Result<CompletedPart>>, multipart: Multipart) -> Result<()> {
    let arriving = async { while sending.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, arriving).await.is_err() {
        sending.shutdown().await;
    }
    multipart.abort().await
}

fn finished(end: Result<Result<CompletedPart>, JoinError>) -> Result<CompletedPart> {
    end.map_err(|e| Error::task_failed("S3 request", &e))?
}

async fn send_part(
    bucket: Arc<Bucket>,
    name: String,
    id: String,
    number: i32,
    part: RequestBody,
) -> Result<CompletedPart> {
    let crc32c = STANDARD.encode(part.crc32c().to_be_bytes());
    let request = bucket.client.upload_part().bucket(&bucket.name).key(bucket.key(&name)).upload_id(id);
    let request = request
        .part_number(number)
        .checksum_algorithm(ChecksumAlgorithm::Crc32C)
        .checksum_crc32_c(&crc32c)
        .content_length(i64::try_from(part.len()).unwrap_or(i64::MAX))
        .body(part.to_stream());
    // The checksum covers the payload; signing it too would hash it twice.
    let sent = request.customize().disable_payload_signing().send().await;
    let fail = |e| S3Failure::new("s3:PutObject", bucket.locate(&name), &e).into_error();
    let etag = sent.map_err(fail)?.e_tag;
    Ok(CompletedPart::builder().part_number(number).set_e_tag(etag).checksum_crc32_c(crc32c).build())
}

#[async_trait]
impl Upload for S3Upload {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        if self.failed {
            return Err(self.over());
        }
        self.size += chunk.len() as u64;
        self.pending.push(chunk);
        let advanced = self.advance().await;
        if advanced.is_err() {
            // The abort logs a warning if it fails.
            let _ = self.clean_up().await;
        }
        advanced
    }

    async fn complete(mut self: Box<Self>, sha256: [u8; 32], size: u64) -> Result<Uploaded> {
        let finished = self.finish(sha256, size).await;
        if finished.is_err() {
            let _ = self.clean_up().await;
        }
        finished
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        self.clean_up().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::store::s3::{S3Settings, S3Store};

    #[tokio::test]
    async fn too_many_parts_are_refused_with_a_hint() {
        let settings = S3Settings { region: Some("us-east-1".to_owned()), ..S3Settings::default() };
        let store = S3Store::new("backups", "", settings).await.unwrap();
        let mut upload = S3Upload::new(Arc::clone(&store.bucket), "x", Metadata::new());
        upload.numbered = MAX_PARTS;
        let error = upload.write(vec![0; 33 * 1024 * 1024].into()).await.unwrap_err();
        assert_eq!(error.to_string(), "s3://backups/x: more than 10000 parts; raise run.part_size");
    }
}
