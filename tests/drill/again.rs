//! Drills that pass: into a staging Vault with different keys, then again and again.

use super::{LOGIN, drill};
use crate::support::production::{CANARY, PLANTED, Site};
use crate::support::vault::{ACTIVE, SEALED, Vault};
use serde_json::json;

#[test]
fn three_drills_into_the_same_staging_pass() {
    let site = Site::new();
    let staging = Vault::builder().staging().start();
    let own_peers = staging.ok("GET", "sys/storage/raft/configuration", None)["data"]["config"]["servers"].clone();
    let object = site.production.object.clone();

    let output = drill(&site, &staging, LOGIN).arg("--json").run();
    output.ok();
    site.assert_clean(&output);
    assert_eq!(staging.health(), Some(SEALED), "seal_after is the default");
    let result = output.json();
    assert_eq!(result["backup_tested"], object);
    assert_eq!(result["staging_vault"], format!("{}/", staging.address()));
    assert_eq!((&result["mode"], &result["canary"]), (&json!("server"), &json!(CANARY)));
    for step in ["pick", "peek", "prepare", "restore", "wait", "unseal", "canary"] {
        assert!(result["durations_ms"][step].is_u64(), "{step}: {result}");
    }

    let record = site.json(&format!("{object}.drill.json")).unwrap();
    let manifest = site.json(&format!("{object}.manifest.json")).unwrap();
    assert_eq!((&record["object"], &record["sha256"]), (&json!(object), &manifest["sha256"]));
    for key in ["drilled_at", "mode", "staging_vault", "canary", "durations_ms"] {
        assert_eq!(record[key], result[key], "{key}");
    }
    let [event] = site.audit().try_into().unwrap();
    assert_eq!((&event["event"], &event["severity"]), (&json!("vault_backup_test_success"), &json!(null)));
    for key in ["backup_tested", "staging_vault", "durations_ms"] {
        assert_eq!(event["details"][key], result[key], "{key}");
    }
    let list = site.tool("").args(["list", "--json"]).run();
    assert_eq!(list.ok().json()["backups"][0]["drilled_at"], result["drilled_at"]);
    let status = site.tool("").args(["status", "--max-drill-age", "1h", "--json"]).run();
    assert_eq!(status.ok().json()["newest_drill"]["object"], object);

    // The second finds it sealed, with an invalid token.
    let output = drill(&site, &staging, &format!("{LOGIN}seal_after = false\n")).arg(&object).run();
    output.ok().stdout_is("");
    site.assert_clean(&output);
    assert_eq!(staging.health(), Some(ACTIVE));
    assert_eq!(site.production.canary_at(&staging).unwrap(), json!({"password": PLANTED}));
    assert!(!staging.token_is_valid(staging.root_token()));
    let peers = staging.api_as(site.production.vault.root_token(), "GET", "sys/storage/raft/configuration", None).1;
    assert_eq!(peers["data"]["config"]["servers"][0]["node_id"], own_peers[0]["node_id"]);
    assert_eq!(peers["data"]["config"]["servers"].as_array().unwrap().len(), 1);

    // The third finds it unsealed, with the source's keys. The legacy format has no cluster_id.
    let older = site.seal_older(&site.production.vault.snapshot());
    let output = drill(&site, &staging, LOGIN).args(["--legacy", &older]).run();
    output.code(0).stderr_contains("no drill record was written because the backup has no manifest");
    site.assert_clean(&output);
    assert_eq!(staging.health(), Some(SEALED));
    assert_eq!(site.json(&format!("{older}.drill.json")), None);
    assert_eq!(site.audit().len(), 3);
}
