//! A staging server that does not tell the truth about the canary. What it returns is compared
//! with the backup itself, or with a keyed hash.

use super::{LOGIN, staging_at};
use crate::support::fault::{FaultServer, Reply};
use crate::support::production::{CANARY, PLANTED, Site};
use crate::support::tool::Output;
use crate::support::vault::Vault;
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

/// A staging server, and a drill into it through a proxy that answers the read of the canary
/// with `answer`, if there is one.
fn drill(site: &Site, staging: &Vault, canary: &'static str, answer: Option<Value>, lines: &str) -> Output {
    let proxy = FaultServer::proxy(&staging.address(), move |call| match &answer {
        Some(answer) if call.path == canary => Reply::json(200, answer),
        _ => Reply::forward(),
    });
    let tool = site.tool(&staging_at(proxy.address(), &format!("{LOGIN}{lines}"))).args(["verify-restore", "--json"]);
    let output = tool.env("STAGING_TOKEN", staging.root_token()).run();
    site.assert_clean(&output);
    output
}

fn version_2(data: &Value, version: u64, created: &str) -> Value {
    let metadata = json!({"version": version, "destroyed": false, "created_time": created, "deletion_time": ""});
    json!({"data": {"data": data, "metadata": metadata}})
}

#[test]
fn a_false_canary_fails_the_drill_and_leaves_no_record() {
    let site = Site::new();
    let staging = Vault::builder().staging().start();
    let path = "/v1/smtp/data/test-tenant-id/admin";
    let truth = site.production.vault.ok("GET", "smtp/data/test-tenant-id/admin", None);
    let created = truth["data"]["metadata"]["created_time"].as_str().unwrap().to_owned();
    let later = (Utc::now() - TimeDelta::seconds(1)).to_rfc3339();
    let record = format!("{}.drill.json", site.production.object);
    for lie in [
        version_2(&json!({"password": "a guess"}), 1, &created),
        version_2(&json!({}), 1, &created),
        version_2(&json!({"password": PLANTED, "more": 1}), 1, &created),
        version_2(&json!({"password": PLANTED}), 2, &created),
        // It hides the age of the data.
        version_2(&json!({"password": PLANTED}), 1, &later),
    ] {
        let output = drill(&site, &staging, path, Some(lie), "");
        output.code(6).stderr_contains(&format!("the canary {CANARY} that the restored Vault returns is not the one"));
        assert!(site.json(&record).is_none());
    }
    let same = version_2(&json!({"password": PLANTED}), 1, &created);
    let output = drill(&site, &staging, path, Some(same), "");
    assert_eq!(output.code(0).json()["canary_compared"], "backup");
    assert_eq!(site.json(&record).unwrap()["canary_compared"], "backup");
}

#[test]
fn a_false_canary_on_kv_version_1_fails_the_drill() {
    let site = Site::new();
    let staging = Vault::builder().staging().start();
    let lines = "canary = \"old/canary\"\n";
    let lie = json!({"data": {"password": "a guess"}});
    let output = drill(&site, &staging, "/v1/old/canary", Some(lie), lines);
    output.code(6).stderr_contains("old/canary that the restored Vault returns is not the one in the backup");
    let output = drill(&site, &staging, "/v1/old/canary", None, lines);
    assert_eq!(output.code(0).json()["canary_compared"], "backup");
}

/// A secret that only the lying server has.
#[test]
fn a_canary_that_the_backup_does_not_have_fails_the_drill() {
    let site = Site::new();
    let staging = Vault::builder().staging().start();
    let created = (Utc::now() - TimeDelta::minutes(1)).to_rfc3339();
    for (path, canary) in [("/v1/smtp/data/nothing", "smtp/nothing"), ("/v1/smtp/data/deleted", "smtp/deleted")] {
        let lie = version_2(&json!({"password": "a guess"}), 1, &created);
        let output = drill(&site, &staging, path, Some(lie), &format!("canary = \"{canary}\"\n"));
        output.code(6).stderr_contains("is not the one in the backup");
    }
    assert_eq!(site.names().len(), 2, "no drill record");
}

#[test]
fn the_configured_hash_must_be_that_of_the_canary() {
    let site = Site::new();
    let offline = |lines: &str| {
        let staging = format!("[staging]\n{LOGIN}{lines}");
        let output = site.tool_of(&[], &staging).args(["verify-restore", "--offline", "--json"]).run();
        site.assert_clean(&output);
        output
    };
    let result = offline("").ok().json();
    let hash = result["canary_hash"].as_str().unwrap().to_owned();
    assert_eq!((hash.len(), &result["canary_compared"]), (64, &json!("backup")));
    assert_eq!(offline(&format!("canary_hash = \"{hash}\"\n")).ok().json()["canary_hash"], hash);
    // Of another secret, and one that a person without the key can compute.
    let other = offline("canary = \"smtp/versions\"\n").ok().json()["canary_hash"].clone();
    let plain = hex::encode(ring::digest::digest(&ring::digest::SHA256, b"{\"password\":\"planted-in-production\"}"));
    let record = format!("{}.drill.json", site.production.object);
    let before = site.get(&record);
    for wrong in [other.as_str().unwrap(), plain.as_str()] {
        let output = offline(&format!("canary_hash = \"{wrong}\"\n"));
        output.fails(6, &[&format!("the canary {CANARY} does not have the hash in staging.canary_hash")]);
    }
    assert_eq!(site.get(&record), before);
    offline("canary_hash = \"5a\"\n").fails(2, &["staging.canary_hash: must be 64 hex digits"]);

    let staging = Vault::builder().staging().start();
    let output = drill(&site, &staging, "", None, &format!("canary_hash = \"{hash}\"\n"));
    assert_eq!(
        (&output.code(0).json()["canary_hash"], &output.json()["canary_compared"]),
        (&json!(hash), &json!("backup"))
    );
}
