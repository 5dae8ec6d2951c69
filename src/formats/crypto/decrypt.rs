//! Decrypts format 1, segment by segment. Plaintext is released only after its tag has
//! been verified.

use super::{Cipher, Header, Keyring, MAGIC, PREFIX, SALT, SEGMENT, STREAM_HEADER, TAG, fill, header};
use crate::base::error::{Error, Result};
use ring::aead;
use std::io::{self, BufRead, Read};
use std::ops::Range;

/// Decrypts a backup of format 1 in constant memory.
///
/// Also implements [`Read`] and [`BufRead`] over the plaintext, with errors made by
/// [`Error::into_io`]. An error is final: every later call returns it again.
pub struct Decryptor<R> {
    reader: R,
    header: Header,
    cipher: Cipher,
    /// Buffer for a segment and one more byte.
    buffer: Vec<u8>,
    /// First byte of the next segment, if any. The nonce of the last segment is different.
    ahead: Option<u8>,
    /// Range of authenticated plaintext in `buffer` that has not been read yet.
    plain: Range<usize>,
    /// Number of the next segment.
    index: u32,
    state: DecryptState,
    size: u64,
    plaintext_size: u64,
}

enum DecryptState {
    Reading,
    Done,
    Failed(Error),
}

impl<R: Read> Decryptor<R> {
    /// Reads the header and looks up the key that it names.
    ///
    /// # Errors
    /// `Integrity` if it is not format 1, malformed or truncated, or encrypted with a key
    /// that is not in `keys`. Errors of `reader` as in [`super::open()`].
    pub fn new(mut reader: R, keys: &Keyring) -> Result<Self> {
        let mut first = [0; MAGIC.len()];
        let read = fill(&mut reader, &mut first)?;
        if header::has_magic(&first[..read])? {
            Self::after_magic(reader, keys)
        } else {
            Err(header::no_magic(&first[..read]))
        }
    }

    pub(super) fn after_magic(mut reader: R, keys: &Keyring) -> Result<Self> {
        let (header, mut front) = header::read_body(&mut reader)?;
        let key = keys.find(&header.key_id).ok_or_else(|| wrong_key(&header.key_id, keys))?;
        let ad = front.len();
        header::extend(&mut reader, &mut front, STREAM_HEADER)?;
        let (length, stream) = (front[ad], &front[ad + 1..]);
        if usize::from(length) != STREAM_HEADER {
            return Err(header::malformed(&format!(
                "its stream header has the length {length} instead of {STREAM_HEADER}"
            )));
        }
        let (mut salt, mut prefix) = ([0; SALT], [0; PREFIX]);
        salt.copy_from_slice(&stream[..SALT]);
        prefix.copy_from_slice(&stream[SALT..]);
        let cipher = Cipher::new(key, &salt, prefix, &front[..ad])?;
        Ok(Self {
            reader,
            header,
            cipher,
            buffer: vec![0; SEGMENT + 1],
            ahead: None,
            plain: 0..0,
            index: 0,
            state: DecryptState::Reading,
            size: front.len() as u64,
            plaintext_size: 0,
        })
    }

    /// Returns the header. It is authenticated once a segment has been decrypted.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the number of bytes of the object decrypted so far: its size, once all has been read.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the number of bytes of plaintext authenticated so far.
    pub fn plaintext_size(&self) -> u64 {
        self.plaintext_size
    }

    /// Returns the reader, which is at the object's end once all has been read.
    pub fn into_inner(self) -> R {
        self.reader
    }

    /// Returns the authenticated plaintext of the next segment. `None` at the end: the
    /// last segment was decrypted and no data follows. An empty backup is one empty
    /// segment. Skips the rest of a segment that [`Read`] has read in part.
    ///
    /// # Errors
    /// `Integrity` naming the damaged segment or the place of the truncation.
    pub fn next_segment(&mut self) -> Result<Option<&[u8]>> {
        let more = self.advance()?;
        let plain = std::mem::take(&mut self.plain);
        Ok(more.then(|| &self.buffer[plain]))
    }

    /// Decrypts the next segment into `plain`. Returns `false` at the end.
    fn advance(&mut self) -> Result<bool> {
        self.plain = 0..0;
        match &self.state {
            DecryptState::Reading => {}
            DecryptState::Done => return Ok(false),
            DecryptState::Failed(e) => return Err(e.again()),
        }
        match self.decrypt_segment() {
            Ok(()) => Ok(true),
            Err(e) => {
                self.state = DecryptState::Failed(e.again());
                Err(e)
            }
        }
    }

    fn decrypt_segment(&mut self) -> Result<()> {
        let full = if self.index == 0 { SEGMENT - STREAM_HEADER } else { SEGMENT };
        self.buffer[0] = self.ahead.unwrap_or(0);
        let carried = usize::from(self.ahead.is_some());
        let read = carried + fill(&mut self.reader, &mut self.buffer[carried..=full])?;
        let last = read <= full;
        let length = read.min(full);
        self.ahead = (!last).then(|| self.buffer[full]);

        let index = self.index;
        if length < TAG {
            return Err(truncated(index, length));
        }
        if last && length == TAG && index > 0 {
            return Err(Error::integrity(format!("the backup ends with the empty segment {index}"))
                .hint("use another backup; this one is truncated, or was not written by vault-backup"));
        }
        // A truncation right after a segment is the only failure that can be distinguished.
        let copy = (last && length == full).then(|| self.buffer[..length].to_vec());
        if !self.decrypt_in_place(last, length)? {
            if let Some(copy) = copy {
                self.buffer[..length].copy_from_slice(&copy);
                if self.decrypt_in_place(false, length)? {
                    return Err(Error::integrity(format!(
                        "the backup is truncated: it ends after segment {index}, but more must follow"
                    )));
                }
            }
            return Err(damaged(index, last));
        }
        self.plain = 0..length - TAG;
        self.index += 1;
        self.size += length as u64;
        self.plaintext_size += (length - TAG) as u64;
        if last {
            self.state = DecryptState::Done;
        }
        Ok(())
    }

    /// Decrypts the segment in the first `length` bytes of the buffer. Returns `false` if
    /// authentication failed.
    fn decrypt_in_place(&mut self, last: bool, length: usize) -> Result<bool> {
        let nonce = self
            .cipher
            .nonce(self.index, last)
            .ok_or_else(|| Error::integrity("the backup has more than 2^32 - 1 segments"))?;
        Ok(self.cipher.key.open_in_place(nonce, aead::Aad::empty(), &mut self.buffer[..length]).is_ok())
    }
}

impl<R: Read> Read for Decryptor<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let plain = self.fill_buf()?;
        let n = plain.len().min(out.len());
        out[..n].copy_from_slice(&plain[..n]);
        self.consume(n);
        Ok(n)
    }
}

impl<R: Read> BufRead for Decryptor<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.plain.is_empty() && self.advance().map_err(Error::into_io)? {}
        Ok(&self.buffer[self.plain.clone()])
    }

    fn consume(&mut self, amount: usize) {
        self.plain.start = self.plain.end.min(self.plain.start + amount);
    }
}

fn wrong_key(wanted: &str, keys: &Keyring) -> Error {
    let available: Vec<_> = keys.iter().map(|key| key.id()).collect();
    let available = available.join(", ");
    Error::integrity(format!(
        "wrong key: the backup is encrypted with key {wanted}, the available keys are {available}"
    ))
    .hint("set that key as encryption.key, or add it to encryption.old_keys or --key")
}

fn truncated(index: u32, length: usize) -> Error {
    Error::integrity(format!("the backup is truncated: it ends {length} bytes into segment {index}"))
}

fn damaged(index: u32, last: bool) -> Error {
    let how = match (index, last) {
        (0, true) => "the header or the data was modified or truncated, or data was appended",
        (0, false) => "the header or the data was modified, or data was appended",
        (_, true) => "it was modified, truncated or moved, or data was appended",
        (_, false) => "it was modified or moved, or data was appended after it",
    };
    let which = if last { "the last segment" } else { "segment" };
    Error::integrity(format!("{which} {index} of the backup: authentication failed: {how}"))
}
