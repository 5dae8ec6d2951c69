//! A reader that computes size and SHA-256 of the bytes read through it, without a copy.

use ring::digest;
use std::io::{self, BufRead, Read};

/// A reader that hashes what is read from `R`.
pub(crate) struct Hashing<R> {
    inner: R,
    sha256: digest::Context,
    size: u64,
}

/// Size and SHA-256 of the bytes read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// Bytes.
    pub size: u64,
    /// SHA-256.
    pub sha256: [u8; 32],
}

impl<R> Hashing<R> {
    /// Hashes everything read from `inner` from now on.
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, sha256: digest::Context::new(&digest::SHA256), size: 0 }
    }

    /// Returns the inner reader.
    pub(crate) fn get_ref(&self) -> &R {
        &self.inner
    }

    /// Returns size and SHA-256 of everything read so far.
    pub(crate) fn finish(self) -> Fingerprint {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.sha256.finish().as_ref());
        Fingerprint { size: self.size, sha256 }
    }
}

impl<R: BufRead> BufRead for Hashing<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        // Until `consume` the buffer is not empty, so this reads nothing.
        if amount > 0
            && let Ok(buffer) = self.inner.fill_buf()
        {
            self.sha256.update(&buffer[..amount]);
        }
        self.size += amount as u64;
        self.inner.consume(amount);
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.sha256.update(&buf[..n]);
        self.size += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_and_fill_buf_give_the_same_hash() {
        let data: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        let mut whole = Hashing::new(&data[..]);
        io::copy(&mut whole, &mut io::sink()).unwrap();
        let mut pieces = Hashing::new(io::BufReader::with_capacity(1000, &data[..]));
        let mut first = [0; 1500];
        pieces.read_exact(&mut first).unwrap();
        while let n @ 1.. = pieces.fill_buf().unwrap().len() {
            pieces.consume(n.min(7));
        }
        let print = whole.finish();
        assert_eq!(print, pieces.finish());
        assert_eq!(print.size, 100_000);
        assert_eq!(&print.sha256[..], digest::digest(&digest::SHA256, &data).as_ref());
    }
}
