//! The object store: one contract, kept by `s3` and `local`.
//!
//! Here: the contract and its types, and [`open`], which picks an implementation
//! by the URL's scheme. Not here: which objects are backups (`naming`), or in what order
//! they are written (`pipeline`). Names are relative to the store's URL, with `/`
//! between their parts.

pub mod local;
mod location;
pub mod s3;

pub use location::Location;

use crate::base::error::Result;
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use std::collections::BTreeMap;
use std::sync::Arc;

/// User metadata of an object. Stores without metadata (`file://`) drop it.
pub type Metadata = BTreeMap<String, String>;

/// The metadata key that holds the hex SHA-256 of the whole object.
pub const CHECKSUM: &str = "checksum";

/// The metadata key that holds the id of the run which made the object.
pub const RUN_ID: &str = "run-id";

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name, relative to the store's URL.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last written, as the store says.
    pub modified: Option<DateTime<Utc>>,
}

/// What the store says of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Its size in bytes.
    pub size: u64,
    /// When it was last written, as the store says.
    pub modified: Option<DateTime<Utc>>,
    /// The entity tag, as sent; a condition for reads and copies.
    pub etag: Option<String>,
    /// The version, where the bucket has versions.
    pub version: Option<String>,
    /// User metadata, keys in lower case.
    pub metadata: Metadata,
    /// Until when Object Lock retention forbids deletion.
    pub retain_until: Option<DateTime<Utc>>,
    /// Whether a legal hold forbids deletion.
    pub legal_hold: bool,
}

/// One stored version of an object, newest first in a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectVersion {
    /// The store's id of it.
    pub id: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written.
    pub modified: Option<DateTime<Utc>>,
    /// Whether it is what a read without a version gets.
    pub latest: bool,
}

/// What became of an object that was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone, or was not there.
    Gone,
    /// The store keeps versions: a marker hides it, and its bytes stay.
    Hidden,
}

/// Whether a store keeps objects under Object Lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Locking {
    /// It does not, or knows of no such thing.
    Off,
    /// It may: each object says whether it is locked.
    On,
    /// It would not say, and why: each object must be asked.
    Untold(String),
}

/// An object being read: what it is, and its bytes in order.
pub struct Download {
    /// What the store said when the read began.
    pub head: Head,
    /// The bytes. A connection that breaks is resumed where it broke, on the same
    /// entity tag; the stream ends after exactly the asked-for bytes, or with an error.
    pub body: BoxStream<'static, Result<Bytes>>,
}

/// Which part of which version of an object to read.
#[derive(Clone, Debug, Default)]
pub struct ReadAt {
    /// A version's id; the latest if absent.
    pub version: Option<String>,
    /// How many bytes to read from the start; all if absent.
    pub first: Option<u64>,
}

/// Whether a small object may replace one that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It must not exist: `Conflict` otherwise.
    Create,
    /// It may exist.
    Replace,
}

/// The contract.
///
/// Every error names the object's full address, has kind `Store` unless said
/// otherwise, and comes after the implementation's own retries. No method leaves
/// anything half-done: an object is there whole, or not at all.
#[async_trait]
pub trait Store: Send + Sync {
    /// The full address of `name`, for messages: `s3://bucket/prefix/name`.
    fn locate(&self, name: &str) -> String;

    /// The store's clock, to the second; `None` if it has none of its own.
    async fn clock(&self) -> Result<Option<DateTime<Utc>>>;

    /// Starts a streamed create of `name`, which must not exist.
    ///
    /// Nothing is visible before [`Upload::complete`]. `metadata` has a `run-id`:
    /// by it a create whose answer was lost is told from another run's object.
    async fn upload(&self, name: &str, metadata: Metadata) -> Result<Box<dyn Upload>>;

    /// Writes a small object in one request, durably.
    ///
    /// A create that finds the object there with exactly these bytes succeeds: its
    /// own answer may have been lost.
    async fn put(&self, name: &str, body: Bytes, put: Put) -> Result<()>;

    /// What the store says of `name`; `None` if there is no such object.
    async fn head(&self, name: &str) -> Result<Option<Head>>;

    /// Reads `name`. A missing object is an error of kind `Store`.
    async fn get(&self, name: &str, at: ReadAt) -> Result<Download>;

    /// All objects whose name begins with `prefix`, in order of name. The listing
    /// is complete or an error; an empty one is not an error.
    async fn list(&self, prefix: &str) -> Result<Vec<Listed>>;

    /// Deletes `names`, in as few requests as there can be; one result for each,
    /// in the same order. Deleting what is not there is success.
    async fn delete(&self, names: &[String]) -> Vec<Result<Deleted>>;

    /// Copies `from`, if its entity tag is still `head`'s, to `to`, which must not
    /// exist, inside the store; metadata is copied. An object of the same run and
    /// size at `to` is success (an answer may have been lost); another is `Conflict`.
    async fn copy(&self, from: &str, head: &Head, to: &str) -> Result<Head>;

    /// Shows that objects below `prefix` could be written, without ever making one.
    async fn probe_write(&self, prefix: &str) -> Result<()>;

    /// Aborts uploads that were begun before `older_than`, under names for which
    /// `ours` holds, and that never ended. Returns their names.
    async fn abort_abandoned(
        &self,
        older_than: DateTime<Utc>,
        ours: &(dyn for<'n> Fn(&'n str) -> bool + Sync),
    ) -> Result<Vec<String>>;

    /// The stored versions of `name`, newest first; empty where the store keeps none.
    async fn versions(&self, name: &str) -> Result<Vec<ObjectVersion>>;

    /// Whether objects are kept under Object Lock (then deletion candidates are
    /// HEADed first).
    async fn object_lock(&self) -> Result<Locking>;

    /// Waits until nothing remains of uploads that were dropped. To be called before
    /// the process ends: dropping alone only begins the cleaning up.
    async fn settle(&self);
}

/// A streamed create. Only [`Upload::complete`] makes the object; [`Upload::abort`],
/// or dropping the upload and [`Store::settle`], leaves nothing.
#[async_trait]
pub trait Upload: Send {
    /// Takes the next bytes, any number of them. Waits while earlier ones are
    /// still on their way (bounded memory). After an error nothing of the upload
    /// remains, and further calls fail.
    async fn write(&mut self, chunk: Bytes) -> Result<()>;

    /// Makes the object exist, durably, and returns what the store says of it.
    /// `sha256` is the hash of everything written, `size` its number of bytes; the
    /// implementation refuses (kind `Integrity`) if it did not take as many.
    ///
    /// # Errors
    /// `Conflict` where the name has been taken by another run. The upload is
    /// aborted on any error.
    async fn complete(self: Box<Self>, sha256: [u8; 32], size: u64) -> Result<Head>;

    /// Gives up: nothing of it remains.
    async fn abort(self: Box<Self>) -> Result<()>;
}

/// Opens the store at `location`. `settings` apply to S3 only.
///
/// Nothing is sent yet: a store that is missing or denied shows at the first request.
///
/// # Errors
/// `Usage` for a CA file that cannot be used.
pub async fn open(location: &Location, settings: s3::S3Settings) -> Result<Arc<dyn Store>> {
    Ok(match location {
        Location::S3 { bucket, prefix } => Arc::new(s3::S3Store::new(bucket, prefix, settings).await?),
        Location::Local(directory) => Arc::new(local::LocalStore::new(directory.clone())),
    })
}
