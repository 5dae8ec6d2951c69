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
use crate::pipeline::verified::{ReadSpec, VerifiedRead};
use std::io::{BufRead, Read};

/// The result of the second pass: the checked snapshot, and the result of reading its state.
pub(crate) type CheckedSnapshot<T> = VerifiedRead<(Snapshot, T)>;

/// The first pass: reads up to the keyrings and opens them with `keys`.
///
/// # Errors
/// `Drill` if the keys do not open them; `Usage` for a seal type that they cannot open.
pub(crate) fn unlock(reader: Box<dyn Read + Send>, how: &ReadSpec, keys: &UnsealKeys) -> Result<Barrier> {
    let unlock = |header: Option<&Header>, plaintext: &mut (dyn BufRead + Send)| {
        archive::peek_state(plaintext, |state| Barrier::unlock(state, keys)).map_err(|e| of_cluster(e, header))
    };
    how.read_beginning(reader, unlock).map(|(_, barrier)| barrier)
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
    how: &ReadSpec,
    mut on_state: impl FnMut(&mut dyn Read) -> Result<T>,
) -> Result<CheckedSnapshot<T>> {
    how.read(reader, |header, plaintext| {
        ahead(plaintext, |snapshot| archive::check_with(snapshot, |_, state| on_state(state)))
            .map_err(|e| of_cluster(e, header))
    })
}
