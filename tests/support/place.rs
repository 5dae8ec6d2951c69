//! A store for one test, changed and looked at from outside: never through the
//! code under test.

mod rights;

use super::process::{temp_dir, wait_for};
use super::s3::S3;
use super::site::Site;
use super::tool::Tool;
use bytes::Bytes;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// A store of a test's own, empty at first.
pub struct Place {
    /// The bucket or directory.
    pub site: Arc<Site>,
    holder: Holder,
}

enum Holder {
    /// A bucket's name; the objects are below a prefix.
    Bucket(String),
    /// The directory does not exist before it is needed.
    Directory(TempDir),
}

/// Prefix of the backups in a bucket.
const PREFIX: &str = "prod/";

impl Place {
    /// Below a prefix in a new bucket of the shared server.
    pub fn s3() -> Self {
        Self::in_bucket(Site::shared())
    }

    /// Below a prefix in a new bucket of `site`.
    pub fn in_bucket(site: Arc<Site>) -> Self {
        Self::in_bucket_of(site, S3::bucket)
    }

    /// Below a prefix in a new bucket that `make` makes.
    fn in_bucket_of(site: Arc<Site>, make: fn(&S3, &str)) -> Self {
        let bucket = site.new_bucket(make);
        Self { site, holder: Holder::Bucket(bucket) }
    }

    /// Below a prefix in a new bucket that keeps versions.
    pub fn versioned() -> Self {
        Self::in_bucket_of(Site::shared(), S3::versioned_bucket)
    }

    /// Below a prefix in a new bucket with Object Lock.
    pub fn locked() -> Self {
        Self::in_bucket_of(Site::shared(), S3::locked_bucket)
    }

    /// In a new directory, with the shared servers.
    pub fn directory() -> Self {
        Self::directory_of(Site::shared())
    }

    /// In a new directory, with the servers of `site`.
    pub fn directory_of(site: Arc<Site>) -> Self {
        Self { site, holder: Holder::Directory(temp_dir()) }
    }

    /// One of each kind.
    pub fn both() -> [Self; 2] {
        [Self::s3(), Self::directory()]
    }

    /// Returns `true` if it keeps metadata.
    pub fn is_s3(&self) -> bool {
        matches!(self.holder, Holder::Bucket(_))
    }

    /// The bucket's name.
    ///
    /// # Panics
    /// If it is a directory.
    pub fn bucket(&self) -> &str {
        match &self.holder {
            Holder::Bucket(name) => name,
            Holder::Directory(dir) => panic!("{} is no bucket", dir.path().display()),
        }
    }

    /// The key of an object in the bucket.
    pub fn key(&self, name: &str) -> String {
        format!("{PREFIX}{name}")
    }

    /// Returns the directory's path.
    ///
    /// # Panics
    /// If it is a bucket.
    pub fn path(&self) -> PathBuf {
        match &self.holder {
            Holder::Bucket(name) => panic!("{name} is no directory"),
            Holder::Directory(dir) => store_directory(dir),
        }
    }

    /// The store's URL.
    pub fn url(&self) -> String {
        match &self.holder {
            Holder::Bucket(bucket) => format!("s3://{bucket}/{}", PREFIX.trim_end_matches('/')),
            Holder::Directory(dir) => format!("file://{}", store_directory(dir).display()),
        }
    }

    /// The binary, with all that it needs, and this store.
    pub fn tool(&self) -> Tool {
        self.site.tool().env("VAULT_BACKUP_STORE", self.url())
    }

    /// Makes a daily backup; its JSON result.
    pub fn backup(&self) -> Value {
        let output = self.tool().args(["backup", "--kind", "daily", "--json"]).run();
        output.ok().leaves(&[]);
        output.json()
    }

    /// Makes a daily backup of `snapshot` as if Vault had sent it; its name.
    pub fn backup_of(&self, snapshot: impl Into<Bytes>) -> String {
        let vault = self.site.vault_sending(snapshot);
        let output = self.tool().env("VAULT_ADDR", vault.address()).args(["backup", "--kind", "daily", "--json"]).run();
        output.ok().leaves(&[]);
        output.json()["object"].as_str().unwrap().to_owned()
    }

    /// All objects, by their names relative to the URL, and files being written; in order.
    pub fn names(&self) -> Vec<String> {
        match &self.holder {
            Holder::Bucket(bucket) => {
                let strip =
                    |key: String| key.strip_prefix(PREFIX).map(str::to_owned).expect("no objects outside the prefix");
                self.site.s3.objects(bucket).into_iter().map(strip).collect()
            }
            Holder::Directory(dir) => {
                let mut names = Vec::new();
                if store_directory(dir).exists() {
                    walk(&store_directory(dir), "", &mut names);
                }
                names.sort();
                names
            }
        }
    }

    /// An object's bytes.
    pub fn get(&self, name: &str) -> Vec<u8> {
        match &self.holder {
            Holder::Bucket(bucket) => self.site.s3.get(bucket, &self.key(name)).expect(name),
            Holder::Directory(dir) => std::fs::read(store_directory(dir).join(name)).unwrap(),
        }
    }

    /// An object that is a JSON document.
    pub fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.get(name)).unwrap()
    }

    /// Writes an object, also over another one, as another user of the store might.
    pub fn put(&self, name: &str, body: &[u8]) {
        match &self.holder {
            Holder::Bucket(bucket) => self.site.s3.put(bucket, &self.key(name), body),
            Holder::Directory(dir) => {
                let path = store_directory(dir).join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, body).unwrap();
            }
        }
    }

    /// Writes many objects.
    pub fn put_many(&self, objects: Vec<(String, Vec<u8>)>) {
        match &self.holder {
            Holder::Bucket(bucket) => {
                let keyed = objects.into_iter().map(|(name, body)| (self.key(&name), body)).collect();
                self.site.s3.put_many(bucket, keyed);
            }
            Holder::Directory(_) => objects.iter().for_each(|(name, body)| self.put(name, body)),
        }
    }

    /// Has the store believe that an object was written so long ago.
    pub fn age(&self, name: &str, by: Duration) {
        match &self.holder {
            Holder::Bucket(bucket) => self.site.s3.age(bucket, &self.key(name), by),
            Holder::Directory(dir) => {
                let file = std::fs::File::open(store_directory(dir).join(name)).unwrap();
                file.set_modified(std::time::SystemTime::now() - by).unwrap();
            }
        }
    }

    /// An object's metadata.
    pub fn metadata(&self, name: &str) -> BTreeMap<String, String> {
        self.site.s3.metadata(self.bucket(), &self.key(name))
    }

    /// Replaces an object's metadata.
    pub fn set_metadata(&self, name: &str, metadata: &BTreeMap<String, String>) {
        self.site.s3.set_metadata(self.bucket(), &self.key(name), metadata);
    }

    /// Begins an upload and leaves it: its id.
    pub fn abandon_upload(&self, name: &str) -> String {
        self.site.s3.abandon_upload(self.bucket(), &self.key(name))
    }

    /// Asserts that there is nothing at all: no object, no incomplete upload, no directory.
    #[track_caller]
    pub fn assert_empty(&self) {
        assert_eq!(self.names(), [""; 0], "{}", self.url());
        match &self.holder {
            Holder::Bucket(bucket) => assert_eq!(self.site.s3.incomplete_uploads(bucket), [""; 0]),
            // The two directories at the top may stay, but nothing in them.
            Holder::Directory(dir) => {
                for top in ["daily", "monthly"] {
                    let entries = std::fs::read_dir(store_directory(dir).join(top));
                    assert_eq!(entries.map_or(0, Iterator::count), 0, "{top} in {}", self.url());
                }
            }
        }
    }
}

fn store_directory(dir: &TempDir) -> PathBuf {
    dir.path().join("store")
}

fn walk(dir: &Path, prefix: &str, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        match entry.file_type().unwrap().is_dir() {
            true => walk(&entry.path(), &format!("{name}/"), names),
            false => names.push(name),
        }
    }
}

/// Waits until the clock shows another second: two runs in one would be of one name.
pub fn next_second() {
    let second = || chrono::Utc::now().timestamp();
    let begun = second();
    wait_for("the next second", Duration::from_secs(5), || (second() != begun).then_some(()));
}
