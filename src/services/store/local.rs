//! `file:///directory`: objects are files in a directory.
//!
//! Files have mode 0600, directories 0700; they are created when first needed. Symbolic
//! links in the directory are never followed. Objects have no metadata: the manifests are
//! enough.

mod paths;
mod read;
mod upload;

use super::{
    Deleted, Download, Head, Listed, Listing, Locking, Metadata, NameFilter, ObjectVersion, Put, ReadAt, Store, Upload,
};
use crate::base::atomic_file::{AtomicFile, target_of};
use crate::base::error::{Error, Result};
use crate::base::regular_file;
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use paths::StoreDirectory;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::task::TaskTracker;
use upload::{LocalUpload, UnfinishedFile};

/// A store in a directory.
pub struct LocalStore {
    root: Arc<StoreDirectory>,
    tasks: TaskTracker,
}

impl LocalStore {
    /// Returns the store in `directory`, an absolute path that may not exist yet.
    pub fn new(directory: PathBuf) -> Self {
        Self { root: Arc::new(StoreDirectory::new(directory)), tasks: TaskTracker::new() }
    }

    /// Runs blocking `work`.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&StoreDirectory) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let root = Arc::clone(&self.root);
        joined(self.tasks.spawn_blocking(move || work(&root)).await)?
    }
}

/// Returns the result of a blocking task.
fn joined<T>(end: Result<T, tokio::task::JoinError>) -> Result<T> {
    end.map_err(|e| Error::task_failed("file access", &e))
}

#[async_trait]
impl Store for LocalStore {
    fn locate(&self, name: &str) -> String {
        self.root.locate(name)
    }

    /// Returns `None`: the clock is this machine's.
    async fn clock(&self) -> Result<Option<DateTime<Utc>>> {
        Ok(None)
    }

    async fn upload(&self, name: &str, _metadata: Metadata) -> Result<Box<dyn Upload>> {
        let (root, owned) = (Arc::clone(&self.root), name.to_owned());
        let staged = self.run(move |_| UnfinishedFile::create(root, &owned)).await?;
        Ok(Box::new(LocalUpload::new(staged, self.tasks.clone())))
    }

    async fn put(&self, name: &str, body: Bytes, put: Put) -> Result<()> {
        let (root, owned) = (Arc::clone(&self.root), name.to_owned());
        let write = move |_: &StoreDirectory| {
            let mut staged = UnfinishedFile::create(root, &owned)?;
            staged.write(&body)?;
            match put {
                Put::Create => staged.commit_document(&body),
                Put::Replace => staged.commit_replacing(),
            }
        };
        self.run(write).await
    }

    async fn head(&self, name: &str) -> Result<Option<Head>> {
        let owned = name.to_owned();
        self.run(move |root| root.head(&owned)).await
    }

    async fn get(&self, name: &str, at: ReadAt) -> Result<Download> {
        if at.version.is_some() {
            return Err(Error::store(format!("{}: a file:// store has no versions", self.locate(name))));
        }
        let owned = name.to_owned();
        let (file, head) = self.run(move |root| root.open(&owned)).await?;
        let length = at.first.map_or(head.size, |first| first.min(head.size));
        Ok(Download { head, body: read::stream(file, length, self.locate(name)) })
    }

    async fn list(&self, prefix: &str, ours: NameFilter) -> Result<Listing> {
        let prefix = prefix.to_owned();
        self.run(move |root| root.walk(&prefix, |name| unfinished(name).is_none(), ours)).await
    }

    /// Directories, pipes and links take a name too.
    async fn taken(&self, prefix: &str) -> Result<Vec<String>> {
        let prefix = prefix.to_owned();
        self.run(move |root| root.entries(&prefix)).await
    }

    async fn delete(&self, names: &[String]) -> Vec<Result<Deleted>> {
        let owned = names.to_vec();
        let deleted = self.run(move |root| Ok(owned.iter().map(|name| root.remove(name)).collect::<Vec<_>>()));
        match deleted.await {
            Ok(results) => results,
            Err(error) => names.iter().map(|_| Err(Error::unexpected(error.to_string()))).collect(),
        }
    }

    async fn copy(&self, from: &str, head: &Head, to: &str) -> Result<Head> {
        let (root, from, to, expected) = (Arc::clone(&self.root), from.to_owned(), to.to_owned(), head.etag.clone());
        let copy = move |_: &StoreDirectory| {
            let (source, head) = root.open(&from)?;
            if expected.is_some() && expected != head.etag {
                return Err(Error::store(format!("{}: changed since it was verified", root.locate(&from))));
            }
            let mut staged = UnfinishedFile::create(Arc::clone(&root), &to)?;
            staged.fill_from(&source, head.size)?;
            staged.commit_new()?;
            root.head(&to)?
                .ok_or_else(|| Error::store(format!("{}: disappeared right after it was created", root.locate(&to))))
        };
        self.run(copy).await
    }

    async fn probe_write(&self, prefix: &str) -> Result<()> {
        let prefix = prefix.to_owned();
        self.run(move |root| {
            let directory = root.nearest_directory(&prefix)?;
            let probe =
                AtomicFile::create(&directory.join("probe"), 0o600).and_then(|mut file| file.write_all(b"probe"));
            probe.map_err(|e| root.failed("cannot be written to", &prefix, e))
        })
        .await
    }

    async fn abort_abandoned(&self, older_than: DateTime<Utc>, ours: NameFilter) -> Result<Vec<String>> {
        let old = move |file: &Listed| file.modified.is_some_and(|time| time < older_than);
        self.remove_unfinished(ours, old).await
    }

    async fn abort_uploads_to(&self, name: &str) -> Result<usize> {
        let name = name.to_owned();
        Ok(self.remove_unfinished(move |target| target == name, |_| true).await?.len())
    }

    async fn versions(&self, _name: &str) -> Result<Vec<ObjectVersion>> {
        Ok(Vec::new())
    }

    async fn object_lock(&self) -> Result<Locking> {
        Ok(Locking::Off)
    }

    async fn finish_cleanup(&self) -> bool {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
        true
    }
}

impl LocalStore {
    /// Removes the temporary files that may become an object whose name is `wanted`, if they
    /// are `unwanted`. Returns the names of the objects.
    async fn remove_unfinished(
        &self,
        wanted: impl Fn(&str) -> bool + Send + 'static,
        unwanted: impl Fn(&Listed) -> bool + Send,
    ) -> Result<Vec<String>> {
        let is_wanted = move |name: &str| unfinished(name).is_some_and(|name| wanted(&name));
        let listing = self.run(move |root| root.walk("", is_wanted, |_| true)).await?;
        let mut removed = Vec::new();
        for file in listing.objects.into_iter().filter(|file| unwanted(file)) {
            removed.extend(unfinished(&file.name));
            self.run(move |root| root.remove(&file.name)).await?;
        }
        Ok(removed)
    }
}

/// Returns the name of the object that the temporary file `name` may become, if it is one.
fn unfinished(name: &str) -> Option<String> {
    let (directory, base) = name.rsplit_once('/').unwrap_or(("", name));
    let target = target_of(base.as_ref())?.to_str()?;
    Some(if directory.is_empty() { target.to_owned() } else { format!("{directory}/{target}") })
}

impl StoreDirectory {
    /// Returns the properties of a plain file; `None` for anything else.
    fn head(&self, name: &str) -> Result<Option<Head>> {
        match std::fs::symlink_metadata(self.resolve(name)?) {
            Ok(meta) if meta.is_file() => Ok(Some(read::describe(&meta))),
            Ok(_) => Ok(None),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(self.failed("cannot be read", name, e)),
        }
    }

    fn open(&self, name: &str) -> Result<(File, Head)> {
        let fail = |e| self.failed("cannot be read", name, e);
        let file = regular_file::open(&self.resolve(name)?).map_err(fail)?;
        let meta = file.metadata().map_err(fail)?;
        Ok((file, read::describe(&meta)))
    }

    /// Returns `true` if the object is a plain file of exactly `bytes`.
    fn has_bytes(&self, name: &str, bytes: &[u8]) -> bool {
        let Ok((file, head)) = self.open(name) else { return false };
        let mut there = Vec::new();
        head.size == bytes.len() as u64 && file.take(head.size).read_to_end(&mut there).is_ok() && there == bytes
    }

    fn remove(&self, name: &str) -> Result<Deleted> {
        match std::fs::remove_file(self.resolve(name)?) {
            Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Err(self.failed("cannot be deleted", name, e))
            }
            _ => {
                self.remove_empty_directory(name);
                Ok(Deleted::Gone)
            }
        }
    }
}
