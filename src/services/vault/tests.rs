//! Tests of the client without a server.

use super::failure::in_words;
use super::*;

fn settings(address: &str) -> VaultSettings {
    VaultSettings { addresses: vec![address.parse().unwrap()], ..VaultSettings::default() }
}

#[test]
fn addresses_are_scheme_host_port_and_path_or_a_socket() {
    for good in [
        "http://127.0.0.1:8200",
        "https://vault.example.com",
        "https://[::1]:8200/",
        "https://v/prefix/",
        "unix:///run/v.sock",
    ] {
        assert!(Client::new(settings(good)).is_ok(), "{good}");
    }
    for bad in ["ftp://v:8200", "https://u:planted@v:8200", "https://v/?planted", "https://v/#planted"] {
        let error = Client::new(settings(bad)).err().expect(bad);
        assert_eq!(error.kind(), crate::base::error::Kind::Usage, "{bad}");
        assert!(!error.to_string().contains("planted"), "{error}");
    }
    assert!(Client::new(VaultSettings { addresses: Vec::new(), ..settings("http://v") }).is_err());
}

#[test]
fn tokens_that_are_invalid_in_a_header_are_refused() {
    assert!(checked_token(&Secret::new("hvs.CAESIJ-_x")).is_ok());
    for bad in ["", "hvs.x\n", "two words", "hvs.\u{e9}"] {
        let error = checked_token(&Secret::new(bad)).unwrap_err();
        assert!(!error.to_string().contains("hvs"), "{error}");
    }
}

/// Messages of Vault 1.21.4 and OpenBao 2.7.2.
#[test]
fn refusals_have_a_reason_and_a_hint() {
    let right = Some((snapshot::PATH, &["read"][..]));
    for (status, said, why, todo) in [
        (503, "Vault is sealed", "it is sealed", "vault operator unseal"),
        (400, "Vault is not initialized", "not initialised", "vault operator init"),
        (500, "local node not active but active cluster node not found", "no leader", "list-peers"),
        (400, "raft storage is not in use", "not Raft", "migrate it to Raft"),
        (
            403,
            "1 error occurred:\n\t* permission denied\n\n",
            "permission denied",
            r#"path "sys/storage/raft/snapshot" { capabilities = ["read"] }"#,
        ),
        (403, "namespace not authorized", "permission denied: namespace not authorized", "capabilities"),
        (403, "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n", "not valid here", "set a new token"),
        (403, "permission denied", "not valid here", "set a new token"), // OpenBao
        (429, "request path \"x\": rate limit quota exceeded", "quota", "raise the quota"),
        (
            400,
            "could not verify hash file, possibly the snapshot is using a different set of unseal keys; use the snapshot-force API to bypass this check",
            "other seal keys",
            "force",
        ),
        (404, "", "no such path", "check vault.addresses"),
        (500, "disk on fire", "HTTP 500: disk on fire", ""),
    ] {
        let errors = if said.is_empty() { vec![] } else { vec![said.to_owned()] };
        let (because, hint) = in_words(status, &errors, right);
        assert!(because.contains(why) && hint.contains(todo), "{said}: {because}; {hint}");
    }
}

#[test]
fn root_tokens_are_decoded() {
    // "abc" XOR "ABC" is three spaces; "hvs" XOR "ABC" is 29 34 30.
    assert_eq!(decode_root_token("KTQw", "ABC").unwrap().expose(), "hvs");
    assert_eq!(decode_root_token("KQ", "A").unwrap().expose(), "h", "without padding");
    assert_eq!(decode_root_token("KQ==", "A").unwrap().expose(), "h", "with padding");
    for (encoded, otp) in [("", ""), ("KTQw", "AB"), ("!!", "A"), ("ICAg", "\0\0\0"), ("gICA", "abc")] {
        let error = decode_root_token(encoded, otp).unwrap_err();
        assert_eq!(error.kind(), crate::base::error::Kind::Vault, "{encoded}");
    }
}
