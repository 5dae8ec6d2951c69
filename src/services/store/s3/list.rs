//! Complete listings of objects, versions and unfinished uploads.

use super::Bucket;
use super::error::S3Failure;
use super::head::time;
use crate::base::error::{Error, Result};
use crate::services::store::{Listed, ObjectVersion};
use aws_sdk_s3::types::EncodingType;
use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;

impl Bucket {
    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<Listed>> {
        let mut listed = Vec::new();
        let mut token = None;
        loop {
            let request = self.client.list_objects_v2().bucket(&self.name).prefix(self.key(prefix));
            // URL-encoded, because XML cannot contain every key.
            let request = request.encoding_type(EncodingType::Url).set_continuation_token(token);
            let page = request.send().await.map_err(|e| self.list_error("s3:ListBucket", &e))?;
            let encoded = page.encoding_type == Some(EncodingType::Url);
            for object in page.contents.unwrap_or_default() {
                let name = self.relative(object.key.as_deref().unwrap_or_default(), encoded)?;
                let size = object.size.and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
                if !name.is_empty() {
                    listed.push(Listed { name, size, modified: object.last_modified.as_ref().and_then(time) });
                }
            }
            token = page.next_continuation_token;
            match (page.is_truncated, &token) {
                (Some(true), None) => return Err(self.truncated()),
                (Some(true), Some(_)) => {}
                _ => break,
            }
        }
        listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    pub(super) async fn versions(&self, name: &str) -> Result<Vec<ObjectVersion>> {
        let key = self.key(name);
        let mut versions = Vec::new();
        let (mut key_marker, mut version_marker) = (None, None);
        loop {
            let request = self.client.list_object_versions().bucket(&self.name).prefix(&key);
            let request = request.set_key_marker(key_marker).set_version_id_marker(version_marker);
            let page = request.send().await.map_err(|e| self.list_error("s3:ListBucketVersions", &e))?;
            for version in page.versions.unwrap_or_default() {
                if let (Some(id), true) = (version.version_id, version.key.as_deref() == Some(&key)) {
                    versions.push(ObjectVersion {
                        id,
                        size: version.size.and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
                        modified: version.last_modified.as_ref().and_then(time),
                        latest: version.is_latest == Some(true),
                    });
                }
            }
            (key_marker, version_marker) = (page.next_key_marker, page.next_version_id_marker);
            // The key itself is listed before longer keys that begin with it.
            match (page.is_truncated, &key_marker) {
                (Some(true), None) => return Err(self.truncated()),
                (Some(true), Some(marker)) if *marker == key => {}
                _ => break,
            }
        }
        // The only version in a bucket that never had versioning.
        versions.retain(|version| version.id != "null" || !version.latest);
        Ok(versions)
    }

    pub(super) async fn abort_abandoned(
        &self,
        older_than: DateTime<Utc>,
        ours: &(dyn for<'n> Fn(&'n str) -> bool + Sync),
    ) -> Result<Vec<String>> {
        let mut aborted = Vec::new();
        let (mut key_marker, mut id_marker) = (None, None);
        loop {
            let request = self.client.list_multipart_uploads().bucket(&self.name).prefix(&self.prefix);
            let request = request.encoding_type(EncodingType::Url);
            let request = request.set_key_marker(key_marker).set_upload_id_marker(id_marker);
            let page = request.send().await.map_err(|e| self.list_error("s3:ListBucketMultipartUploads", &e))?;
            let encoded = page.encoding_type == Some(EncodingType::Url);
            for upload in page.uploads.unwrap_or_default() {
                let name = self.relative(upload.key.as_deref().unwrap_or_default(), encoded)?;
                let old = upload.initiated.as_ref().and_then(time).is_some_and(|begun| begun < older_than);
                if let (Some(id), true) = (upload.upload_id, old && ours(&name)) {
                    self.abort(&name, &id).await?;
                    aborted.push(name);
                }
            }
            let decode = |marker: String| if encoded { decoded(&marker) } else { marker };
            (key_marker, id_marker) = (page.next_key_marker.map(decode), page.next_upload_id_marker);
            match (page.is_truncated, &key_marker) {
                (Some(true), None) => return Err(self.truncated()),
                (Some(true), Some(_)) => {}
                _ => return Ok(aborted),
            }
        }
    }

    /// Returns the name of a listed key. It is empty for the key of the prefix itself.
    fn relative(&self, key: &str, encoded: bool) -> Result<String> {
        let key = if encoded { decoded(key) } else { key.to_owned() };
        match key.strip_prefix(&self.prefix) {
            Some(name) => Ok(name.to_owned()),
            None => Err(Error::store(format!("{}: the listing has objects outside of the prefix", self.locate("")))),
        }
    }

    fn list_error<E>(
        &self,
        action: &'static str,
        error: &aws_sdk_s3::error::SdkError<E, aws_smithy_runtime_api::client::orchestrator::HttpResponse>,
    ) -> Error
    where
        E: aws_sdk_s3::error::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        S3Failure::new(action, self.locate(""), error).into_error()
    }

    fn truncated(&self) -> Error {
        Error::store(format!("{}: the listing is truncated", self.locate("")))
    }
}

/// Decodes a key of `encoding-type=url`: as in a form, `+` is a space.
fn decoded(key: &str) -> String {
    percent_decode_str(&key.replace('+', " ")).decode_utf8_lossy().into_owned()
}
