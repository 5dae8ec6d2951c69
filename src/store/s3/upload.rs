//! The streamed create: held back and sent as one put if it is small, else sent as
//! parts, several at a time, within the same memory.

use super::Bucket;
use super::body::{Part, Pending};
use super::error::Failure;
use super::multipart::{MAX_PARTS, Multipart};
use crate::error::{Error, Result};
use crate::store::{Head, Metadata, Upload};
use async_trait::async_trait;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedPart};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use std::sync::Arc;
use tokio::task::{JoinError, JoinSet};

/// The largest object that is sent as one put, with its SHA-256 in its metadata, and
/// the memory that an upload takes: waiting and on their way together.
pub(super) const SINGLE_PUT_MAX: u64 = 32 * 1024 * 1024;

/// An upload to one bucket.
pub(super) struct S3Upload {
    bucket: Arc<Bucket>,
    name: String,
    metadata: Metadata,
    pending: Pending,
    size: u64,
    /// Parts on their way. Dropped before `multipart`, so that none follows the abort.
    sending: JoinSet<Result<CompletedPart>>,
    sent: Vec<CompletedPart>,
    numbered: u64,
    multipart: Option<Multipart>,
    failed: bool,
}

impl S3Upload {
    pub(super) fn new(bucket: Arc<Bucket>, name: &str, metadata: Metadata) -> Self {
        Self {
            bucket,
            name: name.to_owned(),
            metadata,
            pending: Pending::default(),
            size: 0,
            sending: JoinSet::new(),
            sent: Vec::new(),
            numbered: 0,
            multipart: None,
            failed: false,
        }
    }

    /// Sends what fills whole parts.
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

    /// Sends the first `size` bytes that wait as the next part, once there is room.
    async fn send(&mut self, size: u64) -> Result<()> {
        // One part is being filled; the others may be on their way.
        let room = usize::try_from(SINGLE_PUT_MAX / self.bucket.settings.part_size).unwrap_or_default();
        while self.sending.len() >= room.saturating_sub(1).max(1) {
            self.reap().await?;
        }
        if self.numbered == MAX_PARTS {
            return Err(Error::store(format!("{}: more than {MAX_PARTS} parts", self.bucket.locate(&self.name)))
                .hint("raise run.part_size"));
        }
        if self.multipart.is_none() {
            let (metadata, checksum) = (self.metadata.clone(), Some(ChecksumAlgorithm::Crc32C));
            self.multipart = Some(Multipart::begin(&self.bucket, &self.name, metadata, checksum).await?);
        }
        let id = self.multipart.as_ref().map(Multipart::id).unwrap_or_default().to_owned();
        self.numbered += 1;
        let (part, number) = (self.pending.take(size), i32::try_from(self.numbered).unwrap_or(i32::MAX));
        self.sending.spawn(send_part(Arc::clone(&self.bucket), self.name.clone(), id, number, part));
        Ok(())
    }

    /// Waits until a part has arrived; `false` if none is on its way.
    async fn reap(&mut self) -> Result<bool> {
        match self.sending.join_next().await {
            Some(end) => self.sent.push(arrived(end)?),
            None => return Ok(false),
        }
        Ok(true)
    }

    async fn finish(&mut self, sha256: [u8; 32], size: u64) -> Result<Head> {
        if self.failed || self.size != size {
            let (address, taken) = (self.bucket.locate(&self.name), self.size);
            return Err(Error::integrity(format!("{address}: {taken} bytes were written, {size} announced")));
        }
        if self.multipart.is_none() {
            let body = self.pending.take(u64::MAX);
            return self.bucket.put_whole(&self.name, &body, sha256, std::mem::take(&mut self.metadata)).await;
        }
        if self.pending.len() > 0 {
            self.send(u64::MAX).await?;
        }
        while self.reap().await? {}
        match self.multipart.take() {
            Some(multipart) => multipart.complete(std::mem::take(&mut self.sent), size).await,
            None => Err(Error::unexpected("the upload has ended already")),
        }
    }

    async fn clean_up(&mut self) -> Result<()> {
        self.failed = true;
        self.pending = Pending::default();
        // A part that arrived after the abort would stay.
        self.sending.shutdown().await;
        match self.multipart.take() {
            Some(multipart) => multipart.abort().await,
            None => Ok(()),
        }
    }
}

fn arrived(end: Result<Result<CompletedPart>, JoinError>) -> Result<CompletedPart> {
    end.map_err(|e| Error::unexpected("a part's task ended early").because(e))?
}

async fn send_part(bucket: Arc<Bucket>, name: String, id: String, number: i32, part: Part) -> Result<CompletedPart> {
    let crc32c = STANDARD.encode(part.crc32c().to_be_bytes());
    let request = bucket.client.upload_part().bucket(&bucket.name).key(bucket.key(&name)).upload_id(id);
    let request = request
        .part_number(number)
        .checksum_algorithm(ChecksumAlgorithm::Crc32C)
        .checksum_crc32_c(&crc32c)
        .content_length(i64::try_from(part.len()).unwrap_or(i64::MAX))
        .body(part.to_stream());
    // The checksum covers the payload; to sign it too would be to hash it twice.
    let sent = request.customize().disable_payload_signing().send().await;
    let fail = |e| Failure::new("s3:PutObject", bucket.locate(&name), &e).into_error();
    let etag = sent.map_err(fail)?.e_tag;
    Ok(CompletedPart::builder().part_number(number).set_e_tag(etag).checksum_crc32_c(crc32c).build())
}

#[async_trait]
impl Upload for S3Upload {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        if self.failed {
            return Err(Error::unexpected("the upload has failed already"));
        }
        self.size += chunk.len() as u64;
        self.pending.push(chunk);
        let advanced = self.advance().await;
        if advanced.is_err() {
            // It has warned of what it could not remove.
            let _ = self.clean_up().await;
        }
        advanced
    }

    async fn complete(mut self: Box<Self>, sha256: [u8; 32], size: u64) -> Result<Head> {
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
