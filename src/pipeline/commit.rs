//! Writes manifests and drill records, and reads each back: only a document that the store
//! returns counts.
//!
//! Not here: their content (`formats::manifest`), and the check of stored ones (`catalog`).

use super::catalog;
use crate::base::error::{Error, Kind, Result};
use crate::services::store::{Put, Store};
use bytes::Bytes;

/// Writes the document `name` and reads it back. Returns the store's error if it reported
/// one although the document is stored, such as a directory that could not be synced: the
/// document counts, and the caller reports the error as a problem.
///
/// # Errors
/// `Conflict` if [`Put::Create`] finds another object of that name. Otherwise the store's,
/// or `Store` and `Integrity` if it confirmed the write but returns nothing or other bytes.
pub(crate) async fn write_document(store: &dyn Store, name: &str, document: Bytes, put: Put) -> Result<Option<Error>> {
    let written = store.put(name, document.clone(), put).await;
    if written.as_ref().is_err_and(|error| error.kind() == Kind::Conflict) {
        return written.map(|()| None);
    }
    let address = store.locate(name);
    match (written, catalog::document(store, name).await) {
        (written, Ok(stored)) => match (check_stored(&address, &document, stored), written) {
            (Ok(()), written) => Ok(written.err()),
            // It says more than the one that follows from it.
            (Err(_), Err(first)) => Err(first),
            (Err(error), Ok(())) => Err(error),
        },
        (Err(error), Err(_)) => Err(error),
        (Ok(()), Err(error)) => Err(error.context(format!("{address}: written, but cannot be read back"))),
    }
}

/// Compares the object that the store returns at `address` with the document that was written.
///
/// # Errors
/// `Store` if it returns nothing, `Integrity` if it returns other bytes.
pub(crate) fn check_stored(address: &str, document: &[u8], stored: Option<Vec<u8>>) -> Result<()> {
    match stored {
        Some(stored) if stored == document => Ok(()),
        Some(_) => Err(Error::integrity(format!("{address}: the store returns other bytes than were written"))
            .hint("check who else writes to the store")),
        None => Err(Error::store(format!("{address}: the store confirmed the write, but has no such object"))
            .hint("check the store, and any proxy in front of it")),
    }
}
