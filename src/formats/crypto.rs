//! The encrypted backup: format 1, sealed and opened as a stream, and the older
//! service's layout, read only.
//!
//! Here: keys, the header, segments, and [`open()`], which tells the two layouts
//! apart. Not here: where key material comes from (`secret`), what is inside a
//! backup (`archive`), where it lies (`store`, `pipeline`). Format: docs/format.md.
//! Pure: readers and bytes in, no I/O of its own, no clock.

mod decrypt;
mod encrypt;
pub mod header;
pub mod keys;
mod legacy;

pub use decrypt::Decryptor;
pub use encrypt::{EncryptedBackup, Encryptor};
pub use header::{Header, SourceServer};
pub use keys::{Key, Keyring};

use crate::base::error::{Error, Result};
use ring::{aead, hkdf};
use std::io::{self, BufRead, Cursor, Read};

/// What format 1 begins with.
const MAGIC: [u8; 8] = *b"VLTBKUP1";
/// A segment as stored, tag included, in bytes; the stream header is counted into the first.
const SEGMENT: usize = 1 << 20;
/// The tag at a segment's end, in bytes.
const TAG: usize = 16;
/// The salt of one backup's data key, in bytes.
const SALT: usize = 32;
/// What the nonces of one backup have in common, in bytes.
const PREFIX: usize = 7;
/// Tink's stream header: its own length (one byte), salt, nonce prefix.
const STREAM_HEADER: usize = 1 + SALT + PREFIX;

/// The cipher of one backup: its data key and nonce prefix.
struct Cipher {
    key: aead::LessSafeKey,
    prefix: [u8; PREFIX],
}

impl Cipher {
    /// Derives the data key; `ad` is everything in front of the stream header.
    fn new(key: &Key, salt: &[u8; SALT], prefix: [u8; PREFIX], ad: &[u8]) -> Result<Self> {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(key.bytes());
        let info = [ad];
        let okm = prk
            .expand(&info, &aead::AES_256_GCM)
            .map_err(|_| Error::unexpected("the backup's data key could not be derived"))?;
        Ok(Self { key: aead::LessSafeKey::new(okm.into()), prefix })
    }

    /// The nonce of segment `index`. The number after the greatest is never
    /// used, so a backup has at most 2^32 - 1 segments.
    fn nonce(&self, index: u32, last: bool) -> Option<aead::Nonce> {
        let mut nonce = [0; aead::NONCE_LEN];
        nonce[..PREFIX].copy_from_slice(&self.prefix);
        nonce[PREFIX..PREFIX + 4].copy_from_slice(&index.to_be_bytes());
        nonce[PREFIX + 4] = u8::from(last);
        (index < u32::MAX).then(|| aead::Nonce::assume_unique_for_key(nonce))
    }
}

/// Which layouts [`open()`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layouts {
    /// Format 1, and the older service's layout.
    Any,
    /// Format 1 alone: the object has a format-1 manifest.
    Format1,
}

/// Opens a backup of either layout.
///
/// # Errors
/// `Integrity` if it is malformed, cut, or under a key that `keys` lacks; an
/// older one also if it is damaged anywhere, because it is opened whole.
/// What `reader` fails with passes through where it is an [`Error`]
/// ([`Error::into_io`]), and is `Store` otherwise.
pub fn open<R: Read>(mut reader: R, keys: &Keyring, layouts: Layouts) -> Result<DecryptReader<R>> {
    let mut first = [0; MAGIC.len()];
    let read = fill(&mut reader, &mut first)?;
    if header::has_magic(&first[..read])? {
        return Ok(DecryptReader::Format1(Box::new(Decryptor::after_magic(reader, keys)?)));
    }
    match layouts {
        Layouts::Format1 => Err(header::no_magic(&first[..read])),
        Layouts::Any => Ok(DecryptReader::Older(legacy::decrypt(&first[..read], reader, keys)?)),
    }
}

/// A backup that is being decrypted: [`Read`] and [`BufRead`] give the plaintext
/// of either layout, and only what has been authenticated.
pub enum DecryptReader<R> {
    /// Format 1, opened segment by segment.
    Format1(Box<Decryptor<R>>),
    /// The older layout, opened and checked whole: the plaintext.
    Older(Cursor<Vec<u8>>),
}

impl<R: Read> DecryptReader<R> {
    /// The header; the older layout has none.
    pub fn header(&self) -> Option<&Header> {
        match self {
            DecryptReader::Format1(opener) => Some(opener.header()),
            DecryptReader::Older(_) => None,
        }
    }

    /// The next piece of plaintext, authenticated: a segment, or all of an older
    /// backup. `None` at the end.
    ///
    /// # Errors
    /// As [`Decryptor::next_segment`].
    pub fn next_segment(&mut self) -> Result<Option<&[u8]>> {
        match self {
            DecryptReader::Format1(opener) => opener.next_segment(),
            DecryptReader::Older(plaintext) => {
                let at = usize::try_from(plaintext.position()).unwrap_or(usize::MAX);
                plaintext.set_position(plaintext.get_ref().len() as u64);
                Ok(plaintext.get_ref().get(at..).filter(|rest| !rest.is_empty()))
            }
        }
    }
}

impl<R: Read> Read for DecryptReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            DecryptReader::Format1(opener) => opener.read(out),
            DecryptReader::Older(plaintext) => plaintext.read(out),
        }
    }
}

impl<R: Read> BufRead for DecryptReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            DecryptReader::Format1(opener) => opener.fill_buf(),
            DecryptReader::Older(plaintext) => plaintext.fill_buf(),
        }
    }

    fn consume(&mut self, amount: usize) {
        match self {
            DecryptReader::Format1(opener) => opener.consume(amount),
            DecryptReader::Older(plaintext) => plaintext.consume(amount),
        }
    }
}

/// Reads until `buffer` is full or the reader ends; how many bytes it was.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::from_io(e, crate::base::error::Kind::Store, "the backup could not be read")),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
#[path = "../../tests/support/vectors.rs"]
mod vectors;
