//! The stream of a restore: store → open → archive check → Vault.
//!
//! Here: a pass over a backup that checks everything, and may send what it reads on
//! the way. The last piece is held back until all has been checked, and a failure
//! breaks the connection instead of ending it: Vault can never take a cut or
//! doctored snapshot for a whole one. Not here: what is asked of Vault (`target`).

use crate::base::error::{Error, Kind, Result};
use crate::formats::archive::{self, Meta};
use crate::formats::crypto::{self, Header, Keyring, Layouts};
use crate::formats::naming::BackupName;
use crate::formats::product::ServerVersion;
use crate::pipeline::hashing::Hashing;
use crate::pipeline::input::OpenInput;
use crate::pipeline::object::{Chosen, Named};
use bytes::Bytes;
use futures_util::{Stream, stream};
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use tokio::sync::mpsc;

/// How many pieces wait between the reading thread and the connection.
const CAPACITY: usize = 2;

/// How much is sent at a time, in bytes: a segment's plaintext fits.
const PIECE: usize = 1 << 20;

/// How a backup is to be read.
#[derive(Clone)]
pub struct ReadSpec {
    /// The keys.
    pub keyring: Arc<Keyring>,
    /// The layouts that may be.
    pub layouts: Layouts,
    /// The name that its header must agree with.
    pub name: Option<BackupName>,
    /// What it must hash to.
    pub named: Named,
}

impl ReadSpec {
    /// How to read the backup that was chosen in the store.
    pub fn of(chosen: &Chosen, keyring: Arc<Keyring>) -> Self {
        Self { keyring, layouts: chosen.layouts(), name: Some(chosen.name.clone()), named: chosen.named() }
    }

    /// How to read an input that was opened: from the store, as its choice says.
    pub fn of_input(opened: &OpenInput, keyring: Arc<Keyring>) -> Self {
        match &opened.chosen {
            Some(chosen) => Self::of(chosen, keyring),
            None => Self { keyring, layouts: opened.layouts, name: None, named: Named::default() },
        }
    }
}

/// What a backup says of itself.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The header; the older layout and plain snapshots have none.
    pub header: Option<Header>,
    /// The snapshot's meta.json.
    pub meta: Meta,
}

impl Facts {
    /// The server that the backup is from; unknown without a header.
    pub fn server(&self) -> ServerVersion {
        self.header.as_ref().map(|header| header.vault.server()).unwrap_or_default()
    }
}

/// Reads the beginning alone. Nothing is proven by it but the first segment.
///
/// # Errors
/// `Integrity`.
pub fn peek(reader: Box<dyn Read + Send>, how: &ReadSpec) -> Result<Facts> {
    let mut opened = crypto::open(reader, &how.keyring, how.layouts)?;
    let header = checked_header(opened.header(), how)?;
    Ok(Facts { header, meta: archive::peek(&mut opened)? })
}

/// Reads and checks all of it, sending each piece through `send` on the way.
///
/// # Errors
/// `Integrity`; whatever `send` fails with. Then the last piece was not sent.
pub fn pass(reader: Box<dyn Read + Send>, how: &ReadSpec, send: impl FnMut(Bytes) -> io::Result<()>) -> Result<Facts> {
    let mut hashing = Hashing::new(reader);
    let mut opened = crypto::open(&mut hashing, &how.keyring, how.layouts)?;
    let header = checked_header(opened.header(), how)?;
    let mut tee = Tee { reader: &mut opened, pending: Vec::with_capacity(PIECE), failed: None, send };
    let checked = archive::check(&mut tee);
    let unsent = |e| Error::from_io(e, Kind::Unexpected, "a piece was not sent");
    let Tee { pending, failed, mut send, .. } = tee;
    // First: to the check it looks like a backup that cannot be read on.
    failed.map_or(Ok(()), |e| Err(unsent(e)))?;
    let meta = checked?.meta;
    how.named.check(&hex::encode(hashing.finish().sha256))?;
    send(Bytes::from(pending)).map_err(unsent)?;
    Ok(Facts { header, meta })
}

fn checked_header(header: Option<&Header>, how: &ReadSpec) -> Result<Option<Header>> {
    if let (Some(header), Some(name)) = (header, &how.name) {
        header.check_name(name)?;
    }
    Ok(header.cloned())
}

/// Passes on what is read through it, a piece behind.
struct Tee<'a, R, F> {
    reader: &'a mut R,
    pending: Vec<u8>,
    failed: Option<io::Error>,
    send: F,
}

impl<R: BufRead, F: FnMut(Bytes) -> io::Result<()>> Read for Tee<'_, R, F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buf)?;
        self.consume(n);
        Ok(n)
    }
}

impl<R: BufRead, F: FnMut(Bytes) -> io::Result<()>> BufRead for Tee<'_, R, F> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match &self.failed {
            Some(error) => Err(error.kind().into()),
            None => self.reader.fill_buf(),
        }
    }

    /// Cannot fail itself: what failed is said by the next `fill_buf`.
    fn consume(&mut self, amount: usize) {
        // The buffer is still there until `consume`: this reads nothing.
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

/// The body of a request, fed by a thread.
pub struct RestoreBody {
    pieces: mpsc::Receiver<Bytes>,
    whole: tokio::sync::oneshot::Receiver<()>,
}

/// The feeding end of a [`RestoreBody`]. Dropped without [`Feeder::finish`], the body ends
/// with an error.
pub struct Feeder {
    pieces: mpsc::Sender<Bytes>,
    whole: tokio::sync::oneshot::Sender<()>,
}

/// Makes a body and its feeding end.
pub fn body() -> (Feeder, RestoreBody) {
    let (pieces, receiver) = mpsc::channel(CAPACITY);
    let (whole, finished) = tokio::sync::oneshot::channel();
    (Feeder { pieces, whole }, RestoreBody { pieces: receiver, whole: finished })
}

impl Feeder {
    /// Sends a piece, from a thread.
    ///
    /// # Errors
    /// If the request is over: it has its own reason.
    pub fn send(&self, piece: Bytes) -> io::Result<()> {
        self.pieces.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// The body is whole.
    pub fn finish(self) {
        // If the request is over, it has its own reason.
        let _ = self.whole.send(());
    }
}

impl RestoreBody {
    /// The pieces as a stream; it ends with an error unless all was sent.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
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
