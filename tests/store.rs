//! The stores: a contract suite for all of them, and tests of each one.

mod contract;
mod local;
mod s3;

use crate::support::process::temp_dir;
use crate::support::s3::S3;
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use bytes::Bytes;
use futures_util::TryStreamExt;
use ring::digest::{SHA256, digest};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tempfile::TempDir;
use vault_backup::base::error::Result;
use vault_backup::services::store::s3::{S3Settings, S3Store};
use vault_backup::services::store::{self, Head, Listed, Metadata, ReadAt, Store, Upload};

const MIB: usize = 1024 * 1024;

/// Bucket and prefix of the S3 tests.
const BUCKET: &str = "backups";
const PREFIX: &str = "vault";

/// Returns settings for `endpoint`.
fn settings(endpoint: &str, (access, secret): (String, String)) -> S3Settings {
    S3Settings {
        endpoint: Some(endpoint.to_owned()),
        region: Some("us-east-1".to_owned()),
        path_style: true,
        credentials: Some(SharedCredentialsProvider::new(Credentials::new(access, secret, None, None, "test"))),
        part_size: 5 * MIB as u64,
        ..S3Settings::default()
    }
}

async fn s3_store(settings: S3Settings) -> Arc<dyn Store> {
    Arc::new(S3Store::new(BUCKET, PREFIX, settings).await.unwrap())
}

/// A store with direct access to its content.
enum Place {
    S3(S3),
    Local(TempDir),
}

impl Place {
    fn s3() -> Self {
        let s3 = S3::start();
        s3.bucket(BUCKET);
        Self::S3(s3)
    }

    fn local() -> Self {
        let dir = temp_dir();
        std::fs::create_dir(dir.path().join(PREFIX)).unwrap();
        Self::Local(dir)
    }

    fn is_s3(&self) -> bool {
        matches!(self, Self::S3(_))
    }

    async fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::S3(s3) => s3_store(settings(&s3.endpoint(), s3.root())).await,
            Self::Local(dir) => {
                let url = format!("file://{}/{PREFIX}", dir.path().display());
                store::open(&url.parse().unwrap(), S3Settings::default()).await.unwrap()
            }
        }
    }

    /// Writes an object directly. `key` may be outside of the store's prefix.
    fn plant(&self, key: &str, body: &[u8]) {
        match self {
            Self::S3(s3) => s3.put(BUCKET, key, body),
            Self::Local(dir) => {
                let path = dir.path().join(key);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, body).unwrap();
            }
        }
    }

    /// Returns all keys, unfinished files included.
    fn keys(&self) -> Vec<String> {
        match self {
            Self::S3(s3) => s3.objects(BUCKET),
            Self::Local(dir) => files(dir.path()),
        }
    }

    /// Returns what unfinished uploads have left.
    fn leftovers(&self) -> Vec<String> {
        match self {
            Self::S3(s3) => s3.incomplete_uploads(BUCKET),
            Self::Local(_) => self.keys().into_iter().filter(|key| key.contains(".tmp-")).collect(),
        }
    }
}

fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.symlink_metadata().unwrap().is_dir() {
                true => directories.push(path),
                false => found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()),
            }
        }
    }
    found.sort();
    found
}

/// Returns `len` random bytes.
fn data(len: usize) -> Bytes {
    static RANDOM: LazyLock<Bytes> = LazyLock::new(|| {
        let mut bytes = vec![0; 128 * MIB];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).unwrap();
        bytes.into()
    });
    RANDOM.slice(..len)
}

fn sha256(data: &[u8]) -> [u8; 32] {
    digest(&SHA256, data).as_ref().try_into().unwrap()
}

fn run(id: &str) -> Metadata {
    [("run-id", id), ("vault_version", "1.21.4"), ("timestamp", "2025-11-26T02:00:00Z")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// Writes all of `data` in chunks of about 1 MiB, each of another size.
async fn write(upload: &mut dyn Upload, data: &Bytes) -> Result<()> {
    let mut rest = data.clone();
    for size in (MIB - 7..).step_by(3) {
        if rest.is_empty() {
            break;
        }
        upload.write(rest.split_to(size.min(rest.len()))).await?;
    }
    Ok(())
}

async fn send(store: &dyn Store, name: &str, id: &str, data: &Bytes) -> Result<Head> {
    let mut upload = store.upload(name, run(id)).await?;
    write(upload.as_mut(), data).await?;
    Ok(upload.complete(sha256(data), data.len() as u64).await?.head)
}

/// Lists all objects below `prefix`.
async fn list(store: &dyn Store, prefix: &str) -> Result<Vec<Listed>> {
    Ok(store.list(prefix, |_| true).await?.objects)
}

async fn read(store: &dyn Store, name: &str, at: ReadAt) -> Result<(Head, Vec<u8>)> {
    let download = store.get(name, at).await?;
    let chunks: Vec<Bytes> = download.body.try_collect().await?;
    Ok((download.head, chunks.concat()))
}

/// Fails a test that hangs.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(90), work).await.expect("it hangs")
}
