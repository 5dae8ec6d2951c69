//! Arbitrary bytes as state.bin, read without and with keys.
#![no_main]

#[path = "../../src/formats/barrier/tests/state.rs"]
#[allow(dead_code, reason = "each target uses what it needs")]
mod state;

use libfuzzer_sys::fuzz_target;
use state::State;
use vault_backup::formats::barrier::{Barrier, UnsealKeys, survey};
use vault_backup::base::secret::Secret;
use vault_backup::formats::share::Share;

fn keys(share: &str) -> UnsealKeys {
    UnsealKeys::of_shares(vec![Share::parse("fuzz", &Secret::new(share)).expect("valid share")])
}

fuzz_target!(|bytes: &[u8]| {
    let share = keys(&State::share());
    let barrier = Barrier::unlock(&*State::new().bytes(), &share).expect("valid state");
    let _ = Barrier::unlock(bytes, &share);
    let counted = survey(bytes, None);
    if let Ok(scan) = barrier.scan(bytes, None) {
        assert_eq!(scan.summary, counted.expect("decrypted state can be counted").0);
    }
});
