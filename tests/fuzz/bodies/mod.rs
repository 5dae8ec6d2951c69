//! Bodies of the fuzz targets: check properties beyond the absence of panics.
//! Run by the fuzzer (fuzz/run.sh) and by `cargo test` (tests/fuzz.rs).

pub mod barrier;
#[path = "../../support/snapshot.rs"]
#[allow(dead_code, clippy::duplicate_mod, reason = "the tests use all of it, and the fuzzer has no other copy")]
mod snapshot;

use flate2::{Compression, write::GzEncoder};
use ring::hmac;
use snapshot::Synthetic;
use std::io::{self, Read, Write};
use vault_backup::base::error::{Kind, Result};
use vault_backup::base::secret::Secret;
use vault_backup::formats::archive::{self, Snapshot};
use vault_backup::formats::crypto::{self, Decryptor, Header, Key, Keyring, Layouts};
use vault_backup::formats::manifest::{DrillRecord, Manifest, canonical};
use vault_backup::formats::naming::{BackupName, BackupType, Role};
use vault_backup::formats::product::{self, ServerVersion};

/// Checks one input, and panics if a property does not hold.
pub type Body = fn(&[u8]);

/// The targets by name. Each has a directory of seeds in fuzz/corpus.
pub const TARGETS: &[(&str, Body)] = &[
    ("archive", archive),
    ("barrier_entries", barrier::entries),
    ("barrier_keyring", barrier::keyring),
    ("barrier_namespaces", barrier::namespaces),
    ("barrier_seal", barrier::seal),
    ("barrier_secrets", barrier::secrets),
    ("header", header),
    ("manifest", manifest),
    ("meta", meta),
    ("naming", naming),
    ("open", open),
    ("shares", barrier::shares),
    ("signed", signed),
    ("version", version),
];

/// The key of tests/vectors/vectors.json.
const KEY: &str = "b7d5e6d66fa28deb73b15d36a13427449a1bda3d3bd771324abd86cffcaf818a";

fn keys() -> Keyring {
    Keyring::new(Key::from_hex(&Secret::new(KEY)).expect("64 hex digits"), Vec::new())
}

/// Decryption ends with the whole plaintext or with an integrity error, which is repeated.
pub fn open(data: &[u8]) {
    let keys = keys();
    let any = crypto::open(data, &keys, Layouts::Any).and_then(|mut opened| {
        io::copy(&mut opened, &mut io::sink())
            .map_err(|e| vault_backup::base::error::Error::from_io(e, Kind::Unexpected, "not ours"))
    });
    if let Err(e) = any {
        assert_eq!(e.kind(), Kind::Integrity, "{e}");
    }
    let Ok(mut decryptor) = Decryptor::new(data, &keys) else { return };
    let end = loop {
        match decryptor.next_segment() {
            Ok(Some(_)) => {}
            Ok(None) => break None,
            Err(e) => break Some(e.to_string()),
        }
    };
    assert_eq!(decryptor.next_segment().err().map(|e| e.to_string()), end);
    assert!(end.is_some() || decryptor.size() == data.len() as u64);
}

/// The check has the same result for any reader of state.bin. Input: the bytes themselves and
/// a tar made of them.
pub fn archive(data: &[u8]) {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(data).expect("memory");
    for bytes in [data, &gzip.finish().expect("memory")] {
        let plain = verdict(archive::check(bytes));
        let mut taken = Vec::new();
        let read = archive::check_with(bytes, |_, state| Ok(state.take(100).read_to_end(&mut taken)));
        assert_eq!(verdict(read.map(|(snapshot, _)| snapshot)), plain);
    }
}

fn verdict(result: Result<Snapshot>) -> Option<Snapshot> {
    result.map_err(|e| assert_eq!(e.kind(), Kind::Integrity, "{e}")).ok()
}

/// A parsed header is the same after it is written and parsed again.
pub fn header(data: &[u8]) {
    let framed = [b"VLTBKUP1", &u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes()[..], data].concat();
    for bytes in [data, &framed] {
        if let Ok(Some(header)) = Header::peek(bytes) {
            let text = serde_json::to_vec(&header).expect("a header is JSON");
            assert_eq!(serde_json::from_slice::<Header>(&text).expect("it was written"), header);
        }
    }
}

/// The canonical form round-trips and is stable. No document is accepted without a valid MAC.
pub fn manifest(data: &[u8]) {
    let Ok(value) = canonical::parse(data) else {
        assert!(Manifest::peek(data).is_none());
        return;
    };
    let text = canonical::write(&value).expect("what is parsed can be written");
    assert_eq!(canonical::parse(text.as_bytes()).as_ref(), Ok(&value));
    let macs = keys().mac_keys();
    let name = BackupName::new(BackupType::Daily, chrono::DateTime::UNIX_EPOCH);
    assert!(Manifest::from_bytes(data, &name, &macs).is_err());
    assert!(DrillRecord::from_bytes(data, &name, &macs).is_err());
}

/// A parsed name round-trips, and the names of its manifest and drill record are recognised.
pub fn naming(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Role::of(text) {
        Role::Backup(name) => {
            assert_eq!(name.object(), text);
            assert_eq!(Role::of(&name.manifest()), Role::Manifest(name.clone()));
            assert_eq!(Role::of(&name.drill_record()), Role::DrillRecord(name));
        }
        Role::Manifest(name) => assert_eq!(name.manifest(), text),
        Role::DrillRecord(name) => assert_eq!(name.drill_record(), text),
        Role::Foreign => assert_eq!(BackupName::parse(text), None),
    }
}

/// A document with a valid MAC is accepted only for its own object, and survives being written again.
pub fn signed(data: &[u8]) {
    let Ok(mut value) = canonical::parse(data) else { return };
    let Some(map) = value.as_object_mut() else { return };
    let (keys, name) = (keys().mac_keys(), BackupName::new(BackupType::Daily, chrono::DateTime::UNIX_EPOCH));
    map.remove("mac");
    map.insert("schema".into(), 1.into());
    let text = canonical::write(&value).expect("what is parsed can be written");
    let mut sign = |key: &[u8; 32]| {
        value["mac"] = hex::encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())).into();
        value.to_string().into_bytes()
    };
    if let Ok((manifest, _)) = Manifest::from_bytes(&sign(&keys[0].manifest), &name, &keys) {
        assert_eq!(manifest.object, name.object());
        let again = manifest.to_bytes(&keys[0]).expect("what is read can be written");
        assert_eq!(Manifest::from_bytes(&again, &name, &keys).expect("it was written").0, manifest);
    }
    let drill = keys[0].drill.as_ref().expect("a master key");
    if let Ok((record, _)) = DrillRecord::from_bytes(&sign(drill), &name, &keys) {
        assert_eq!(record.object, name.object());
        let again = record.to_bytes(&keys[0]).expect("what is read can be written");
        assert_eq!(DrillRecord::from_bytes(&again, &name, &keys).expect("it was written").0, record);
    }
}

/// Arbitrary bytes as the meta.json of a snapshot whose checksums are right.
pub fn meta(data: &[u8]) {
    let mut snapshot = Synthetic::whole(b"state");
    *snapshot.member("meta.json") = data.to_vec();
    let sums = snapshot.members[..2].iter().map(|(name, data)| format!("{}  {name}\n", snapshot::sha256(data)));
    *snapshot.member("SHA256SUMS") = sums.collect::<String>().into_bytes();
    let bytes = snapshot.bytes();
    if verdict(archive::check(&*bytes)).is_some() {
        archive::peek(&*bytes).expect("a good snapshot has a readable meta.json");
    }
}

/// Versions are compared without a panic, and the first line of a server's output round-trips.
pub fn version(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let versions: Vec<_> = text.lines().map(|line| ServerVersion::new(None, Some(line))).collect();
    for (source, target) in versions.iter().zip(versions.iter().skip(1)) {
        let _ = product::compare(source, target).note(source, target);
    }
    if let Some(server) = product::of_binary(&text) {
        assert_eq!(ServerVersion::new(server.product, server.version.as_deref()), server);
    }
}
