//! A bounded channel of bytes to a thread that reads them through `BufRead`.
//!
//! The reader can tell a stream that ended from one that was abandoned. The writer is an
//! asynchronous stream, or a reader on another thread.

use crate::base::error::{Error, Kind, Result};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use std::io::{self, BufRead, Read};
use tokio::sync::mpsc;

/// Number of buffered chunks: enough to even out short stalls.
const CAPACITY: usize = 8;

/// Size that small chunks are joined to, in bytes. Vault sends a few KB at a time, and
/// waking a thread for each would cost more than the copy.
pub(super) const PIECE: usize = 256 * 1024;

/// Joins small chunks of `source` to pieces that are worth waking another thread for.
pub(crate) fn joined<S: Stream<Item = Result<Bytes>> + Send + Unpin>(
    source: S,
) -> impl Stream<Item = Result<Bytes>> + Send + Unpin {
    let step = async |state: Option<(S, BytesMut)>| {
        let (mut source, mut piece) = state?;
        loop {
            match source.next().await {
                Some(Ok(chunk)) if piece.is_empty() && chunk.len() >= PIECE => {
                    return Some((Ok(chunk), Some((source, piece))));
                }
                Some(Ok(chunk)) => {
                    piece.extend_from_slice(&chunk);
                    if piece.len() >= PIECE {
                        let next = BytesMut::with_capacity(piece.capacity());
                        return Some((Ok(piece.freeze()), Some((source, next))));
                    }
                }
                Some(Err(error)) => return Some((Err(error), None)),
                None if piece.is_empty() => return None,
                None => return Some((Ok(piece.freeze()), None)),
            }
        }
    };
    Box::pin(stream::unfold(Some((source, BytesMut::with_capacity(2 * PIECE))), step))
}

/// The writing end. If it is dropped without [`Writer::finish`], the stream counts as
/// abandoned: the reader gets an error, not an early end.
pub(crate) struct Writer(mpsc::Sender<Option<Bytes>>);

/// The reading end, for a thread.
pub(crate) struct Reader {
    chunks: mpsc::Receiver<Option<Bytes>>,
    current: Bytes,
    ended: bool,
    abandoned: bool,
}

/// Creates a channel.
pub(crate) fn bridge() -> (Writer, Reader) {
    let (sender, chunks) = mpsc::channel(CAPACITY);
    (Writer(sender), Reader { chunks, current: Bytes::new(), ended: false, abandoned: false })
}

impl Writer {
    /// Sends a chunk. Returns `false` if the reader has ended, which then has its own error.
    pub(crate) async fn write(&self, chunk: Bytes) -> bool {
        chunk.is_empty() || self.0.send(Some(chunk)).await.is_ok()
    }

    /// Marks the stream as complete.
    pub(crate) async fn finish(self) {
        // A reader that has ended has its own error.
        let _ = self.0.send(None).await;
    }

    /// Sends all of `stream`, until it ends or the reader has ended.
    ///
    /// # Errors
    /// The error of the stream, which the reader then sees as abandoned.
    pub(crate) async fn pump(self, mut stream: impl Stream<Item = Result<Bytes>> + Unpin) -> Result<()> {
        while let Some(chunk) = stream.next().await {
            if !self.write(chunk?).await {
                return Ok(());
            }
        }
        self.finish().await;
        Ok(())
    }

    /// Sends all of `source` as [`Writer::pump`] does, from a thread.
    fn feed(self, source: &mut dyn BufRead) -> Result<()> {
        loop {
            let piece =
                source.fill_buf().map_err(|e| Error::from_io(e, Kind::Store, "the backup could not be read"))?;
            let (piece, size) = (Bytes::copy_from_slice(piece), piece.len());
            source.consume(size);
            let ended = size == 0;
            // A reader that has ended has its own error.
            if self.0.blocking_send((!ended).then_some(piece)).is_err() || ended {
                return Ok(());
            }
        }
    }
}

/// Runs `read` over `source`, while another thread reads ahead: the work of both overlaps.
///
/// # Errors
/// The error of `source` takes precedence over that of `read`, which may follow from it.
pub(crate) fn ahead<T>(source: &mut (dyn BufRead + Send), read: impl FnOnce(Reader) -> Result<T>) -> Result<T> {
    let (writer, reader) = bridge();
    std::thread::scope(|scope| {
        let feeding = std::thread::Builder::new().spawn_scoped(scope, move || writer.feed(source));
        let feeding = feeding.map_err(|e| Error::unexpected("cannot start a thread").because(e))?;
        let result = read(reader);
        let fed = feeding.join().map_err(|_| Error::unexpected("internal error in a stage of the pipeline"))?;
        fed.and(result)
    })
}

/// Returns the error for the reader of an abandoned stream. The writer reports the reason.
fn abandoned() -> io::Error {
    Error::unexpected("the stream was abandoned").into_io()
}

impl Reader {
    /// Returns `true` if the writer abandoned the stream, and so has the reason.
    pub(crate) fn given_up(&self) -> bool {
        self.abandoned
    }
}

impl BufRead for Reader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() && !self.ended {
            match self.chunks.blocking_recv() {
                Some(Some(chunk)) => self.current = chunk,
                Some(None) => self.ended = true,
                None => {
                    self.abandoned = true;
                    return Err(abandoned());
                }
            }
        }
        Ok(&self.current)
    }

    fn consume(&mut self, amount: usize) {
        self.current.advance(amount);
    }
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let chunk = self.fill_buf()?;
        let n = chunk.len().min(buf.len());
        buf[..n].copy_from_slice(&chunk[..n]);
        self.consume(n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_all(mut reader: Reader) -> io::Result<Vec<u8>> {
        tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all)
        })
        .await
        .unwrap()
    }

    #[tokio::test]
    async fn transfers_all_chunks_in_order() {
        let (writer, reader) = bridge();
        let chunks = (0..100u8).map(|i| Ok(Bytes::from(vec![i; usize::from(i)])));
        let reading = tokio::spawn(read_all(reader));
        writer.pump(stream::iter(chunks)).await.unwrap();
        let all = reading.await.unwrap().unwrap();
        assert_eq!(all.len(), 4950);
        assert!(all.is_sorted());
    }

    #[tokio::test]
    async fn a_failed_stream_never_looks_complete() {
        let (writer, reader) = bridge();
        let chunks = [Ok(Bytes::from_static(b"half")), Err(Error::vault("connection lost"))];
        let reading = tokio::spawn(read_all(reader));
        assert_eq!(writer.pump(stream::iter(chunks)).await.unwrap_err().to_string(), "connection lost");
        assert_eq!(reading.await.unwrap().unwrap_err().to_string(), "the stream was abandoned");
    }

    #[tokio::test]
    async fn small_chunks_are_joined_and_nothing_is_lost() {
        let sizes = [1, 4_096, PIECE + 1, 100_000, 200_000, PIECE, 7];
        let chunks: Vec<_> = sizes.iter().map(|n| Ok(Bytes::from(vec![1; *n]))).collect();
        let pieces: Vec<_> = joined(stream::iter(chunks)).map(|piece| piece.unwrap().len()).collect().await;
        assert_eq!(pieces.iter().sum::<usize>(), sizes.iter().sum::<usize>());
        assert_eq!(pieces.len(), 4, "{pieces:?}");
        let broken = [Ok(Bytes::from_static(b"x")), Err(Error::vault("lost"))];
        let seen: Vec<_> = joined(stream::iter(broken)).map(|piece| piece.is_ok()).collect().await;
        assert_eq!(seen, [false], "chunks before a failure are not sent");
    }

    #[tokio::test]
    async fn a_dropped_reader_ends_the_pump() {
        let (writer, reader) = bridge();
        drop(reader);
        let endless = stream::repeat_with(|| Ok(Bytes::from_static(b"x")));
        writer.pump(endless).await.unwrap();
    }
}
