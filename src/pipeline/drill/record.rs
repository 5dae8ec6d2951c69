//! Writes the drill record, the last effect of a restore drill.
//!
//! Not here: its content (`commands::verify_restore`).

use crate::base::error::{Error, Result};
use crate::base::stop::Stop;
use crate::formats::naming::BackupName;
use crate::pipeline::catalog;
use crate::pipeline::commit::check_stored;
use crate::services::store::{Put, Store};
use bytes::Bytes;
use std::time::Duration;

/// Time limit for writing the record, and for reading it back.
const LIMIT: Duration = Duration::from_secs(30);

/// Writes the drill record of `name`. Once begun, it is not interrupted: the result of an
/// interrupted request would be unknown, and a record must not exist after a failed run.
///
/// # Errors
/// The reason to stop, if the run is to stop already; `Store` if there is no such record now, `Integrity`
/// if it is another one.
pub(crate) async fn write(store: &dyn Store, name: &BackupName, record: Vec<u8>, stop: &Stop) -> Result<()> {
    stop.commit(put_and_read_back(store, name, record)).await
}

/// The record that the store returns decides, not the response to the upload.
async fn put_and_read_back(store: &dyn Store, name: &BackupName, record: Vec<u8>) -> Result<()> {
    let object = name.drill_record();
    let address = store.locate(&object);
    let late = |what: &str| Error::store(format!("{address}: {what} within {} s", LIMIT.as_secs()));
    let put = store.put(&object, Bytes::from(record.clone()), Put::Replace);
    let put = tokio::time::timeout(LIMIT, put).await.unwrap_or_else(|_| Err(late("it was not written")));
    let read = tokio::time::timeout(LIMIT, catalog::document(store, &object)).await;
    let read = read.unwrap_or_else(|_| Err(late("it could not be read back")));
    match (put, read.map(|stored| check_stored(&address, &record, stored))) {
        (_, Ok(Ok(()))) => Ok(()),
        (Ok(()), Ok(Err(error))) => Err(error),
        (Err(error), Ok(Err(_))) => Err(error.context("the restore drill passed, but its record was not written")),
        (Err(error), Err(_)) => {
            Err(error.context("the restore drill passed, but it is unknown whether its record was written"))
        }
        (Ok(()), Err(error)) => {
            tracing::warn!("the drill record was written, but could not be read back: {error}");
            Ok(())
        }
    }
}
