//! Tests with generated trees of namespaces: deep, broken and hostile ones. Tests with real
//! servers are in `tests/drill/openbao.rs`.

use super::state::{State, varint};
use super::{fails, keys};
use crate::base::error::{Kind, Result};
use crate::base::secret::Secret;
use crate::formats::barrier::{Barrier, UnsealKeys};
use crate::formats::share::Share;
use proptest::prelude::*;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// The root's key of term 1 in `state`.
const ROOT_TERM: [u8; 32] = [2; 32];

/// The keys of a sealable namespace: its only share, its root key, its key of term 1.
fn keys_of(n: u8) -> [[u8; 32]; 3] {
    [[n; 32], [n + 1; 32], [n + 2; 32]]
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::prelude::BASE64_STANDARD.encode(bytes)
}

/// A BlobInfo with `root` wrapped by `share`.
fn blob(share: &[u8; 32], root: &[u8; 32]) -> Vec<u8> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, share).unwrap());
    let mut body = format!("[\"{}\"]", base64(root)).into_bytes();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key([3; 12]), Aad::empty(), &mut body).unwrap();
    let ciphertext = [&[3; 12][..], &body].concat();
    [&[0x0a][..], &varint(ciphertext.len()), &ciphertext].concat()
}

/// Adds the namespace `uuid` below `parent` (its uuid), with a description encrypted with `above`.
fn with(state: State, above: &[u8; 32], parent: Option<&str>, uuid: &str) -> State {
    let prefix = parent.map(|parent| format!("namespaces/{parent}/")).unwrap_or_default();
    let description = format!(r#"{{"path":"path-of-{uuid}/"}}"#);
    state.encrypt_with(above, &format!("{prefix}core/namespaces/{uuid}"), description.as_bytes())
}

/// Makes the namespace `uuid` sealable, with a configuration encrypted with `above`.
fn with_seal(state: State, above: &[u8; 32], uuid: &str, n: u8) -> State {
    let [share, root, term] = keys_of(n);
    let at = |entry: &str| format!("namespaces/{uuid}/{entry}");
    let ring = format!(r#"{{"MasterKey":"","Keys":[{{"Term":1,"Version":1,"Value":"{}"}}]}}"#, base64(&term));
    let config = br#"{"type":"shamir","secret_shares":1,"secret_threshold":1}"#;
    state
        .encrypt_with(above, &at("core/seal-config"), config)
        .encrypt_with(&root, &at("core/keyring"), ring.as_bytes())
        .put(&at("core/hsm/barrier-unseal-keys"), &blob(&share, &root))
}

/// a (sealable) → b → c (sealable) → d; e. Every namespace has one secret.
fn tree() -> State {
    let ([_, _, a], [_, _, c]) = (keys_of(10), keys_of(20));
    let state = with_seal(with(State::new(), &ROOT_TERM, None, "a"), &ROOT_TERM, "a", 10);
    let state = with_seal(with(with(state, &a, Some("a"), "b"), &a, Some("b"), "c"), &a, "c", 20);
    let state = with(with(state, &c, Some("c"), "d"), &ROOT_TERM, None, "e");
    [("a", a), ("b", a), ("c", c), ("d", c), ("e", ROOT_TERM)]
        .into_iter()
        .fold(state, |state, (uuid, key)| state.encrypt_with(&key, &format!("namespaces/{uuid}/logical/x"), b"{}"))
}

/// The root's share, and those of the named namespaces.
fn with_shares(namespaces: &[(&str, u8)]) -> UnsealKeys {
    let share = |n: u8| Share::parse("env:NS", &Secret::new(hex::encode(keys_of(n)[0]))).unwrap();
    let mut keys = keys(&State::share());
    keys.namespaces = namespaces.iter().map(|(path, n)| ((*path).to_owned(), vec![share(*n)])).collect();
    keys
}

fn unlock(state: &State, namespaces: &[(&str, u8)]) -> Result<Barrier> {
    Barrier::unlock(&*state.bytes(), &with_shares(namespaces))
}

/// The namespaces' names, with a `*` if decrypted, and the number of entries that are not.
fn opened(state: &State, namespaces: &[(&str, u8)]) -> (String, u64) {
    let barrier = unlock(state, namespaces).unwrap();
    let name = |n: crate::formats::barrier::Namespace| format!("{}{}", n.name(), if n.opened { "*" } else { "" });
    let names: Vec<_> = barrier.namespaces().into_iter().map(name).collect();
    let scan = barrier.scan(&*state.bytes(), None).unwrap();
    let sum = scan.terms.values().sum::<u64>() + scan.outside + scan.unopened;
    assert_eq!(sum, scan.summary.total.entries);
    (names.join(" "), scan.unopened)
}

#[test]
fn a_namespace_uses_the_keyring_of_the_nearest_sealable_namespace_above() {
    let state = tree();
    // Of a and b: keyring, description of b and c, configuration of c, two secrets; of c
    // and d: keyring, description of d, two secrets.
    assert_eq!(opened(&state, &[]), ("b c d path-of-a/ path-of-e/*".into(), 6 + 4));
    let above = [("path-of-a", 10)];
    assert_eq!(opened(&state, &above), ("d path-of-a/* path-of-b/* path-of-c/ path-of-e/*".into(), 4));
    let both = [("path-of-a/", 10), ("/path-of-c", 20)];
    assert_eq!(opened(&state, &both), ("path-of-a/* path-of-b/* path-of-c/* path-of-d/* path-of-e/*".into(), 0));
}

#[test]
fn damage_in_a_namespace_is_refused_and_named() {
    let [_, _, a] = keys_of(10);
    let shares = [("path-of-a", 10)];
    for name in ["namespaces/b/logical/x", "namespaces/a/core/namespaces/b", "namespaces/e/logical/x"] {
        let damaged = tree().encrypt_with(&[99; 32], name, b"{}");
        let scanned = unlock(&damaged, &shares).and_then(|barrier| barrier.scan(&*damaged.bytes(), None));
        fails(scanned, &format!("{name}: "));
    }
    // An entry that is not a barrier value is counted, in a decrypted namespace too.
    let other = tree().put("namespaces/b/plain", b"{\"a\":1}").put("namespaces/c/plain", b"{\"a\":1}");
    let scan = unlock(&other, &shares).unwrap().scan(&*other.bytes(), None).unwrap();
    assert_eq!((scan.unknown_names, scan.unopened), (vec!["namespaces/b/plain".to_owned()], 4 + 1));
    for missing in ["core/seal-config", "core/hsm/barrier-unseal-keys"] {
        let name = format!("namespaces/a/{missing}");
        fails(unlock(&tree().without(&name), &shares), &format!("has no {name}"));
    }
    let moved = tree().encrypt_with(&a, "namespaces/a/core/seal-config", b"{}");
    fails(unlock(&moved, &shares), "namespaces/a/core/seal-config: ");
}

#[test]
fn wrong_shares_of_a_namespace_are_refused_and_named() {
    fails(unlock(&tree(), &[("path-of-a", 20)]), "namespace path-of-a/: the shares do not unseal");
    for name in ["path-of-e", "path-of-c", "nowhere"] {
        let error = unlock(&tree(), &[(name, 10)]).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage, "{error}");
        assert!(error.to_string().contains(&format!("namespace {name}, which is not a sealable namespace")), "{error}");
    }
    let swapped = Barrier::unlock(&*tree().bytes(), &keys(&hex::encode(keys_of(20)[0])));
    fails(swapped, "the shares (env:SHARE) belong to the namespace with uuid c");
}

#[test]
fn cycles_and_orphans_are_not_decrypted() {
    let state = with(with(State::new(), &ROOT_TERM, Some("a"), "b"), &ROOT_TERM, Some("b"), "a")
        .encrypt("namespaces/a/logical/x", b"{}")
        .encrypt("namespaces/orphan/logical/x", b"{}");
    assert_eq!(opened(&State::new(), &[]), (String::new(), 0));
    assert_eq!(opened(&state.clone().encrypt("core/namespaces/e", b"{}"), &[]), ("a b e*".into(), 4));
    let itself = with(State::new(), &ROOT_TERM, Some("a"), "a").encrypt("core/namespaces/e", b"[]");
    assert_eq!(opened(&itself, &[]), ("a e*".into(), 1));
}

proptest! {
    #[test]
    fn hostile_trees_never_panic(
        edges in proptest::collection::vec((0u8..5, 0u8..5, 0u8..4), 0..12),
        plain: Vec<u8>,
        name in "namespaces/[a-e/]{0,8}(core/(keyring|namespaces/|seal-config|hsm/barrier-unseal-keys)){0,2}[a-e/]{0,4}",
    ) {
        let uuid = |n: u8| char::from(b'a' + n).to_string();
        let mut state = State::new().encrypt("core/namespaces/a", br#"{"path":"path-of-a/"}"#).put(&name, &plain);
        for (parent, child, kind) in edges {
            let parent = uuid(parent);
            state = match kind {
                0 => with(state, &ROOT_TERM, Some(&parent), &uuid(child)),
                1 => with_seal(state, &ROOT_TERM, &parent, 10),
                2 => state.put(&format!("namespaces/{parent}/core/namespaces/{}", uuid(child)), &plain),
                _ => state.encrypt(&format!("namespaces/{parent}/core/namespaces/{}", uuid(child)), &plain),
            };
        }
        for shares in [&[][..], &[("path-of-a", 10)]] {
            if let Ok(barrier) = unlock(&state, shares) {
                let _ = (barrier.namespaces(), barrier.scan(&*state.bytes(), None));
            }
        }
    }
}
