//! Bodies that read a snapshot's state.bin: its entries, keys, tables and secrets.

#[path = "../../../src/formats/barrier/tests/state.rs"]
#[allow(dead_code, reason = "the unit tests of `barrier` use the rest")]
mod state;

use state::{KV, State, varint, wrapped};
use vault_backup::base::secret::Secret;
use vault_backup::formats::barrier::{Barrier, Query, UnsealKeys, survey};
use vault_backup::formats::share::{self, Share};

const WRAPPED_KEY: &str = "core/hsm/barrier-unseal-keys";
/// Metadata of `kv/a` with version 1, whose key is computed with the salt `salt`.
const METADATA: &[u8] = b"\x0a\x01a\x12\x06\x08\x01\x12\x02\x0a\x00\x18\x01";
/// Key of version 1 of `a`: hex SHA-256 of `salta|1`, with a slash after 3 digits.
const DATA: &str = "versions/5bf/c5ab2836f26efb40cb55aa0b35116bc17dda620b1de6458728a48a76cbac5";

fn keys() -> UnsealKeys {
    UnsealKeys::of_shares(vec![Share::parse("fuzz", &Secret::new(State::share())).expect("valid share")])
}

/// The plaintext of a keyring and of a mount table, as seeds.
pub const KEYRING: &str = state::KEYRING;
pub const MOUNTS: &str = state::MOUNTS;

/// A good state.bin, as a seed.
pub fn good_state() -> Vec<u8> {
    State::new().encrypt(&format!("{KV}metadata/m"), METADATA).bytes()
}

/// Arbitrary bytes as state.bin are read in the same way without and with keys.
pub fn entries(bytes: &[u8]) {
    let barrier = Barrier::unlock(&*State::new().bytes(), &keys()).expect("valid state");
    let _ = Barrier::unlock(bytes, &keys());
    let counted = survey(bytes, None);
    if let Ok(scan) = barrier.scan(bytes, None) {
        assert_eq!(scan.summary, counted.expect("decrypted state can be counted").0);
    }
}

/// Arbitrary bytes as the plaintext of the keyring and of the mount tables.
pub fn keyring(bytes: &[u8]) {
    let _ = Barrier::unlock(&*State::new().keyring(bytes).bytes(), &keys());
    let _ = Barrier::unlock(&*State::new().put("core/keyring", bytes).bytes(), &keys());
    // Complete tables and a single mount; compressed if the first byte indicates it.
    for table in ["core/mounts", "core/local-auth", "core/mounts/u"] {
        let state = State::new().encrypt(table, bytes);
        if let Ok(barrier) = Barrier::unlock(&*state.bytes(), &keys()) {
            let _ = barrier.list(&*state.bytes(), "");
        }
    }
}

/// Arbitrary bytes as the description of a namespace, and as its seal and keyring.
pub fn namespaces(bytes: &[u8]) {
    let base = || State::new().encrypt("core/namespaces/n", br#"{"id":"n","path":"team/"}"#);
    for state in [
        State::new().encrypt("core/namespaces/n", bytes),
        base().encrypt("namespaces/n/core/seal-config", bytes),
        base().put("namespaces/n/core/keyring", bytes),
        base().put(&format!("namespaces/n/{WRAPPED_KEY}"), bytes),
        base().encrypt("namespaces/n/core/mounts/u", bytes),
    ] {
        if let Ok(barrier) = Barrier::unlock(&*state.bytes(), &keys()) {
            let _ = barrier.scan(&*state.bytes(), None);
            let _ = barrier.list(&*state.bytes(), "");
        }
    }
}

/// Arbitrary bytes as the wrapped root key (a BlobInfo), as its content, and as the seal configuration.
pub fn seal(bytes: &[u8]) {
    let state = State::with_seal(r#"{"type":"shamir","secret_shares":1,"secret_threshold":1,"stored_shares":1}"#);
    let content = wrapped(&String::from_utf8_lossy(bytes));
    let blob = [&[0x0a][..], &varint(content.len()), &content].concat();
    for state in [
        state.clone().put(WRAPPED_KEY, bytes),
        state.clone().put(WRAPPED_KEY, &blob),
        state.put("core/seal-config", bytes),
    ] {
        let _ = Barrier::unlock(&*state.bytes(), &keys());
    }
}

/// Lines of text are parsed as shares. A share reads the same after another trip through hex.
pub fn shares(bytes: &[u8]) {
    let texts = bytes.split(|b| *b == b'\n').map(|line| Secret::new(String::from_utf8_lossy(line)));
    let shares: Vec<_> = texts.filter_map(|text| Share::parse("fuzz", &text).ok()).collect();
    for share in &shares {
        let again = Share::parse("fuzz", &Secret::new(hex::encode(share.bytes()))).expect("a share in hex");
        assert_eq!(again.bytes(), share.bytes());
    }
    for threshold in 0..4 {
        let _ = share::check(&shares, threshold, 3);
    }
    let _ = Barrier::unlock(&*State::new().bytes(), &UnsealKeys::of_shares(shares));
}

/// Arbitrary bytes as the entries of a KV mount: metadata (a KeyMetadata), salt, data.
pub fn secrets(bytes: &[u8]) {
    let base = || {
        State::new()
            .encrypt(&format!("{KV}metadata/m"), METADATA)
            .encrypt(&format!("{KV}salt"), b"salt")
            .encrypt(&format!("{KV}{DATA}"), b"\x0a\x02{}")
    };
    let barrier = Barrier::unlock(&*base().bytes(), &keys()).expect("valid state");
    for entry in ["metadata/m", "metadata/n", "salt", "upgrading", DATA] {
        let state = base().encrypt(&format!("{KV}{entry}"), bytes).encrypt("logical/v/a", bytes).bytes();
        for path in ["kv/a", "old/a"] {
            let query = Query { path: path.to_owned(), version: None, at: chrono::DateTime::UNIX_EPOCH };
            let _ = barrier.find(&*state, &query);
            let _ = barrier.scan(&*state, Some(&query));
        }
        let _ = barrier.list(&*state, "");
    }
}
