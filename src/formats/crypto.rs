//! Encrypts and decrypts backups: format 1, as a stream, and the legacy format of the
//! previous service, which is only read.
//!
//! Contains keys, the header, segments, and [`open()`], which detects the format.
//! Not here: sources of keys (`secret`), the contents of a backup (`archive`), the
//! storage of a backup (`store`, `pipeline`). Format: docs/format.md.

mod decrypt;
mod encrypt;
pub mod header;
pub mod keys;
mod legacy;
mod randomness;

pub use decrypt::Decryptor;
pub use encrypt::{EncryptedBackup, Encryptor};
pub use header::{Header, SourceServer};
pub use keys::{Key, Keyring};
pub use legacy::LegacyRule;

use crate::base::error::{Error, Result};
use ring::{aead, hkdf};
use std::io::{self, BufRead, Cursor, Read};

/// First bytes of format 1.
const MAGIC: [u8; 8] = *b"VLTBKUP1";
/// Size of a stored segment with its tag, in bytes. The first includes the stream header.
const SEGMENT: usize = 1 << 20;
/// Size of the tag at the end of a segment, in bytes.
const TAG: usize = 16;
/// Size of the salt of a backup's data key, in bytes.
const SALT: usize = 32;
/// Size of the common prefix of a backup's nonces, in bytes.
const PREFIX: usize = 7;
/// Tink's stream header: its own length (one byte), salt, nonce prefix.
const STREAM_HEADER: usize = 1 + SALT + PREFIX;

/// The cipher of a backup: its data key and nonce prefix.
struct Cipher {
    key: aead::LessSafeKey,
    prefix: [u8; PREFIX],
}

impl Cipher {
    /// Derives the data key. `ad` is everything before the stream header.
    fn new(key: &Key, salt: &[u8; SALT], prefix: [u8; PREFIX], ad: &[u8]) -> Result<Self> {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(key.bytes());
        let info = [ad];
        let okm = prk
            .expand(&info, &aead::AES_256_GCM)
            .map_err(|_| Error::unexpected("the backup's data key could not be derived"))?;
        Ok(Self { key: aead::LessSafeKey::new(okm.into()), prefix })
    }

    /// Returns the nonce of segment `index`. The greatest number is never used, so a
    /// backup has at most 2^32 - 1 segments.
    fn nonce(&self, index: u32, last: bool) -> Option<aead::Nonce> {
        let mut nonce = [0; aead::NONCE_LEN];
        nonce[..PREFIX].copy_from_slice(&self.prefix);
        nonce[PREFIX..PREFIX + 4].copy_from_slice(&index.to_be_bytes());
        nonce[PREFIX + 4] = u8::from(last);
        (index < u32::MAX).then(|| aead::Nonce::assume_unique_for_key(nonce))
    }
}

/// Formats that [`open()`] accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layouts {
    /// Format 1 and the legacy format.
    Any,
    /// Only format 1: the object has a format-1 manifest.
    Format1,
    /// Only format 1: [`LegacyRule`] does not allow the legacy format.
    NoLegacy,
}

impl Layouts {
    /// Checks that a backup may have no header, so be in the legacy format. `first` are its
    /// first bytes.
    ///
    /// # Errors
    /// `Integrity`, with the ways to allow it.
    pub fn without_header(self, first: &[u8]) -> Result<()> {
        match self {
            Layouts::Any => Ok(()),
            Layouts::Format1 => Err(header::no_magic(first)),
            Layouts::NoLegacy => Err(legacy::not_allowed(first)),
        }
    }
}

/// Opens a backup of either format for decryption.
///
/// # Errors
/// `Integrity` if it is malformed or truncated, or encrypted with a key that is not in
/// `keys`. A legacy backup is decrypted at once, so any damage to it is reported here.
/// An [`Error`] that `reader` fails with ([`Error::into_io`]) is returned unchanged;
/// other errors of `reader` are `Store`.
pub fn open<R: Read>(mut reader: R, keys: &Keyring, layouts: Layouts) -> Result<DecryptReader<R>> {
    let mut first = [0; MAGIC.len()];
    let read = fill(&mut reader, &mut first)?;
    if header::has_magic(&first[..read])? {
        return Ok(DecryptReader::Format1(Box::new(Decryptor::after_magic(reader, keys)?)));
    }
    layouts.without_header(&first[..read])?;
    Ok(DecryptReader::Legacy(legacy::decrypt(&first[..read], reader, keys)?))
}

/// A backup that is being decrypted. [`Read`] and [`BufRead`] return only
/// authenticated plaintext.
pub enum DecryptReader<R> {
    /// Format 1, decrypted segment by segment.
    Format1(Box<Decryptor<R>>),
    /// Plaintext of the legacy format, already authenticated as a whole.
    Legacy(Cursor<Vec<u8>>),
}

impl<R: Read> DecryptReader<R> {
    /// Returns the header. The legacy format has none.
    pub fn header(&self) -> Option<&Header> {
        match self {
            DecryptReader::Format1(decryptor) => Some(decryptor.header()),
            DecryptReader::Legacy(_) => None,
        }
    }

    /// Returns the next piece of authenticated plaintext: a segment, or all of a legacy
    /// backup. `None` at the end.
    ///
    /// # Errors
    /// As [`Decryptor::next_segment`].
    pub fn next_segment(&mut self) -> Result<Option<&[u8]>> {
        match self {
            DecryptReader::Format1(decryptor) => decryptor.next_segment(),
            DecryptReader::Legacy(plaintext) => {
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
            DecryptReader::Format1(decryptor) => decryptor.read(out),
            DecryptReader::Legacy(plaintext) => plaintext.read(out),
        }
    }
}

impl<R: Read> BufRead for DecryptReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            DecryptReader::Format1(decryptor) => decryptor.fill_buf(),
            DecryptReader::Legacy(plaintext) => plaintext.fill_buf(),
        }
    }

    fn consume(&mut self, amount: usize) {
        match self {
            DecryptReader::Format1(decryptor) => decryptor.consume(amount),
            DecryptReader::Legacy(plaintext) => plaintext.consume(amount),
        }
    }
}

/// Reads until `buffer` is full or the reader ends. Returns the number of bytes read.
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
