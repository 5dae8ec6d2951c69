//! A backup read without a Vault: two passes over it with the unseal shares.
//!
//! Here: opening whatever holds a snapshot (encrypted, older, or a plain file), the first
//! pass for the keys, the second for everything, which checks the archive too. Not
//! here: what entries are (`barrier`), the rules of a drill (`drill::canary`).

use crate::base::error::{Error, Kind, Result};
use crate::formats::archive::{self, Snapshot};
use crate::formats::barrier::{Barrier, UnsealKeys};
use crate::formats::crypto::{self, Header};
use crate::pipeline::bridge::ahead;
use crate::pipeline::drill::feed::ReadSpec;
use crate::pipeline::hashing::{Fingerprint, Hashing};
use std::io::{BufRead, BufReader, Read};

/// What a gzip stream begins with, and so a plain snapshot (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What was found in the second pass.
#[derive(Debug)]
pub struct CheckedSnapshot<T> {
    /// The header; legacy and plain ones have none.
    pub header: Option<Header>,
    /// Whether it is a plain snapshot, as Vault sends it.
    pub plain: bool,
    /// Size and SHA-256 of all that was read.
    pub object: Fingerprint,
    /// The checked snapshot.
    pub snapshot: Snapshot,
    /// What the reader of the state made of it.
    pub result: T,
}

/// The first pass: reads the beginning, up to the keyrings, and opens them with `keys`.
///
/// # Errors
/// `Drill` where the keys do not open it; `Usage` for a seal that they cannot open.
pub fn unlock(reader: Box<dyn Read + Send>, how: Option<&ReadSpec>, keys: &UnsealKeys) -> Result<Barrier> {
    let mut reader = BufReader::new(reader);
    if is_plain(&mut reader, how)? {
        return archive::peek_state(reader, |state| Barrier::unlock(state, keys));
    }
    let mut opened = open(&mut reader, how)?;
    let cluster = opened.header().and_then(cluster);
    archive::peek_state(&mut opened, |state| Barrier::unlock(state, keys)).map_err(|e| of_cluster(e, cluster))
}

/// The cluster that a backup is of, for messages, where it is known.
fn cluster(header: &Header) -> Option<String> {
    match (&header.vault.cluster_name, &header.vault.cluster_id) {
        (Some(name), Some(id)) => Some(format!("cluster {name} ({id})")),
        (Some(one), None) | (None, Some(one)) => Some(format!("cluster {one}")),
        (None, None) => None,
    }
}

/// Names the cluster in an error about its keys.
fn of_cluster(error: Error, cluster: Option<String>) -> Error {
    match (error.kind(), cluster) {
        (Kind::Drill, Some(cluster)) => error.context(cluster),
        _ => error,
    }
}

/// The second pass: everything is checked, and `on_state` reads the state. Hashing and
/// decrypting overlap with what the checks compute.
///
/// # Errors
/// `Integrity` for what is wrong with the backup; else what `on_state` returned.
pub fn read<T>(
    reader: Box<dyn Read + Send>,
    how: Option<&ReadSpec>,
    mut on_state: impl FnMut(&mut dyn Read) -> Result<T>,
) -> Result<CheckedSnapshot<T>> {
    let mut check = |plain| archive::check_with(plain, |_, state| on_state(state));
    let mut hashing = Hashing::new(BufReader::with_capacity(1 << 18, reader));
    let plain = is_plain(&mut hashing, how)?;
    let (header, (snapshot, result)) = if plain {
        (None, ahead(&mut hashing, &mut check)?)
    } else {
        let mut opened = open(&mut hashing, how)?;
        let header = opened.header().cloned();
        if let (Some(header), Some(name)) = (&header, how.and_then(|h| h.name.as_ref())) {
            header.check_name(name)?;
        }
        let cluster = header.as_ref().and_then(cluster);
        (header, ahead(&mut opened, &mut check).map_err(|e| of_cluster(e, cluster))?)
    };
    let object = hashing.finish();
    how.map_or(Ok(()), |how| how.named.check(&hex::encode(object.sha256)))?;
    Ok(CheckedSnapshot { header, plain, object, snapshot, result })
}

/// Whether it is a plain snapshot. Never an object of the store: anybody who can write
/// there could plant one.
///
/// # Errors
/// `Store` where it cannot be read.
pub fn is_plain(reader: &mut impl BufRead, how: Option<&ReadSpec>) -> Result<bool> {
    if how.is_some_and(|how| how.name.is_some()) {
        return Ok(false);
    }
    let first = reader.fill_buf().map_err(|e| Error::from_io(e, Kind::Store, "the backup could not be read"))?;
    Ok(first.starts_with(&GZIP))
}

fn open<R: Read>(reader: R, how: Option<&ReadSpec>) -> Result<crypto::DecryptReader<R>> {
    let how = how.ok_or_else(|| {
        Error::usage("the backup is encrypted, and no key is at hand").hint("give --key, or set encryption.key")
    })?;
    crypto::open(reader, &how.keyring, how.layouts)
}
