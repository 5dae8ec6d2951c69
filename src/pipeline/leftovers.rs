//! Unfinished uploads of this host's own runs: the lock file names the objects that a run is
//! uploading, so that the next run can abort what a killed one left behind.

use super::upload;
use crate::base::error::Result;
use crate::base::lock::Lock;
use crate::base::stop::Stop;
use crate::formats::naming::{BackupName, Role};
use crate::services::store::Store;
use std::path::Path;

/// The lock of a run that may leave unfinished uploads.
pub(crate) struct UploadLock {
    lock: Lock,
    /// Notes of this run.
    own: Vec<String>,
}

impl UploadLock {
    /// Takes the lock at `path`.
    ///
    /// # Errors
    /// Those of [`Lock::take`].
    pub(crate) fn take(path: &Path) -> Result<Self> {
        Ok(Self { lock: Lock::take(path)?, own: Vec::new() })
    }

    /// Notes that this run is going to upload the object `name`.
    pub(crate) fn note(&mut self, store: &dyn Store, name: &BackupName) {
        let note = line(store, name.object());
        self.own.push(note.clone());
        self.lock.set_notes(self.lock.notes().iter().cloned().chain([note]).collect());
    }

    /// Aborts the uploads that earlier runs noted and did not end. A failure is tried again by
    /// the next run.
    ///
    /// # Errors
    /// Only the stop's reason.
    pub(crate) async fn abort_leftovers(&mut self, store: &dyn Store, stop: &Stop) -> Result<()> {
        let mut left = Vec::new();
        for note in self.lock.notes() {
            let name = note.split_once(' ').map_or("", |(name, _)| name);
            if !matches!(Role::of(name), Role::Backup(_)) {
                continue;
            }
            if *note != line(store, name) {
                left.push(note.clone()); // of another store
                continue;
            }
            match stop.guard(store.abort_uploads_to(name)).await {
                Ok(0) => {}
                Ok(_) => tracing::info!("{}: aborted the upload of a run that was killed", store.locate(name)),
                Err(error) if error.kind().is_stop() => return Err(error),
                Err(error) => {
                    tracing::info!("the upload of a run that was killed may remain: {error}");
                    left.push(note.clone());
                }
            }
        }
        self.lock.set_notes(left);
        Ok(())
    }

    /// Waits for the cleanup of this run's uploads. Removes its notes if nothing is left.
    pub(crate) async fn finish(mut self, store: &dyn Store) {
        if upload::finish_cleanup(store).await {
            let notes = self.lock.notes().iter().filter(|note| !self.own.contains(note)).cloned().collect();
            self.lock.set_notes(notes);
        }
    }
}

/// Returns the note of an object: its name, and its address, which tells stores apart.
fn line(store: &dyn Store, name: &str) -> String {
    format!("{name} {}", store.locate(name))
}
