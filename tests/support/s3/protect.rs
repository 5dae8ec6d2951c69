//! Versions, Object Lock and time, as the bucket's owner sees and sets them.

use super::S3;
use aws_sdk_s3::primitives::DateTime as SdkTime;
use aws_sdk_s3::types::{ObjectLockLegalHold, ObjectLockLegalHoldStatus, ObjectLockRetention, ObjectLockRetentionMode};
use chrono::{DateTime, Utc};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

impl S3 {
    /// Forbids to delete an object until further notice.
    pub fn legal_hold(&self, bucket: &str, key: &str) {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        let on = ObjectLockLegalHold::builder().status(ObjectLockLegalHoldStatus::On).build();
        self.ask(|s3| async move {
            s3.put_object_legal_hold().bucket(bucket).key(key).legal_hold(on).send().await.unwrap()
        });
    }

    /// Forbids to delete an object until a time.
    pub fn retain(&self, bucket: &str, key: &str, until: DateTime<Utc>) {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        let retention = ObjectLockRetention::builder()
            .mode(ObjectLockRetentionMode::Governance)
            .retain_until_date(SdkTime::from_secs(until.timestamp()))
            .build();
        self.ask(|s3| async move {
            s3.put_object_retention().bucket(bucket).key(key).retention(retention).send().await.unwrap()
        });
    }

    /// Mode and end of an object's retention.
    pub fn retention(&self, bucket: &str, key: &str) -> Option<(String, DateTime<Utc>)> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        let head = self.ask(|s3| async move { s3.head_object().bucket(bucket).key(key).send().await.unwrap() });
        let until = DateTime::from_timestamp(head.object_lock_retain_until_date?.secs(), 0)?;
        Some((head.object_lock_mode?.as_str().to_owned(), until))
    }

    /// Deletes an object, or where there are versions, hides it.
    pub fn delete(&self, bucket: &str, key: &str) {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.ask(|s3| async move { s3.delete_object().bucket(bucket).key(key).send().await.unwrap() });
    }

    /// The keys of all versions, hidden ones too, and of all delete markers.
    pub fn versions(&self, bucket: &str) -> (Vec<String>, Vec<String>) {
        let bucket = bucket.to_owned();
        let page = self.ask(|s3| async move { s3.list_object_versions().bucket(bucket).send().await.unwrap() });
        assert_ne!(page.is_truncated, Some(true));
        let versions = page.versions.unwrap_or_default().into_iter().filter_map(|version| version.key);
        let markers = page.delete_markers.unwrap_or_default().into_iter().filter_map(|marker| marker.key);
        (versions.collect(), markers.collect())
    }

    /// Has the server believe that an object was written, or an upload of this id
    /// begun, so long ago: it goes by its files' times.
    pub fn age(&self, bucket: &str, key_or_upload: &str, by: Duration) {
        let root = self.dir.path().join("data").join(bucket);
        let path = match root.join(key_or_upload) {
            path if path.exists() => path,
            _ => find(&root, key_or_upload).unwrap_or_else(|| panic!("no {key_or_upload} in {bucket}")),
        };
        File::open(path).unwrap().set_modified(SystemTime::now() - by).unwrap();
    }
}

fn find(directory: &Path, name: &str) -> Option<PathBuf> {
    std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).find_map(|path| {
        if path.ends_with(name) {
            return Some(path);
        }
        if path.is_dir() { find(&path, name) } else { None }
    })
}
