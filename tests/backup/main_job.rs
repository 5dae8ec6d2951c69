//! A backup, everything that is stored and reported about it, and its restore.

use super::text;
use crate::support::place::Place;
use crate::support::site::{PLANTED, Site};
use crate::support::snapshot::sha256;
use crate::support::tool::Output;
use crate::support::vault::Vault;
use ring::{hkdf, hmac};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

#[test]
fn backup_to_s3_decrypts_and_restores() {
    there_and_back(&Place::s3());
}

#[test]
fn backup_to_a_local_directory_decrypts_and_restores() {
    there_and_back(&Place::directory());
}

fn there_and_back(place: &Place) {
    let output = place.tool().args(["backup", "--json"]).run();
    output.ok().leaves(&[]);
    let said = output.json();
    let daily = text(&said["object"]).to_owned();
    let monthly = text(&said["monthly_copy"]).to_owned();

    names_are_as_designed(&said);
    let both = [&daily, &monthly].map(|name| [name.clone(), format!("{name}.manifest.json")]).concat();
    assert_eq!(place.names(), both);

    let object = place.get(&daily);
    assert_eq!((said["size_bytes"].as_u64(), text(&said["sha256"])), (Some(object.len() as u64), &*sha256(&object)));
    assert_eq!(place.get(&monthly), object);
    header_is_as_the_format_says(place, &said, &object);
    for (name, kind) in [(&daily, "daily"), (&monthly, "monthly")] {
        manifest_is_as_the_format_says(place, &said, name, kind);
        if place.is_s3() {
            metadata_is_as_designed(place, &said, name);
        }
    }
    other_commands_agree(place, &said, &monthly);
    vault_takes_it_back(place, &said);
}

fn names_are_as_designed(said: &Value) {
    let time = text(&said["created_at"]);
    let digits: String = time.chars().filter(char::is_ascii_digit).collect();
    let (date, clock) = digits.split_at(8);
    let (day, month) = (&time[..10], &time[..7]);
    assert_eq!(said["object"], format!("daily/{day}/vault-snapshot-{date}-{clock}.enc"));
    assert_eq!(said["monthly_copy"], format!("monthly/{month}/vault-snapshot-{date}-{clock}.enc"));
}

fn header_is_as_the_format_says(place: &Place, said: &Value, object: &[u8]) {
    assert_eq!(&object[..8], b"VLTBKUP1");
    let length = usize::from(u16::from_be_bytes([object[8], object[9]]));
    let header: Value = serde_json::from_slice(&object[10..10 + length]).unwrap();
    let health = place.site.vault.ok("GET", "sys/health", None);
    let product = crate::support::vault::product();
    let vault = json!({"product": product.as_str(), "version": health["version"], "cluster_id": health["cluster_id"],
        "cluster_name": health["cluster_name"]});
    let expected = json!({"key_id": place.site.key_id(), "created_at": said["created_at"], "vault": vault,
        "tool": concat!("vault-backup/", env!("CARGO_PKG_VERSION"))});
    assert_eq!(header, expected);
    assert_eq!(object[10 + length], 40);
}

fn manifest_is_as_the_format_says(place: &Place, said: &Value, name: &str, kind: &str) {
    let mut manifest = place.json(&format!("{name}.manifest.json"));
    let mac = text(&manifest.as_object_mut().unwrap().remove("mac").unwrap()).to_owned();
    // Compact, with sorted keys, and without floats: then this is RFC 8785's form.
    assert_eq!(mac, mac_of(&place.site.key, &manifest.to_string()));

    let health = place.site.vault.ok("GET", "sys/health", None);
    let vault = &manifest["vault"];
    assert_eq!([&vault["version"], &vault["cluster_id"]], [&health["version"], &health["cluster_id"]]);
    assert_eq!(
        [&vault["seal_type"], &vault["seal_threshold"], &vault["seal_shares"]],
        [&json!("shamir"), &json!(2), &json!(3)]
    );
    assert!(vault["raft_index"].as_u64() > Some(0) && vault["raft_term"].as_u64() > Some(0), "{vault}");
    assert_eq!(vault, &said["vault"]);

    for key in ["size_bytes", "sha256", "plaintext_size_bytes", "created_at", "key_id", "run_id"] {
        assert_eq!(manifest[key], said[key], "{key}");
    }
    let fixed = json!({"schema": 1, "object": name, "backup_type": kind, "verification": "full",
        "key_id": place.site.key_id(), "tool": concat!("vault-backup/", env!("CARGO_PKG_VERSION"))});
    for (key, value) in fixed.as_object().unwrap() {
        assert_eq!(&manifest[key], value, "{key}");
    }
    assert_eq!(text(&manifest["plaintext_sha256"]).len(), 64);
    let keys = [
        "backup_type",
        "created_at",
        "key_id",
        "object",
        "plaintext_sha256",
        "plaintext_size_bytes",
        "run_id",
        "schema",
        "sha256",
        "size_bytes",
        "tool",
        "vault",
        "verification",
    ];
    assert!(manifest.as_object().unwrap().keys().eq(keys), "{manifest}");
}

/// docs/format.md's words, in ring's: HKDF-SHA-256 without a salt, then HMAC-SHA-256.
fn mac_of(key: &str, text: &str) -> String {
    let mut manifest_key = [0; 32];
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&hex::decode(key).unwrap());
    extracted.expand(&[b"vault-backup/v1/manifest"], hkdf::HKDF_SHA256).unwrap().fill(&mut manifest_key).unwrap();
    hex::encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &manifest_key), text.as_bytes()))
}

fn metadata_is_as_designed(place: &Place, said: &Value, name: &str) {
    let expected = [("checksum", "sha256"), ("timestamp", "created_at"), ("key-id", "key_id"), ("run-id", "run_id")]
        .map(|(name, key)| (name.to_owned(), text(&said[key]).to_owned()));
    let version = ("vault_version".to_owned(), text(&said["vault"]["version"]).to_owned());
    assert_eq!(place.metadata(name), expected.into_iter().chain([version]).collect());
}

fn other_commands_agree(place: &Place, said: &Value, monthly: &str) {
    let daily = text(&said["object"]);
    let listing = run(place, &["list", "--json"]).json();
    let entries = listing["backups"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    for entry in entries {
        assert!(entry["object"] == daily || entry["object"] == monthly, "{entry}");
        assert_eq!([&entry["standing"], &entry["delete"]], [&json!("good"), &json!(false)]);
        assert_eq!([&entry["sha256"], &entry["size_bytes"]], [&said["sha256"], &said["size_bytes"]]);
    }
    run(place, &["list"]).stdout_contains(daily).stdout_contains(monthly).stdout_contains("good");
    run(place, &["status"]).stdout_contains(daily);
    run(place, &["prune", "--dry-run"]).stdout_contains("remove 0, 0B\nkeep 2, ");
    run(place, &["prune"]).stdout_is("");

    for name in [daily, monthly] {
        let found = run(place, &["inspect", name, "--json"]).json();
        assert_eq!([&found["layout"], &found["standing"]], ["format-1", "good"]);
        let checked = &found["checked"];
        assert_eq!(
            [&checked["sha256"], &checked["plaintext_size_bytes"]],
            [&said["sha256"], &said["plaintext_size_bytes"]]
        );
        assert_eq!(checked["raft_peers"][0]["id"], place.site.vault.node_id());
    }
    run(place, &["inspect", daily])
        .stdout_contains("this is a complete snapshot")
        .stdout_contains(&place.site.key_id());
}

fn run(place: &Place, args: &[&str]) -> Output {
    let output = place.tool().args(args).run();
    output.ok().leaves(&[]);
    output
}

fn vault_takes_it_back(place: &Place, said: &Value) {
    let output = place.tool().args(["decrypt", text(&said["object"])]).run();
    let name = text(&said["object"]).rsplit('/').next().unwrap().replace(".enc", ".snap");
    output.ok().stdout_is("").leaves(&[&name]);
    let file = output.home().join(name);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let snapshot = std::fs::read(file).unwrap();
    assert_eq!(said["plaintext_size_bytes"].as_u64(), Some(snapshot.len() as u64));
    let manifest = place.json(&format!("{}.manifest.json", text(&said["object"])));
    assert_eq!(manifest["plaintext_sha256"], sha256(&snapshot));
    restores(&place.site, snapshot);
}

/// Restores this snapshot into another Vault, which then works with the site's shares and token.
pub(super) fn restores(site: &Site, snapshot: Vec<u8>) {
    let target = Vault::start();
    target.take_over(&site.vault, snapshot);
    let secret = target.get_secret_as(site.vault.root_token(), "secret", "app");
    assert_eq!(secret, Some(json!({"value": PLANTED})));
}
