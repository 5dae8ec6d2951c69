//! Complete listings of objects, versions and unfinished uploads.
//!
//! `answer` has checked that each page is complete. Here it is compared with the request,
//! and a server that never ends a listing is refused.

use super::Bucket;
use super::error::S3Failure;
use super::head::time;
use crate::base::error::{Error, Result};
use crate::services::store::{Listed, Listing, NameFilter, ObjectVersion};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::EncodingType;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// Maximum number of pages of a listing: ten million objects.
const MAX_PAGES: usize = 10_000;

/// Maximum number of versions of one object that are listed.
const MAX_VERSIONS: usize = 10_000;

/// An unfinished upload.
struct UnfinishedUpload {
    name: String,
    id: String,
    begun: Option<DateTime<Utc>>,
}

impl Bucket {
    pub(super) async fn list(&self, prefix: &str, ours: NameFilter) -> Result<Listing> {
        let (mut listing, mut pages) = (Listing::default(), Pages::default());
        let (asked, mut token) = (self.key(prefix), None);
        loop {
            let request = self.client.list_objects_v2().bucket(&self.name).prefix(&asked);
            // URL-encoded, because XML cannot contain every key.
            let request = request.encoding_type(EncodingType::Url).set_continuation_token(token);
            let page = request.send().await.map_err(|e| self.list_error("s3:ListBucket", &e))?;
            let encoded = page.encoding_type == Some(EncodingType::Url);
            self.expect_echo(page.name.as_deref(), page.prefix.as_deref(), encoded, &asked)?;
            let contents = page.contents.unwrap_or_default();
            let count = contents.len() + page.common_prefixes.unwrap_or_default().len();
            if page.key_count.is_some_and(|said| usize::try_from(said) != Ok(count)) {
                return Err(self.bad_listing("its KeyCount differs from the number of objects in it"));
            }
            for object in contents {
                let (Some(key), Some(size)) = (object.key, object.size.and_then(|n| u64::try_from(n).ok())) else {
                    return Err(self.bad_listing("an object in it has no key or size"));
                };
                let name = self.relative(&key, encoded, &asked)?;
                if !name.is_empty() {
                    let modified = object.last_modified.as_ref().and_then(time);
                    listing.add(Listed { name, size, modified }, ours, &self.locate(""))?;
                }
            }
            token = page.next_continuation_token;
            if !pages.go_on(self, page.is_truncated, token.as_ref())? {
                return Ok(listing.sorted());
            }
        }
    }

    pub(super) async fn versions(&self, name: &str) -> Result<Vec<ObjectVersion>> {
        let key = self.key(name);
        let (mut versions, mut pages) = (Vec::new(), Pages::default());
        let (mut key_marker, mut version_marker) = (None, None);
        loop {
            let request = self.client.list_object_versions().bucket(&self.name).prefix(&key);
            let request = request.set_key_marker(key_marker).set_version_id_marker(version_marker);
            let page = request.send().await.map_err(|e| self.list_error("s3:ListBucketVersions", &e))?;
            self.expect_echo(page.name.as_deref(), page.prefix.as_deref(), false, &key)?;
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
            if versions.len() > MAX_VERSIONS {
                let what = format!("{}: more than {MAX_VERSIONS} versions", self.locate(name));
                return Err(Error::store(what).hint("delete old versions, with a lifecycle rule for example"));
            }
            (key_marker, version_marker) = (page.next_key_marker, page.next_version_id_marker);
            let next = key_marker.as_ref().map(|key| (key, &version_marker));
            // The key itself is listed before longer keys that begin with it.
            if !pages.go_on(self, page.is_truncated, next)? || key_marker.as_ref() != Some(&key) {
                break;
            }
        }
        // The only version in a bucket that never had versioning.
        versions.retain(|version| version.id != "null" || !version.latest);
        Ok(versions)
    }

    pub(super) async fn abort_abandoned(&self, older_than: DateTime<Utc>, ours: NameFilter) -> Result<Vec<String>> {
        let old = |upload: &UnfinishedUpload| upload.begun.is_some_and(|begun| begun < older_than);
        self.abort_uploads(&self.prefix, |upload| old(upload) && ours(&upload.name)).await
    }

    /// Aborts the uploads to `name`, except for `keep`.
    pub(super) async fn abort_others(&self, name: &str, keep: Option<&str>) -> Result<Vec<String>> {
        self.abort_uploads(&self.key(name), |upload| upload.name == name && Some(upload.id.as_str()) != keep).await
    }

    /// Aborts the uploads to keys that begin with `prefix`, if they are `unwanted`. Returns
    /// their names.
    async fn abort_uploads(&self, prefix: &str, unwanted: impl Fn(&UnfinishedUpload) -> bool) -> Result<Vec<String>> {
        let (mut aborted, mut pages) = (Vec::new(), Pages::default());
        let (mut key_marker, mut id_marker) = (None, None);
        loop {
            let request = self.client.list_multipart_uploads().bucket(&self.name).prefix(prefix);
            let request = request.encoding_type(EncodingType::Url);
            let request = request.set_key_marker(key_marker).set_upload_id_marker(id_marker);
            let page = request.send().await.map_err(|e| self.list_error("s3:ListBucketMultipartUploads", &e))?;
            let encoded = page.encoding_type == Some(EncodingType::Url);
            self.expect_echo(page.bucket.as_deref(), page.prefix.as_deref(), encoded, prefix)?;
            for upload in page.uploads.unwrap_or_default() {
                let (Some(key), Some(id)) = (upload.key, upload.upload_id) else {
                    return Err(self.bad_listing("an upload in it has no key or id"));
                };
                let (name, begun) = (self.relative(&key, encoded, prefix)?, upload.initiated.as_ref().and_then(time));
                let upload = UnfinishedUpload { name, id, begun };
                if unwanted(&upload) {
                    self.abort(&upload.name, &upload.id).await?;
                    aborted.push(upload.name);
                }
            }
            let decode = |marker: String| if encoded { decoded(&marker) } else { marker };
            (key_marker, id_marker) = (page.next_key_marker.map(decode), page.next_upload_id_marker);
            let next = key_marker.as_ref().map(|key| (key, &id_marker));
            if !pages.go_on(self, page.is_truncated, next)? {
                return Ok(aborted);
            }
        }
    }

    /// Checks that a listing is that of this bucket and of `prefix`. Servers may omit both.
    /// That of an access point may have the bucket's name.
    fn expect_echo(&self, bucket: Option<&str>, said: Option<&str>, encoded: bool, prefix: &str) -> Result<()> {
        let access_point = self.name.contains(':') || self.name.ends_with("-s3alias");
        if bucket.is_some_and(|bucket| bucket != self.name && !access_point) {
            return Err(self.bad_listing("it is that of another bucket"));
        }
        let same = |said: &str| said == prefix || (encoded && decoded(said) == prefix);
        if said.is_some_and(|said| !same(said)) {
            return Err(self.bad_listing("it is that of another prefix"));
        }
        Ok(())
    }

    /// Returns the name of a listed key, which must begin with `asked`. It is empty for the
    /// key of the prefix itself.
    fn relative(&self, key: &str, encoded: bool, asked: &str) -> Result<String> {
        let key = if encoded { decoded(key) } else { key.to_owned() };
        match key.strip_prefix(&self.prefix).filter(|_| key.starts_with(asked)) {
            Some(name) => Ok(name.to_owned()),
            None => Err(Error::store(format!("{}: the listing has objects outside of the prefix", self.locate("")))),
        }
    }

    fn list_error<E>(&self, action: &'static str, error: &SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        S3Failure::new(action, self.locate(""), error).into_error()
    }

    fn bad_listing(&self, why: &str) -> Error {
        Error::store(format!("{}: the listing is invalid: {why}", self.locate("")))
            .hint("check that no proxy changes the store's responses")
    }
}

/// The pages of one listing.
#[derive(Default)]
struct Pages {
    hasher: RandomState,
    /// Hashes of the markers so far.
    markers: HashSet<u64>,
}

impl Pages {
    /// Returns `true` if another page follows, which begins at `next`.
    ///
    /// # Errors
    /// `Store` if the page has no marker, or the listing does not end.
    fn go_on(&mut self, bucket: &Bucket, truncated: Option<bool>, next: Option<impl std::hash::Hash>) -> Result<bool> {
        if truncated != Some(true) {
            return Ok(false);
        }
        let Some(next) = next else {
            return Err(Error::store(format!("{}: the listing is truncated", bucket.locate(""))));
        };
        if !self.markers.insert(self.hasher.hash_one(next)) {
            return Err(bucket.bad_listing("it does not advance: the store repeats a marker"));
        }
        if self.markers.len() >= MAX_PAGES {
            let what = format!("{}: the listing does not end after {MAX_PAGES} pages", bucket.locate(""));
            return Err(Error::store(what).hint("use a prefix in store.url that only has backups"));
        }
        Ok(true)
    }
}

/// Decodes a key of `encoding-type=url`: as in a form, `+` is a space.
fn decoded(key: &str) -> String {
    percent_decode_str(&key.replace('+', " ")).decode_utf8_lossy().into_owned()
}
