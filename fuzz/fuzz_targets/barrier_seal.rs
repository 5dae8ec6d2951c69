//! Arbitrary bytes as the wrapped root key (a BlobInfo), as its content, and as the seal configuration.
#![no_main]

#[path = "../../src/formats/barrier/tests/state.rs"]
#[allow(dead_code, reason = "each target uses what it needs")]
mod state;

use libfuzzer_sys::fuzz_target;
use state::{State, varint, wrapped};
use vault_backup::formats::barrier::{Barrier, UnsealKeys};
use vault_backup::base::secret::Secret;
use vault_backup::formats::share::Share;

const KEYS: &str = "core/hsm/barrier-unseal-keys";

fn keys(share: &str) -> UnsealKeys {
    UnsealKeys::of_shares(vec![Share::parse("fuzz", &Secret::new(share)).expect("valid share")])
}

fuzz_target!(|bytes: &[u8]| {
    let share = keys(&State::share());
    let state = State::with_seal(r#"{"type":"shamir","secret_shares":1,"secret_threshold":1,"stored_shares":1}"#);
    let content = wrapped(&String::from_utf8_lossy(bytes));
    let blob = [&[0x0a][..], &varint(content.len()), &content].concat();
    for state in [
        state.clone().put(KEYS, bytes),
        state.clone().put(KEYS, &blob),
        state.put("core/seal-config", bytes),
    ] {
        let _ = Barrier::unlock(&*state.bytes(), &share);
    }
    let texts = bytes.split(|b| *b == b'\n').map(|s| Secret::new(String::from_utf8_lossy(s)));
    let shares = texts.filter_map(|text| Share::parse("fuzz", &text).ok()).collect();
    let _ = Barrier::unlock(&*State::new().bytes(), &UnsealKeys::of_shares(shares));
});
