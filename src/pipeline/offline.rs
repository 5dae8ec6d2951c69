//! Reads a backup without a Vault, in two passes: the first opens its keyrings with the
//! unseal shares, the second verifies everything and reads the entries.
//!
//! The input is an encrypted backup or a plain snapshot. Not here: the entries (`barrier`)
//! and the rules of a restore drill (`drill::canary`).

use crate::base::error::{Error, Kind, Result};
use crate::formats::archive::{self, Snapshot};
use crate::formats::barrier::{Barrier, UnsealKeys};
use crate::formats::crypto::Header;
use crate::pipeline::bridge::ahead;
use crate::pipeline::hashing::{Fingerprint, Hashing};
use crate::pipeline::verified::{ReadSpec, no_key};
use std::io::{BufRead, BufReader, Read};

/// First bytes of a gzip stream (RFC 1952), and so of a plain snapshot.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The result of the second pass.
#[derive(Debug)]
pub(crate) struct CheckedSnapshot<T> {
    /// The header, if it is of format 1.
    pub header: Option<Header>,
    /// `true` if it is a plain snapshot, as Vault sends it.
    pub plain: bool,
    /// Size and SHA-256 of the input.
    pub object: Fingerprint,
    /// The checked snapshot.
    pub snapshot: Snapshot,
    /// The result of reading the state.
    pub result: T,
}

/// The first pass: reads up to the keyrings and opens them with `keys`.
///
/// # Errors
/// `Drill` if the keys do not open them; `Usage` for a seal type that they cannot open.
pub(crate) fn unlock(reader: Box<dyn Read + Send>, how: Option<&ReadSpec>, keys: &UnsealKeys) -> Result<Barrier> {
    let mut reader = BufReader::new(reader);
    if is_plain(&mut reader, how)? {
        return archive::peek_state(reader, |state| Barrier::unlock(state, keys));
    }
    let unlock = |header: Option<&Header>, plaintext: &mut (dyn BufRead + Send)| {
        archive::peek_state(plaintext, |state| Barrier::unlock(state, keys)).map_err(|e| of_cluster(e, header))
    };
    how.ok_or_else(|| no_key(&mut reader))?.decrypt(reader, unlock).map(|(_, barrier)| barrier)
}

/// Names the cluster of the backup, if it is known, in an error about its keys.
fn of_cluster(error: Error, header: Option<&Header>) -> Error {
    let Some(vault) = header.map(|header| &header.vault).filter(|_| error.kind() == Kind::Drill) else { return error };
    match (&vault.cluster_name, &vault.cluster_id) {
        (Some(name), Some(id)) => error.context(format!("cluster {name} ({id})")),
        (Some(cluster), None) | (None, Some(cluster)) => error.context(format!("cluster {cluster}")),
        (None, None) => error,
    }
}

/// The second pass: verifies everything, while `on_state` reads the state. Hashing and
/// decryption overlap with the checks.
///
/// # Errors
/// `Integrity` for a damaged backup; else the error of `on_state`.
pub(crate) fn read<T>(
    reader: Box<dyn Read + Send>,
    how: Option<&ReadSpec>,
    mut on_state: impl FnMut(&mut dyn Read) -> Result<T>,
) -> Result<CheckedSnapshot<T>> {
    let mut check = |source: &mut (dyn BufRead + Send)| {
        ahead(source, |snapshot| archive::check_with(snapshot, |_, state| on_state(state)))
    };
    let mut reader = BufReader::with_capacity(1 << 18, reader);
    if is_plain(&mut reader, how)? {
        let mut hashing = Hashing::new(reader);
        let (snapshot, result) = check(&mut hashing)?;
        return Ok(CheckedSnapshot { header: None, plain: true, object: hashing.finish(), snapshot, result });
    }
    let how = how.ok_or_else(|| no_key(&mut reader))?;
    let verified = how.read(reader, |header, plaintext| check(plaintext).map_err(|e| of_cluster(e, header)))?;
    let (snapshot, result) = verified.result;
    Ok(CheckedSnapshot { header: verified.header, plain: false, object: verified.object, snapshot, result })
}

/// Returns `true` for a plain snapshot. An object of the store never counts as one:
/// everybody who can write there could plant it.
///
/// # Errors
/// `Store` if the input cannot be read.
pub(crate) fn is_plain(reader: &mut impl BufRead, how: Option<&ReadSpec>) -> Result<bool> {
    if how.is_some_and(|how| how.name.is_some()) {
        return Ok(false);
    }
    let first = reader.fill_buf().map_err(|e| Error::from_io(e, Kind::Store, "the backup could not be read"))?;
    Ok(first.starts_with(&GZIP))
}
