//! The readers below the tar, and the meaning of their errors.

use super::SEALED;
use crate::base::error::{Error, Kind, Result};
use flate2::bufread::MultiGzDecoder;
use std::cell::Cell;
use std::io::{self, BufRead, Read};

/// Maximum data between two members, in bytes. The tar reader keeps extended headers in
/// memory, and a few bytes of gzip can expand to any amount of them.
const MAX_BETWEEN: u64 = 64 * 1024;
/// Block size of tar, in bytes. The end marker is two zeroed blocks.
const BLOCK: usize = 512;

/// Counts the bytes that are read.
pub(super) struct CountingReader<R> {
    reader: R,
    bytes: u64,
}

impl<R> CountingReader<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, bytes: 0 }
    }

    pub(super) fn total(&self) -> u64 {
        self.bytes
    }
}

impl<R: BufRead> Read for CountingReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(out)?;
        self.bytes += n as u64;
        Ok(n)
    }
}

impl<R: BufRead> BufRead for CountingReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.reader.consume(amount);
        self.bytes += amount as u64;
    }
}

/// State shared with the tar reader's source, which the tar reader owns: the end of the
/// data, and the limit on data between two members.
pub(super) struct ReadLimit {
    ended: Cell<bool>,
    left: Cell<u64>,
}

impl Default for ReadLimit {
    fn default() -> Self {
        Self { ended: Cell::new(false), left: Cell::new(MAX_BETWEEN) }
    }
}

impl ReadLimit {
    /// Lifts the limit at the start of a member.
    pub(super) fn enter(&self) {
        self.left.set(u64::MAX);
    }

    /// Restores the limit at the end of a member.
    pub(super) fn leave(&self) {
        self.left.set(MAX_BETWEEN);
    }

    /// Returns `true` if the data ended. The tar reader accepts an end between two members.
    pub(super) fn ended(&self) -> bool {
        self.ended.get()
    }

    /// Converts an error of the tar reader at `place`.
    pub(super) fn error(&self, error: io::Error, place: &str) -> Error {
        let kind = error.kind();
        if self.ended() || kind == io::ErrorKind::UnexpectedEof {
            return ended(place);
        }
        // flate2 gives these for data that does not inflate or whose CRC differs.
        let damaged = matches!(kind, io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData);
        let what = if damaged { "gzip data is damaged" } else { "tar is malformed" };
        Error::from_io(error, Kind::Integrity, format!("the snapshot's {what} {place}"))
    }
}

/// Source of the tar reader that enforces a [`ReadLimit`].
pub(super) struct LimitedReader<'m, R> {
    reader: R,
    limit: &'m ReadLimit,
}

impl<'m, R> LimitedReader<'m, R> {
    pub(super) fn new(reader: R, limit: &'m ReadLimit) -> Self {
        Self { reader, limit }
    }
}

impl<R: Read> Read for LimitedReader<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.limit.left.get();
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
        if room == 0 && !out.is_empty() {
            return Err(io::Error::other(format!("more than {MAX_BETWEEN} bytes between two members")));
        }
        let n = self.reader.read(&mut out[..room])?;
        self.limit.left.set(left - n as u64);
        self.limit.ended.set(n == 0 && room > 0);
        Ok(n)
    }
}

/// Returns the error for a snapshot that ends too early, at `place`.
pub(super) fn ended(place: &str) -> Error {
    // Vault ends the stream of a failed snapshot like that of a complete one.
    let error = Error::integrity(format!("the snapshot is truncated: it ends {place}")).transient(true);
    if place.ends_with(SEALED) {
        error.hint("check that Vault can reach its seal; otherwise Vault stops there")
    } else {
        error
    }
}

/// Refuses a stream that is not gzip and names its format.
///
/// # Errors
/// `Integrity`, or the error of `reader`.
pub(super) fn refuse_other_formats(reader: &mut impl BufRead) -> Result<()> {
    let first = reader
        .fill_buf()
        .map_err(|e| Error::from_io(e, Kind::Integrity, "the snapshot could not be read"))?
        .trim_ascii_start();
    let what = match first.first() {
        Some(0x1f) => return Ok(()),
        None => return Err(Error::integrity("the snapshot is empty: Vault sent nothing").transient(true)),
        Some(b'<') => "HTML: a proxy or load balancer answered instead of Vault",
        Some(b'{') => "JSON: an API response",
        Some(_) => "unknown data",
    };
    Err(Error::integrity(format!("the snapshot is not gzip but {what}")))
}

/// Requires the rest of the tar's end marker, whose first block has been read, and
/// then the end of the gzip data and of the stream.
pub(super) fn read_end<R: BufRead>(mut tar: LimitedReader<'_, MultiGzDecoder<R>>) -> Result<()> {
    let limit = tar.limit;
    let mut rest = [0; 2 * BLOCK];
    let mut length = 0;
    while length < rest.len() {
        match tar.read(&mut rest[length..]) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // Without a header, the decoder was looking for another gzip member.
            Err(e) if length == BLOCK && tar.reader.header().is_none() => {
                return Err(Error::from_io(e, Kind::Integrity, "unexpected data after the end of the snapshot"));
            }
            Err(e) => {
                return Err(
                    limit.error(e, if length < BLOCK { "in the tar's end marker" } else { "in the gzip trailer" })
                );
            }
        }
    }
    if rest[..length].iter().any(|&byte| byte != 0) || length > BLOCK {
        return Err(Error::integrity("unexpected data after the end of the snapshot's tar"));
    }
    if length < BLOCK { Err(ended("in the tar's end marker")) } else { Ok(()) }
}
