//! Writes a file that becomes an object when it is complete.

use super::joined;
use super::paths::StoreDirectory;
use crate::base::atomic_file::{AtomicFile, create_directories};
use crate::base::error::{Error, Result};
use crate::services::store::{Upload, Uploaded};
use async_trait::async_trait;
use bytes::Bytes;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// Modes of the store's files and directories.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// A file that is not an object yet. A drop removes it, and the day's directory if it is
/// then empty.
pub(super) struct UnfinishedFile {
    file: Option<AtomicFile>,
    root: Arc<StoreDirectory>,
    name: String,
}

impl UnfinishedFile {
    pub(super) fn create(root: Arc<StoreDirectory>, name: &str) -> Result<Self> {
        let path = root.resolve(name)?;
        let mut unfinished = Self { file: None, root, name: name.to_owned() };
        // On an error, the drop removes a directory that was created for the file.
        let file = create(&path).map_err(|e| unfinished.root.failed("cannot be created", name, e))?;
        unfinished.file = Some(file);
        Ok(unfinished)
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.with_file(|file| file.write_all(bytes))
    }

    /// Writes all of `source`, which must have `size` bytes. The kernel copies the data or
    /// shares its blocks.
    pub(super) fn fill_from(&mut self, mut source: &File, size: u64) -> Result<()> {
        let copied = self.with_file(|file| io::copy(&mut source, file.file_mut()))?;
        if copied == size {
            return Ok(());
        }
        Err(Error::store(format!("{}: {copied} of {size} bytes copied", self.root.locate(&self.name))))
    }

    /// Creates the object, which must not exist. After an error it does not exist, unless
    /// the error says so.
    pub(super) fn commit_new(mut self) -> Result<()> {
        let Some(file) = self.file.take() else { return Err(self.over()) };
        file.commit_new().map_err(|e| self.not_created(e))
    }

    /// Creates a document. It must not exist, or have exactly `bytes`. It stays if only its
    /// directory cannot be synced: the caller reads it back.
    pub(super) fn commit_document(mut self, bytes: &[u8]) -> Result<()> {
        let Some(file) = self.file.take() else { return Err(self.over()) };
        match file.commit_new_or_keep() {
            Err(e) if e.kind() == ErrorKind::AlreadyExists && self.root.has_bytes(&self.name, bytes) => Ok(()),
            end => end.map_err(|e| self.not_created(e)),
        }
    }

    fn not_created(&self, error: io::Error) -> Error {
        match error.kind() {
            ErrorKind::AlreadyExists => Error::conflict(format!("{}: already exists", self.root.locate(&self.name))),
            _ => self.root.failed("cannot be created", &self.name, error),
        }
    }

    /// Creates or replaces the object.
    pub(super) fn commit_replacing(mut self) -> Result<()> {
        let Some(file) = self.file.take() else { return Err(self.over()) };
        file.commit_replacing().map_err(|e| self.root.failed("cannot be replaced", &self.name, e))
    }

    fn with_file<T>(&mut self, work: impl FnOnce(&mut AtomicFile) -> io::Result<T>) -> Result<T> {
        let Some(file) = &mut self.file else { return Err(self.over()) };
        work(file).map_err(|e| self.root.failed("cannot be written", &self.name, e))
    }

    fn over(&self) -> Error {
        Error::unexpected(format!("{}: the upload has already ended", self.root.locate(&self.name)))
    }
}

impl Drop for UnfinishedFile {
    fn drop(&mut self) {
        drop(self.file.take());
        self.root.remove_empty_directory(&self.name);
    }
}

fn create(path: &Path) -> io::Result<AtomicFile> {
    let begin = || {
        create_directories(path.parent().unwrap_or(path), DIRECTORY_MODE)?;
        AtomicFile::create(path, FILE_MODE)
    };
    match begin() {
        // A concurrent prune removed the directory because it was empty.
        Err(e) if e.kind() == ErrorKind::NotFound => begin(),
        end => end,
    }
}

/// An upload. One chunk is written while the caller prepares the next.
pub(super) struct LocalUpload {
    /// The task that writes the last chunk and returns the file, if any.
    writing: Option<JoinHandle<Result<UnfinishedFile>>>,
    file: Option<UnfinishedFile>,
    size: u64,
    tasks: TaskTracker,
}

impl LocalUpload {
    pub(super) fn new(file: UnfinishedFile, tasks: TaskTracker) -> Self {
        Self { writing: None, file: Some(file), size: 0, tasks }
    }

    /// Returns the file after all chunks before are written.
    async fn file(&mut self) -> Result<UnfinishedFile> {
        if let Some(writing) = &mut self.writing {
            let end = writing.await;
            self.writing = None;
            self.file = Some(joined(end)??);
        }
        self.file.take().ok_or_else(|| Error::unexpected("the upload has already failed"))
    }
}

impl Drop for LocalUpload {
    /// A running write owns the file. A task waits for it, so that `finish_cleanup` waits
    /// too.
    fn drop(&mut self) {
        if let (Some(writing), Ok(runtime)) = (self.writing.take(), Handle::try_current()) {
            self.tasks.spawn_on(async move { drop(writing.await) }, &runtime);
        }
    }
}

#[async_trait]
impl Upload for LocalUpload {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        let mut file = self.file().await?;
        self.size += chunk.len() as u64;
        self.writing = Some(self.tasks.spawn_blocking(move || file.write(&chunk).map(|()| file)));
        Ok(())
    }

    async fn complete(mut self: Box<Self>, _sha256: [u8; 32], size: u64) -> Result<Uploaded> {
        let file = self.file().await?;
        if self.size != size {
            let (address, taken) = (file.root.locate(&file.name), self.size);
            return Err(Error::integrity(format!("{address}: size mismatch: {taken} bytes written, {size} expected")));
        }
        let commit = move || {
            let (root, name) = (Arc::clone(&file.root), file.name.clone());
            file.commit_new()?;
            let head = root.head(&name)?.ok_or_else(|| {
                Error::store(format!("{}: disappeared right after it was created", root.locate(&name)))
            })?;
            Ok(Uploaded { head, checksum: None })
        };
        joined(self.tasks.spawn_blocking(commit).await)?
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        // The file is dropped here, whether its last write succeeded or not.
        let _ = self.file().await;
        Ok(())
    }
}
