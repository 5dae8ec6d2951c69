//! Decrypts a value of the barrier, and decompresses it if it is compressed.
//!
//! Contains the layout of a value, its AES-256-GCM, the entries that are not barrier
//! values, and the formats of Vault's `compressutil`. Not here: the choice of the key
//! (`keyring`). Source: Vault `vault/barrier_aes_gcm.go` (`decrypt`) and the sdk's
//! `helper/compressutil/compress.go`.

use crate::base::error::{Error, Result};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::io::{Error as IoError, ErrorKind, Read};
use weezl::LzwStatus;

/// Bytes before a value's nonce: term (4, big-endian) and version (1).
const HEAD: usize = 5;

/// Maximum size of a decompressed plaintext, in bytes.
const MAX_DECOMPRESSED: usize = 256 * 1024 * 1024;

/// Full keys of the entries that a server is known to write outside of its barrier: plain
/// JSON or text, or wrapped by the seal. Source: the calls of `physical.Put` in Vault's
/// `vault/` (`seal.go`, `seal_util.go`, `seal_autoseal.go`, `core.go`, `cluster.go`,
/// `rekey.go`, `ui.go`), `RaftLock` in `physical/raft/raft.go`, `command/server.go`;
/// OpenBao's `vault/init.go`. The list need not be complete: see [`is_value`].
const OUTSIDE: [&str; 13] = [
    "core/cluster/local/name",
    "core/hsm/barrier-unseal-keys",
    "core/initialize-lock",
    "core/lock",
    "core/migration",
    "core/recovery-config",
    "core/recovery-key",
    "core/recovery-keys-backup",
    "core/seal-config",
    "core/seal-gen-info",
    "core/seal-initialization-flag",
    "core/unseal-keys-backup",
    "sys/uiconfig_plaintext",
];

/// Terms from here on are implausible: each rotation adds one.
const TERMS: u32 = 1 << 16;

/// Returns `true` if the entry `name` is known not to be a barrier value.
pub(super) fn is_outside(name: &str) -> bool {
    (name.starts_with("core/") || name.starts_with("sys/")) && OUTSIDE.contains(&name)
}

/// Returns `true` if `value` starts like a barrier value: with a plausible term, or, if the
/// term is damaged, with most of one and a known version. Text and JSON never do.
pub(super) fn is_value(value: &[u8]) -> bool {
    match value.first_chunk::<HEAD>() {
        Some([term @ .., version]) => {
            let zeros = term.iter().filter(|byte| **byte == 0).count();
            u32::from_be_bytes(*term) < TERMS || (matches!(version, 1 | 2) && zeros >= 2)
        }
        None => value.starts_with(&[0, 0]),
    }
}

/// Creates an AES-256-GCM key. (ring keeps the expanded key and does not wipe it.)
pub(super) fn aes(key: &[u8; 32]) -> Result<LessSafeKey> {
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| Error::unexpected("AES-256-GCM refused a 32-byte key"))?;
    Ok(LessSafeKey::new(key))
}

/// Returns the term of the key that encrypted the value of `name`.
///
/// # Errors
/// `Drill` if it is too short or has an unknown version.
pub(super) fn term(name: &str, value: &[u8]) -> Result<u32> {
    let Some(([term @ .., version], rest)) = value.split_first_chunk::<HEAD>() else {
        return Err(broken(name, "too short for a barrier value"));
    };
    if !matches!(version, 1 | 2) {
        return Err(broken(name, &format!("unknown version {version}, or not a barrier value"))
            .hint("use a newer vault-backup (this version knows versions 1 and 2)"));
    }
    if rest.len() < NONCE_LEN + AES_256_GCM.tag_len() {
        return Err(broken(name, "too short for a barrier value"));
    }
    Ok(u32::from_be_bytes(*term))
}

/// Decrypts the value of `name` in place and returns its plaintext.
///
/// # Errors
/// `Drill` if authentication fails, or as [`term`].
pub(super) fn decrypt<'v>(key: &LessSafeKey, name: &str, value: &'v mut [u8]) -> Result<&'v [u8]> {
    let term = term(name, value)?;
    let (head, encrypted) = value.split_at_mut(HEAD);
    // Version 1 does not bind a value to its key.
    let aad = if head[HEAD - 1] == 1 { "" } else { name };
    decrypt_gcm(key, aad, encrypted)
        .ok_or_else(|| broken(name, &format!("authentication failed with the key of term {term}")))
}

/// Decrypts nonce ‖ ciphertext ‖ tag in place. `None` if authentication fails.
pub(super) fn decrypt_gcm<'v>(key: &LessSafeKey, aad: &str, encrypted: &'v mut [u8]) -> Option<&'v [u8]> {
    let (nonce, body) = encrypted.split_at_mut_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    key.open_in_place(nonce, Aad::from(aad), body).ok().map(|plain| &*plain)
}

/// Decompresses a plaintext. `None` if it is not compressed. The first byte decides: JSON,
/// the alternative, does not start with any of these.
///
/// # Errors
/// The decompressor's error, or a result that is too large.
pub(super) fn decompress(plain: &[u8]) -> Result<Option<Vec<u8>>, IoError> {
    let Some((&kind, packed)) = plain.split_first() else { return Ok(None) };
    match kind {
        b'G' => read(flate2::read::GzDecoder::new(packed)),
        b'S' => read(snap::read::FrameDecoder::new(packed)),
        b'4' => read(lz4_flex::frame::FrameDecoder::new(packed)),
        b'L' => lzw(packed),
        _ => return Ok(None),
    }
    .map(Some)
}

fn read(decoder: impl Read) -> Result<Vec<u8>, IoError> {
    let mut out = Vec::new();
    decoder.take(MAX_DECOMPRESSED as u64 + 1).read_to_end(&mut out)?;
    check_length(&out)?;
    Ok(out)
}

/// Decompresses LZW as written by Go's `compress/lzw`: least significant bit first, 8-bit literals.
fn lzw(mut packed: &[u8]) -> Result<Vec<u8>, IoError> {
    let mut decoder = weezl::decode::Decoder::new(weezl::BitOrder::Lsb, 8);
    let mut out = Vec::new();
    let mut chunk = [0; 8 * 1024];
    loop {
        let done = decoder.decode_bytes(packed, &mut chunk);
        packed = &packed[done.consumed_in..];
        out.extend_from_slice(&chunk[..done.consumed_out]);
        check_length(&out)?;
        match done.status.map_err(IoError::other)? {
            LzwStatus::Ok => {}
            LzwStatus::Done => return Ok(out),
            LzwStatus::NoProgress => return Err(ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn check_length(out: &[u8]) -> Result<(), IoError> {
    if out.len() > MAX_DECOMPRESSED {
        return Err(IoError::other("larger than 256 MiB after decompression"));
    }
    Ok(())
}

fn broken(name: &str, what: &str) -> Error {
    Error::drill(format!("{name}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Kind;
    use proptest::prelude::*;

    /// Made by the sdk's compressutil.
    const PACKED: [&str; 4] = [
        "471f8b08000000000002ffaa562aa92c4855b252cacd2fcd2b2956d2514acd2b29ca4c2d56b28aae562a482cc950b2522a4e4d2e4a2dd157\
         d28129ce2e53aad5a150ba36b616100000ffff7a8455567d000000",
        "4c00f788a093074e19113a44b47953c70d9d3922588828e3504e9a3210756c1108270c1d340845cc2933464e193a2f220e2c7830e11a3b22\
         fab0e0e81164c291254fa69448d060c89731678ae8f831244e932855f66c2902a8cc3d7dbaf40908",
        "53ff060000734e615070590044000083fe23fe7db87b2274797065223a226d6f756e7473222c22656e7472696573223a5b7b227061746822\
         3a227365637265742f222c220d2d106b76227d2cfa1f00087d5d7d",
        "3404224d186470b950000000f41f7b2274797065223a226d6f756e7473222c22656e7472696573223a5b7b2270617468223a227365637265\
         742f222c2d005f6b76227d2c1f0019003e00003e00e07065223a226b76227d2c7b7d5d7d000000003c197be6",
    ];

    fn unpacked() -> Vec<u8> {
        let mount = r#"{"path":"secret/","type":"kv"},"#;
        format!(r#"{{"type":"mounts","entries":[{}{{}}]}}"#, mount.repeat(3)).into_bytes()
    }

    /// Encrypts a value like Vault.
    fn encrypt(term: u32, version: u8, aad: &str, plain: &[u8]) -> Vec<u8> {
        let nonce = [3; NONCE_LEN];
        let mut body = plain.to_vec();
        let key = aes(&[1; 32]).unwrap();
        let nonce_of = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce_of, Aad::from(aad), &mut body).unwrap();
        [&term.to_be_bytes()[..], &[version], &nonce, &body].concat()
    }

    #[test]
    fn both_versions_of_a_value_decrypt() {
        let key = aes(&[1; 32]).unwrap();
        for (version, aad) in [(1, ""), (2, "logical/x")] {
            let mut value = encrypt(7, version, aad, b"plain");
            assert_eq!(term("logical/x", &value).unwrap(), 7);
            assert_eq!(decrypt(&key, "logical/x", &mut value).unwrap(), b"plain");
        }
        let mut moved = encrypt(7, 2, "logical/x", b"plain");
        assert!(decrypt(&key, "logical/y", &mut moved).is_err(), "version 2 binds a value to its key");
    }

    #[test]
    fn every_flipped_bit_is_refused_and_the_entry_named() {
        let key = aes(&[1; 32]).unwrap();
        let value = encrypt(7, 2, "sys/policy/p", b"plain");
        // The leading term chooses the key, which is its only protection.
        for bit in 8 * (HEAD - 1)..8 * value.len() {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let e = decrypt(&key, "sys/policy/p", &mut flipped).unwrap_err();
            assert_eq!(e.kind(), Kind::Drill);
            assert!(e.to_string().starts_with("sys/policy/p: "), "{e}");
        }
        for end in 0..value.len() {
            assert!(decrypt(&key, "sys/policy/p", &mut value[..end].to_vec()).is_err(), "{end}");
        }
    }

    #[test]
    fn unknown_versions_of_a_value_are_refused() {
        let e = term("a", &encrypt(1, 3, "a", b"x")).unwrap_err();
        assert!(e.to_string().contains("version 3"), "{e}");
    }

    #[test]
    fn decompresses_all_formats_of_vault() {
        for packed in PACKED {
            let packed = hex::decode(packed).unwrap();
            let kind = char::from(packed[0]);
            assert_eq!(decompress(&packed).unwrap().unwrap(), unpacked(), "{kind}");
            for end in 1..packed.len() - 12 {
                if let Ok(short) = decompress(&packed[..end]) {
                    assert_ne!(short.unwrap(), unpacked(), "{kind} truncated at {end}");
                }
            }
        }
        assert!(decompress(b"{}").unwrap().is_none());
        assert!(decompress(b"").unwrap().is_none());
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(kind in 0u8..5, bytes: Vec<u8>) {
            let _ = decompress(&[&b"GLS4{"[kind as usize..][..1], &bytes].concat());
            let _ = decrypt(&aes(&[1; 32]).unwrap(), "a", &mut bytes.clone());
        }
    }
}
