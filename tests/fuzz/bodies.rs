//! Bodies of the fuzz targets: check properties beyond the absence of panics.
//! Also run by `cargo test` (tests/fuzz.rs).

#![allow(dead_code, reason = "every target uses one of these")]

use flate2::{Compression, write::GzEncoder};
use std::io::{self, Read, Write};
use vault_backup::base::error::{Kind, Result};
use vault_backup::base::secret::Secret;
use vault_backup::formats::archive::{self, Snapshot};
use vault_backup::formats::crypto::{self, Decryptor, Header, Key, Keyring, Layouts};
use vault_backup::formats::manifest::{DrillRecord, Manifest, canonical};
use vault_backup::formats::naming::{BackupName, BackupType, Role};

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
