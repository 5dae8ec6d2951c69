//! Any bytes as the wrapped root key (a BlobInfo), as what it holds, and as the seal's description.
#![no_main]

#[path = "../../src/barrier/tests/state.rs"]
#[allow(dead_code, reason = "each target uses what it needs")]
mod state;

use libfuzzer_sys::fuzz_target;
use state::{State, varint, wrapped};
use vault_backup::barrier::Barrier;
use vault_backup::secret::Secret;

const KEYS: &str = "core/hsm/barrier-unseal-keys";

fuzz_target!(|bytes: &[u8]| {
    let share = [Secret::new(State::share())];
    let state = State::with_seal(r#"{"type":"shamir","secret_shares":1,"secret_threshold":1,"stored_shares":1}"#);
    let held = wrapped(&String::from_utf8_lossy(bytes));
    let blob = [&[0x0a][..], &varint(held.len()), &held].concat();
    for state in [
        state.clone().put(KEYS, bytes),
        state.clone().put(KEYS, &blob),
        state.put("core/seal-config", bytes),
    ] {
        let _ = Barrier::unlock(&*state.bytes(), &share);
    }
    let shares: Vec<_> = bytes.split(|b| *b == b'\n').map(|s| Secret::new(String::from_utf8_lossy(s))).collect();
    let _ = Barrier::unlock(&*State::new().bytes(), &shares);
});
