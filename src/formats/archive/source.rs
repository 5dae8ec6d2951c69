//! The readers below the tar, and what their failures mean.

use super::SEALED;
use crate::base::error::{Error, Kind, Result};
use flate2::bufread::MultiGzDecoder;
use std::cell::Cell;
use std::io::{self, BufRead, Read};

/// How much may stand between two members, in bytes. tar holds extended
/// headers in memory, and a few bytes of gzip can claim any amount of them.
const MAX_BETWEEN: u64 = 64 * 1024;
/// A tar's unit, in bytes; its end marker is two of them, zeroed.
const BLOCK: usize = 512;

/// Counts what is consumed.
pub(super) struct Counted<R> {
    reader: R,
    bytes: u64,
}

impl<R> Counted<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, bytes: 0 }
    }

    pub(super) fn total(&self) -> u64 {
        self.bytes
    }
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(out)?;
        self.bytes += n as u64;
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.reader.consume(amount);
        self.bytes += amount as u64;
    }
}

/// What the tar reader below cannot be asked: it owns its source.
pub(super) struct Meter {
    ended: Cell<bool>,
    left: Cell<u64>,
}

impl Default for Meter {
    fn default() -> Self {
        Self { ended: Cell::new(false), left: Cell::new(MAX_BETWEEN) }
    }
}

impl Meter {
    /// A member begins, of any size.
    pub(super) fn enter(&self) {
        self.left.set(u64::MAX);
    }

    /// The member was read.
    pub(super) fn leave(&self) {
        self.left.set(MAX_BETWEEN);
    }

    /// Whether the data ended. tar takes an end between two members for a good one.
    pub(super) fn ended(&self) -> bool {
        self.ended.get()
    }

    /// What `error` means at `place`.
    pub(super) fn error(&self, error: io::Error, place: &str) -> Error {
        let kind = error.kind();
        if self.ended() || kind == io::ErrorKind::UnexpectedEof {
            return ended(place);
        }
        // flate2 gives these for data that does not inflate or whose CRC differs.
        let damaged = matches!(kind, io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData);
        let what = if damaged { "gzip data are damaged" } else { "tar is malformed" };
        Error::from_io(error, Kind::Integrity, format!("the snapshot's {what} {place}"))
    }
}

/// Feeds the meter.
pub(super) struct Metered<'m, R> {
    reader: R,
    meter: &'m Meter,
}

impl<'m, R> Metered<'m, R> {
    pub(super) fn new(reader: R, meter: &'m Meter) -> Self {
        Self { reader, meter }
    }
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.meter.left.get();
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
        if room == 0 && !out.is_empty() {
            return Err(io::Error::other(format!("more than {MAX_BETWEEN} bytes between two members")));
        }
        let n = self.reader.read(&mut out[..room])?;
        self.meter.left.set(left - n as u64);
        self.meter.ended.set(n == 0 && room > 0);
        Ok(n)
    }
}

/// The snapshot ended at `place`, where more must follow.
pub(super) fn ended(place: &str) -> Error {
    // Vault ends the stream of a snapshot that failed as it ends a good one.
    let error = Error::integrity(format!("the snapshot is incomplete: it ended {place}")).transient(true);
    if place.ends_with(SEALED) { error.hint("Vault stops there if it cannot reach its seal") } else { error }
}

/// Says what a stream is that is no gzip at all.
///
/// # Errors
/// `Integrity`, or what `reader` failed with.
pub(super) fn refuse_other_formats(reader: &mut impl BufRead) -> Result<()> {
    let first = reader
        .fill_buf()
        .map_err(|e| Error::from_io(e, Kind::Integrity, "the snapshot could not be read"))?
        .trim_ascii_start();
    let what = match first.first() {
        Some(0x1f) => return Ok(()),
        None => return Err(Error::integrity("the snapshot is empty: Vault sent nothing").transient(true)),
        Some(b'<') => "HTML: something in front of Vault answered in its place",
        Some(b'{') => "JSON: an API's answer",
        Some(_) => "something else",
    };
    Err(Error::integrity(format!("the snapshot is not gzip but {what}")))
}

/// Demands the rest of the tar's end marker, of which its first block has been
/// read, and then the end of the gzip and of the stream.
pub(super) fn read_end<R: BufRead>(mut tar: Metered<'_, MultiGzDecoder<R>>) -> Result<()> {
    let meter = tar.meter;
    let mut rest = [0; 2 * BLOCK];
    let mut length = 0;
    while length < rest.len() {
        match tar.read(&mut rest[length..]) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // Without a header it was looking for a further gzip member.
            Err(e) if length == BLOCK && tar.reader.header().is_none() => {
                return Err(Error::from_io(e, Kind::Integrity, "other bytes follow the snapshot's end"));
            }
            Err(e) => {
                return Err(meter.error(
                    e,
                    if length < BLOCK { "within the tar's end marker" } else { "within the gzip's trailer" },
                ));
            }
        }
    }
    if rest[..length].iter().any(|&byte| byte != 0) || length > BLOCK {
        return Err(Error::integrity("other bytes follow the end of the snapshot's tar"));
    }
    if length < BLOCK { Err(ended("within the tar's end marker")) } else { Ok(()) }
}
