//! Writing a file that becomes an object only when it is whole.

use super::joined;
use super::paths::Root;
use crate::base::atomic_file::{AtomicFile, create_directories};
use crate::base::error::{Error, Result};
use crate::services::store::{Head, Upload};
use async_trait::async_trait;
use bytes::Bytes;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// Rights of the store's files and folders.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// A file on its way; dropped, it leaves neither itself nor a day's folder that it
/// was to be the first in.
pub(super) struct Staged {
    file: Option<AtomicFile>,
    root: Arc<Root>,
    name: String,
}

impl Staged {
    pub(super) fn create(root: Arc<Root>, name: &str) -> Result<Self> {
        let path = root.resolve(name)?;
        let file = create(&path).map_err(|e| root.failed("cannot be created", name, e))?;
        Ok(Self { file: Some(file), root, name: name.to_owned() })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.with_file(|file| file.write_all(bytes))
    }

    /// Writes the whole of `source`, which must be `size` bytes, without a buffer of
    /// ours: the kernel copies, or shares the blocks.
    pub(super) fn fill_from(&mut self, mut source: &File, size: u64) -> Result<()> {
        let copied = self.with_file(|file| io::copy(&mut source, file.file_mut()))?;
        if copied == size {
            return Ok(());
        }
        Err(Error::store(format!("{}: copied {copied} bytes of {size}", self.root.locate(&self.name))))
    }

    /// Makes it the object, which must not exist, or must be exactly `same`.
    pub(super) fn commit_new(mut self, same: Option<&[u8]>) -> Result<()> {
        let Some(file) = self.file.take() else { return Err(self.over()) };
        match file.commit_new() {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                let path = self.root.resolve(&self.name)?;
                match same {
                    Some(bytes) if std::fs::read(path).is_ok_and(|there| there == bytes) => Ok(()),
                    _ => Err(Error::conflict(format!("{}: exists already", self.root.locate(&self.name)))),
                }
            }
            end => end.map_err(|e| self.root.failed("cannot be created", &self.name, e)),
        }
    }

    /// Makes it the object, in the place of one that may be there.
    pub(super) fn commit_replacing(mut self) -> Result<()> {
        let Some(file) = self.file.take() else { return Err(self.over()) };
        file.commit_replacing().map_err(|e| self.root.failed("cannot be replaced", &self.name, e))
    }

    fn with_file<T>(&mut self, work: impl FnOnce(&mut AtomicFile) -> io::Result<T>) -> Result<T> {
        let Some(file) = &mut self.file else { return Err(self.over()) };
        work(file).map_err(|e| self.root.failed("cannot be written", &self.name, e))
    }

    fn over(&self) -> Error {
        Error::unexpected(format!("{}: the upload has ended already", self.root.locate(&self.name)))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        drop(self.file.take());
        self.root.tidy(&self.name);
    }
}

fn create(path: &Path) -> io::Result<AtomicFile> {
    let begin = || {
        create_directories(path.parent().unwrap_or(path), FOLDER_MODE)?;
        AtomicFile::create(path, FILE_MODE)
    };
    match begin() {
        // A prune at the same time found the folder empty, and removed it.
        Err(e) if e.kind() == ErrorKind::NotFound => begin(),
        end => end,
    }
}

/// An upload: one chunk is being written while the next is made.
pub(super) struct LocalUpload {
    /// The task that has the file, and gives it back.
    writing: Option<JoinHandle<Result<Staged>>>,
    staged: Option<Staged>,
    size: u64,
    tasks: TaskTracker,
}

impl LocalUpload {
    pub(super) fn new(staged: Staged, tasks: TaskTracker) -> Self {
        Self { writing: None, staged: Some(staged), size: 0, tasks }
    }

    /// The file, once what was given before is written.
    async fn staged(&mut self) -> Result<Staged> {
        if let Some(writing) = &mut self.writing {
            let end = writing.await;
            self.writing = None;
            self.staged = Some(joined(end)??);
        }
        self.staged.take().ok_or_else(|| Error::unexpected("the upload has failed already"))
    }
}

impl Drop for LocalUpload {
    /// A write that is still going on holds the file: a task waits for it, so that
    /// `settle` does too.
    fn drop(&mut self) {
        if let (Some(writing), Ok(runtime)) = (self.writing.take(), Handle::try_current()) {
            self.tasks.spawn_on(async move { drop(writing.await) }, &runtime);
        }
    }
}

#[async_trait]
impl Upload for LocalUpload {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        let mut staged = self.staged().await?;
        self.size += chunk.len() as u64;
        self.writing = Some(self.tasks.spawn_blocking(move || staged.write(&chunk).map(|()| staged)));
        Ok(())
    }

    async fn complete(mut self: Box<Self>, _sha256: [u8; 32], size: u64) -> Result<Head> {
        let staged = self.staged().await?;
        if self.size != size {
            let (address, taken) = (staged.root.locate(&staged.name), self.size);
            return Err(Error::integrity(format!("{address}: {taken} bytes were written, {size} announced")));
        }
        let commit = move || {
            let (root, name) = (Arc::clone(&staged.root), staged.name.clone());
            staged.commit_new(None)?;
            root.head(&name)?.ok_or_else(|| Error::store(format!("{}: vanished", root.locate(&name))))
        };
        joined(self.tasks.spawn_blocking(commit).await)?
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        // Whatever the last write came to, the file goes with what is dropped here.
        let _ = self.staged().await;
        Ok(())
    }
}
