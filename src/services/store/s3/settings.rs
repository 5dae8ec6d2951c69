//! What can be set about an S3 store, and what follows from it for one object.

use crate::base::error::{Error, Result};
use crate::formats::naming::BackupType;
use aws_sdk_s3::config::SharedCredentialsProvider;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{ObjectLockMode, ServerSideEncryption, StorageClass};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

const MIB: u64 = 1024 * 1024;

/// What S3 takes as a part's size, the last part aside.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
pub(super) const PART_SIZES: std::ops::RangeInclusive<u64> = 5 * MIB..=5 * 1024 * MIB;

/// The largest object that CopyObject takes.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html>
const COPY_MAX: u64 = 5 * 1024 * MIB;

/// What can be set about an S3 store; every field has a default.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// The server's URL, if it isn't AWS.
    pub endpoint: Option<String>,
    /// The region; else as AWS's tools find it.
    pub region: Option<String>,
    /// Who asks; else as AWS's tools find it.
    pub credentials: Option<SharedCredentialsProvider>,
    /// Whether the bucket's name goes into the path rather than the host name.
    pub path_style: bool,
    /// PEM file of further authorities to trust; else `AWS_CA_BUNDLE`.
    pub ca_cert: Option<PathBuf>,
    /// `AES256`, `aws:kms` or `aws:kms:dsse`.
    pub sse: Option<String>,
    /// The KMS key for `aws:kms` and `aws:kms:dsse`; else the account's default.
    pub kms_key_id: Option<String>,
    /// The storage class, as S3 names it.
    pub storage_class: Option<String>,
    /// Retention for what is written below `daily/`.
    pub object_lock_daily: Option<ObjectLock>,
    /// Retention for what is written below `monthly/`.
    pub object_lock_monthly: Option<ObjectLock>,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long a request may go without a byte moving.
    pub idle_timeout: Duration,
    /// Size of an upload's parts, in bytes.
    pub part_size: u64,
    /// Objects larger than this, in bytes, are copied by parts.
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

/// Retention under S3 Object Lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectLock {
    /// Who may end it early.
    pub mode: LockMode,
    /// How long from the write on.
    pub period: Duration,
}

/// The modes of S3 Object Lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Holders of `s3:BypassGovernanceRetention` may end it early.
    Governance,
    /// Nobody may.
    Compliance,
}

/// What protects one object, as the requests that make it say it.
pub(super) struct Protection {
    pub(super) sse: Option<ServerSideEncryption>,
    pub(super) kms_key_id: Option<String>,
    pub(super) storage_class: Option<StorageClass>,
    pub(super) lock_mode: Option<ObjectLockMode>,
    pub(super) retain_until: Option<DateTime>,
}

/// Sets an object's [`Protection`] on a request: the three requests that make
/// objects have the same setters, but no trait in common.
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
    /// # Errors
    /// `Usage` for values that no server could take.
    pub(super) fn check(&self) -> Result<()> {
        if !PART_SIZES.contains(&self.part_size) {
            return Err(Error::usage("run.part_size must be between 5 MiB and 5 GiB"));
        }
        match self.sse.as_deref() {
            None | Some("AES256") if self.kms_key_id.is_some() => {
                Err(Error::usage("store.kms_key_id needs store.sse = \"aws:kms\" or \"aws:kms:dsse\""))
            }
            None | Some("AES256" | "aws:kms" | "aws:kms:dsse") => Ok(()),
            Some(_) => Err(Error::usage("store.sse must be \"AES256\", \"aws:kms\" or \"aws:kms:dsse\"")),
        }
    }

    /// What protects the object `name`; its first folder says which lock.
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
            sse: self.sse.as_deref().map(ServerSideEncryption::from),
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
    fn the_first_folder_says_which_lock() {
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

    #[test]
    fn what_cannot_be_is_refused() {
        let with = |sse: Option<&str>, key: Option<&str>, part_size| S3Settings {
            sse: sse.map(str::to_owned),
            kms_key_id: key.map(str::to_owned),
            part_size,
            ..S3Settings::default()
        };
        for good in
            [with(None, None, 5 * MIB), with(Some("AES256"), None, 8 * MIB), with(Some("aws:kms"), Some("k"), 8 * MIB)]
        {
            good.check().unwrap();
        }
        for bad in [
            with(None, None, 5 * MIB - 1),
            with(None, None, 5 * 1024 * MIB + 1),
            with(Some("aes256"), None, 8 * MIB),
            with(Some("AES256"), Some("k"), 8 * MIB),
            with(None, Some("k"), 8 * MIB),
        ] {
            assert_eq!(bad.check().unwrap_err().kind(), crate::base::error::Kind::Usage);
        }
    }
}
