mod properties;

use super::vectors::{self, Vectors, plaintext, reorder};
use super::*;
use crate::base::error::Kind;
use crate::base::secret::Secret;
use crate::formats::naming::{BackupName, BackupType};
use chrono::DateTime;

/// The plaintext that fills segment 0, and every later one.
const FIRST: usize = SEGMENT - STREAM_HEADER - TAG;
const LATER: usize = SEGMENT - TAG;

fn key(hex: &str) -> Key {
    Key::from_hex(&Secret::new(hex)).unwrap()
}

fn ring_of(hex: &str) -> Keyring {
    Keyring::new(key(hex), Vec::new())
}

fn some_key() -> Key {
    key(&"5a".repeat(32))
}

fn some_header() -> Header {
    Header {
        key_id: some_key().id().to_owned(),
        created_at: DateTime::from_timestamp(1_764_122_400, 0).unwrap(),
        vault: SourceServer { version: Some("1.21.4".into()), ..SourceServer::default() },
        tool: "vault-backup/0.1.0".into(),
    }
}

/// Encrypts `plaintext` in pieces of `piece` bytes.
fn encrypt_with(mut encryptor: Encryptor, plaintext: &[u8], piece: usize) -> (Vec<u8>, EncryptedBackup) {
    let mut object = Vec::new();
    let mut pieces = 0;
    let mut sink = |bytes: bytes::Bytes| {
        assert!(pieces == 0 || bytes.len() <= SEGMENT);
        pieces += 1;
        object.extend(bytes);
        Ok(())
    };
    for part in plaintext.chunks(piece) {
        encryptor.write(part, &mut sink).unwrap();
    }
    let encrypted = encryptor.finish(&mut sink).unwrap();
    assert_eq!(pieces, plaintext.len().saturating_sub(FIRST).div_ceil(LATER) + 1, "one piece a segment");
    (object, encrypted)
}

fn encrypt(plaintext: &[u8]) -> Vec<u8> {
    encrypt_with(Encryptor::new(&some_key(), &some_header()).unwrap(), plaintext, 100_000).0
}

/// Returns the released plaintext and the result.
fn decrypt_all(object: &[u8], keys: &Keyring, layouts: Layouts) -> (Vec<u8>, Result<()>) {
    let mut out = Vec::new();
    let end = open(object, keys, layouts).and_then(|mut opened| {
        io::copy(&mut opened, &mut out).map_err(|e| Error::from_io(e, Kind::Unexpected, "not ours"))
    });
    (out, end.map(|_| ()))
}

fn object_of(vector: &vectors::Good, key: &Key) -> Vec<u8> {
    let Some(header) = &vector.header else {
        // The legacy format is never written; the integration test covers the large vector.
        return hex::decode(vector.object.as_deref().unwrap_or_default()).unwrap();
    };
    let bytes = |text: &Option<String>| hex::decode(text.as_deref().unwrap()).unwrap();
    let (salt, prefix) = (bytes(&vector.salt), bytes(&vector.prefix));
    let encryptor =
        Encryptor::with(key, header.as_bytes(), &salt.try_into().unwrap(), prefix.try_into().unwrap()).unwrap();
    let (object, encrypted) = encrypt_with(encryptor, &plaintext(vector.plaintext_size), 65_537);
    assert_eq!(encrypted.plaintext_size, vector.plaintext_size as u64);
    assert_eq!((encrypted.size, encrypted.sha256_hex()), (vector.size, vector.sha256.clone()), "{}", vector.name);
    object
}

#[test]
fn good_vectors_decrypt_to_their_plaintext() {
    let vectors = Vectors::load();
    let (keys, mut opened) = (ring_of(&vectors.key), 0);
    assert_eq!(keys.primary().id(), vectors.key_id);
    for vector in &vectors.good {
        let object = object_of(vector, keys.primary());
        if object.is_empty() {
            continue;
        }
        assert_eq!(hex::encode(vectors::sha256(&object)), vector.sha256, "{}", vector.name);
        if let Some(inline) = &vector.object {
            assert_eq!(&hex::encode(&object), inline, "{}", vector.name);
        }
        let (out, end) = decrypt_all(&object, &keys, Layouts::Any);
        end.unwrap();
        assert!(out == plaintext(vector.plaintext_size), "{}", vector.name);
        let header = Header::peek(&object[..]).unwrap();
        assert_eq!(header.is_some(), vector.header.is_some(), "{}", vector.name);
        assert_eq!(decrypt_all(&object, &keys, Layouts::Format1).1.is_ok(), vector.header.is_some(), "{}", vector.name);
        opened += 1;
    }
    assert_eq!(opened, vectors.good.len() - 1);
}

#[test]
fn bad_vectors_are_refused_with_the_expected_message() {
    let vectors = Vectors::load();
    for bad in &vectors.bad {
        let of = vectors.good.iter().find(|good| good.name == bad.of).unwrap();
        let (object, other) = bad.edit.apply(object_of(of, &key(&vectors.key)), &vectors.key);
        let (released, end) = decrypt_all(&object, &ring_of(&other), Layouts::Any);
        let error = end.expect_err(&bad.name);
        assert_eq!(error.kind(), Kind::Integrity, "{}: {error}", bad.name);
        assert!(error.to_string().contains(&bad.says), "{}: {error}", bad.name);
        assert!(plaintext(of.plaintext_size).starts_with(&released), "{}", bad.name);
    }
}

#[test]
fn every_truncation_is_refused() {
    let (object, keys) = (encrypt(b"a snapshot"), Keyring::new(some_key(), Vec::new()));
    for size in 0..object.len() {
        let (released, end) = decrypt_all(&object[..size], &keys, Layouts::Any);
        assert_eq!((released.len(), end.unwrap_err().kind()), (0, Kind::Integrity), "{size}");
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let (mut object, keys) = (encrypt(b"a snapshot"), Keyring::new(some_key(), Vec::new()));
    for at in 0..object.len() * 8 {
        object[at / 8] ^= 1 << (at % 8);
        let (released, end) = decrypt_all(&object, &keys, Layouts::Any);
        assert_eq!((released.len(), end.unwrap_err().kind()), (0, Kind::Integrity), "bit {at}");
        object[at / 8] ^= 1 << (at % 8);
    }
    assert!(decrypt_all(&object, &keys, Layouts::Any).1.is_ok());
}

#[test]
fn truncations_around_segment_ends_are_refused() {
    let (plain, keys) = (plaintext(FIRST + LATER + 100), Keyring::new(some_key(), Vec::new()));
    let object = encrypt(&plain);
    let ends = [object.len() - 100 - TAG - SEGMENT, object.len() - 100 - TAG];
    for end in ends {
        for size in end - TAG - 2..=end + TAG + 2 {
            let (released, end) = decrypt_all(&object[..size], &keys, Layouts::Any);
            assert!(plain.starts_with(&released) && released.len() < plain.len());
            assert_eq!(end.unwrap_err().kind(), Kind::Integrity, "{size}");
        }
    }
}

#[test]
fn an_empty_last_segment_is_refused_even_if_authentic() {
    let header = some_header().encode().unwrap();
    let cipher = Cipher::new(&some_key(), &[1; SALT], [2; PREFIX], &header).unwrap();
    let mut object = header;
    object.push(40);
    object.extend([[1; SALT].as_slice(), &[2; PREFIX]].concat());
    for (index, last, size) in [(0, false, FIRST), (1, true, 0)] {
        let mut segment = vec![0; size];
        let nonce = cipher.nonce(index, last).unwrap();
        cipher.key.seal_in_place_append_tag(nonce, aead::Aad::empty(), &mut segment).unwrap();
        object.extend(segment);
    }
    let error = decrypt_all(&object, &Keyring::new(some_key(), Vec::new()), Layouts::Any).1.unwrap_err();
    assert!(error.to_string().contains("the backup ends with the empty segment 1"), "{error}");
}

#[test]
fn decryptor_repeats_its_error_on_every_later_call() {
    let mut object = encrypt(&plaintext(FIRST + LATER + 100));
    object[FIRST + 2000] ^= 1;
    let mut decryptor = Decryptor::new(&object[..], &Keyring::new(some_key(), Vec::new())).unwrap();
    assert_eq!(decryptor.next_segment().unwrap().unwrap().len(), FIRST);
    let first = decryptor.next_segment().unwrap_err().to_string();
    assert_eq!(decryptor.next_segment().unwrap_err().to_string(), first);
    assert!(decryptor.read(&mut [0; 10]).unwrap_err().to_string().contains("segment 1"));
    assert_eq!(decryptor.plaintext_size(), FIRST as u64);
}

#[test]
fn decryptor_returns_none_after_the_end() {
    let object = encrypt(b"");
    let mut decryptor = Decryptor::new(&object[..], &Keyring::new(some_key(), Vec::new())).unwrap();
    assert_eq!(decryptor.next_segment().unwrap(), Some(&[][..]));
    assert_eq!(decryptor.next_segment().unwrap(), None);
    assert_eq!(decryptor.next_segment().unwrap(), None);
    assert_eq!((decryptor.size(), decryptor.header()), (object.len() as u64, &some_header()));
}

/// Gives a few bytes at a time, and fails at its end.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(Error::store("s3://b/o: connection reset").into_io());
        }
        let n = self.1.min(out.len());
        self.0.read(&mut out[..n])
    }
}

#[test]
fn a_reader_error_is_not_an_end_of_data() {
    let object = encrypt(b"a snapshot");
    let keys = Keyring::new(some_key(), Vec::new());
    for size in [0, 5, 20, object.len() - 1, object.len()] {
        let mut out = Vec::new();
        let error = open(Trickle(&object[..size], 3), &keys, Layouts::Any)
            .and_then(|mut o| o.read_to_end(&mut out).map_err(|e| Error::from_io(e, Kind::Unexpected, "x")))
            .unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (Kind::Store, "s3://b/o: connection reset".into()));
    }
}

#[test]
fn every_key_of_the_keyring_decrypts() {
    let object = encrypt(b"a snapshot");
    let keys = Keyring::new(Key::generate().unwrap(), vec![Key::generate().unwrap(), some_key()]);
    assert_eq!(decrypt_all(&object, &keys, Layouts::Any).0, b"a snapshot");
    let vectors = Vectors::load();
    let legacy = vectors.good.iter().find(|v| v.name == "older-small").unwrap();
    let object = hex::decode(legacy.object.as_deref().unwrap()).unwrap();
    let keys = Keyring::new(some_key(), vec![key(&vectors.key)]);
    let (out, end) = decrypt_all(&object, &keys, Layouts::Any);
    end.unwrap();
    assert_eq!(out, plaintext(legacy.plaintext_size));
    let error = decrypt_all(&object, &keys, Layouts::Format1).1.unwrap_err();
    assert!(error.to_string().contains("does not start with VLTBKUP1"), "{error}");
}

#[test]
fn an_unencrypted_snapshot_is_recognised() {
    let plain = [&[0x1f, 0x8b, 8], plaintext(100).as_slice()].concat();
    let error = decrypt_all(&plain, &Keyring::new(some_key(), Vec::new()), Layouts::Any).1.unwrap_err();
    assert!(error.to_string().contains("a snapshot that is not encrypted"), "{error}");
}

#[test]
fn renamed_objects_are_refused() {
    let header = some_header();
    let name = BackupName::new(BackupType::Daily, header.created_at);
    header.check_name(&name).unwrap();
    header.check_name(&name.as_monthly()).unwrap();
    let other = BackupName::new(BackupType::Daily, header.created_at + chrono::Duration::days(1));
    assert_eq!(header.check_name(&other).unwrap_err().kind(), Kind::Integrity);
}
