//! Decrypts the legacy format of the previous service: IV, tag, ciphertext; one AES-256-GCM
//! message with a 16-byte IV and no header. Decides which backups may be in it.

use super::{Keyring, Layouts};
use crate::base::error::{Error, Kind, Result};
use crate::formats::naming::BackupName;
use aes_gcm::aead::AeadInPlace;
use aes_gcm::aead::consts::U16;
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, KeyInit, Nonce, Tag};
use chrono::{DateTime, Utc};
use std::io::{Cursor, Read};

const IV: usize = 16;
const TAG: usize = 16;
/// First bytes of a snapshot: gzip's magic and method.
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];
/// Maximum size that the previous service could write: 2 GiB of ciphertext after IV and tag.
const MAX: u64 = (1 << 31) + (IV + TAG) as u64;

/// Permission to read the legacy format. Nothing in such a backup names its time, so without
/// its manifest it can be renamed to any day: it is read only if a person asks for it, or if
/// its name is of a time when the previous service was in use.
#[derive(Clone, Copy, Debug, Default)]
pub struct LegacyRule {
    /// `true` if the run was asked to read it (`--legacy`).
    pub asked: bool,
    /// End of the time of the previous service (`encryption.legacy_until`), if configured.
    pub until: Option<DateTime<Utc>>,
}

impl LegacyRule {
    /// Returns the formats that a backup without a manifest may have. One outside of a store
    /// has no `name`.
    pub fn layouts(&self, name: Option<&BackupName>) -> Layouts {
        let old = self.until.zip(name).is_some_and(|(until, name)| name.created_at() < until);
        if self.asked || old { Layouts::Any } else { Layouts::NoLegacy }
    }
}

/// Returns the error for a backup without a header where the legacy format is not allowed.
pub(super) fn not_allowed(first: &[u8]) -> Error {
    if first.starts_with(&GZIP) {
        return Error::integrity("the backup has no header: it looks like a snapshot that is not encrypted")
            .hint("restore it with `vault operator raft snapshot restore`");
    }
    Error::integrity("the backup has no header: it is damaged, or in the legacy format, which is not allowed").hint(
        "if the previous service made it, give --legacy, \
         or set encryption.legacy_until to the day after its last backup in the store",
    )
}

/// Decrypts a whole backup. `first` are its bytes that have already been read.
///
/// # Errors
/// `Integrity` if no key decrypts it, or if it is too short or too long.
pub(super) fn decrypt(first: &[u8], reader: impl Read, keys: &Keyring) -> Result<Cursor<Vec<u8>>> {
    let mut whole = read_all(first, reader, MAX)?;
    if whole.len() < IV + TAG {
        return Err(Error::integrity(format!(
            "the backup is truncated: {} bytes are too few for any format",
            whole.len()
        )));
    }
    let (iv, rest) = whole.split_at_mut(IV);
    let (tag, ciphertext) = rest.split_at_mut(TAG);
    // If authentication fails, the ciphertext is unchanged, for the next key.
    let decrypted = keys.iter().any(|key| {
        AesGcm::<Aes256, U16>::new(key.bytes().into())
            .decrypt_in_place_detached(Nonce::from_slice(iv), &[], ciphertext, Tag::from_slice(tag))
            .is_ok()
    });
    if !decrypted {
        return Err(refused(first));
    }
    let mut plaintext = Cursor::new(whole);
    plaintext.set_position((IV + TAG) as u64);
    Ok(plaintext)
}

fn read_all(first: &[u8], reader: impl Read, max: u64) -> Result<Vec<u8>> {
    let mut whole = first.to_vec();
    reader
        .take(max + 1 - first.len() as u64)
        .read_to_end(&mut whole)
        .map_err(|e| Error::from_io(e, Kind::Store, "the backup could not be read"))?;
    if whole.len() as u64 > max {
        return Err(Error::integrity(
            "the backup has no header and is larger than 2 GiB, the limit of the legacy format",
        )
        .hint("use another backup; this object is damaged or not a backup"));
    }
    Ok(whole)
}

fn refused(first: &[u8]) -> Error {
    let error = Error::integrity(
        "wrong key or damaged: no available key decrypts the backup (without a header, so in the legacy format)",
    );
    match first.starts_with(&GZIP) {
        true => error.hint(
            "restore it with `vault operator raft snapshot restore`: \
             it looks like a snapshot that is not encrypted",
        ),
        false => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    #[test]
    fn the_legacy_format_is_allowed_on_request_or_by_the_time_in_the_name() {
        let name = |text: &str| BackupName::parse(text).unwrap();
        let old = name("daily/2025-11-25/vault-snapshot-2025-11-25T23-59-59-999Z.enc");
        let new = name("daily/2025-11-26/vault-snapshot-2025-11-26T00-00-00-000Z.enc");
        let until = Utc.with_ymd_and_hms(2025, 11, 26, 0, 0, 0).single();
        for (asked, until, name, allowed) in [
            (false, None, Some(&old), false),
            (false, until, Some(&old), true),
            (false, until, Some(&new), false),
            (false, until, None, false),
            (true, None, None, true),
            (true, until, Some(&new), true),
        ] {
            let layouts = LegacyRule { asked, until }.layouts(name);
            assert_eq!(layouts == Layouts::Any, allowed, "{asked} {until:?} {name:?}");
            assert_eq!(layouts.without_header(b"12345678").is_ok(), allowed);
        }
        let hint = LegacyRule::default().layouts(Some(&old)).without_header(b"12345678").unwrap_err();
        assert!(
            hint.to_string().contains("--legacy") && hint.to_string().contains("encryption.legacy_until"),
            "{hint}"
        );
    }

    #[test]
    fn a_legacy_backup_above_the_size_limit_is_refused() {
        assert_eq!(read_all(b"12345678", &[7; 92][..], 100).unwrap().len(), 100);
        let error = read_all(b"12345678", std::io::repeat(7), 100).unwrap_err();
        assert!(error.to_string().contains("larger than 2 GiB"), "{error}");
    }
}
