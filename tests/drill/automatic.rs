//! Drills of a source with an automatic seal: Vault's `transit`. The key service is a double;
//! the servers are real.

use super::ephemeral::staging;
use super::{LOGIN, staging_at};
use crate::support::fault::{FaultServer, Reply};
use crate::support::process::temp_dir;
use crate::support::production::{CANARY, PLANTED, Production, Site};
use crate::support::vault::{ACTIVE, SEALED, Server, Vault, product};
use base64::{Engine, prelude::BASE64_STANDARD};
use ring::hmac;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use vault_backup::formats::product::Product;

/// A double of another Vault's transit engine, which has the keys of seals.
fn transit() -> FaultServer {
    FaultServer::start(|call| {
        let (given, Some((work, key))) = (call.json(), call.path.trim_start_matches("/v1/transit/").split_once('/'))
        else {
            return Reply::status(404);
        };
        // It does not know ciphertext of another key.
        let mine = format!("vault:v1:{}", BASE64_STANDARD.encode(key));
        let ciphertext = |plaintext: &str| format!("{mine}{plaintext}");
        let data = match (work, given["plaintext"].as_str(), given["ciphertext"].as_str()) {
            ("encrypt", Some(plaintext), _) => json!({"ciphertext": ciphertext(plaintext)}),
            ("decrypt", _, Some(text)) if text.starts_with(&mine) => json!({"plaintext": text[mine.len()..]}),
            _ => return Reply::json(400, &json!({"errors": ["cipher: message authentication failed"]})),
        };
        Reply::json(200, &json!({"data": data}))
    })
}

/// A seal stanza with the key `key` at `transit`.
fn seal(transit: &FaultServer, key: &str) -> String {
    let address = transit.address();
    format!(
        "seal \"transit\" {{\n  address = {address:?}\n  token = \"none\"\n  disable_renewal = \"true\"\n  \
         key_name = {key:?}\n  mount_path = \"transit/\"\n}}\n"
    )
}

/// A new Vault with such a seal.
fn vault(transit: &FaultServer, key: &str) -> Vault {
    let mut vault = Vault::builder().staging().config(&seal(transit, key)).uninitialised().start();
    vault.initialise_automatic();
    vault
}

const UNCOMPARED: &str = "was read from staging, but not compared with the backup";

/// The hash of the canary's value under this key, by docs/format.md.
fn canary_hash(key: &str) -> String {
    let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    // HKDF-SHA-256 with an empty salt, and one block.
    let prk = sign(&[0; 32], &hex::decode(key).unwrap());
    let derived = sign(prk.as_ref(), b"vault-backup/v1/canary\x01");
    hex::encode(sign(derived.as_ref(), format!("{{\"password\":\"{PLANTED}\"}}").as_bytes()))
}

/// The drill's login, without any share.
fn login() -> &'static str {
    LOGIN.lines().nth(1).unwrap()
}

#[test]
fn auto_unseal_works_only_with_the_seal_of_the_source() {
    let transit = transit();
    let site = Arc::new(Production::of(vault(&transit, "production"))).site();
    let drill = |key: &str, lines: &str| {
        let stanza = site.file("seal.hcl", seal(&transit, key).as_bytes());
        let lines = format!("{lines}vault_config = {stanza:?}\n");
        let lines = staging(&lines).replace(LOGIN, &format!("{}\n", login()));
        let output = site.tool_of(&[], &lines).args(["verify-restore", "--ephemeral", "--json"]).run();
        output.stderr_contains("has this machine's network (staging.vault_config may need it)");
        site.assert_clean(&output);
        output
    };
    let result = drill("production", "").code(0).json();
    assert_eq!((&result["mode"], &result["canary"]), (&json!("ephemeral"), &json!(CANARY)));

    let output = drill("another", "wait = \"20s\"\n");
    output.code(6).stderr_contains("did not come back with the restored state within 20 s (staging.wait)");
    output.stderr_contains("it is sealed, and no shares are configured");
    assert_eq!(output.json()["error"]["exit_code"], 6);
    let event = site.audit().pop().unwrap();
    assert_eq!((&event["event"], &event["severity"]), (&json!("vault_backup_test_failed"), &json!("high")));
}

#[test]
fn drill_into_a_staging_server_with_the_transit_seal_of_the_source() {
    let transit = transit();
    let site = Arc::new(Production::of(vault(&transit, "production"))).site();
    let staging = vault(&transit, "production");
    let drill = |lines: &str| {
        let lines = staging_at(&staging.address(), &format!("{}\n{lines}", login()));
        let output = site.tool(&lines).arg("verify-restore").env("STAGING_TOKEN", staging.root_token()).run();
        site.assert_clean(&output);
        output
    };
    drill("seal_after = false\n").code(0).stderr_contains(UNCOMPARED);
    assert_eq!(staging.health(), Some(ACTIVE));
    assert!(site.production.canary_at(&staging).is_some());
    // Its token belonged to the old state. The source's recovery keys generate another and
    // unseal a node that was sealed manually, as shares do.
    drill("seal_after = false\n").fails(2, &["no administrative token", "staging.token is not valid"]);
    for _ in 0..2 {
        // OpenBao unseals itself again at once, so a drill into it is refused unless it may stay unsealed.
        let output = drill("unseal_keys = [\"env:SHARE0\"]\n");
        if product() == Product::OpenBao {
            output.fails(2, &["OpenBao unseals itself again"]);
            drill("unseal_keys = [\"env:SHARE0\"]\nseal_after = false\n").code(0).stderr_contains(UNCOMPARED);
        } else {
            output.code(0).stderr_contains(UNCOMPARED);
            assert_eq!(staging.health(), Some(SEALED));
        }
    }
}

/// Only OpenBao has the seal `static`.
#[test]
fn drill_of_a_source_with_a_static_seal() {
    for server in [Server::OpenBao, Server::OpenBaoOld] {
        let dir = temp_dir();
        let key = dir.path().join("key");
        std::fs::write(&key, [7; 32]).unwrap();
        let stanza = format!(
            "seal \"static\" {{\n  current_key_id = \"k1\"\n  current_key = \"file://{}\"\n}}\n",
            key.display()
        );
        let vault = || {
            let mut vault = Vault::builder().server(server).staging().config(&stanza).uninitialised().start();
            vault.initialise_automatic();
            vault
        };
        let site = Arc::new(Production::of(vault())).site();
        let file = site.file("seal.hcl", stanza.as_bytes());
        let seal_key = site.file("seal-key", &[7; 32]);
        std::fs::set_permissions(&seal_key, PermissionsExt::from_mode(0o400)).unwrap();
        let lines = format!("[staging]\nvault_binary = {:?}\nvault_config = {file:?}\n{}\n", server.binary(), login());
        for _ in 0..2 {
            let output = site.tool_of(&[], &lines).args(["verify-restore", "--ephemeral"]).run();
            output.code(0);
            site.assert_clean(&output);
        }
        let staging = vault();
        let drill = |more: &str| {
            let own = format!("{}\nunseal_keys = [\"env:SHARE0\"]\n{more}", login());
            let tool = site.tool(&staging_at(&staging.address(), &own)).arg("verify-restore");
            let output = tool.env("STAGING_TOKEN", staging.root_token()).run();
            site.assert_clean(&output);
            output
        };
        // OpenBao unseals itself again at once, so it cannot be left sealed.
        let index = staging.ok("GET", "sys/leader", None)["raft_committed_index"].clone();
        drill("").fails(2, &["OpenBao unseals itself again", "--ephemeral", "staging.seal_after = false"]);
        assert_eq!(staging.ok("GET", "sys/leader", None)["raft_committed_index"], index, "nothing was sent");
        let record = || site.json(&format!("{}.drill.json", site.production.object)).unwrap();
        drill("seal_after = false\n").code(0).stderr_contains(UNCOMPARED);
        assert_eq!(record().get("canary_compared"), None);
        // Its key opens the backup; without it, the keyed hash of the canary's value does.
        drill(&format!("seal_after = false\nseal_key = {seal_key:?}\n")).ok();
        assert_eq!(record()["canary_compared"], "backup");
        staging.restart();
        staging.wait_for_health(&[ACTIVE]);
        let hash = canary_hash(&site.production.key);
        drill(&format!("seal_after = false\ncanary_hash = \"{hash}\"\n")).ok();
        assert_eq!((&record()["canary_compared"], &record()["mode"]), (&json!("hash"), &json!("server")));
        let wrong = format!("seal_after = false\ncanary_hash = \"{}\"\n", "ab".repeat(32));
        drill(&wrong).fails(6, &["does not have the hash in staging.canary_hash"]);
    }
}

#[test]
fn vault_config_without_a_seal_stanza_uses_shares() {
    let site = Site::new();
    let file = site.file("more.hcl", b"default_lease_ttl = \"1h\"\n");
    let lines = staging(&format!("vault_config = {file:?}\n"));
    let drill = |lines: &str| {
        let output = site.tool_of(&[], lines).args(["verify-restore", "--ephemeral"]).run();
        site.assert_clean(&output);
        output
    };
    drill(&lines).code(0);
    let without = lines.replace(LOGIN, &format!("{}\n", login()));
    drill(&without).code(2).stderr_contains("its server has no automatic seal");
}
