//! The fuzzer: runs the target that `FUZZ_TARGET` names.

#![no_main]

use std::sync::LazyLock;
use vault_backup::bodies::{Body, TARGETS};

static BODY: LazyLock<Body> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names the target");
    let found = TARGETS.iter().find(|(target, _)| *target == name);
    found.unwrap_or_else(|| panic!("FUZZ_TARGET={name}: no such target")).1
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| BODY(data));
