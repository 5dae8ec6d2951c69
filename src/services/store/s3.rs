//! `s3://bucket/prefix`: any server with the S3 protocol.
//!
//! Every create has `If-None-Match: *`, an explicit checksum, and the settings that protect
//! the object (encryption, storage class, Object Lock). Buckets are never created or
//! changed.

mod advice;
mod answer;
mod body;
mod bounded;
mod checksum;
mod client;
mod connector;
mod copy;
mod create;
mod delete;
mod download;
mod error;
mod head;
mod list;
mod multipart;
mod pace;
mod renewal;
mod retry;
mod settings;
mod transport;
mod upload;

pub use settings::{LockMode, ObjectLock, PART_SIZES, S3Settings, Sse};

use super::{
    Deleted, Download, Head, Listing, Locking, Metadata, NameFilter, ObjectVersion, Put, ReadAt, Store, Upload,
};
use crate::base::error::Result;
use async_trait::async_trait;
use aws_sdk_s3::Client;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_util::task::TaskTracker;

/// A store in a bucket, below an optional prefix.
pub struct S3Store {
    bucket: Arc<Bucket>,
}

impl S3Store {
    /// Returns the store below `prefix`, which may be empty, in `bucket`. Region, endpoint
    /// and credentials that `settings` do not set are found as AWS's own tools find them.
    /// Sends no request to the store.
    ///
    /// # Errors
    /// `Usage` for invalid settings and for a `ca_cert` that cannot be read.
    pub async fn new(bucket: &str, prefix: &str, settings: S3Settings) -> Result<Self> {
        let client = client::connect(&settings).await?;
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let bucket = Bucket {
            client,
            name: bucket.to_owned(),
            prefix,
            settings,
            tasks: TaskTracker::new(),
            upload_remains: AtomicBool::new(false),
        };
        Ok(Self { bucket: Arc::new(bucket) })
    }
}

/// Bucket, client and settings that the submodules share.
struct Bucket {
    client: Client,
    name: String,
    /// Prefix of all keys: empty, or with a slash at its end.
    prefix: String,
    settings: S3Settings,
    /// Requests that must finish after their caller was dropped.
    tasks: TaskTracker,
    /// `true` after an upload could not be aborted.
    upload_remains: AtomicBool,
}

impl Bucket {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn locate(&self, name: &str) -> String {
        format!("s3://{}/{}{name}", self.name, self.prefix)
    }
}

#[async_trait]
impl Store for S3Store {
    fn locate(&self, name: &str) -> String {
        self.bucket.locate(name)
    }

    /// Reads the `Date` of a response to a signed listing, which also tests the credentials,
    /// the bucket and the permission to list.
    async fn clock(&self) -> Result<Option<DateTime<Utc>>> {
        self.bucket.clock().await
    }

    async fn upload(&self, name: &str, metadata: Metadata) -> Result<Box<dyn Upload>> {
        Ok(Box::new(upload::S3Upload::new(Arc::clone(&self.bucket), name, metadata)))
    }

    async fn put(&self, name: &str, body: Bytes, put: Put) -> Result<()> {
        self.bucket.put_small(name, body, put).await
    }

    async fn head(&self, name: &str) -> Result<Option<Head>> {
        self.bucket.head(name).await
    }

    async fn head_with_checksum(&self, name: &str) -> Result<Option<Head>> {
        self.bucket.head_with_checksum(name).await
    }

    async fn get(&self, name: &str, at: ReadAt) -> Result<Download> {
        download::start(Arc::clone(&self.bucket), name, at).await
    }

    async fn list(&self, prefix: &str, ours: NameFilter) -> Result<Listing> {
        self.bucket.list(prefix, ours).await
    }

    async fn delete(&self, names: &[String]) -> Vec<Result<Deleted>> {
        self.bucket.delete(names).await
    }

    async fn copy(&self, from: &str, head: &Head, to: &str) -> Result<Head> {
        copy::copy(&self.bucket, from, head, to).await
    }

    /// Begins an upload and aborts it. That needs the same permissions, including those for
    /// the KMS key and Object Lock.
    async fn probe_write(&self, prefix: &str) -> Result<()> {
        multipart::probe(&self.bucket, prefix).await
    }

    async fn abort_abandoned(&self, older_than: DateTime<Utc>, ours: NameFilter) -> Result<Vec<String>> {
        self.bucket.abort_abandoned(older_than, ours).await
    }

    async fn versions(&self, name: &str) -> Result<Vec<ObjectVersion>> {
        self.bucket.versions(name).await
    }

    async fn object_lock(&self) -> Result<Locking> {
        self.bucket.object_lock().await
    }

    async fn abort_uploads_to(&self, name: &str) -> Result<usize> {
        Ok(self.bucket.abort_others(name, None).await?.len())
    }

    async fn finish_cleanup(&self) -> bool {
        self.bucket.tasks.close();
        self.bucket.tasks.wait().await;
        self.bucket.tasks.reopen();
        !self.bucket.upload_remains.load(Ordering::Relaxed)
    }
}
