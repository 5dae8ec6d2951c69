//! The stream of a restore: store → decrypt → archive check → Vault.
//!
//! A pass verifies a whole backup and can send the snapshot on the way. The last piece is
//! sent only after everything was verified, and a failure breaks the connection instead of
//! ending it, so Vault never takes a truncated or modified snapshot for a complete one.
//! Not here: the requests to Vault (`target`).

use crate::base::error::{Error, Kind, Result};
use crate::formats::archive::{self, Meta};
use crate::formats::crypto::Header;
use crate::formats::product::ServerVersion;
use crate::pipeline::verified::ReadSpec;
use bytes::Bytes;
use futures_util::{Stream, stream};
use std::io::{self, BufRead, Read};
use tokio::sync::mpsc;

/// Number of pieces buffered between the reading thread and the connection.
const CAPACITY: usize = 2;

/// Size of a piece in bytes: a segment's plaintext fits.
const PIECE: usize = 1 << 20;

/// Details that a backup itself states.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// The header, if it is of format 1.
    pub header: Option<Header>,
    /// The snapshot's meta.json.
    pub meta: Meta,
}

impl Facts {
    /// Returns the server that the backup was taken from, which is unknown without a header.
    pub(crate) fn server(&self) -> ServerVersion {
        self.header.as_ref().map(|header| header.vault.server()).unwrap_or_default()
    }
}

/// Reads only the beginning. It authenticates no more than the first segment.
///
/// # Errors
/// `Integrity`.
pub(crate) fn peek(reader: Box<dyn Read + Send>, how: &ReadSpec) -> Result<Facts> {
    let (header, meta) = how.read_beginning(reader, |_, plaintext| archive::peek(plaintext))?;
    Ok(Facts { header, meta })
}

/// Reads and verifies all of it. On the way, passes each piece to `send` and the state to
/// `on_state`, whose result is returned too.
///
/// # Errors
/// `Integrity`, or the error of `send` or `on_state`. The last piece is then not sent.
pub(crate) fn pass<T>(
    reader: Box<dyn Read + Send>,
    how: &ReadSpec,
    send: impl FnMut(Bytes) -> io::Result<()>,
    mut on_state: impl FnMut(&mut dyn Read) -> Result<T>,
) -> Result<(Facts, T)> {
    let unsent = |e| Error::from_io(e, Kind::Unexpected, "a piece was not sent");
    let read = how.read(reader, |_, plaintext| {
        let mut tee = Tee { reader: plaintext, pending: Vec::with_capacity(PIECE), failed: None, send };
        let checked = archive::check_with(&mut tee, |_, state| on_state(state));
        let Tee { pending, failed, send, .. } = tee;
        // First: to the archive check this looks like a backup that cannot be read.
        failed.map_or(Ok(()), |e| Err(unsent(e)))?;
        let (snapshot, result) = checked?;
        Ok((snapshot.meta, result, pending, send))
    })?;
    let (meta, result, pending, mut send) = read.result;
    send(Bytes::from(pending)).map_err(unsent)?;
    Ok((Facts { header: read.header, meta }, result))
}

/// A reader that passes on what is read through it, one piece behind.
struct Tee<'a, R: ?Sized, F> {
    reader: &'a mut R,
    pending: Vec<u8>,
    failed: Option<io::Error>,
    send: F,
}

impl<R: BufRead + ?Sized, F: FnMut(Bytes) -> io::Result<()>> Read for Tee<'_, R, F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buf)?;
        self.consume(n);
        Ok(n)
    }
}

impl<R: BufRead + ?Sized, F: FnMut(Bytes) -> io::Result<()>> BufRead for Tee<'_, R, F> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match &self.failed {
            Some(error) => Err(error.kind().into()),
            None => self.reader.fill_buf(),
        }
    }

    /// Cannot fail: the next `fill_buf` returns the error.
    fn consume(&mut self, amount: usize) {
        // Until `consume` the buffer is not empty, so this reads nothing.
        if let Ok(buffer) = self.reader.fill_buf() {
            let bytes = &buffer[..amount];
            if self.pending.len() + bytes.len() > PIECE {
                let full = std::mem::replace(&mut self.pending, Vec::with_capacity(PIECE));
                self.failed = (self.send)(Bytes::from(full)).err();
            }
            self.pending.extend_from_slice(bytes);
        }
        self.reader.consume(amount);
    }
}

/// A request body that a thread writes.
pub(crate) struct RestoreBody {
    pieces: mpsc::Receiver<Bytes>,
    whole: tokio::sync::oneshot::Receiver<()>,
}

/// The writing end of a [`RestoreBody`]. If it is dropped without [`Feeder::finish`], the
/// body ends with an error.
pub(crate) struct Feeder {
    pieces: mpsc::Sender<Bytes>,
    whole: tokio::sync::oneshot::Sender<()>,
}

/// Creates a body and its writing end.
pub(crate) fn body() -> (Feeder, RestoreBody) {
    let (pieces, receiver) = mpsc::channel(CAPACITY);
    let (whole, finished) = tokio::sync::oneshot::channel();
    (Feeder { pieces, whole }, RestoreBody { pieces: receiver, whole: finished })
}

impl Feeder {
    /// Sends a piece, from a thread.
    ///
    /// # Errors
    /// If the request has ended; its own error has the reason.
    pub(crate) fn send(&self, piece: Bytes) -> io::Result<()> {
        self.pieces.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Marks the body as complete.
    pub(crate) fn finish(self) {
        // A request that has ended has its own error.
        let _ = self.whole.send(());
    }
}

impl RestoreBody {
    /// Returns the pieces as a stream that ends with an error unless the body is complete.
    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
        stream::unfold(Some(self), async |state| {
            let mut body = state?;
            if let Some(piece) = body.pieces.recv().await {
                return Some((Ok(piece), Some(body)));
            }
            match body.whole.await {
                Ok(()) => None,
                Err(_) => Some((Err(Error::unexpected("the backup could not be read to its end")), None)),
            }
        })
    }
}
