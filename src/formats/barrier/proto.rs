//! Protobuf messages in a snapshot: field numbers and types, and the detection of unknown
//! fields.
//!
//! Source: go-kms-wrapping `types.proto`, secrets-kv `types.proto`. Fields that are known
//! but not used are raw bytes, so that they count as known.

use crate::base::error::{Error, Result};
use chrono::{DateTime, Utc};
use prost::Message;
use std::collections::BTreeMap;

/// Decodes the message in the entry `name`. Also returns `true` if it has only known
/// fields, so that their encoding has the length of the input.
///
/// # Errors
/// `Drill` if it is not such a message.
pub(super) fn decode<M: Message + Default>(name: &str, bytes: &[u8]) -> Result<(M, bool)> {
    // The decoder's error may quote its input.
    let message = M::decode(bytes).map_err(|_| Error::drill(format!("{name}: not the expected protobuf message")))?;
    let complete = message.encoded_len() == bytes.len();
    Ok((message, complete))
}

/// A value wrapped by a seal.
#[derive(Message)]
#[prost(skip_debug)]
pub(super) struct BlobInfo {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) ciphertext: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) iv: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) hmac: Vec<u8>,
    #[prost(bool, tag = "4")]
    pub(super) wrapped: bool,
    #[prost(message, optional, tag = "5")]
    pub(super) key_info: Option<KeyInfo>,
    #[prost(string, tag = "6")]
    pub(super) value_path: String,
    #[prost(bytes = "vec", tag = "7")]
    pub(super) plaintext: Vec<u8>,
}

/// The key that wrapped a value. Vault's go-kms-wrapping has the id in field 3, OpenBao's in
/// field 6.
#[derive(Message)]
#[prost(skip_debug)]
pub(super) struct KeyInfo {
    #[prost(string, tag = "3")]
    pub(super) key_id: String,
    #[prost(string, tag = "6")]
    pub(super) bao_key_id: String,
}

/// A point in time.
#[derive(Clone, Copy, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

impl Timestamp {
    /// # Errors
    /// `Drill` for an invalid time. `name` is its entry.
    pub(super) fn time(self, name: &str) -> Result<DateTime<Utc>> {
        let nanos = u32::try_from(self.nanos).ok();
        nanos
            .and_then(|nanos| DateTime::from_timestamp(self.seconds, nanos))
            .ok_or_else(|| Error::drill(format!("{name}: invalid time")))
    }
}

/// KV v2: metadata of one version of a secret.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct VersionMetadata {
    #[prost(message, optional, tag = "1")]
    pub(super) created_time: Option<Timestamp>,
    #[prost(message, optional, tag = "2")]
    pub(super) deletion_time: Option<Timestamp>,
    #[prost(bool, tag = "3")]
    pub(super) destroyed: bool,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub(super) created_by: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "5")]
    pub(super) deleted_by: Option<Vec<u8>>,
}

/// KV v2: metadata of a secret.
#[derive(Message)]
#[prost(skip_debug)]
pub(super) struct KeyMetadata {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(btree_map = "uint64, message", tag = "2")]
    pub(super) versions: BTreeMap<u64, VersionMetadata>,
    #[prost(uint64, tag = "3")]
    pub(super) current_version: u64,
    #[prost(uint64, tag = "4")]
    pub(super) oldest_version: u64,
    #[prost(bytes = "vec", optional, tag = "5")]
    pub(super) created_time: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "6")]
    pub(super) updated_time: Option<Vec<u8>>,
    #[prost(uint32, tag = "7")]
    pub(super) max_versions: u32,
    #[prost(bool, tag = "8")]
    pub(super) cas_required: bool,
    #[prost(bytes = "vec", optional, tag = "9")]
    pub(super) delete_version_after: Option<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "10")]
    pub(super) custom_metadata: Vec<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "11")]
    pub(super) last_updated_by: Option<Vec<u8>>,
}

/// KV v2: data of one version.
#[derive(Message)]
#[prost(skip_debug)]
pub(super) struct Version {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) data: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub(super) created_time: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub(super) deletion_time: Option<Timestamp>,
}

/// KV v2: progress of a mount's upgrade from v1.
#[derive(Message)]
#[prost(skip_debug)]
pub(super) struct UpgradeInfo {
    #[prost(message, optional, tag = "1")]
    pub(super) started_time: Option<Timestamp>,
    #[prost(bool, tag = "2")]
    pub(super) done: bool,
}
