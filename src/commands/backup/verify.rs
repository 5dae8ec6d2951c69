//! Verifies a backup after its upload, before its manifest is written.

use crate::app::cli::VerifyMode;
use crate::app::context::Context;
use crate::base::error::{Error, Result};
use crate::formats::manifest::Verification;
use crate::formats::naming::BackupName;
use crate::pipeline::reader;
use crate::pipeline::upload::Sent;
use crate::services::store::Store;

/// Verifies the uploaded object. Returns the kind of check: the full one instead of the
/// shorter one if the store reports no checksum that can be compared.
///
/// # Errors
/// `Integrity` if the store has something else than was sent.
pub(super) async fn verify(
    context: &Context,
    store: &dyn Store,
    name: &BackupName,
    sent: &Sent,
    mode: VerifyMode,
) -> Result<Verification> {
    if mode == VerifyMode::Head {
        let address = store.locate(name.object());
        if has_checksum_of(context, store, name, sent).await? {
            return Ok(Verification::Head);
        }
        tracing::info!("{address}: the store reports no checksum that can be compared, so it is read back");
    }
    // Read again, so that a key that was changed or removed during the run is noticed now.
    let keyring = context.keyring()?;
    reader::read_back(store, name, sent, keyring, &context.stop, &context.progress).await?;
    Ok(Verification::Full)
}

/// Compares size and checksum of the object in the store with those of the bytes that were
/// sent. Returns `false` if the store reports no checksum that can be compared.
async fn has_checksum_of(context: &Context, store: &dyn Store, name: &BackupName, sent: &Sent) -> Result<bool> {
    let address = || store.locate(name.object());
    let Some(head) = context.stop.guard(store.head_with_checksum(name.object())).await? else {
        return Err(Error::store(format!("{}: disappeared right after it was created", address())));
    };
    if head.size != sent.encrypted.size {
        let (sent, stored) = (sent.encrypted.size, head.size);
        return Err(Error::integrity(format!(
            "{}: size mismatch: {sent} bytes sent, the store has {stored}",
            address()
        )));
    }
    let (Some(sent), Some(stored)) = (&sent.uploaded.checksum, &head.checksum) else { return Ok(false) };
    if form(sent) != form(stored) {
        return Ok(false);
    }
    if sent != stored {
        let what = format!("{}: checksum mismatch: {sent} sent, the store has {stored}", address());
        return Err(Error::integrity(what));
    }
    Ok(true)
}

/// Returns the algorithm of a checksum, and `true` if it is composed of those of parts.
fn form(checksum: &str) -> (Option<&str>, bool) {
    (checksum.split(':').next(), checksum.contains('-'))
}
