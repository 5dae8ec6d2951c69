//! A backup read without a Vault: two passes over it with the unseal shares.
//!
//! Here: opening whatever holds a snapshot (encrypted, older, or a plain file), the first
//! pass for the keys, the second for everything, which checks the archive too. Not
//! here: what entries are (`barrier`), the rules of a drill (`drill::canary`).

use crate::archive::{self, Snapshot};
use crate::barrier::Barrier;
use crate::envelope::{self, Header};
use crate::error::{Error, Kind, Result};
use crate::pipeline::bridge::ahead;
use crate::pipeline::drill::feed::Reading;
use crate::pipeline::hashing::Hashing;
use crate::secret::Secret;
use std::io::{BufRead, BufReader, Read};

/// What a gzip stream begins with, and so a plain snapshot (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What was found in the second pass.
#[derive(Debug)]
pub struct Checked<T> {
    /// The header; older and plain ones have none.
    pub header: Option<Header>,
    /// The checked snapshot.
    pub snapshot: Snapshot,
    /// What the reader of the state made of it.
    pub result: T,
}

/// The first pass: reads the beginning, up to the keys, and opens them with `shares`.
///
/// # Errors
/// `Drill` where the shares do not open it; `Usage` for a seal other than Shamir's.
pub fn unlock(reader: Box<dyn Read + Send>, how: Option<&Reading>, shares: &[Secret]) -> Result<Barrier> {
    let mut reader = BufReader::new(reader);
    if is_plain(&mut reader, how)? {
        return archive::peek_state(reader, |state| Barrier::unlock(state, shares));
    }
    let mut opened = open(&mut reader, how)?;
    archive::peek_state(&mut opened, |state| Barrier::unlock(state, shares))
}

/// The second pass: everything is checked, and `on_state` reads the state. Hashing and
/// decrypting overlap with what the checks compute.
///
/// # Errors
/// `Integrity` for what is wrong with the backup; else what `on_state` returned.
pub fn read<T>(
    reader: Box<dyn Read + Send>,
    how: Option<&Reading>,
    mut on_state: impl FnMut(&mut dyn Read) -> Result<T>,
) -> Result<Checked<T>> {
    let mut check = |plain| archive::check_with(plain, |_, state| on_state(state));
    let mut hashing = Hashing::new(BufReader::with_capacity(1 << 18, reader));
    let (header, (snapshot, result)) = if is_plain(&mut hashing, how)? {
        (None, ahead(&mut hashing, &mut check)?)
    } else {
        let mut opened = open(&mut hashing, how)?;
        let header = opened.header().cloned();
        if let (Some(header), Some(name)) = (&header, how.and_then(|h| h.name.as_ref())) {
            header.check_name(name)?;
        }
        (header, ahead(&mut opened, &mut check)?)
    };
    let sha256 = hex::encode(hashing.finish().sha256);
    how.map_or(Ok(()), |how| how.named.check(&sha256))?;
    Ok(Checked { header, snapshot, result })
}

/// Never an object of the store: there, whoever can write could plant one.
fn is_plain(reader: &mut impl BufRead, how: Option<&Reading>) -> Result<bool> {
    if how.is_some_and(|how| how.name.is_some()) {
        return Ok(false);
    }
    let first = reader.fill_buf().map_err(|e| Error::from_io(e, Kind::Store, "the backup could not be read"))?;
    Ok(first.starts_with(&GZIP))
}

fn open<R: Read>(reader: R, how: Option<&Reading>) -> Result<envelope::Opened<R>> {
    let how = how.ok_or_else(|| {
        Error::usage("the backup is encrypted, and no key is at hand").hint("give --key, or set encryption.key")
    })?;
    envelope::open(reader, &how.keyring, how.layouts)
}
