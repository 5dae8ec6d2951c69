//! The bridge from a stream of bytes to a thread that reads.
//!
//! Here: a bounded channel whose reading end is `BufRead`, and which knows a
//! stream that ended from one that was given up; fed by an asynchronous stream, or by
//! a reader on a thread of its own. Not here: what is read.

use crate::base::error::{Error, Kind, Result};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use std::io::{self, BufRead, Read};
use tokio::sync::mpsc;

/// How many chunks wait between the two ends: enough to even out short stalls.
const CAPACITY: usize = 8;

/// What small chunks are joined to, in bytes. Vault's come in a few KB each, and
/// waking a thread for each would cost more than the copy.
pub(super) const PIECE: usize = 256 * 1024;

/// Joins small chunks of `source` to pieces worth handing to another thread.
pub fn joined<S: Stream<Item = Result<Bytes>> + Send + Unpin>(
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

/// The end that is written to. Dropping it without [`Writer::finish`] gives the
/// stream up: the reader gets an error, never an early end.
pub struct Writer(mpsc::Sender<Option<Bytes>>);

/// The end that is read, on a thread of its own.
pub struct Reader {
    chunks: mpsc::Receiver<Option<Bytes>>,
    current: Bytes,
    ended: bool,
    given_up: bool,
}

/// Makes a bridge.
pub fn bridge() -> (Writer, Reader) {
    let (sender, chunks) = mpsc::channel(CAPACITY);
    (Writer(sender), Reader { chunks, current: Bytes::new(), ended: false, given_up: false })
}

impl Writer {
    /// Hands a chunk over; false if the reader has gone (it has its own error).
    pub async fn write(&self, chunk: Bytes) -> bool {
        chunk.is_empty() || self.0.send(Some(chunk)).await.is_ok()
    }

    /// The stream is complete.
    pub async fn finish(self) {
        // A reader that has gone has its own error.
        let _ = self.0.send(None).await;
    }

    /// Hands over all of `stream`, until it ends or the reader has gone.
    ///
    /// # Errors
    /// The stream's own error; the reader then sees the stream as given up.
    pub async fn pump(self, mut stream: impl Stream<Item = Result<Bytes>> + Unpin) -> Result<()> {
        while let Some(chunk) = stream.next().await {
            if !self.write(chunk?).await {
                return Ok(());
            }
        }
        self.finish().await;
        Ok(())
    }

    /// Hands over all of `source`, as [`Writer::pump`] does, from a thread.
    fn feed(self, source: &mut impl BufRead) -> Result<()> {
        loop {
            let piece =
                source.fill_buf().map_err(|e| Error::from_io(e, Kind::Store, "the backup could not be read"))?;
            let (piece, size) = (Bytes::copy_from_slice(piece), piece.len());
            source.consume(size);
            let ended = size == 0;
            // A reader that has gone has its own error.
            if self.0.blocking_send((!ended).then_some(piece)).is_err() || ended {
                return Ok(());
            }
        }
    }
}

/// Runs `read` over what `source` gives, while a thread of its own reads ahead: what
/// both compute overlaps.
///
/// # Errors
/// The source's error before `read`'s, which may be its consequence.
pub fn ahead<T>(source: &mut (impl BufRead + Send), read: impl FnOnce(Reader) -> Result<T>) -> Result<T> {
    let (writer, reader) = bridge();
    std::thread::scope(|scope| {
        let feeding = scope.spawn(move || writer.feed(source));
        let result = read(reader);
        let fed = feeding.join().map_err(|_| Error::unexpected("a stage of the pipeline broke down"))?;
        fed.and(result)
    })
}

/// What a reader of a stream that was given up sees. Whoever gave it up has the
/// reason, and reports that one instead.
fn given_up() -> io::Error {
    Error::unexpected("the stream was given up").into_io()
}

impl Reader {
    /// Whether the other end gave the stream up, and so has the reason.
    pub fn given_up(&self) -> bool {
        self.given_up
    }
}

impl BufRead for Reader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() && !self.ended {
            match self.chunks.blocking_recv() {
                Some(Some(chunk)) => self.current = chunk,
                Some(None) => self.ended = true,
                None => {
                    self.given_up = true;
                    return Err(given_up());
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
    async fn all_of_it_in_order() {
        let (writer, reader) = bridge();
        let chunks = (0..100u8).map(|i| Ok(Bytes::from(vec![i; usize::from(i)])));
        let reading = tokio::spawn(read_all(reader));
        writer.pump(stream::iter(chunks)).await.unwrap();
        let all = reading.await.unwrap().unwrap();
        assert_eq!(all.len(), 4950);
        assert!(all.is_sorted());
    }

    #[tokio::test]
    async fn a_broken_stream_never_looks_complete() {
        let (writer, reader) = bridge();
        let chunks = [Ok(Bytes::from_static(b"half")), Err(Error::vault("connection lost"))];
        let reading = tokio::spawn(read_all(reader));
        assert_eq!(writer.pump(stream::iter(chunks)).await.unwrap_err().to_string(), "connection lost");
        assert_eq!(reading.await.unwrap().unwrap_err().to_string(), "the stream was given up");
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
        assert_eq!(seen, [false], "what came before a failure is not worth handing over");
    }

    #[tokio::test]
    async fn a_reader_that_left_ends_the_pump() {
        let (writer, reader) = bridge();
        drop(reader);
        let endless = stream::repeat_with(|| Ok(Bytes::from_static(b"x")));
        writer.pump(endless).await.unwrap();
    }
}
