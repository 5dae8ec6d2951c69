//! The stream in: an object from the store, a file or stdin, read by a thread.
//!
//! Here: running a reading stage over such a source, and the read-back that
//! verifies a backup after its upload. Not here: what `decrypt`, `inspect` and
//! the drills do with the bytes.

use super::bridge::{PIECE, bridge, joined};
use super::hashing::Hashing;
use super::upload::Sent;
use crate::base::error::{Error, Result};
use crate::base::stop::Stop;
use crate::formats::crypto::{Decryptor, Keyring};
use crate::formats::naming::BackupName;
use crate::services::progress::Progress;
use crate::services::store::{Download, ReadAt, Store};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;
use tokio_util::io::ReaderStream;

/// Bytes to be read.
pub enum ByteSource {
    /// A download.
    Stream(BoxStream<'static, Result<Bytes>>),
    /// A local file, pipe or device.
    File(File),
}

/// How long a thread may go on when the run is to end. What it writes to may be a
/// pipe that nobody reads.
const LINGER: Duration = Duration::from_secs(10);

/// Runs `read` on a thread over the bytes of `source`. It has ended, and cleaned
/// up after itself, when this returns, unless its output hangs after a stop.
///
/// # Errors
/// The source's error before the reader's: a broken download is not a damaged
/// backup. When `stop` is raised, its reason.
pub async fn read<T: Send + 'static>(
    source: ByteSource,
    stop: &Stop,
    progress: &Progress,
    read: impl FnOnce(Box<dyn Read + Send>) -> Result<T> + Send + 'static,
) -> Result<T> {
    let watched =
        |reader: Box<dyn Read + Send>| ProgressReader { reader, stop: stop.clone(), progress: progress.clone() };
    let (reader, pumping) = match unhurried(source) {
        ByteSource::Stream(stream) => {
            let (writer, reader) = bridge();
            (watched(Box::new(reader)), Some(writer.pump(joined(stream))))
        }
        ByteSource::File(file) => (watched(Box::new(file)), None),
    };
    let reading = tokio::task::spawn_blocking(move || read(Box::new(reader)));
    let pumped = match pumping {
        Some(pumping) => stop.guard(pumping).await,
        None => Ok(()),
    };
    let result = tokio::select! {
        biased;
        ended = reading => ended.map_err(|e| Error::broke_down("a stage of the pipeline", &e))?,
        reason = lingered(stop) => Err(reason),
    };
    // What the end of the run broke, such as a pipe to who left first, is not the reason.
    pumped.and(result).map_err(|error| stop.check().err().unwrap_or(error))
}

/// What may keep a thread waiting, such as a terminal or a pipe, as a stream,
/// which can be given up.
fn unhurried(source: ByteSource) -> ByteSource {
    match source {
        ByteSource::File(file) if !file.metadata().is_ok_and(|meta| meta.is_file()) => {
            let broken = |e| Error::store("the input could not be read").because(e);
            ByteSource::Stream(
                ReaderStream::with_capacity(tokio::fs::File::from_std(file), PIECE).map_err(broken).boxed(),
            )
        }
        other => other,
    }
}

/// The stop's reason, some time after it was raised.
async fn lingered(stop: &Stop) -> Error {
    match stop.guard(std::future::pending::<Result<Infallible>>()).await {
        Err(reason) => {
            tokio::time::sleep(LINGER).await;
            reason
        }
        Ok(never) => match never {},
    }
}

/// Counts what is read, and ends the reading when the run is to end.
struct ProgressReader {
    reader: Box<dyn Read + Send>,
    stop: Stop,
    progress: Progress,
}

impl Read for ProgressReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stop.check().map_err(Error::into_io)?;
        let n = self.reader.read(buf)?;
        self.progress.advance(n);
        Ok(n)
    }
}

/// Reads the object back and compares everything: size, SHA-256, header, every
/// segment's tag under a key that was read anew.
///
/// # Errors
/// `Integrity` if the store holds anything else than what was sent; then the
/// object stays, unverified.
pub async fn read_back(
    store: &dyn Store,
    name: &BackupName,
    sent: &Sent,
    keyring: Keyring,
    stop: &Stop,
    progress: &Progress,
) -> Result<()> {
    let address = store.locate(name.object());
    let differs = |what: &str| Error::integrity(format!("{address}: {what}"));
    // What anybody else will read: not by its version, for which the backup's role needs no right.
    let Download { head, body } = stop.guard(store.get(name.object(), ReadAt::default())).await?;
    if head.size != sent.encrypted.size {
        return Err(differs(&format!("it has {} bytes instead of {}", head.size, sent.encrypted.size)));
    }
    progress.stage("verifying", Some(head.size));
    let ((created_at, plaintext_size), object) =
        read(ByteSource::Stream(body.boxed()), stop, progress, move |reader| {
            let mut hashing = Hashing::new(reader);
            let mut opener = Decryptor::new(&mut hashing, &keyring)?;
            while opener.next_segment()?.is_some() {}
            let opened = (opener.header().created_at, opener.plaintext_size());
            Ok((opened, hashing.finish()))
        })
        .await
        .map_err(|e| e.context(&address))?;
    if object.sha256 != sent.encrypted.sha256 {
        return Err(differs("its SHA-256 is not that of what was sent"));
    }
    if plaintext_size != sent.plaintext.size || created_at != name.created_at() {
        return Err(differs("it opens to something else than what was sent"));
    }
    Ok(())
}
