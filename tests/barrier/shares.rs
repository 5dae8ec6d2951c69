//! Shares, seals and keys: the right ones unlock a snapshot, all others are refused.

use super::{State, assert_drill, found, parse, query, secrets, unlocked};
use crate::support::vault::{Vault, product};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;
use std::collections::BTreeMap;
use vault_backup::base::error::Kind;
use vault_backup::formats::barrier::{self, Barrier};

const REFUSAL: &str = "the shares do not unseal this backup";

/// All orders of `items`.
fn orders(items: &[String]) -> Vec<Vec<String>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let rest = |i: usize| [&items[..i], &items[i + 1..]].concat();
    let with = |i: usize| orders(&rest(i)).into_iter().map(move |order| [vec![items[i].clone()], order].concat());
    (0..items.len()).flat_map(with).collect()
}

fn hex_of(share: &str) -> String {
    hex::encode(BASE64_STANDARD.decode(share).unwrap())
}

#[test]
fn only_the_right_shares_unseal_a_snapshot() {
    let stranger = Vault::builder().shares(5, 3).start();
    for (count, threshold) in [(1, 1), (3, 2), (5, 3)] {
        let vault = Vault::builder().shares(count, threshold).start();
        vault.mount_kv("kv", 2);
        vault.put_secret("kv", "a", &json!({"b": 1}));
        let state = State::of(&vault);
        let unlock = |shares: &[String]| Barrier::unlock(state.bytes(), &secrets(shares));
        // More shares than needed work too, as does every set of the needed number.
        for given in (threshold..=count).flat_map(|n| [&vault.shares()[..n], &vault.shares()[count - n..]]) {
            for mut shares in orders(given) {
                let barrier = unlock(&shares).unwrap();
                assert_eq!((barrier.seal().shares, barrier.seal().threshold), (count, threshold));
                shares[0] = hex_of(&shares[0]);
                let barrier = unlock(&shares).unwrap();
                assert_eq!(found(&barrier.find(state.bytes(), &query("kv/a", None)).unwrap()).0, json!({"b": 1}));
            }
        }
        let enough = vault.enough_shares();
        let with = |share: &str| [&enough[1..], &[share.to_owned()]].concat();
        let mut damaged = BASE64_STANDARD.decode(&enough[0]).unwrap();
        damaged[7] ^= 1;
        let few = format!("too few unseal key shares: {} given", threshold - 1);
        let twice =
            format!("share {} of {} (env:SHARE{threshold}): duplicate of share 1", threshold + 1, threshold + 1);
        let foreign = if threshold == 1 { "share 1 of 1 (env:SHARE0): it has 33 bytes" } else { REFUSAL };
        for (wrong, says) in [
            (enough[1..].to_vec(), few.as_str()),
            (with(&stranger.shares()[4]), foreign),
            (with(&BASE64_STANDARD.encode(damaged)), REFUSAL),
            ([enough, &enough[..1]].concat(), &twice),
        ] {
            assert_drill(&unlock(&wrong).unwrap_err(), says);
        }
        for malformed in ["not a share", ""] {
            assert_eq!(parse(0, malformed).unwrap_err().kind(), Kind::Usage);
        }
    }
}

#[test]
fn rotation_adds_terms_and_rekey_changes_shares() {
    let vault = Vault::builder().rekeyable().start();
    vault.mount_kv("kv", 2);
    for term in 1..=3 {
        vault.put_secret("kv", &format!("term-{term}"), &json!({"term": term}));
        if term < 3 {
            vault.ok("POST", "sys/rotate", None);
        }
    }
    let (state, barrier) = unlocked(&vault);
    assert_eq!(barrier.terms(), [1, 2, 3]);
    let scan = barrier.scan(state.bytes(), None).unwrap();
    assert_eq!(scan.terms.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    for term in 1..=3 {
        let answer = barrier.find(state.bytes(), &query(&format!("kv/term-{term}"), None)).unwrap();
        assert_eq!(found(&answer).0, json!({"term": term}));
    }

    let new_shares = vault.rekey(4, 3);
    let state = State::of(&vault);
    let old = Barrier::unlock(state.bytes(), &secrets(vault.shares())).unwrap_err();
    assert_drill(&old, REFUSAL);
    let barrier = Barrier::unlock(state.bytes(), &secrets(&new_shares[..3])).unwrap();
    assert_eq!((barrier.seal().shares, barrier.seal().threshold), (4, 3));
    barrier.scan(state.bytes(), None).unwrap();
}

#[test]
fn scan_counts_every_entry_and_names_a_flipped_byte() {
    let vault = Vault::start();
    for version in [1, 2] {
        vault.mount_kv(&format!("v{version}"), version);
        vault.put_secret(&format!("v{version}"), "a/b", &json!({"planted": "hunter2"}));
    }
    vault.approle("role", &["default"]);
    vault.enable_auth("userpass");
    vault.ok("POST", "auth/userpass/users/someone", Some(json!({"password": "hunter2"})));
    let (state, barrier) = unlocked(&vault);
    let scan = barrier.scan(state.bytes(), Some(&query("v2/a/b", None))).unwrap();

    let places = state.places();
    assert_eq!(scan.summary.total.entries, places.len() as u64);
    assert_eq!(scan.terms.values().sum::<u64>() + scan.outside, places.len() as u64);
    assert_eq!(scan.summary, barrier::survey(state.bytes(), None).unwrap().0);
    let size = |place: &super::state::Place| (place.key.len() + place.length) as u64;
    assert_eq!(scan.summary.total.bytes, places.iter().map(size).sum::<u64>());
    let largest = places.iter().max_by_key(|place| size(place)).unwrap();
    assert_eq!((&scan.summary.largest.key, scan.summary.largest.bytes), (&largest.key, size(largest)));
    let named: BTreeMap<_, _> = barrier.mounts().iter().map(|m| (m.path.as_str(), m)).collect();
    for path in ["v1/", "v2/", "auth/approle/", "auth/userpass/", "auth/token/", "sys/", "identity/"] {
        assert_eq!(barrier.mounts().stored_at(&named[path].storage).unwrap().path, path);
    }
    assert_eq!(scan.summary.parts[&named["v1/"].storage].entries, 1);
    assert_eq!(found(&scan.answer.clone().unwrap()).0, json!({"planted": "hunter2"}));
    assert!(!format!("{scan:?} {barrier:?}").contains("hunter2"));

    let mut outside = 0;
    for place in &places {
        for offset in [0, 4, 5, place.length / 2, place.length - 1] {
            let damaged = state.flipped(place.value + offset);
            match barrier.scan(damaged.bytes(), None) {
                Err(e) => assert_drill(&e, &format!("{}: ", place.key)),
                Ok(_) => {
                    outside += 1;
                    assert!(place.key.starts_with("core/"), "{}", place.key);
                }
            }
        }
    }
    assert_eq!(outside, 5 * scan.outside, "only entries outside of the barrier have no tag");
    assert_eq!((scan.outside, scan.unknown, scan.unopened), (4, 0, 0));
    assert_eq!(barrier.product(), product());
    let keyring = places.iter().find(|place| place.key == "core/keyring").unwrap();
    let e = Barrier::unlock(state.flipped(keyring.value + 99).bytes(), &secrets(vault.shares())).unwrap_err();
    assert_drill(&e, "core/keyring: ");
}

#[test]
fn other_seal_types_are_refused_with_a_hint() {
    let vault = Vault::builder().shares(1, 1).start();
    let state = State::of(&vault);
    let config = String::from_utf8(state.value("core/seal-config").to_vec()).unwrap();
    let other = state.with("core/seal-config", config.replace("shamir", "awskms").as_bytes());
    let e = Barrier::unlock(other.bytes(), &secrets(vault.shares())).unwrap_err();
    assert_eq!(e.kind(), Kind::Usage);
    assert!(e.to_string().contains("`awskms`") && e.to_string().contains("--ephemeral"), "{e}");
    let before_keyring = state.places().iter().find(|place| place.key == "core/hsm/barrier-unseal-keys").unwrap().value;
    let e = Barrier::unlock(&state.bytes()[..before_keyring], &secrets(vault.shares())).unwrap_err();
    assert_eq!(e.kind(), Kind::Integrity, "{e}");
}
