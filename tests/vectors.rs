//! Tests the format against other implementations: Google Tink, Python's `cryptography`, and
//! the stand-alone decryptor in examples/.

use crate::support::python::python;
use crate::support::vectors::{Vectors, plaintext, sha256};
use std::collections::BTreeMap;
use std::path::Path;
use vault_backup::base::secret::Secret;
use vault_backup::formats::crypto::{self, Encryptor, Header, Key, Keyring, Layouts, SourceServer};

/// Plaintext sizes around every boundary: segment 0 has 1,048,520 bytes, later ones 1,048,560.
const SIZES: [usize; 10] = [0, 1, 300, 1_048_519, 1_048_520, 1_048_521, 2_097_079, 2_097_080, 2_097_081, 5_000_000];

fn key(hex: &str) -> Key {
    Key::from_hex(&Secret::new(hex)).unwrap()
}

fn header(key: &Key) -> Header {
    Header {
        key_id: key.id().to_owned(),
        created_at: chrono::DateTime::from_timestamp(1_764_122_400, 0).unwrap(),
        vault: SourceServer { cluster_name: Some("vault-cluster-é".into()), ..SourceServer::default() },
        tool: "vault-backup/0.1.0".into(),
    }
}

fn encrypt(key: &Key, plaintext: &[u8]) -> Vec<u8> {
    let (mut object, mut encryptor) = (Vec::new(), Encryptor::new(key, &header(key)).unwrap());
    let mut sink = |piece: bytes::Bytes| {
        object.extend(piece);
        Ok(())
    };
    encryptor.write(plaintext, &mut sink).unwrap();
    encryptor.finish(&mut sink).unwrap();
    object
}

fn decrypt(object: &[u8], keys: &Keyring) -> Vec<u8> {
    let mut plaintext = Vec::new();
    std::io::copy(&mut crypto::open(object, keys, Layouts::Any).unwrap(), &mut plaintext).unwrap();
    plaintext
}

/// Writes every good vector into `dir`. The writer fails if vectors.json differs.
fn write_good_vectors(dir: &Path) -> Vectors {
    python(&["tests/vectors/write.py", dir.to_str().unwrap()]).success();
    Vectors::load()
}

#[test]
fn backups_written_by_python_decrypt() {
    let dir = tempfile::tempdir().unwrap();
    let vectors = write_good_vectors(dir.path());
    let keys = Keyring::new(key(&vectors.key), Vec::new());
    for good in &vectors.good {
        let object = std::fs::read(dir.path().join(format!("{}.enc", good.name))).unwrap();
        assert!(decrypt(&object, &keys) == plaintext(good.plaintext_size), "{}", good.name);
    }
}

#[test]
fn tink_decrypts_our_backups_and_refuses_truncated_ones() {
    let (dir, key) = (tempfile::tempdir().unwrap(), Key::generate().unwrap());
    std::fs::write(dir.path().join("key"), key.to_hex().expose()).unwrap();
    let mut expected = BTreeMap::new();
    for size in SIZES {
        let (object, plaintext) = (encrypt(&key, &plaintext(size)), plaintext(size));
        std::fs::write(dir.path().join(format!("{size}.enc")), &object).unwrap();
        expected.insert(size.to_string(), hex::encode(sha256(&plaintext)));
        // It refuses a truncated backup, so both agree on the end.
        std::fs::write(dir.path().join(format!("{size}-truncated.enc")), &object[..object.len() - 1]).unwrap();
        expected.insert(format!("{size}-truncated"), "refused".into());
    }
    let said = python(&["tests/vectors/tink_check.py", "decrypt", dir.path().to_str().unwrap()]).success();
    let said: BTreeMap<_, _> =
        said.lines().filter_map(|line| line.split_once(' ')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
    assert_eq!(said, expected);
}

#[test]
fn backups_written_by_tink_decrypt() {
    let (dir, key) = (tempfile::tempdir().unwrap(), Key::generate().unwrap());
    std::fs::write(dir.path().join("key"), key.to_hex().expose()).unwrap();
    let header = serde_json::to_string(&header(&key)).unwrap();
    let sizes = SIZES.map(|size| size.to_string());
    let mut arguments = vec!["tests/vectors/tink_check.py", "encrypt", dir.path().to_str().unwrap(), &header];
    arguments.extend(sizes.iter().map(String::as_str));
    python(&arguments).success();
    let keys = Keyring::new(key, Vec::new());
    for size in SIZES {
        let object = std::fs::read(dir.path().join(format!("{size}.enc"))).unwrap();
        assert!(decrypt(&object, &keys) == plaintext(size), "{size}");
    }
}

#[test]
fn decrypt_py_decrypts_good_vectors_and_refuses_bad_ones() {
    let dir = tempfile::tempdir().unwrap();
    let vectors = write_good_vectors(dir.path());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let run = |key: &str, object: &[u8], out: &str| {
        std::fs::write(path("key"), format!("{key}\n")).unwrap();
        std::fs::write(path("object"), object).unwrap();
        python(&["examples/decrypt.py", &path("key"), &path("object"), out])
    };
    let object = |name: &str| std::fs::read(path(&format!("{name}.enc"))).unwrap();
    for good in &vectors.good {
        let out = path(&format!("{}.out", good.name));
        run(&vectors.key, &object(&good.name), &out).success();
        assert!(std::fs::read(&out).unwrap() == plaintext(good.plaintext_size), "{}", good.name);
        assert!(run(&vectors.key, &object(&good.name), &out).failure().contains("file exists"));
    }
    for bad in &vectors.bad {
        let (edited, key) = bad.edit.apply(object(&bad.of), &vectors.key);
        let said = run(&key, &edited, &path("bad.out")).failure();
        assert!(!said.contains("Traceback"), "{}: {said}", bad.name);
        assert!(!Path::new(&path("bad.out")).exists(), "{} left something", bad.name);
    }
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 2 * vectors.good.len() + 2, "a temporary file was left");
}
