//! Uploads a snapshot: checks and encrypts it in parallel and sends it to the store.
//!
//! The stages run concurrently with bounded memory between them. Not here: the steps
//! before and after the upload (`commands::backup`).
//!
//! ```text
//! source ─┬─► bridge ─► check (thread) ───────────────────► Snapshot ─┐
//!         └─► bridge ─► encrypt (thread) ─► segments ─► upload.write ─┴─► complete
//! ```

use super::bridge::{self, Reader, bridge};
use super::hashing::{Fingerprint, Hashing};
use crate::base::error::{Error, Kind, Result};
use crate::base::stop::Stop;
use crate::formats::archive::{self, Snapshot};
use crate::formats::crypto::{EncryptedBackup, Encryptor};
use crate::services::progress::Progress;
use crate::services::store::{Store, Upload, Uploaded};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::io::BufRead;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A snapshot that passed every check and was uploaded.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Result of the archive check.
    pub snapshot: Snapshot,
    /// Size and hash of the snapshot.
    pub plaintext: Fingerprint,
    /// Size and hash of the object.
    pub encrypted: EncryptedBackup,
    /// The object in the store.
    pub uploaded: Uploaded,
}

/// Time limit for the cleanup if the store does not respond.
const CLEAN_UP: Duration = Duration::from_secs(10);

/// Context of an error while the upload was being completed: without a response, the result
/// is unknown.
const MAY_EXIST: &str = "the upload was being completed: the object may exist, unverified";

/// Uploads a snapshot. The object is created only after the archive check and the last
/// segment. On any error, and when `stop` is raised, the upload is aborted; no object is
/// left after [`finish_cleanup`].
///
/// # Errors
/// The first cause along the stream: the source's error, then the check's, then the
/// upload's.
pub(crate) async fn send(
    source: impl Stream<Item = Result<Bytes>> + Send + Unpin,
    encryptor: Encryptor,
    mut upload: Box<dyn Upload>,
    stop: &Stop,
    progress: &Progress,
) -> Result<Sent> {
    match stop.guard(transfer(source, encryptor, upload.as_mut(), progress)).await {
        Ok((snapshot, plaintext, encrypted)) => {
            let completed = stop.guard(upload.complete(encrypted.sha256, encrypted.size)).await;
            let uploaded = completed.map_err(|e| if e.kind().is_stop() { e.context(MAY_EXIST) } else { e })?;
            Ok(Sent { snapshot, plaintext, encrypted, uploaded })
        }
        Err(error) => {
            // It warns of what it cannot remove; `finish_cleanup` waits for what takes longer.
            let aborted = tokio::time::timeout(CLEAN_UP, upload.abort()).await;
            let undone = error.kind() == Kind::Deadline && matches!(aborted, Ok(Ok(())));
            Err(if undone { error.context("the upload was aborted, and nothing of it remains") } else { error })
        }
    }
}

/// Waits until the store has removed aborted uploads, and returns `true` if it has removed all.
/// Must be called before the run ends.
pub(crate) async fn finish_cleanup(store: &dyn Store) -> bool {
    tokio::time::timeout(CLEAN_UP, store.finish_cleanup()).await.unwrap_or_else(|_| {
        tracing::warn!("the store did not respond: an incomplete upload may be left there; the next run removes it");
        false
    })
}

async fn transfer(
    source: impl Stream<Item = Result<Bytes>> + Send + Unpin,
    encryptor: Encryptor,
    upload: &mut dyn Upload,
    progress: &Progress,
) -> Result<(Snapshot, Fingerprint, EncryptedBackup)> {
    let (to_check, from_source) = bridge();
    let checking = tokio::task::spawn_blocking(move || check(from_source));
    let (to_encrypt, from_source) = bridge();
    let (to_upload, mut segments) = mpsc::channel(1);
    let encrypting = tokio::task::spawn_blocking(move || encrypt(from_source, encryptor, &to_upload));

    let mut source = bridge::joined(source);
    let feeding = async move {
        while let Some(chunk) = source.next().await {
            let chunk = chunk?;
            progress.advance(chunk.len());
            if !(to_check.write(chunk.clone()).await && to_encrypt.write(chunk).await) {
                return Ok(()); // a later stage has failed and reports the reason
            }
        }
        to_check.finish().await;
        to_encrypt.finish().await;
        Ok(())
    };
    let uploading = async move {
        while let Some(segment) = segments.recv().await {
            upload.write(segment).await?;
        }
        Ok(())
    };
    let (fed, uploaded): (Result<()>, Result<()>) = tokio::join!(feeding, uploading);

    fed?;
    let checked = ended(checking).await?;
    uploaded?;
    match (checked, ended(encrypting).await?) {
        (Some((snapshot, plaintext)), Some(encrypted)) => Ok((snapshot, plaintext, encrypted)),
        _ => Err(Error::unexpected("the pipeline stopped without a reason")),
    }
}

/// Checks the snapshot. `None` if the stream was abandoned: another stage has the reason.
fn check(reader: Reader) -> Result<Option<(Snapshot, Fingerprint)>> {
    let mut reader = Hashing::new(reader);
    match archive::check(&mut reader) {
        Ok(snapshot) => Ok(Some((snapshot, reader.finish()))),
        Err(_) if reader.get_ref().given_up() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Encrypts the snapshot. `None` if the stream was abandoned at either end.
fn encrypt(
    mut reader: Reader,
    mut encryptor: Encryptor,
    to_upload: &mpsc::Sender<Bytes>,
) -> Result<Option<EncryptedBackup>> {
    let mut sink = |segment| {
        to_upload.blocking_send(segment).map_err(|_| Error::unexpected("the upload ended before the encryption"))
    };
    loop {
        let Ok(chunk) = reader.fill_buf() else { return Ok(None) };
        if chunk.is_empty() {
            let encrypted = encryptor.finish(&mut sink);
            return if to_upload.is_closed() { Ok(None) } else { encrypted.map(Some) };
        }
        let n = chunk.len();
        let written = encryptor.write(chunk, &mut sink);
        if to_upload.is_closed() {
            return Ok(None);
        }
        written?;
        reader.consume(n);
    }
}

async fn ended<T>(task: JoinHandle<Result<T>>) -> Result<T> {
    task.await.map_err(|e| Error::task_failed("a stage of the pipeline", &e))?
}
