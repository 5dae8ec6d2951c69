//! Checks that a byte stream is a complete Raft snapshot.
//!
//! The check runs in constant memory over the stream that Vault sends: gzip, tar, the
//! four members and their hashes, and no missing or additional data. Not here: the
//! contents of state.bin (`barrier`), the SHA-256 of the snapshot (`pipeline`).
//!
//! If Vault fails late, it ends the response cleanly: a 200 with a short body happens
//! (hashicorp/vault#13130). This check distinguishes it from a complete snapshot.

mod member;
mod meta;
mod peek;
mod source;
mod sums;

pub use meta::{Meta, MetaPeer};
pub use peek::{peek, peek_state};

use crate::base::error::{Error, Result};
use flate2::bufread::MultiGzDecoder;
use member::Member;
use ring::digest::Digest;
use source::{CountingReader, LimitedReader, ReadLimit};
use std::io::{BufRead, Read};

// The members, in the order in which Vault writes them.
const META: &str = "meta.json";
const STATE: &str = "state.bin";
const SUMS: &str = "SHA256SUMS";
const SEALED: &str = "SHA256SUMS.sealed";

/// A snapshot that passed every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Contents of meta.json.
    pub meta: Meta,
    /// Size of state.bin, in bytes.
    pub state_size: u64,
    /// Size of the compressed snapshot, in bytes.
    pub plaintext_size: u64,
}

/// Checks a snapshot to its end.
///
/// # Errors
/// `Integrity` naming the defect. An [`Error`] that `reader` fails with
/// ([`Error::into_io`]) is returned unchanged.
pub fn check<R: BufRead>(reader: R) -> Result<Snapshot> {
    check_with(reader, |_, _| Ok(())).map(|(snapshot, ())| snapshot)
}

/// Checks a snapshot to its end and passes state.bin to `on_state` on the way. Bytes
/// that `on_state` does not read are read afterwards. Its result is returned only if
/// the snapshot is complete. If both fail, the snapshot's error is returned.
///
/// # Errors
/// As [`check`], and the error of `on_state`.
pub fn check_with<R: BufRead, T>(
    reader: R,
    mut on_state: impl FnMut(&Meta, &mut dyn Read) -> Result<T>,
) -> Result<(Snapshot, T)> {
    let mut reader = CountingReader::new(reader);
    source::refuse_other_formats(&mut reader)?;
    let limit = ReadLimit::default();
    let mut tar = tar::Archive::new(LimitedReader::new(MultiGzDecoder::new(&mut reader), &limit));
    let mut members = Members::default();
    for entry in tar.entries().map_err(|e| limit.error(e, "at its start"))? {
        let entry = entry.map_err(|e| limit.error(e, &members.place()))?;
        members.take(Member::new(entry, &limit)?, &mut on_state)?;
    }
    if limit.ended() {
        return Err(source::ended(&members.place()));
    }
    let (meta, state_size, result) = members.finish()?;
    source::read_end(tar.into_inner())?;
    Ok((Snapshot { meta, state_size, plaintext_size: reader.total() }, result?))
}

/// The members found so far. `T` is the result of state.bin's reader.
struct Members<T> {
    meta: Option<(Meta, Digest)>,
    state: Option<(u64, Digest, Result<T>)>,
    sums: Option<Vec<u8>>,
    sealed: Option<u64>,
}

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self { meta: None, state: None, sums: None, sealed: None }
    }
}

impl<T> Members<T> {
    /// Returns the members that have not been found yet.
    fn missing(&self) -> impl Iterator<Item = &'static str> {
        let found = [
            (META, self.meta.is_some()),
            (STATE, self.state.is_some()),
            (SUMS, self.sums.is_some()),
            (SEALED, self.sealed.is_some()),
        ];
        found.into_iter().filter(|(_, found)| !found).map(|(name, _)| name)
    }

    /// Returns the current position between two members, for messages.
    fn place(&self) -> String {
        format!("before {}", self.missing().next().unwrap_or("the tar's end marker"))
    }

    fn take<R: Read>(
        &mut self,
        mut member: Member<'_, '_, R>,
        on_state: &mut impl FnMut(&Meta, &mut dyn Read) -> Result<T>,
    ) -> Result<()> {
        let name = member.name();
        if !self.missing().any(|missing| missing == name) {
            return Err(Error::integrity(format!("the snapshot contains {name} twice")));
        }
        match name {
            META => {
                let text = member.small()?;
                self.meta = Some((Meta::parse(&text)?, member.finish()?.1));
            }
            STATE => {
                let Some((meta, _)) = &self.meta else {
                    return Err(Error::integrity(format!("the snapshot contains {STATE} before {META}")));
                };
                let result = on_state(meta, &mut member);
                let (size, digest) = member.finish()?;
                self.state = Some((size, digest, result));
            }
            SUMS => {
                self.sums = Some(member.small()?);
                member.finish()?;
            }
            _ => self.sealed = Some(member.finish()?.0),
        }
        Ok(())
    }

    /// Requires all members and compares the hashes.
    fn finish(self) -> Result<(Meta, u64, Result<T>)> {
        let missing = self.missing().next();
        let (Some((meta, meta_digest)), Some((size, digest, result)), Some(sums)) = (self.meta, self.state, self.sums)
        else {
            return Err(Error::integrity(format!(
                "the snapshot is incomplete: {} is missing",
                missing.unwrap_or(META)
            )));
        };
        match self.sealed {
            Some(0) => return Err(no_seal("is empty")),
            None => return Err(no_seal("is missing")),
            Some(_) => {}
        }
        sums::compare(&sums, [(META, &meta_digest), (STATE, &digest)])?;
        Ok((meta, size, result))
    }
}

/// Returns the error for a missing or empty `SHA256SUMS.sealed`. Vault encrypts the list of
/// hashes last, with the key that its seal protects.
fn no_seal(how: &str) -> Error {
    Error::integrity(format!("the snapshot is incomplete: {SEALED} {how}: Vault could not reach its seal"))
}

#[cfg(test)]
#[path = "../../tests/support/snapshot.rs"]
mod synthetic;
#[cfg(test)]
mod tests;
