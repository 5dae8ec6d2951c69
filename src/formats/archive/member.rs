//! One member of the tar, hashed while it is read.

use super::source::{LimitedReader, ReadLimit, ended};
use super::{META, SEALED, STATE, SUMS};
use crate::base::error::{Error, Kind, Result};
use ring::digest::{self, Digest};
use std::io::{self, Read};

/// Maximum size of a member that is kept in memory, in bytes.
const MAX_SMALL: u64 = 1 << 20;
/// Size of the read buffer, in bytes.
const BUFFER: usize = 256 * 1024;

/// A member that is being read. An end before its declared size is an error, which
/// every later read returns again.
pub(super) struct Member<'a, 'm, R: Read> {
    entry: tar::Entry<'a, LimitedReader<'m, R>>,
    limit: &'m ReadLimit,
    name: &'static str,
    read: u64,
    digest: digest::Context,
    failed: Option<Error>,
}

impl<'a, 'm, R: Read> Member<'a, 'm, R> {
    /// # Errors
    /// `Integrity` if a snapshot has no such member.
    pub(super) fn new(entry: tar::Entry<'a, LimitedReader<'m, R>>, limit: &'m ReadLimit) -> Result<Self> {
        let path = entry.path_bytes();
        let known = [META, STATE, SUMS, SEALED].into_iter().find(|name| name.as_bytes() == &*path);
        let Some(name) = known.filter(|_| entry.header().entry_type().is_file()) else {
            let path: String = String::from_utf8_lossy(&path).chars().take(80).collect();
            return Err(Error::integrity(format!("the snapshot contains an unexpected entry: '{path}'")));
        };
        limit.enter();
        Ok(Self { entry, limit, name, read: 0, digest: digest::Context::new(&digest::SHA256), failed: None })
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Reads all of a member that must be small.
    pub(super) fn small(&mut self) -> Result<Vec<u8>> {
        if self.entry.size() > MAX_SMALL {
            let size = self.entry.size();
            let what = format!("the snapshot's {} is too large: {size} bytes, the limit is {MAX_SMALL}", self.name);
            return Err(Error::integrity(what));
        }
        let mut all = Vec::new();
        self.read_to_end(&mut all).map_err(|e| Error::from_io(e, Kind::Integrity, self.name))?;
        Ok(all)
    }

    /// Reads the rest; returns the member's size and SHA-256.
    pub(super) fn finish(mut self) -> Result<(u64, Digest)> {
        if let Some(e) = self.failed {
            return Err(e);
        }
        let mut buffer = if self.read < self.entry.size() { vec![0; BUFFER] } else { Vec::new() };
        while self.step(&mut buffer)? > 0 {}
        self.limit.leave();
        Ok((self.read, self.digest.finish()))
    }

    fn step(&mut self, out: &mut [u8]) -> Result<usize> {
        if let Some(e) = &self.failed {
            return Err(e.again());
        }
        let place = |member: &Self| format!("{} bytes into {}", member.read, member.name);
        let error = match self.entry.read(out) {
            Ok(0) if !out.is_empty() && self.read < self.entry.size() => ended(&place(self)),
            Ok(n) => {
                self.digest.update(&out[..n]);
                self.read += n as u64;
                return Ok(n);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return self.step(out),
            Err(e) => self.limit.error(e, &place(self)),
        };
        Err(self.failed.insert(error).again())
    }
}

impl<R: Read> Read for Member<'_, '_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.step(out).map_err(Error::into_io)
    }
}
