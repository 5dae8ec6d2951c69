//! The settings of an S3 store, and the protection of one object that follows from them.

use crate::formats::naming::BackupType;
use aws_sdk_s3::config::SharedCredentialsProvider;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{ObjectLockMode, ServerSideEncryption, StorageClass};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

const MIB: u64 = 1024 * 1024;

/// Part sizes that S3 accepts, except for the last part.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
pub const PART_SIZES: std::ops::RangeInclusive<u64> = 5 * MIB..=5 * 1024 * MIB;

/// Size of the largest object that CopyObject accepts.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html>
const COPY_MAX: u64 = 5 * 1024 * MIB;

/// Settings of an S3 store.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// URL of the server, if not AWS.
    pub endpoint: Option<String>,
    /// Region, if not the one that AWS's own chain finds.
    pub region: Option<String>,
    /// Credentials, if not those that AWS's own chain finds.
    pub credentials: Option<SharedCredentialsProvider>,
    /// `true` if the bucket's name is part of the path instead of the host name.
    pub path_style: bool,
    /// PEM file of further trusted CAs, if not `AWS_CA_BUNDLE`.
    pub ca_cert: Option<PathBuf>,
    /// Server-side encryption, if not the bucket's default.
    pub sse: Option<Sse>,
    /// KMS key for [`Sse::Kms`], if not the account's default.
    pub kms_key_id: Option<String>,
    /// Storage class, if not the server's default.
    pub storage_class: Option<String>,
    /// Object Lock of objects below `daily/`, if any.
    pub object_lock_daily: Option<ObjectLock>,
    /// Object Lock of objects below `monthly/`, if any.
    pub object_lock_monthly: Option<ObjectLock>,
    /// Time limit for a connection attempt.
    pub connect_timeout: Duration,
    /// Longest time without a byte of a request or response.
    pub idle_timeout: Duration,
    /// Part size of an upload, in bytes.
    pub part_size: u64,
    /// Size in bytes above which an object is copied in parts.
    pub copy_threshold: u64,
}

impl Default for S3Settings {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: None,
            credentials: None,
            path_style: false,
            ca_cert: None,
            sse: None,
            kms_key_id: None,
            storage_class: None,
            object_lock_daily: None,
            object_lock_monthly: None,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            part_size: 8 * MIB,
            copy_threshold: COPY_MAX,
        }
    }
}

/// Server-side encryption, named as in the header `x-amz-server-side-encryption`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Sse {
    /// SSE-S3.
    #[serde(rename = "AES256")]
    S3,
    /// SSE-KMS.
    #[serde(rename = "aws:kms")]
    Kms,
}

/// Retention under S3 Object Lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectLock {
    /// Retention mode.
    pub mode: LockMode,
    /// Retention period, from the time of the write.
    pub period: Duration,
}

/// Retention mode of S3 Object Lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Principals with `s3:BypassGovernanceRetention` can delete the object early.
    Governance,
    /// No one can delete the object early.
    Compliance,
}

/// Protection of one object, in the terms of the requests that create it.
pub(super) struct Protection {
    pub(super) sse: Option<ServerSideEncryption>,
    pub(super) kms_key_id: Option<String>,
    pub(super) storage_class: Option<StorageClass>,
    pub(super) lock_mode: Option<ObjectLockMode>,
    pub(super) retain_until: Option<DateTime>,
}

/// Sets an object's [`Protection`] on a request. The three requests that create objects have the
/// same setters, but no common trait.
macro_rules! protect {
    ($request:expr, $protection:expr) => {{
        let protection = $protection;
        $request
            .set_server_side_encryption(protection.sse)
            .set_ssekms_key_id(protection.kms_key_id)
            .set_storage_class(protection.storage_class)
            .set_object_lock_mode(protection.lock_mode)
            .set_object_lock_retain_until_date(protection.retain_until)
    }};
}
pub(super) use protect;

impl S3Settings {
    /// Returns the protection of the object `name`. Its first path segment selects the lock.
    pub(super) fn protection(&self, name: &str, now: SystemTime) -> Protection {
        let below = |kind: BackupType| name.split_once('/').is_some_and(|(first, _)| first == kind.as_str());
        let lock = if below(BackupType::Daily) {
            self.object_lock_daily
        } else if below(BackupType::Monthly) {
            self.object_lock_monthly
        } else {
            None
        };
        Protection {
            sse: self.sse.map(|sse| match sse {
                Sse::S3 => ServerSideEncryption::Aes256,
                Sse::Kms => ServerSideEncryption::AwsKms,
            }),
            kms_key_id: self.kms_key_id.clone(),
            storage_class: self.storage_class.as_deref().map(StorageClass::from),
            lock_mode: lock.map(|lock| match lock.mode {
                LockMode::Governance => ObjectLockMode::Governance,
                LockMode::Compliance => ObjectLockMode::Compliance,
            }),
            retain_until: lock.map(|lock| (now + lock.period).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_path_segment_selects_the_lock() {
        let lock = |mode, days: u64| Some(ObjectLock { mode, period: Duration::from_secs(days * 86_400) });
        let settings = S3Settings {
            object_lock_daily: lock(LockMode::Governance, 1),
            object_lock_monthly: lock(LockMode::Compliance, 30),
            ..S3Settings::default()
        };
        let seen = |name: &str| {
            let protection = settings.protection(name, SystemTime::UNIX_EPOCH);
            (protection.lock_mode, protection.retain_until.map(|t| t.secs()))
        };
        assert_eq!(seen("daily/x/y.manifest.json"), (Some(ObjectLockMode::Governance), Some(86_400)));
        assert_eq!(seen("monthly/x/y"), (Some(ObjectLockMode::Compliance), Some(2_592_000)));
        for other in ["daily", "weekly/x", "x/daily/y"] {
            assert_eq!(seen(other), (None, None), "{other}");
        }
    }
}
