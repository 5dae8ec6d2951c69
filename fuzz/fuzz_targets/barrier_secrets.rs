//! Arbitrary bytes as the entries of a KV mount: metadata (a KeyMetadata), salt, data.
#![no_main]

#[path = "../../src/formats/barrier/tests/state.rs"]
#[allow(dead_code, reason = "each target uses what it needs")]
mod state;

use libfuzzer_sys::fuzz_target;
use state::{KV, State};
use vault_backup::formats::barrier::{Barrier, Query, UnsealKeys};
use vault_backup::base::secret::Secret;
use vault_backup::formats::share::Share;

/// Metadata of `kv/a` with version 1, whose key is computed with the salt `salt`.
const METADATA: &[u8] = b"\x0a\x01a\x12\x06\x08\x01\x12\x02\x0a\x00\x18\x01";
/// Key of version 1 of `a`: hex SHA-256 of `salta|1`, with a slash after 3 digits.
const DATA: &str = "versions/5bf/c5ab2836f26efb40cb55aa0b35116bc17dda620b1de6458728a48a76cbac5";

fn keys(share: &str) -> UnsealKeys {
    UnsealKeys::of_shares(vec![Share::parse("fuzz", &Secret::new(share)).expect("valid share")])
}

fuzz_target!(|bytes: &[u8]| {
    let base = || {
        State::new()
            .encrypt(&format!("{KV}metadata/m"), METADATA)
            .encrypt(&format!("{KV}salt"), b"salt")
            .encrypt(&format!("{KV}{DATA}"), b"\x0a\x02{}")
    };
    let share = keys(&State::share());
    let barrier = Barrier::unlock(&*base().bytes(), &share).expect("valid state");
    for entry in ["metadata/m", "metadata/n", "salt", "upgrading", DATA] {
        let state = base().encrypt(&format!("{KV}{entry}"), bytes).encrypt("logical/v/a", bytes).bytes();
        for path in ["kv/a", "old/a"] {
            let query = Query { path: path.to_owned(), version: None, at: chrono::DateTime::UNIX_EPOCH };
            let _ = barrier.find(&*state, &query);
            let _ = barrier.scan(&*state, Some(&query));
        }
        let _ = barrier.list(&*state, "");
    }
});
