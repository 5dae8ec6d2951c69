//! One member of the tar, hashed as it is read.

use super::source::{Meter, Metered, ended};
use super::{META, SEALED, STATE, SUMS};
use crate::base::error::{Error, Kind, Result};
use ring::digest::{self, Digest};
use std::io::{self, Read};

/// The largest member that is held in memory, in bytes.
const MAX_SMALL: u64 = 1 << 20;
/// How much is read and hashed at once, in bytes.
const BUFFER: usize = 256 * 1024;

/// A member that is being read. It ends only where its size says: an
/// earlier end is an error, which every later read returns again.
pub(super) struct Member<'a, 'm, R: Read> {
    entry: tar::Entry<'a, Metered<'m, R>>,
    meter: &'m Meter,
    name: &'static str,
    read: u64,
    digest: digest::Context,
    failed: Option<Error>,
}

impl<'a, 'm, R: Read> Member<'a, 'm, R> {
    /// # Errors
    /// `Integrity` if no snapshot has such a member.
    pub(super) fn new(entry: tar::Entry<'a, Metered<'m, R>>, meter: &'m Meter) -> Result<Self> {
        let path = entry.path_bytes();
        let known = [META, STATE, SUMS, SEALED].into_iter().find(|name| name.as_bytes() == &*path);
        let Some(name) = known.filter(|_| entry.header().entry_type().is_file()) else {
            let path: String = String::from_utf8_lossy(&path).chars().take(80).collect();
            return Err(Error::integrity(format!("the snapshot holds an entry that none has: '{path}'")));
        };
        meter.enter();
        Ok(Self { entry, meter, name, read: 0, digest: digest::Context::new(&digest::SHA256), failed: None })
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// All of a member that must be small.
    pub(super) fn small(&mut self) -> Result<Vec<u8>> {
        if self.entry.size() > MAX_SMALL {
            return Err(Error::integrity(format!("the snapshot's {} claims {} bytes", self.name, self.entry.size())));
        }
        let mut all = Vec::new();
        self.read_to_end(&mut all).map_err(|e| Error::from_io(e, Kind::Integrity, self.name))?;
        Ok(all)
    }

    /// Reads what is left; the member's size and SHA-256.
    pub(super) fn finish(mut self) -> Result<(u64, Digest)> {
        if let Some(e) = self.failed {
            return Err(e);
        }
        let mut buffer = if self.read < self.entry.size() { vec![0; BUFFER] } else { Vec::new() };
        while self.step(&mut buffer)? > 0 {}
        self.meter.leave();
        Ok((self.read, self.digest.finish()))
    }

    fn step(&mut self, out: &mut [u8]) -> Result<usize> {
        if let Some(e) = &self.failed {
            return Err(e.again());
        }
        let place = |member: &Self| format!("after {} bytes within {}", member.read, member.name);
        let error = match self.entry.read(out) {
            Ok(0) if !out.is_empty() && self.read < self.entry.size() => ended(&place(self)),
            Ok(n) => {
                self.digest.update(&out[..n]);
                self.read += n as u64;
                return Ok(n);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return self.step(out),
            Err(e) => self.meter.error(e, &place(self)),
        };
        Err(self.failed.insert(error).again())
    }
}

impl<R: Read> Read for Member<'_, '_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.step(out).map_err(Error::into_io)
    }
}
