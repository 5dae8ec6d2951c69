//! Reads an object, a file or stdin on a thread, and reads a backup back after its upload.
//!
//! Not here: the rules that a backup is verified by (`verified`).

use super::bridge::{PIECE, bridge, joined};
use super::upload::Sent;
use super::verified::{self, EarlierReads, Expected, ReadSpec};
use crate::base::error::{Error, Result};
use crate::base::stop::Stop;
use crate::formats::crypto::{Keyring, Layouts};
use crate::formats::naming::BackupName;
use crate::services::progress::Progress;
use crate::services::store::{Download, ReadAt, Store};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::io::ReaderStream;

/// A source of bytes.
pub(crate) enum ByteSource {
    /// A download.
    Stream(BoxStream<'static, Result<Bytes>>),
    /// A local file, pipe or device.
    File(File),
}

/// Grace period of a reading thread once the run must end. Its output may be a pipe
/// without a reader.
const GRACE: Duration = Duration::from_secs(10);

/// Runs `read` on a thread over the bytes of `source`. When this returns, the thread has
/// ended and cleaned up, unless its output blocks after a stop.
///
/// # Errors
/// The reason for the stop once `stop` is raised. Otherwise the error of the source takes
/// precedence over that of `read`: a failed download is not a damaged backup.
pub(crate) async fn read<T: Send + 'static>(
    source: ByteSource,
    stop: &Stop,
    progress: &Progress,
    read: impl FnOnce(Box<dyn Read + Send>) -> Result<T> + Send + 'static,
) -> Result<T> {
    let watched =
        |reader: Box<dyn Read + Send>| ProgressReader { reader, stop: stop.clone(), progress: progress.clone() };
    let (reader, pumping) = match interruptible(source) {
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
        ended = reading => ended.map_err(|e| Error::task_failed("a stage of the pipeline", &e))?,
        reason = grace_over(stop) => Err(reason),
    };
    // Errors that follow from a stop, such as a closed pipe, are not its reason.
    pumped.and(result).map_err(|error| stop.check().err().unwrap_or(error))
}

/// Turns a file that may block, such as a terminal or a pipe, into a stream, which can be
/// abandoned.
fn interruptible(source: ByteSource) -> ByteSource {
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

/// Returns the reason for the stop, once the grace period after it is over.
async fn grace_over(stop: &Stop) -> Error {
    match stop.guard(std::future::pending::<Result<Infallible>>()).await {
        Err(reason) => {
            tokio::time::sleep(GRACE).await;
            reason
        }
        Ok(never) => match never {},
    }
}

/// A reader that reports its progress and fails once the run must end.
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

/// Reads the uploaded object back, decrypts every segment with a key that was read again,
/// and compares name, sizes and SHA-256 with the upload.
///
/// # Errors
/// `Integrity` if the store returns anything else than was uploaded; the object is then
/// kept, without a manifest.
pub(crate) async fn read_back(
    store: &dyn Store,
    name: &BackupName,
    sent: &Sent,
    keyring: Keyring,
    stop: &Stop,
    progress: &Progress,
) -> Result<()> {
    let address = store.locate(name.object());
    let differs = |what: &str| Error::integrity(format!("{address}: {what}"));
    // Without a version, as every later read: the backup role has no right to read versions.
    let Download { head, body } = stop.guard(store.get(name.object(), ReadAt::default())).await?;
    if head.size != sent.encrypted.size {
        return Err(differs(&format!(
            "size mismatch: {} bytes uploaded, the store has {}",
            sent.encrypted.size, head.size
        )));
    }
    progress.stage("verifying", Some(head.size));
    let expected = Expected { uploaded: Some(hex::encode(sent.encrypted.sha256)), ..Expected::default() };
    let spec = ReadSpec {
        keyring: Some(Arc::new(keyring)),
        layouts: Layouts::Format1,
        plain: false,
        name: Some(name.clone()),
        expected,
        earlier: EarlierReads::default(),
    };
    let reading = read(ByteSource::Stream(body.boxed()), stop, progress, move |reader| {
        spec.read(reader, |_, plaintext| verified::copy(plaintext, &mut io::sink()))
    });
    let plaintext_size = reading.await.map_err(|e| e.context(&address))?.result;
    if plaintext_size != sent.plaintext.size {
        return Err(differs("the decrypted size is not that of the snapshot"));
    }
    Ok(())
}
