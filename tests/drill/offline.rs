//! The offline drill, which sends no request to a Vault.

use crate::barrier::state::State;
use crate::support::fault::{FaultServer, Reply};
use crate::support::production::{CANARY, CANARY_AGE, Production, Site};
use crate::support::s3::S3;
use crate::support::tool::{Output, Tool};
use base64::{Engine, prelude::BASE64_STANDARD};
use rustix::process::Signal;
use serde_json::json;
use std::sync::Arc;

const REFUSAL: &str = "the shares do not unseal this backup";

/// The bytes of a share.
fn decoded(share: &str) -> Vec<u8> {
    BASE64_STANDARD.decode(share).unwrap()
}

/// `[staging]` with these shares by number, and more `lines`.
fn staging(shares: &[usize], lines: &str) -> String {
    let shares: Vec<_> = shares.iter().map(|n| format!("env:SHARE{n}")).collect();
    format!("[staging]\nunseal_keys = {shares:?}\n{lines}")
}

/// An offline drill of `object` without any Vault.
fn offline(site: &Site, staging: &str, object: &str) -> Tool {
    site.tool_of(&[], staging).args(["verify-restore", "--offline", "--json", object])
}

/// Runs it to its end; nothing may be left.
fn run(site: &Site, staging: &str, object: &str) -> Output {
    let output = offline(site, staging, object).run();
    site.assert_clean(&output);
    output
}

#[test]
fn offline_drill_decrypts_every_entry_and_reads_the_canary() {
    let site = Site::new();
    let object = site.production.object.clone();
    let output = run(&site, &staging(&[2, 0], ""), &object);
    let result = output.ok().json();
    assert_eq!((&result["mode"], &result["canary"]), (&json!("offline"), &json!(CANARY)));
    let terms: u64 = result["entries_by_term"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert!(terms > 50 && terms < result["entries"].as_u64().unwrap(), "{result}");
    assert!(result["state_bytes"].as_u64().unwrap() > 3_000_000);
    let record = site.json(&format!("{object}.drill.json")).unwrap();
    assert_eq!((&record["mode"], record.get("staging_vault")), (&json!("offline"), None));
    assert_eq!(record["drilled_at"], result["drilled_at"]);
    site.tool("").args(["status", "--max-drill-age", "1h"]).run().ok().stdout_contains("newest restore drill");
    let event = site.audit().pop().unwrap();
    assert_eq!(event["event"], "vault_backup_test_success");
    assert_eq!((&event["details"]["backup_tested"], &event["details"]["mode"]), (&json!(object), &json!("offline")));

    let older = site.seal_older(&site.production.vault.snapshot());
    let refused = run(&site, &staging(&[0, 1], ""), &older);
    refused.fails(5, &[&older, "in the legacy format", "--legacy", "encryption.legacy_until"]);
    let output = offline(&site, &staging(&[0, 1], ""), &older).arg("--legacy").run();
    output.code(0).stderr_contains("no drill record was written because the backup has no manifest");
}

#[test]
fn offline_drill_applies_the_rules_of_the_canary() {
    let site = Site::new();
    let object = &site.production.object;
    let age = format!("canary_max_age = \"{CANARY_AGE}s\"\n");
    for (canary, more, code, part) in [
        ("old/canary", "", 0, ""),
        ("old/canary", age.as_str(), 2, "old/canary is on KV v1, which stores no time"),
        (CANARY, "canary_max_age = \"1h\"\n", 0, ""),
        (CANARY, age.as_str(), 6, "more than staging.canary_max_age before this backup"),
        ("smtp/nothing", "", 6, "the canary smtp/nothing is not in"),
        ("no-mount/x", "", 6, "the canary no-mount/x is not in"),
        ("smtp/deleted", "", 6, "the canary smtp/deleted was deleted"),
        ("smtp/destroyed", "", 6, "the canary smtp/destroyed was destroyed"),
    ] {
        let output = run(&site, &staging(&[0, 1], &format!("canary = {canary:?}\n{more}")), object);
        match code {
            0 => output.ok(),
            _ => output.fails(code, &[part]),
        };
    }
    let failed = site.audit().into_iter().filter(|event| event["event"] == "vault_backup_test_failed").count();
    assert_eq!(failed, 6);
}

#[test]
fn offline_drill_fails_if_the_canary_was_deleted_before_the_backup() {
    let site = Arc::new(Production::start(3, 2)).site();
    let vault = &site.production.vault;
    let backup = || {
        // A backup's name has whole seconds.
        std::thread::sleep(std::time::Duration::from_millis(1_000));
        let tool = site.tool("").env("VAULT_TOKEN", vault.root_token());
        tool.args(["backup", "--kind", "daily", "--json"]).run().ok().json()["object"].as_str().unwrap().to_owned()
    };
    let fails = |says: &str| {
        let object = backup();
        let output = offline(&site, &staging(&[0, 1], ""), &object).run();
        output.fails(6, &[says]);
        let recover = site.tool_of(&[], &staging(&[0, 1], "")).args(["recover", CANARY, "--from", &object]);
        recover.run().fails(6, &[CANARY, says.split_whitespace().last().unwrap_or_default()]);
    };
    let data = format!("smtp/data/{}", CANARY.strip_prefix("smtp/").unwrap());
    vault.ok("DELETE", &data, None);
    fails(&format!("the canary {CANARY} was deleted"));
    let destroy = data.replace("/data/", "/destroy/");
    vault.ok("PUT", &destroy, Some(json!({"versions": [1]})));
    fails(&format!("the canary {CANARY} was destroyed"));
}

#[test]
fn offline_drill_accepts_entries_outside_of_the_barrier() {
    let site = Arc::new(Production::start(3, 2)).site();
    let vault = &site.production.vault;
    // The server itself writes `sys/uiconfig_plaintext`.
    vault.ok("PUT", "sys/config/ui/headers/X-Test", Some(json!({"values": ["a"]})));
    let snapshot = vault.snapshot();
    let plain = State::read(&snapshot);
    assert_eq!(&plain.value("sys/uiconfig_plaintext")[..1], b"{");
    let object = site.seal(&snapshot);
    let known = offline(&site, &staging(&[0, 1], ""), &object).run().code(0).json();
    assert_eq!(known["entries_unknown"], 0, "{known}");

    // An entry that this version does not know.
    let place = plain.places().into_iter().find(|place| place.key.starts_with("sys/policy/")).unwrap();
    let text = b"text ".iter().copied().cycle().take(place.length).collect::<Vec<_>>();
    let object = site.seal(&plain.with(&place.key, &text).packed_into(&snapshot));
    let output = offline(&site, &staging(&[0, 1], ""), &object).arg("-v").run();
    output
        .code(0)
        .stderr_contains(&format!("1 entries outside of the barrier are unknown to this version: {}", place.key));
    let counted = output.json();
    assert_eq!((&counted["entries_unknown"], &counted["entries"]), (&json!(1), &known["entries"]));
    assert_eq!(counted["entries_outside"].as_u64(), known["entries_outside"].as_u64().map(|n| n + 1));
}

#[test]
fn flags_of_the_offline_drill_are_refused_by_other_modes() {
    let site = Site::new();
    for flags in [["--share", "env:SHARE0"], ["--seal-key", "env:SHARE0"]] {
        let output = site.tool_of(&[], &staging(&[0, 1], "")).args(["verify-restore", "--ephemeral"]).args(flags).run();
        output.fails(2, &["--share and --seal-key need --offline"]);
    }
}

#[test]
fn offline_drill_names_missing_duplicate_and_foreign_shares() {
    for (count, threshold, right, wrong) in [
        (1, 1, vec![vec![0]], vec![]),
        (
            3,
            2,
            vec![vec![1, 2], vec![2, 1, 0]],
            vec![
                (vec![1], "too few unseal key shares: 1 given (env:SHARE1), 2 of 3 needed"),
                (vec![1, 1], "share 2 of 2 (env:SHARE1): duplicate of share 1 (env:SHARE1)"),
            ],
        ),
        (
            5,
            3,
            vec![vec![4, 0, 2]],
            vec![
                (vec![0, 1], "too few unseal key shares: 2 given (env:SHARE0, env:SHARE1), 3 of 5 needed"),
                (vec![0, 1, 1], "share 3 of 3 (env:SHARE1): duplicate of share 2"),
                (vec![2, 2, 2, 3], "share 2 of 4 (env:SHARE2): duplicate of share 1"),
            ],
        ),
    ] {
        let site = match (count, threshold) {
            (3, 2) => Site::new(),
            _ => Arc::new(Production::start(count, threshold)).site(),
        };
        let object = site.production.object.clone();
        for shares in right {
            run(&site, &staging(&shares, ""), &object).ok();
        }
        let record = site.get(&format!("{object}.drill.json"));
        let cluster = format!(
            "cluster {}",
            site.production.vault.ok("GET", "sys/health", None)["cluster_name"].as_str().unwrap()
        );
        for (shares, says) in wrong {
            run(&site, &staging(&shares, ""), &object).fails(6, &[&object, &cluster, says]);
        }
        let malformed = "[staging]\nunseal_keys = [\"env:SHARE0\", \"env:STRANGER\"]\n";
        let output = offline(&site, malformed, &object).env("STRANGER", "qqqqqqqqqqqqqqqqqqqqqq").run();
        output.fails(2, &["share env:STRANGER: malformed"]).never_says("qqqq");
        if threshold > 1 {
            // A share of another cluster with an unused number: among just enough shares, and
            // as one too many, so that it can be named.
            let share = |x: u8| hex::encode([[7; 32].as_slice(), &[x]].concat());
            let x = (1..=255).find(|x| site.production.vault.shares().iter().all(|s| decoded(s)[32] != *x)).unwrap();
            let of = |shares: &[usize]| staging(shares, "").replace("\"]", "\", \"env:STRANGER\"]");
            let few: Vec<_> = (1..threshold).collect();
            let output = offline(&site, &of(&few), &object).env("STRANGER", share(x)).run();
            output.fails(6, &[&object, &cluster, REFUSAL, "env:STRANGER", "at least one is wrong"]);
            let many: Vec<_> = (0..threshold).collect();
            let output = offline(&site, &of(&many), &object).env("STRANGER", share(x)).run();
            output
                .fails(6, &[&object, &cluster, "(env:STRANGER): does not belong to this backup's cluster", "omit it"]);
        }
        assert_eq!(site.get(&format!("{object}.drill.json")), record, "a failure replaces no record");
    }
    let site = Site::new();
    run(&site, "", &site.production.object).fails(2, &["no unseal shares", "staging.unseal_keys"]);
}

#[test]
fn offline_drill_names_the_entry_with_a_flipped_byte() {
    let site = Site::new();
    let snapshot = site.production.vault.snapshot();
    let state = State::read(&snapshot);
    let places = state.places();
    let inside = |prefix: &str| places.iter().find(|place| place.key.starts_with(prefix)).unwrap();
    let staging = staging(&[0, 1], "");
    for place in [inside("logical/"), inside("core/mounts"), inside("sys/token/id/"), places.last().unwrap()] {
        let damaged = state.flipped(place.value + place.length / 2);
        let object = site.seal(&damaged.packed_into(&snapshot));
        run(&site, &staging, &object).fails(6, &[&object, &place.key]);
    }
    // Unchanged it passes, so the repacking itself is not detected.
    let object = site.seal(&state.packed_into(&snapshot));
    run(&site, &staging, &object).code(0);

    // Wrong hashes are detected by the archive check.
    let place = inside("logical/");
    let mut members = crate::support::snapshot::Synthetic::whole(state.bytes());
    *members.member("state.bin") = state.flipped(place.value + 40).bytes().to_vec();
    let object = site.seal(&members.bytes());
    run(&site, &staging, &object).fails(5, &[&object, "state.bin"]);

    let config = String::from_utf8(state.value("core/seal-config").to_vec()).unwrap();
    let other = state.with("core/seal-config", config.replace("shamir", "awskms").as_bytes());
    let object = site.seal(&other.packed_into(&snapshot));
    run(&site, &staging, &object).fails(2, &["awskms", "--ephemeral"]);
}

#[test]
fn stop_during_an_offline_drill_leaves_nothing() {
    let (site, s3) = (Site::new(), S3::start());
    s3.bucket("backups");
    site.names().iter().for_each(|name| s3.put("backups", name, &site.get(name)));
    let object = site.production.object.clone();
    // Enough for the first pass, which reads only the keys, but not for the second.
    for (sent, end) in [(50_000, Signal::TERM), (2_000_000, Signal::INT), (2_000_000, Signal::TERM)] {
        let path = format!("/backups/{object}");
        let proxy = FaultServer::proxy(&s3.endpoint(), move |call| match call.method == "GET" && call.path == path {
            true => Reply::forward().stall_after(sent),
            false => Reply::forward(),
        });
        let tool = offline(&site, &staging(&[0, 1], ""), &object).args(["--store", "s3://backups"]);
        let mut run = tool.envs(s3.env()).env("AWS_ENDPOINT_URL", proxy.address()).start();
        run.wait_for("the download", || {
            proxy.calls().iter().any(|c| c.path.ends_with(".enc") && c.method == "GET").then_some(())
        });
        run.signal(end);
        let output = run.wait();
        output.fails(if end == Signal::TERM { 143 } else { 130 }, &[]);
        site.assert_clean(&output);
        assert_eq!(output.json()["backup_tested"], object);
    }
    let output = offline(&site, &staging(&[0, 1], ""), &object).args(["--store", "s3://backups"]).envs(s3.env()).run();
    output.ok();
}
