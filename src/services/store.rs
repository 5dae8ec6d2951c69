//! The interface of object stores, implemented by `s3` and `local`. [`open`] chooses by the
//! URL's scheme.
//!
//! Names are relative to the store's URL, with `/` between their parts. Not here: which
//! objects are backups (`formats::naming`), and the order of writes (`pipeline`).

pub mod local;
mod location;
pub mod s3;

pub use location::Location;

use crate::base::error::{Error, Result};
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use std::collections::BTreeMap;
use std::sync::Arc;

/// User metadata of an object. Stores without metadata (`file://`) ignore it.
pub type Metadata = BTreeMap<String, String>;

/// Metadata key of the hex SHA-256 of the whole object.
pub const CHECKSUM: &str = "checksum";

/// Metadata key of the id of the run that created the object.
pub(crate) const RUN_ID: &str = "run-id";

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Name, relative to the store's URL.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last write by the store's clock, if known.
    pub modified: Option<DateTime<Utc>>,
}

/// A complete listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The objects whose name the caller's filter accepts, sorted by name.
    pub objects: Vec<Listed>,
    /// Number of other objects.
    pub foreign: usize,
    /// Names of a backup or its documents that something else than a regular file has, and its
    /// kind. Empty for a bucket.
    pub skipped: Vec<(String, &'static str)>,
}

impl Listing {
    /// Maximum number of [`Listing::objects`], which bounds the memory of a listing: daily
    /// and monthly backups with manifest and drill record of a century.
    const MAX_OBJECTS: usize = 150_000;

    /// Adds an object. `address` is that of the store.
    ///
    /// # Errors
    /// `Store` for too many objects.
    fn add(&mut self, object: Listed, ours: impl Fn(&str) -> bool, address: &str) -> Result<()> {
        if !ours(&object.name) {
            self.foreign += 1;
        } else if self.objects.len() < Self::MAX_OBJECTS {
            self.objects.push(object);
        } else {
            let what = format!("{address}: more than {} objects with names of backups", Self::MAX_OBJECTS);
            return Err(Error::store(what).hint("delete those that are not backups, or use another store.url"));
        }
        Ok(())
    }

    fn sorted(mut self) -> Self {
        self.objects.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        self
    }
}

/// Decides by the name, relative to the store's URL, if an object is wanted.
pub type NameFilter = fn(&str) -> bool;

/// Properties of one object, as HEAD returns them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Size in bytes.
    pub size: u64,
    /// Time of the last write by the store's clock, if known.
    pub modified: Option<DateTime<Utc>>,
    /// Entity tag as sent, if any. A condition of reads and copies.
    pub etag: Option<String>,
    /// Version id, if the bucket has versioning.
    pub version: Option<String>,
    /// User metadata, keys in lower case.
    pub metadata: Metadata,
    /// End of the Object Lock retention, if any.
    pub retain_until: Option<DateTime<Utc>>,
    /// `true` if a legal hold forbids deletion.
    pub legal_hold: bool,
    /// Checksum of the whole object as the store reports it to
    /// [`Store::head_with_checksum`], if any. Its form is that of [`Uploaded::checksum`].
    pub checksum: Option<String>,
}

/// An object that an upload created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// Properties of the object.
    pub head: Head,
    /// Checksum of the whole object, computed here from the bytes that were sent:
    /// `sha256:BASE64`, or `crc32c:BASE64-N` for an upload of N parts; `None` for a store
    /// that reports none.
    pub checksum: Option<String>,
}

/// A stored version of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectVersion {
    /// Version id.
    pub id: String,
    /// Size in bytes.
    pub size: u64,
    /// Time of its write, if known.
    pub modified: Option<DateTime<Utc>>,
    /// `true` if a read without a version returns this one.
    pub latest: bool,
}

/// Result of deleting an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// The object does not exist any more, or did not exist.
    Gone,
    /// The bucket has versioning: a delete marker hides the object, and its data remains.
    Hidden,
}

/// State of Object Lock in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Locking {
    /// Disabled or not supported.
    Off,
    /// Enabled: HEAD returns the lock of each object.
    On,
    /// Unknown, with the reason: each object needs a HEAD.
    Unknown(String),
}

/// An object that is being read.
pub struct Download {
    /// Properties of the object at the beginning of the read.
    pub head: Head,
    /// The requested bytes. A read whose connection fails is resumed at the same position
    /// and entity tag. The stream ends after exactly the requested bytes or with an error.
    pub body: BoxStream<'static, Result<Bytes>>,
}

/// Version and range of a read.
#[derive(Clone, Debug, Default)]
pub struct ReadAt {
    /// Version id; the latest version if `None`.
    pub version: Option<String>,
    /// Number of bytes to read from the start; all if `None`.
    pub first: Option<u64>,
}

/// Mode of writing a small object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The object must not exist: `Conflict` otherwise.
    Create,
    /// The object may exist.
    Replace,
}

/// An object store.
///
/// Errors name the object's full address, are of kind `Store` unless documented otherwise,
/// and are returned after the implementation's retries. Objects are written whole or not
/// at all.
#[async_trait]
pub trait Store: Send + Sync {
    /// Returns the full address of `name` for messages: `s3://bucket/prefix/name`.
    fn locate(&self, name: &str) -> String;

    /// Returns the store's time to the second; `None` if its clock is this machine's.
    async fn clock(&self) -> Result<Option<DateTime<Utc>>>;

    /// Begins a streamed upload to `name`, which must not exist.
    ///
    /// The object does not exist before [`Upload::complete`]. `metadata` has a `run-id`: it
    /// distinguishes this run's object from another's if the response was lost.
    async fn upload(&self, name: &str, metadata: Metadata) -> Result<Box<dyn Upload>>;

    /// Writes a small object in one request and syncs it.
    ///
    /// A create succeeds if the object exists with exactly these bytes: the response to an
    /// earlier attempt may have been lost. After an error other than `Conflict` the object
    /// may exist: the caller reads it back.
    async fn put(&self, name: &str, body: Bytes, put: Put) -> Result<()>;

    /// Returns the properties of `name`; `None` if it does not exist.
    async fn head(&self, name: &str) -> Result<Option<Head>>;

    /// Returns the properties of `name` with the checksum that the store reports, if it
    /// reports one; `None` if the object does not exist.
    async fn head_with_checksum(&self, name: &str) -> Result<Option<Head>> {
        self.head(name).await
    }

    /// Begins to read `name`. A missing object is an error of kind `Store`.
    async fn get(&self, name: &str, at: ReadAt) -> Result<Download>;

    /// Lists all objects whose name begins with `prefix`, and keeps those that `ours`
    /// accepts. The listing is complete, or it is an error. An empty listing is not an error.
    async fn list(&self, prefix: &str, ours: NameFilter) -> Result<Listing>;

    /// Returns every name below `prefix` that a create would find taken, as [`Store::list`],
    /// also by something that a listing skips. A missing store has none.
    async fn taken(&self, prefix: &str) -> Result<Vec<String>> {
        Ok(self.list(prefix, |_| true).await?.objects.into_iter().map(|object| object.name).collect())
    }

    /// Deletes `names` in as few requests as possible, and returns one result for each in
    /// the same order. Deleting a missing object succeeds.
    async fn delete(&self, names: &[String]) -> Vec<Result<Deleted>>;

    /// Copies `from` with its metadata to `to` inside the store, if its entity tag is still
    /// that of `head`. If `to` exists before, it is a `Conflict`. If it appears while the
    /// response is lost, an object of the same run and size is a success: both are public,
    /// so the caller must verify the copy's content.
    async fn copy(&self, from: &str, head: &Head, to: &str) -> Result<Head>;

    /// Tests that objects below `prefix` can be written, without creating one.
    async fn probe_write(&self, prefix: &str) -> Result<()>;

    /// Aborts unfinished uploads that were begun before `older_than` to names that `ours`
    /// accepts. Returns their names.
    async fn abort_abandoned(&self, older_than: DateTime<Utc>, ours: NameFilter) -> Result<Vec<String>>;

    /// Lists the versions of `name`, newest first; empty without versioning.
    async fn versions(&self, name: &str) -> Result<Vec<ObjectVersion>>;

    /// Returns the state of Object Lock. If it may be on, deletion candidates get a HEAD
    /// first.
    async fn object_lock(&self) -> Result<Locking>;

    /// Aborts all unfinished uploads to exactly `name`. Returns their number.
    async fn abort_uploads_to(&self, name: &str) -> Result<usize>;

    /// Waits until the cleanup of dropped uploads is finished. Called before the process
    /// ends: dropping an upload only starts its cleanup. Returns `false` if an upload may remain.
    async fn finish_cleanup(&self) -> bool;
}

/// A streamed upload. Only [`Upload::complete`] creates the object. After [`Upload::abort`],
/// or after a drop and [`Store::finish_cleanup`], nothing of it remains.
#[async_trait]
pub trait Upload: Send {
    /// Writes the next bytes. Waits while earlier ones are being sent, so memory is bounded.
    /// After an error nothing of the upload remains, and further calls fail.
    async fn write(&mut self, chunk: Bytes) -> Result<()>;

    /// Creates the object and syncs it. `sha256` is the hash of all written bytes, `size` their
    /// number. After a lost response, an object of the same run and size counts as created: both
    /// are public, so the caller must verify its content.
    ///
    /// # Errors
    /// `Integrity` if another number of bytes was written; `Conflict` if another run has
    /// taken the name. Any error aborts the upload.
    async fn complete(self: Box<Self>, sha256: [u8; 32], size: u64) -> Result<Uploaded>;

    /// Aborts the upload; nothing of it remains.
    async fn abort(self: Box<Self>) -> Result<()>;
}

/// Opens the store at `location`; `settings` apply only to S3. Sends no request.
///
/// # Errors
/// `Usage` for a CA file that cannot be used.
pub async fn open(location: &Location, settings: s3::S3Settings) -> Result<Arc<dyn Store>> {
    Ok(match location {
        Location::S3 { bucket, prefix } => Arc::new(s3::S3Store::new(bucket, prefix, settings).await?),
        Location::Local(directory) => Arc::new(local::LocalStore::new(directory.clone())),
    })
}
