//! `file:///folder`: objects are files below a folder, the embedded default.
//!
//! Here: the contract over a folder. Files are 0600, folders 0700, made when first
//! needed. Symbolic links below the folder are never followed. There is no
//! metadata; the manifests suffice. Not here: how a file comes to be whole
//! (`atomic_file`).

mod paths;
mod read;
mod upload;

use super::{Deleted, Download, Head, Listed, Locking, Metadata, ObjectVersion, Put, ReadAt, Store, Upload};
use crate::base::atomic_file::{AtomicFile, target_of};
use crate::base::error::{Error, Result};
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use paths::Root;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::task::TaskTracker;
use upload::{LocalUpload, Staged};

/// A folder as a store.
pub struct LocalStore {
    root: Arc<Root>,
    tasks: TaskTracker,
}

impl LocalStore {
    /// The store in `folder`, an absolute path; it need not exist yet.
    pub fn new(folder: PathBuf) -> Self {
        Self { root: Arc::new(Root::new(folder)), tasks: TaskTracker::new() }
    }

    /// Runs `work` where it may block.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Root) -> Result<T> + Send + 'static) -> Result<T> {
        let root = Arc::clone(&self.root);
        joined(self.tasks.spawn_blocking(move || work(&root)).await)?
    }
}

/// What a blocking task returned.
fn joined<T>(end: Result<T, tokio::task::JoinError>) -> Result<T> {
    end.map_err(|e| Error::task_failed("file access", &e))
}

#[async_trait]
impl Store for LocalStore {
    fn locate(&self, name: &str) -> String {
        self.root.locate(name)
    }

    /// None: it is this machine's.
    async fn clock(&self) -> Result<Option<DateTime<Utc>>> {
        Ok(None)
    }

    async fn upload(&self, name: &str, _metadata: Metadata) -> Result<Box<dyn Upload>> {
        let (root, owned) = (Arc::clone(&self.root), name.to_owned());
        let staged = self.run(move |_| Staged::create(root, &owned)).await?;
        Ok(Box::new(LocalUpload::new(staged, self.tasks.clone())))
    }

    async fn put(&self, name: &str, body: Bytes, put: Put) -> Result<()> {
        let (root, owned) = (Arc::clone(&self.root), name.to_owned());
        let write = move |_: &Root| {
            let mut staged = Staged::create(root, &owned)?;
            staged.write(&body)?;
            match put {
                Put::Create => staged.commit_new(Some(&body)),
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
            return Err(Error::store(format!("{}: a folder keeps no versions", self.locate(name))));
        }
        let owned = name.to_owned();
        let (file, head) = self.run(move |root| root.open(&owned)).await?;
        let length = at.first.map_or(head.size, |first| first.min(head.size));
        Ok(Download { head, body: read::stream(file, length, self.locate(name)) })
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Listed>> {
        let prefix = prefix.to_owned();
        self.run(move |root| {
            let mut files = root.walk(&prefix)?;
            files.retain(|file| target_of(file.name.rsplit('/').next().unwrap_or_default().as_ref()).is_none());
            Ok(files)
        })
        .await
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
        let copy = move |_: &Root| {
            let (source, head) = root.open(&from)?;
            if expected.is_some() && expected != head.etag {
                return Err(Error::store(format!("{}: changed since it was verified", root.locate(&from))));
            }
            let mut staged = Staged::create(Arc::clone(&root), &to)?;
            staged.fill_from(&source, head.size)?;
            staged.commit_new(None)?;
            root.head(&to)?.ok_or_else(|| Error::store(format!("{}: vanished", root.locate(&to))))
        };
        self.run(copy).await
    }

    async fn probe_write(&self, prefix: &str) -> Result<()> {
        let prefix = prefix.to_owned();
        self.run(move |root| {
            let folder = root.nearest_folder(&prefix)?;
            let probe = AtomicFile::create(&folder.join("probe"), 0o600).and_then(|mut file| file.write_all(b"probe"));
            probe.map_err(|e| root.failed("cannot be written to", &prefix, e))
        })
        .await
    }

    async fn abort_abandoned(
        &self,
        older_than: DateTime<Utc>,
        ours: &(dyn for<'n> Fn(&'n str) -> bool + Sync),
    ) -> Result<Vec<String>> {
        let mut files = self.run(|root| root.walk("")).await?;
        files.retain(|file| file.modified.is_some_and(|time| time < older_than));
        let mut aborted = Vec::new();
        for file in files {
            let (folder, base) = file.name.rsplit_once('/').unwrap_or(("", &file.name));
            let Some(target) = target_of(base.as_ref()).and_then(|t| t.to_str()) else { continue };
            let name = if folder.is_empty() { target.to_owned() } else { format!("{folder}/{target}") };
            if ours(&name) {
                self.run(move |root| root.remove(&file.name)).await?;
                aborted.push(name);
            }
        }
        Ok(aborted)
    }

    async fn versions(&self, _name: &str) -> Result<Vec<ObjectVersion>> {
        Ok(Vec::new())
    }

    async fn object_lock(&self) -> Result<Locking> {
        Ok(Locking::Off)
    }

    async fn settle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }
}

impl Root {
    /// What the contract calls HEAD; `None` for what is no plain file.
    fn head(&self, name: &str) -> Result<Option<Head>> {
        match std::fs::symlink_metadata(self.resolve(name)?) {
            Ok(meta) if meta.is_file() => Ok(Some(read::describe(&meta))),
            Ok(_) => Ok(None),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(self.failed("cannot be looked at", name, e)),
        }
    }

    fn open(&self, name: &str) -> Result<(File, Head)> {
        let fail = |e| self.failed("cannot be read", name, e);
        let file = File::open(self.resolve(name)?).map_err(fail)?;
        let meta = file.metadata().map_err(fail)?;
        if !meta.is_file() {
            return Err(Error::store(format!("{}: no such object", self.locate(name))));
        }
        Ok((file, read::describe(&meta)))
    }

    fn remove(&self, name: &str) -> Result<Deleted> {
        match std::fs::remove_file(self.resolve(name)?) {
            Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Err(self.failed("cannot be deleted", name, e))
            }
            _ => {
                self.tidy(name);
                Ok(Deleted::Gone)
            }
        }
    }
}
