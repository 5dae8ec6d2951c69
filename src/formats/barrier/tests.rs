//! Tests with data that no real Vault writes: older and newer forms, and damage that
//! authentication does not detect. Tests with real servers are in `tests/barrier.rs`.

mod namespaces;
mod state;

use super::*;
use crate::base::error::Kind;
use crate::base::secret::Secret;
use crate::formats::share::Share;
use chrono::DateTime;
use proptest::prelude::*;
use prost::Message;
use state::{KV, MOUNTS, State, varint};

/// Time of the queries, in seconds since 1970.
const NOW: i64 = 1_700_000_000;

fn keys(share: &str) -> UnsealKeys {
    UnsealKeys::of_shares(vec![Share::parse("env:SHARE", &Secret::new(share)).unwrap()])
}

fn unlock(state: &State) -> Result<Barrier> {
    Barrier::unlock(&*state.bytes(), &keys(&State::share()))
}

fn ask(state: &State, path: &str, version: Option<u64>) -> Result<SecretAnswer> {
    let at = DateTime::from_timestamp(NOW, 0).unwrap();
    let query = Query { path: path.into(), version, at };
    let barrier = unlock(state)?;
    let found = barrier.find(&*state.bytes(), &query);
    if let Ok(scan) = barrier.scan(&*state.bytes(), Some(&query)) {
        assert_eq!(Some(found.as_ref().unwrap()), scan.answer.as_ref());
    }
    found
}

fn fails(result: Result<impl fmt::Debug>, why: &str) {
    let e = result.unwrap_err();
    assert_eq!(e.kind(), Kind::Drill, "{e}");
    assert!(e.to_string().contains(why), "{e}");
}

fn at(seconds: i64) -> proto::Timestamp {
    proto::Timestamp { seconds, nanos: 0 }
}

/// A state with the secret `kv/a` in version 1, with this deletion time.
fn with_secret(deletion: Option<proto::Timestamp>) -> State {
    let version_1 =
        proto::VersionMetadata { created_time: Some(at(NOW - 9)), deletion_time: deletion, ..Default::default() };
    let metadata = proto::KeyMetadata {
        key: "a".into(),
        current_version: 1,
        versions: [(1, version_1)].into(),
        ..Default::default()
    };
    let version = proto::Version { data: br#"{"k":"v"}"#.to_vec(), ..Default::default() };
    // SHA-256 of `salta|1`.
    let hash = hex::encode(ring::digest::digest(&ring::digest::SHA256, b"salta|1"));
    State::new()
        .encrypt(&format!("{KV}metadata/xyz"), &metadata.encode_to_vec())
        .encrypt(&format!("{KV}salt"), b"salt")
        .encrypt(&format!("{KV}versions/{}/{}", &hash[..3], &hash[3..]), &version.encode_to_vec())
}

/// The key of the data entry made by [`with_secret`].
fn data_entry(state: &State) -> String {
    let bytes = state.bytes();
    let mut entries = Entries::new(&*bytes);
    while let Some(entry) = entries.read().unwrap() {
        if entry.key.starts_with(&format!("{KV}versions/")) {
            return entry.key.to_owned();
        }
    }
    panic!("no data");
}

#[test]
fn find_compares_the_deletion_time_with_the_time_of_the_query() {
    let SecretAnswer::Found(data, Some(version)) = ask(&with_secret(None), "kv/a", None).unwrap() else { panic!() };
    assert_eq!((data.expose(), version.number, version.deletion), (r#"{"k":"v"}"#, 1, None));
    let answer = |deletion| ask(&with_secret(Some(at(deletion))), "kv/a", Some(1)).unwrap();
    assert!(matches!(answer(NOW - 1), SecretAnswer::Deleted(_)));
    assert!(matches!(answer(NOW), SecretAnswer::Found(..)));
    assert_eq!(ask(&with_secret(None), "kv/b", None).unwrap(), SecretAnswer::Missing(MissingReason::NoSecret));
    assert_eq!(ask(&with_secret(None), "old/a", None).unwrap(), SecretAnswer::Missing(MissingReason::NoSecret));
}

#[test]
fn inconsistent_data_is_refused() {
    let whole = with_secret(None);
    let data = data_entry(&whole);
    fails(ask(&whole.clone().without(&data), "kv/a", None), "lacks the data of its version 1");
    fails(ask(&whole.clone().without(&format!("{KV}salt")), "kv/a", None), "lacks its mount's salt");
    fails(ask(&whole.clone().encrypt(&data, b"\x0a\x02[]"), "kv/a", None), "not a JSON object");
    fails(ask(&whole.clone().encrypt(&data, b"\x0a\xff"), "kv/a", None), "not the expected protobuf message");
    fails(
        ask(&State::new().encrypt("logical/v/a", b"G{}"), "old/a", None),
        "logical/v/a: its data is not a JSON object",
    );
    fails(ask(&with_secret(Some(at(i64::MAX))), "kv/a", None), "invalid time");
    let upgrading = State::new().encrypt(&format!("{KV}upgrading"), b"");
    fails(ask(&upgrading, "kv/a", None), "being upgraded");
    let upgraded = State::new().encrypt(&format!("{KV}upgrading"), b"\x10\x01");
    assert_eq!(ask(&upgraded, "kv/a", None).unwrap(), SecretAnswer::Missing(MissingReason::NoSecret));
    let other_kv = MOUNTS.replace(r#""version":"2""#, r#""version":"3""#);
    let other_kv = State::new().encrypt("core/mounts", other_kv.as_bytes());
    fails(ask(&other_kv, "kv/a", None), "unknown KV version \"3\"");
    fails(unlock(&other_kv).unwrap().list(&*other_kv.bytes(), ""), "unknown KV version \"3\"");
    assert!(unlock(&other_kv).unwrap().list(&*other_kv.bytes(), "old").unwrap().is_empty());
}

#[test]
fn a_value_whose_term_has_no_key_is_refused_and_named() {
    let state = State::new().put("sys/x", &[&[0, 0, 0, 9, 2][..], &[0; 40]].concat());
    fails(unlock(&state).unwrap().scan(&*state.bytes(), None), "sys/x: the keyring has no key of its term 9");
}

#[test]
fn entries_outside_of_the_barrier_are_counted_and_never_a_failure() {
    let json = &br#"{"headers":{"X":["a"]}}"#[..];
    let state = State::new().put("core/lock", b"not of the barrier").put("sys/uiconfig_plaintext", json);
    let scan = unlock(&state).unwrap().scan(&*state.bytes(), None).unwrap();
    assert_eq!((scan.outside, scan.unknown), (3, 0), "with core/seal-config");
    let mut state = state;
    for (i, value) in
        [&b""[..], b"x", json, b"abcde", b"\x0a\x40\x11\x12\x01......................................", &[9; 99]]
            .into_iter()
            .enumerate()
    {
        state = state.put(&format!("some/new-entry-{i}"), value);
    }
    let scan = unlock(&state).unwrap().scan(&*state.bytes(), None).unwrap();
    assert_eq!((scan.outside, scan.unknown), (9, 6));
    assert_eq!(scan.unknown_names.len(), 5);
    assert_eq!(scan.unknown_names[0], "some/new-entry-0");
    assert_eq!(scan.terms.values().sum::<u64>() + scan.outside, scan.summary.total.entries);
}

#[test]
fn unknown_fields_of_a_newer_vault_are_ignored_except_in_the_keyring() {
    let state = with_secret(None);
    let data = data_entry(&state);
    let newer = state.encrypt(&data, b"\x0a\x02{}\xa2\x06\x01x");
    assert!(matches!(ask(&newer, "kv/a", None).unwrap(), SecretAnswer::Found(data, _) if data.expose() == "{}"));
    let (_, complete): (proto::Version, _) = proto::decode("x", b"\x0a\x02{}\xa2\x06\x01x").unwrap();
    assert!(!complete);
    fails(unlock(&State::new().keyring(br#"{"MasterKey":"","Keys":[],"New":1}"#)), "core/keyring: ");
}

/// A state.bin whose root key is wrapped in the BlobInfo `blob`.
fn wrapped_in(blob: &[u8]) -> State {
    let config = r#"{"type":"shamir","secret_shares":1,"secret_threshold":1,"stored_shares":1}"#;
    State::with_seal(config).put("core/hsm/barrier-unseal-keys", blob)
}

#[test]
fn seals_of_all_versions_unlock_or_are_refused() {
    let root = r#"["AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="]"#;
    let blob = |keys: &str, more: &[u8]| {
        let ciphertext = state::wrapped(keys);
        wrapped_in(&[&[0x0a][..], &varint(ciphertext.len()), &ciphertext, more].concat())
    };
    unlock(&State::new()).unwrap();
    let unnamed = State::with_seal(r#"{"secret_shares":1,"secret_threshold":1}"#);
    assert_eq!(unlock(&unnamed).unwrap().seal().kind, "shamir");
    unlock(&blob(root, b"")).unwrap();
    unlock(&blob(root, b"\x2a\x03\x1a\x01k")).unwrap();
    fails(unlock(&blob("[]", b"")), "contains 0 keys");
    fails(unlock(&blob(r#"["AQE="]"#, b"")), "unknown JSON structure");
    fails(unlock(&wrapped_in(b"\x0a\x02xx")), "the shares do not unseal this backup");
    fails(unlock(&wrapped_in(b"\x0a\xff")), "not the expected protobuf message");
    for unknown in [blob(root, b"\x12\x01i"), blob(root, b"\x2a\x02\x08\x01"), wrapped_in(b"multiwrapvalue:1....")] {
        let e = unlock(&unknown).unwrap_err();
        assert_eq!(e.kind(), Kind::Usage, "{e}");
        assert!(e.to_string().contains("--ephemeral"), "{e}");
    }
    let wrong = Barrier::unlock(&*State::new().bytes(), &keys(&"02".repeat(32)));
    fails(wrong, "the shares do not unseal this backup: 1 given (env:SHARE), 1 of 1 needed");
    for missing in ["core/seal-config", "core/keyring"] {
        fails(unlock(&State::new().without(missing)), &format!("has no {missing}"));
    }
    // OpenBao from 2.6 on does not record whether the root key is stored: only its entry does.
    unlock(&wrapped_in(b"").without("core/hsm/barrier-unseal-keys")).unwrap();
}

#[test]
fn openbao_stores_each_mount_in_a_separate_entry() {
    let mount = r#"{"table":"mounts","path":"bao/","type":"kv","uuid":"b","namespace_id":"root"}"#;
    let state =
        State::new().without("core/mounts").encrypt("core/mounts/b", mount.as_bytes()).encrypt("logical/b/x", b"{}");
    assert!(matches!(ask(&state, "bao/x", None).unwrap(), SecretAnswer::Found(_, None)));
    assert!(!unlock(&state).unwrap().has_namespaces());
    let elsewhere = state.encrypt("core/mounts/c", mount.replace("root", "n1").replace("bao/", "other/").as_bytes());
    assert!(unlock(&elsewhere).unwrap().has_namespaces());
    assert_eq!(ask(&elsewhere, "other/x", None).unwrap(), SecretAnswer::Missing(MissingReason::NoMount));
    assert!(unlock(&State::new().encrypt("core/namespaces/n", b"{}")).unwrap().has_namespaces());
}

proptest! {
    /// Authenticated data may still be anything: its author has the keys.
    #[test]
    fn hostile_plaintexts_never_panic(a: Vec<u8>, b: Vec<u8>, which in 0u8..5) {
        let state = with_secret(None);
        let data = data_entry(&state);
        let state = match which {
            0 => state.encrypt(&format!("{KV}metadata/xyz"), &a).encrypt(&format!("{KV}metadata/zyx"), &b),
            1 => state.encrypt(&format!("{KV}salt"), &a),
            2 => state.encrypt(&data, &a),
            3 => state.encrypt("core/mounts", &a).encrypt("core/auth", &b),
            _ => state.encrypt("logical/v/a", &a),
        };
        for path in ["kv/a", "old/a"] {
            let _ = ask(&state, path, None);
        }
        if let Ok(barrier) = unlock(&state) {
            let _ = barrier.list(&*state.bytes(), "");
        }
        let _ = unlock(&State::new().keyring(&a));
        let _ = unlock(&wrapped_in(&a));
    }

    #[test]
    fn hostile_states_never_panic(bytes: Vec<u8>) {
        let _ = Barrier::unlock(&*bytes, &keys(&State::share()));
        let barrier = unlock(&State::new()).unwrap();
        let _ = barrier.scan(&*bytes, None);
        let _ = survey(&*bytes, None);
    }
}
