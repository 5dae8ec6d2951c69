//! The layout of the service that this tool replaces: IV, tag, ciphertext; one
//! message of AES-256-GCM with a 16-byte IV, no header. Read only.

use super::Keyring;
use crate::base::error::{Error, Kind, Result};
use aes_gcm::aead::AeadInPlace;
use aes_gcm::aead::consts::U16;
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, KeyInit, Nonce, Tag};
use std::io::{Cursor, Read};

const IV: usize = 16;
const TAG: usize = 16;
/// What a snapshot begins with: gzip's magic and method.
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];
/// The most that its writer could make: 2 GiB of ciphertext behind IV and tag.
const MAX: u64 = (1 << 31) + (IV + TAG) as u64;

/// Opens a whole backup, of which `first` has been read already.
///
/// # Errors
/// `Integrity` if no key of the ring opens it, or if it is too short or too long.
pub(super) fn decrypt(first: &[u8], reader: impl Read, keys: &Keyring) -> Result<Cursor<Vec<u8>>> {
    let mut whole = read_all(first, reader, MAX)?;
    if whole.len() < IV + TAG {
        return Err(Error::integrity(format!("the backup is cut: {} bytes are too few for any layout", whole.len())));
    }
    let (iv, rest) = whole.split_at_mut(IV);
    let (tag, ciphertext) = rest.split_at_mut(TAG);
    // A ciphertext whose tag does not hold is left as it was, for the next key.
    let opened = keys.iter().any(|key| {
        AesGcm::<Aes256, U16>::new(key.bytes().into())
            .decrypt_in_place_detached(Nonce::from_slice(iv), &[], ciphertext, Tag::from_slice(tag))
            .is_ok()
    });
    if !opened {
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
        return Err(Error::integrity("the backup has no header, and more than 2 GiB, as no older one has")
            .hint("it is damaged, or not a backup"));
    }
    Ok(whole)
}

fn refused(first: &[u8]) -> Error {
    let error = Error::integrity(
        "wrong key or damaged: no key at hand opens the backup (it has no header, as in the older layout)",
    );
    match first.starts_with(&GZIP) {
        true => error.hint(
            "it looks like a snapshot that was never encrypted, or is decrypted already: \
             vault operator raft snapshot restore takes it as it is",
        ),
        false => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_its_writer_could_make_is_refused() {
        assert_eq!(read_all(b"12345678", &[7; 92][..], 100).unwrap().len(), 100);
        let error = read_all(b"12345678", std::io::repeat(7), 100).unwrap_err();
        assert!(error.to_string().contains("more than 2 GiB"), "{error}");
    }
}
