//! Is this byte stream a whole Raft snapshot?
//!
//! Here: the check of what Vault sends, as a stream in constant memory: gzip,
//! tar, the four members and their hashes, and that nothing is missing or left
//! over. Not here: what state.bin holds (`barrier`), the snapshot's own SHA-256
//! (`pipeline`). Pure: a reader in, no I/O of its own.
//!
//! A late error on the server ends its answer cleanly, so a 200 and a short body is
//! a real case (hashicorp/vault#13130); this check tells it from a whole one.

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
use source::{Counted, Meter, Metered};
use std::io::{BufRead, Read};

// The members, in the order in which Vault writes them.
const META: &str = "meta.json";
const STATE: &str = "state.bin";
const SUMS: &str = "SHA256SUMS";
const SEALED: &str = "SHA256SUMS.sealed";

/// A snapshot that passed every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What meta.json says.
    pub meta: Meta,
    /// Size of state.bin, in bytes.
    pub state_size: u64,
    /// Size of the snapshot as it was read (compressed), in bytes.
    pub plaintext_size: u64,
}

/// Checks a snapshot to its end.
///
/// # Errors
/// `Integrity` saying exactly what is wrong; what `reader` fails with passes
/// through where it is an [`Error`] ([`Error::into_io`]).
pub fn check<R: BufRead>(reader: R) -> Result<Snapshot> {
    check_with(reader, |_, _| Ok(())).map(|(snapshot, ())| snapshot)
}

/// Checks a snapshot to its end, and has `on_state` read state.bin on the way. What
/// it leaves unread is read after it. Its result is returned only if the
/// snapshot is whole; where both fail, the snapshot's failure is returned.
///
/// # Errors
/// As [`check`], and what `on_state` returned.
pub fn check_with<R: BufRead, T>(
    reader: R,
    mut on_state: impl FnMut(&Meta, &mut dyn Read) -> Result<T>,
) -> Result<(Snapshot, T)> {
    let mut reader = Counted::new(reader);
    source::refuse_other_formats(&mut reader)?;
    let meter = Meter::default();
    let mut tar = tar::Archive::new(Metered::new(MultiGzDecoder::new(&mut reader), &meter));
    let mut members = Members::default();
    for entry in tar.entries().map_err(|e| meter.error(e, "at its start"))? {
        let entry = entry.map_err(|e| meter.error(e, &members.place()))?;
        members.take(Member::new(entry, &meter)?, &mut on_state)?;
    }
    if meter.ended() {
        return Err(source::ended(&members.place()));
    }
    let (meta, state_size, result) = members.finish()?;
    source::read_end(tar.into_inner())?;
    Ok((Snapshot { meta, state_size, plaintext_size: reader.total() }, result?))
}

/// The members found so far. `T` is what state.bin's reader made of it.
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
    /// The members that have not been found yet.
    fn missing(&self) -> impl Iterator<Item = &'static str> {
        let found = [
            (META, self.meta.is_some()),
            (STATE, self.state.is_some()),
            (SUMS, self.sums.is_some()),
            (SEALED, self.sealed.is_some()),
        ];
        found.into_iter().filter(|(_, found)| !found).map(|(name, _)| name)
    }

    /// Where the stream is, between two members.
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
            return Err(Error::integrity(format!("the snapshot holds {name} twice")));
        }
        match name {
            META => {
                let text = member.small()?;
                self.meta = Some((Meta::parse(&text)?, member.finish()?.1));
            }
            STATE => {
                let Some((meta, _)) = &self.meta else {
                    return Err(Error::integrity(format!("the snapshot holds {STATE} before {META}")));
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

    /// Demands all members, and compares the hashes.
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

/// Vault seals the list of hashes last, with the key that its own seal protects.
fn no_seal(how: &str) -> Error {
    Error::integrity(format!("the snapshot is incomplete: {SEALED} {how}: Vault could not reach its seal"))
}

#[cfg(test)]
#[path = "../../tests/support/snapshot.rs"]
mod synthetic;
#[cfg(test)]
mod tests;
