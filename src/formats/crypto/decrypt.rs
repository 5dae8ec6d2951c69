//! Decrypting format 1: segment by segment, and nothing is released before its
//! tag has been checked.

use super::{Cipher, Header, Keyring, MAGIC, PREFIX, SALT, SEGMENT, STREAM_HEADER, TAG, fill, header};
use crate::base::error::{Error, Result};
use ring::aead;
use std::io::{self, BufRead, Read};
use std::ops::Range;

/// Opens one backup of format 1, in constant memory.
///
/// Also [`Read`] and [`BufRead`] over the plaintext, whose errors are carried by
/// [`Error::into_io`]. An error is final: every later call returns it again.
pub struct Decryptor<R> {
    reader: R,
    header: Header,
    cipher: Cipher,
    /// A segment, and room for one byte more.
    buffer: Vec<u8>,
    /// The next segment's first byte: whether one follows decides a segment's nonce.
    ahead: Option<u8>,
    /// Where in `buffer` authenticated plaintext lies that nobody has taken yet.
    plain: Range<usize>,
    /// The number of the next segment.
    index: u32,
    state: DecryptState,
    size: u64,
    plaintext_size: u64,
}

enum DecryptState {
    Open,
    Done,
    Failed(Error),
}

impl<R: Read> Decryptor<R> {
    /// Reads the header, and finds the key that it names.
    ///
    /// # Errors
    /// `Integrity` if it is not of format 1, malformed, cut, or under a key that
    /// `keys` lacks; errors of `reader` as [`super::open()`] has them.
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
            return Err(header::malformed(&format!("its stream header claims {length} bytes, not {STREAM_HEADER}")));
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
            state: DecryptState::Open,
            size: front.len() as u64,
            plaintext_size: 0,
        })
    }

    /// What the backup says of itself; proven once a segment has been opened.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes of the object opened so far; its size once all has been read.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of plaintext authenticated so far; all once all has been read.
    pub fn plaintext_size(&self) -> u64 {
        self.plaintext_size
    }

    /// The reader: at the object's end once all has been read.
    pub fn into_inner(self) -> R {
        self.reader
    }

    /// The plaintext of the next segment, authenticated. `None` at the end: the
    /// last segment was opened and nothing follows it. An empty backup is one
    /// empty segment. What [`Read`] left of the segment before is passed over.
    ///
    /// # Errors
    /// `Integrity` saying which segment is damaged or where the backup was cut.
    pub fn next_segment(&mut self) -> Result<Option<&[u8]>> {
        let more = self.advance()?;
        let plain = std::mem::take(&mut self.plain);
        Ok(more.then(|| &self.buffer[plain]))
    }

    /// Opens the next segment into `plain`; false at the end.
    fn advance(&mut self) -> Result<bool> {
        self.plain = 0..0;
        match &self.state {
            DecryptState::Open => {}
            DecryptState::Done => return Ok(false),
            DecryptState::Failed(e) => return Err(e.again()),
        }
        match self.open_segment() {
            Ok(()) => Ok(true),
            Err(e) => {
                self.state = DecryptState::Failed(e.again());
                Err(e)
            }
        }
    }

    fn open_segment(&mut self) -> Result<()> {
        let full = if self.index == 0 { SEGMENT - STREAM_HEADER } else { SEGMENT };
        self.buffer[0] = self.ahead.unwrap_or(0);
        let carried = usize::from(self.ahead.is_some());
        let read = carried + fill(&mut self.reader, &mut self.buffer[carried..=full])?;
        let last = read <= full;
        let length = read.min(full);
        self.ahead = (!last).then(|| self.buffer[full]);

        let index = self.index;
        if length < TAG {
            return Err(cut(index, length));
        }
        if last && length == TAG && index > 0 {
            return Err(Error::integrity(format!("segment {index} at the backup's end is empty"))
                .hint("the backup was cut there, or was not made by this format's rules"));
        }
        // The one failure that can be told from the others: cut right behind a segment.
        let copy = (last && length == full).then(|| self.buffer[..length].to_vec());
        if !self.open_in_place(last, length)? {
            if let Some(copy) = copy {
                self.buffer[..length].copy_from_slice(&copy);
                if self.open_in_place(false, length)? {
                    return Err(Error::integrity(format!(
                        "the backup is cut: it ends after segment {index}, and more must follow"
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

    /// Decrypts the segment in the first `length` bytes of the buffer; whether its tag holds.
    fn open_in_place(&mut self, last: bool, length: usize) -> Result<bool> {
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
    let held: Vec<_> = keys.iter().map(|key| key.id()).collect();
    Error::integrity(format!("wrong key: the backup is under key {wanted}, the keys at hand are {}", held.join(", ")))
        .hint("name that key in encryption.key, encryption.old_keys or --key")
}

fn cut(index: u32, length: usize) -> Error {
    Error::integrity(format!("the backup is cut: it ends after {length} bytes within segment {index}"))
}

fn damaged(index: u32, last: bool) -> Error {
    let how = match (index, last) {
        (0, true) => "header or data were changed, cut, or data was appended",
        (0, false) => "header or data were changed, or data was appended",
        (_, true) => "it was changed, cut or moved, or data was appended",
        (_, false) => "it was changed or moved, or data was appended behind it",
    };
    let which = if last { "the last segment" } else { "segment" };
    Error::integrity(format!("{which} {index} of the backup does not authenticate: {how}"))
}
