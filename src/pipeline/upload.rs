//! The stream out: Vault's snapshot → archive check and seal → upload.
//!
//! Here: the stages, side by side with bounded memory between them, and their
//! commit point. Not here: what precedes and follows it (`commands::backup`).
//!
//! ```text
//! source ─┬─► bridge ─► check (thread) ────────────────► Snapshot ─┐
//!         └─► bridge ─► seal (thread) ─► segments ─► upload.write ─┴─► complete
//! ```

use super::bridge::{self, Reader, bridge};
use super::hashing::{Fingerprint, Hashing};
use crate::base::error::{Error, Kind, Result};
use crate::base::stop::Stop;
use crate::formats::archive::{self, Snapshot};
use crate::formats::crypto::{EncryptedBackup, Encryptor};
use crate::services::progress::Progress;
use crate::services::store::{Head, Store, Upload};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::io::BufRead;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A snapshot that passed every check and is an object in the store.
#[derive(Debug)]
pub struct Sent {
    /// What the archive check found.
    pub snapshot: Snapshot,
    /// Size and hash of the snapshot.
    pub plaintext: Fingerprint,
    /// Size and hash of the object.
    pub sealed: EncryptedBackup,
    /// What the store says of the object.
    pub head: Head,
}

/// How long a store that does not answer may hold up the end of a run.
const CLEAN_UP: Duration = Duration::from_secs(10);

/// Nobody can tell whether a request without an answer had its effect.
const MAY_BE_THERE: &str = "the object was being completed, and may be there, unverified";

/// Sends a snapshot to the store. The object comes to exist only after the
/// archive check and the last segment; on any error, and when `stop` is raised,
/// the upload is aborted and nothing is left once the store has settled.
///
/// # Errors
/// The source's error before the check's, the check's before the upload's: the
/// first cause along the stream.
pub async fn send(
    source: impl Stream<Item = Result<Bytes>> + Send + Unpin,
    sealer: Encryptor,
    mut upload: Box<dyn Upload>,
    stop: &Stop,
    progress: &Progress,
) -> Result<Sent> {
    match stop.guard(transfer(source, sealer, upload.as_mut(), progress)).await {
        Ok((snapshot, plaintext, sealed)) => {
            let completed = stop.guard(upload.complete(sealed.sha256, sealed.size)).await;
            let head = completed.map_err(|e| if e.kind().is_stop() { e.context(MAY_BE_THERE) } else { e })?;
            Ok(Sent { snapshot, plaintext, sealed, head })
        }
        Err(error) => {
            // It warns of what it cannot remove; what takes longer is waited for by `settle`.
            let aborted = tokio::time::timeout(CLEAN_UP, upload.abort()).await;
            let undone = error.kind() == Kind::Deadline && matches!(aborted, Ok(Ok(())));
            Err(if undone { error.context("the upload was aborted, and nothing of it remains") } else { error })
        }
    }
}

/// Waits until nothing is left of an upload that was given up. To be called before
/// the run ends.
pub async fn settle(store: &dyn Store) {
    if tokio::time::timeout(CLEAN_UP, store.settle()).await.is_err() {
        tracing::warn!("the store did not answer, so an unfinished upload may be left there; a later prune removes it");
    }
}

async fn transfer(
    source: impl Stream<Item = Result<Bytes>> + Send + Unpin,
    sealer: Encryptor,
    upload: &mut dyn Upload,
    progress: &Progress,
) -> Result<(Snapshot, Fingerprint, EncryptedBackup)> {
    let (to_check, from_source) = bridge();
    let checking = tokio::task::spawn_blocking(move || check(from_source));
    let (to_seal, from_source) = bridge();
    let (to_upload, mut segments) = mpsc::channel(1);
    let sealing = tokio::task::spawn_blocking(move || seal(from_source, sealer, &to_upload));

    let mut source = bridge::joined(source);
    let feeding = async move {
        while let Some(chunk) = source.next().await {
            let chunk = chunk?;
            progress.advance(chunk.len());
            if !(to_check.write(chunk.clone()).await && to_seal.write(chunk).await) {
                return Ok(()); // a later stage failed and says why
            }
        }
        to_check.finish().await;
        to_seal.finish().await;
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
    match (checked, ended(sealing).await?) {
        (Some((snapshot, plaintext)), Some(sealed)) => Ok((snapshot, plaintext, sealed)),
        _ => Err(Error::unexpected("the pipeline stopped without a reason")),
    }
}

/// `None` if the stream was given up: another stage has the reason.
fn check(reader: Reader) -> Result<Option<(Snapshot, Fingerprint)>> {
    let mut reader = Hashing::new(reader);
    match archive::check(&mut reader) {
        Ok(snapshot) => Ok(Some((snapshot, reader.finish()))),
        Err(_) if reader.get_ref().given_up() => Ok(None),
        Err(error) => Err(error),
    }
}

/// `None` if the stream was given up at either end.
fn seal(mut reader: Reader, mut sealer: Encryptor, to_upload: &mpsc::Sender<Bytes>) -> Result<Option<EncryptedBackup>> {
    let mut sink =
        |segment| to_upload.blocking_send(segment).map_err(|_| Error::unexpected("the upload ended before its data"));
    loop {
        let Ok(chunk) = reader.fill_buf() else { return Ok(None) };
        if chunk.is_empty() {
            let sealed = sealer.finish(&mut sink);
            return if to_upload.is_closed() { Ok(None) } else { sealed.map(Some) };
        }
        let n = chunk.len();
        let written = sealer.write(chunk, &mut sink);
        if to_upload.is_closed() {
            return Ok(None);
        }
        written?;
        reader.consume(n);
    }
}

async fn ended<T>(task: JoinHandle<Result<T>>) -> Result<T> {
    task.await.map_err(|e| Error::broke_down("a stage of the pipeline", &e))?
}
