//! Properties of one object, and of the bucket.

use super::Bucket;
use super::error::S3Failure;
use crate::base::error::Result;
use crate::services::store::{Head, Locking};
use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::types::{ChecksumMode, ObjectLockEnabled, ObjectLockLegalHoldStatus};
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use chrono::{DateTime, Utc};
use std::sync::{Arc, OnceLock};

/// Converts the SDK's time; `None` for a year out of range.
pub(super) fn time(time: &aws_sdk_s3::primitives::DateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.secs(), time.subsec_nanos())
}

/// Converts the outputs of HeadObject and GetObject: the same fields in two types.
macro_rules! describe {
    ($output:expr, $size:expr) => {
        crate::services::store::Head {
            size: $size,
            modified: $output.last_modified.as_ref().and_then(super::head::time),
            etag: $output.e_tag.clone(),
            version: $output.version_id.clone(),
            metadata: $output.metadata.clone().unwrap_or_default().into_iter().collect(),
            retain_until: $output.object_lock_retain_until_date.as_ref().and_then(super::head::time),
            legal_hold: $output.object_lock_legal_hold_status == Some(super::head::LEGAL_HOLD_ON),
            checksum: super::checksum::reported(
                $output.checksum_sha256.as_deref(),
                $output.checksum_crc32_c.as_deref(),
            ),
        }
    };
}
pub(super) use describe;

pub(super) const LEGAL_HOLD_ON: ObjectLockLegalHoldStatus = ObjectLockLegalHoldStatus::On;

impl Bucket {
    pub(super) async fn head(&self, name: &str) -> Result<Option<Head>> {
        self.describe(name, None).await
    }

    /// Asking for the checksum needs the right to decrypt, if a KMS key encrypts the object.
    pub(super) async fn head_with_checksum(&self, name: &str) -> Result<Option<Head>> {
        self.describe(name, Some(ChecksumMode::Enabled)).await
    }

    async fn describe(&self, name: &str, checksum: Option<ChecksumMode>) -> Result<Option<Head>> {
        let request = self.client.head_object().bucket(&self.name).key(self.key(name)).set_checksum_mode(checksum);
        match request.send().await {
            Ok(output) => {
                let size = output.content_length.and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
                Ok(Some(describe!(output, size)))
            }
            Err(error) => {
                let failure = S3Failure::new("s3:GetObject", self.locate(name), &error);
                if failure.is_missing() { Ok(None) } else { Err(failure.into_error()) }
            }
        }
    }

    pub(super) async fn clock(&self) -> Result<Option<DateTime<Utc>>> {
        let date = DateHeader::default();
        let request = self.client.list_objects_v2().bucket(&self.name).prefix(&self.prefix).max_keys(1);
        let end = request.customize().interceptor(date.clone()).send().await;
        let failure = end.err().map(|e| S3Failure::new("s3:ListBucket", self.locate(""), &e));
        match failure {
            // The caller checks the difference of the clocks.
            Some(failure) if !failure.is_skewed() => Err(failure.into_error()),
            _ => Ok(date.0.get().copied()),
        }
    }

    pub(super) async fn object_lock(&self) -> Result<Locking> {
        match self.client.get_object_lock_configuration().bucket(&self.name).send().await {
            Ok(output) => {
                let enabled = output.object_lock_configuration.and_then(|c| c.object_lock_enabled);
                Ok(if enabled == Some(ObjectLockEnabled::Enabled) { Locking::On } else { Locking::Off })
            }
            Err(error) => {
                let failure = S3Failure::new("s3:GetBucketObjectLockConfiguration", self.locate(""), &error);
                if failure.is_no_lock() {
                    return Ok(Locking::Off);
                }
                let denied = failure.is_denied();
                let error = failure.into_error();
                if denied { Ok(Locking::Unknown(error.to_string())) } else { Err(error) }
            }
        }
    }
}

/// Reads the `Date` of the first response to a request.
#[derive(Clone, Debug, Default)]
struct DateHeader(Arc<OnceLock<DateTime<Utc>>>);

#[dyn_dispatch_hint]
impl Intercept for DateHeader {
    fn name(&self) -> &'static str {
        "DateHeader"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), aws_sdk_s3::error::BoxError> {
        let header = context.response().headers().get("date");
        if let Some(date) = header.and_then(|text| DateTime::parse_from_rfc2822(text).ok()) {
            let _ = self.0.set(date.to_utc());
        }
        Ok(())
    }
}
