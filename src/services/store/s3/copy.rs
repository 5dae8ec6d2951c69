//! Copies inside the bucket, done by the server.
//!
//! Some servers ignore conditions on the target of a copy, so a HEAD checks it first. The
//! source's entity tag is a condition of each request.

use super::Bucket;
use super::client::slow_request;
use super::create::NONE;
use super::error::S3Failure;
use super::multipart::{MAX_PARTS, Multipart};
use super::settings::{PART_SIZES, protect};
use crate::base::error::Result;
use crate::services::store::{Head, RUN_ID};
use aws_sdk_s3::types::CompletedPart;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::sync::Arc;
use std::time::SystemTime;

/// Size of a part. The server copies, so it takes no memory here.
const PART: u64 = 512 * 1024 * 1024;
/// Number of parts copied at the same time.
const AT_A_TIME: usize = 4;

/// Characters that are not encoded in `x-amz-copy-source`.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

pub(super) async fn copy(bucket: &Arc<Bucket>, from: &str, head: &Head, to: &str) -> Result<Head> {
    let run_id = head.metadata.get(RUN_ID).map(String::as_str);
    // Nothing was sent yet, so it is not this copy, whatever its metadata says.
    if bucket.head(to).await?.is_some() {
        return Err(bucket.taken(to));
    }
    if head.size > bucket.settings.copy_threshold {
        return by_parts(bucket, from, head, to).await;
    }
    let request = bucket.client.copy_object().bucket(&bucket.name).key(bucket.key(to));
    let request = protect!(request, bucket.settings.protection(to, SystemTime::now()))
        .copy_source(bucket.source(from))
        .set_copy_source_if_match(head.etag.clone())
        .if_none_match(NONE);
    let sent = request.customize().config_override(slow_request(&bucket.settings)).send().await;
    let failure = sent.err().map(|e| S3Failure::new("s3:PutObject", bucket.locate(to), &e));
    bucket.confirm(to, run_id, head.size, failure).await
}

async fn by_parts(bucket: &Arc<Bucket>, from: &str, head: &Head, to: &str) -> Result<Head> {
    let multipart = Multipart::begin(bucket, to, head.metadata.clone(), None).await?;
    let size =
        PART.min(bucket.settings.copy_threshold).max(head.size.div_ceil(MAX_PARTS.into())).max(*PART_SIZES.start());
    let starts = (0..head.size).step_by(usize::try_from(size).unwrap_or(usize::MAX));
    let parts = stream::iter(starts.zip(1..)).map(|(start, number)| {
        let last = (start + size).min(head.size) - 1;
        copy_part(bucket, from, head, to, multipart.id(), number, start..=last)
    });
    match parts.buffer_unordered(AT_A_TIME).try_collect().await {
        Ok(parts) => Ok(multipart.complete(parts, head.size).await?.head),
        Err(error) => {
            // The abort logs a warning if it fails.
            let _ = multipart.abort().await;
            Err(error)
        }
    }
}

async fn copy_part(
    bucket: &Bucket,
    from: &str,
    head: &Head,
    to: &str,
    id: &str,
    number: i32,
    range: std::ops::RangeInclusive<u64>,
) -> Result<CompletedPart> {
    let request = bucket.client.upload_part_copy().bucket(&bucket.name).key(bucket.key(to)).upload_id(id);
    let request = request
        .part_number(number)
        .copy_source(bucket.source(from))
        .copy_source_range(format!("bytes={}-{}", range.start(), range.end()))
        .set_copy_source_if_match(head.etag.clone());
    let sent = request.customize().config_override(slow_request(&bucket.settings)).send().await;
    let output = sent.map_err(|e| S3Failure::new("s3:PutObject", bucket.locate(to), &e).into_error())?;
    let etag = output.copy_part_result.and_then(|part| part.e_tag);
    Ok(CompletedPart::builder().part_number(number).set_e_tag(etag).build())
}

impl Bucket {
    /// Returns the value of `x-amz-copy-source` for `name`.
    fn source(&self, name: &str) -> String {
        format!("{}/{}", self.name, utf8_percent_encode(&self.key(name), UNRESERVED))
    }
}
