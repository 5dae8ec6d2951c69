//! Arbitrary bytes as the plaintext of the keyring and of the mount tables.
#![no_main]

#[path = "../../src/formats/barrier/tests/state.rs"]
#[allow(dead_code, reason = "each target uses what it needs")]
mod state;

use libfuzzer_sys::fuzz_target;
use state::State;
use vault_backup::formats::barrier::{Barrier, UnsealKeys};
use vault_backup::base::secret::Secret;
use vault_backup::formats::share::Share;

fn keys(share: &str) -> UnsealKeys {
    UnsealKeys::of_shares(vec![Share::parse("fuzz", &Secret::new(share)).expect("valid share")])
}

fuzz_target!(|bytes: &[u8]| {
    let share = keys(&State::share());
    let _ = Barrier::unlock(&*State::new().keyring(bytes).bytes(), &share);
    let _ = Barrier::unlock(&*State::new().put("core/keyring", bytes).bytes(), &share);
    // Complete tables and a single mount; compressed if the first byte indicates it.
    for table in ["core/mounts", "core/local-auth", "core/mounts/u"] {
        let state = State::new().encrypt(table, bytes);
        if let Ok(barrier) = Barrier::unlock(&*state.bytes(), &share) {
            let _ = barrier.list(&*state.bytes(), "");
        }
    }
});
