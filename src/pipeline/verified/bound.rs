//! Binds all reads of one backup to the first: each must see the same bytes.
//!
//! An attacker who can write to the store, or to the directory of a local file, could otherwise
//! show a check one backup and what follows it another.

use crate::base::error::{Error, Result};
use crate::pipeline::hashing::Fingerprint;
use ring::digest;
use std::cmp::Ordering;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

/// The bytes that the reads of one backup have seen so far. Clones share them.
#[derive(Clone)]
pub(crate) struct EarlierReads {
    seen: Arc<Mutex<Option<Seen>>>,
    between: &'static str,
}

/// The beginning of a backup, or all of it.
#[derive(Clone, Copy)]
struct Seen {
    bytes: Fingerprint,
    whole: bool,
}

impl Default for EarlierReads {
    fn default() -> Self {
        Self::between("two reads of it")
    }
}

impl EarlierReads {
    /// Returns the state before the first read. `between` names the first read and the others,
    /// for messages.
    pub(crate) fn between(between: &'static str) -> Self {
        Self { seen: Arc::default(), between }
    }

    /// Starts a read of `inner`, a backup from its first byte.
    pub(super) fn reader<R: Read>(&self, inner: R) -> BoundReader<R> {
        let before = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = digest::Context::new(&digest::SHA256);
        BoundReader { inner, hash, size: 0, ended: false, before, reads: self.clone() }
    }

    /// Returns the error for a backup that is not the one of the first read.
    pub(crate) fn changed(&self) -> Error {
        Error::integrity(format!("the backup changed between {}", self.between))
            .hint("find out who wrote to it in the meantime, then run the command again")
    }

    /// Refuses an object whose properties are `now`, if the first read had others.
    ///
    /// # Errors
    /// `Integrity`.
    pub(crate) fn same<T: PartialEq>(&self, first: &T, now: &T) -> Result<()> {
        if first == now { Ok(()) } else { Err(self.changed()) }
    }

    fn add(&self, new: Seen) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_none_or(|old| !old.whole && (new.whole || new.bytes.size > old.bytes.size)) {
            *seen = Some(new);
        }
    }
}

/// A reader that hashes a backup, and fails before its last byte if it is not the one that
/// earlier reads saw.
pub(super) struct BoundReader<R> {
    inner: R,
    hash: digest::Context,
    size: u64,
    ended: bool,
    before: Option<Seen>,
    reads: EarlierReads,
}

impl<R> BoundReader<R> {
    /// Returns size and SHA-256 of the bytes read, to which every later read is bound. After a
    /// read to the end, that is the whole backup.
    pub(super) fn finish(self) -> Fingerprint {
        let bytes = self.fingerprint();
        self.reads.add(Seen { bytes, whole: self.ended });
        bytes
    }

    fn fingerprint(&self) -> Fingerprint {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.hash.clone().finish().as_ref());
        Fingerprint { size: self.size, sha256 }
    }

    /// Returns `true` if the bytes up to here are not those of the earlier reads.
    fn differs(&self) -> bool {
        let Some(Seen { bytes, whole }) = self.before else { return false };
        match self.size.cmp(&bytes.size) {
            Ordering::Less => self.ended,
            Ordering::Equal => self.fingerprint() != bytes,
            Ordering::Greater => whole,
        }
    }
}

impl<R: Read> Read for BoundReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // Stops where the earlier reads ended: nothing after that passes before the comparison.
        let left = self.before.and_then(|before| before.bytes.size.checked_sub(self.size)).filter(|left| *left > 0);
        let limit = left.and_then(|left| usize::try_from(left).ok()).unwrap_or(usize::MAX).min(buf.len());
        if limit == 0 {
            return Ok(0);
        }
        let n = self.inner.read(&mut buf[..limit])?;
        self.hash.update(&buf[..n]);
        self.size += n as u64;
        self.ended |= n == 0;
        if self.differs() { Err(self.reads.changed().into_io()) } else { Ok(n) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Kind;

    /// Reads `bytes` to the end, or only the first `first` of them.
    fn read(reads: &EarlierReads, bytes: &[u8], first: Option<u64>) -> io::Result<Vec<u8>> {
        let (mut reader, mut all) = (reads.reader(bytes), Vec::new());
        let read = match first {
            Some(first) => (&mut reader).take(first).read_to_end(&mut all),
            None => reader.read_to_end(&mut all),
        };
        read?;
        reader.finish();
        Ok(all)
    }

    fn assert_changed(read: io::Result<Vec<u8>>) {
        let error = Error::from_io(read.unwrap_err(), Kind::Store, "unreadable");
        assert_eq!(error.kind(), Kind::Integrity);
        assert!(error.message().contains("changed between the check and the restore"), "{error}");
    }

    #[test]
    fn a_read_of_other_bytes_fails_after_a_whole_read() {
        let data: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
        let reads = EarlierReads::between("the check and the restore");
        read(&reads, &data, None).unwrap();
        assert_eq!(read(&reads, &data, None).unwrap(), data);
        read(&reads, &data, Some(10)).unwrap();
        let mut other = data.clone();
        other[199_999] ^= 1;
        for other in [&other[..], &data[..199_999], &[&data[..], b"x"].concat(), b""] {
            assert_changed(read(&reads, other, None));
        }
        assert_eq!(read(&reads, &data, None).unwrap(), data);
    }

    #[test]
    fn a_read_with_another_beginning_fails_after_a_partial_read() {
        let reads = EarlierReads::between("the check and the restore");
        read(&reads, b"header, then one thing", Some(6)).unwrap();
        read(&reads, b"header, then another", Some(8)).unwrap();
        assert_changed(read(&reads, b"header. then one thing", None));
        assert_changed(read(&reads, b"header", None));
        read(&reads, b"header, then one thing", None).unwrap();
        assert_changed(read(&reads, b"header, then another", None));
    }

    #[test]
    fn the_bytes_before_a_difference_are_released_without_the_last() {
        let reads = EarlierReads::default();
        read(&reads, b"0123456789", None).unwrap();
        let (mut reader, mut byte, mut seen) = (reads.reader(&b"0123X56789"[..]), [0], Vec::new());
        while let Ok(1) = reader.read(&mut byte) {
            seen.push(byte[0]);
        }
        assert_eq!(seen, b"0123X5678");
    }
}
