//! Drills that fail after the restore was accepted: exit code 6 and the reason.

use super::{LOGIN, drill, staging_at};
use crate::support::fault::{FaultServer, Reply};
use crate::support::production::{CANARY_AGE, Site};
use crate::support::tool::Tool;
use crate::support::vault::{ACTIVE, SEALED, Vault};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The path of a restore in Vault's API.
const RESTORE: &str = "/v1/sys/storage/raft/snapshot-force";

/// A staging Vault with the keys and the token of `site`'s production: it never seals itself.
fn twin(site: &Site) -> Vault {
    let mut staging = Vault::builder().staging().start();
    staging.take_over(&site.production.vault, site.production.vault.snapshot());
    staging.take_keys_of(&site.production.vault);
    staging
}

/// Lines of `[staging]` for a drill that leaves it unsealed, with `canary`.
fn open_with(canary: &str) -> String {
    format!("{LOGIN}seal_after = false\ncanary = {canary:?}\n")
}

#[test]
fn drill_fails_if_the_canary_is_missing_deleted_or_too_old() {
    let site = Site::new();
    let staging = twin(&site);
    let drilled = |lines: &str| {
        let output = drill(&site, &staging, lines).run();
        site.assert_clean(&output);
        output
    };

    // The same keys: no share is needed, except for sealing.
    let login = LOGIN.lines().nth(1).unwrap();
    let output = drilled(&format!("{login}\nseal_after = false\n"));
    output.code(0).stderr_contains("not compared with the backup: no unseal keys are configured");
    let output = drilled(login);
    output.fails(2, &["cannot be sealed after the restore", "nothing was restored\nhint: set staging.unseal_keys"]);
    assert_eq!(staging.health(), Some(ACTIVE));

    drilled(&open_with("old/canary")).ok();
    let age = format!("canary_max_age = \"{CANARY_AGE}s\"\n");
    for (lines, code, parts) in [
        (open_with("smtp/nothing"), 6, ["canary smtp/nothing is not in the restored Vault", "write it to production"]),
        (open_with("no-mount/x"), 6, ["no-mount/x", ""]),
        (open_with("smtp/deleted"), 6, ["canary smtp/deleted was deleted in this backup", "undelete it"]),
        (open_with("smtp/destroyed"), 6, ["canary smtp/destroyed was destroyed in this backup", "write it again"]),
        (
            open_with("smtp/test-tenant-id/admin") + &age,
            6,
            ["more than staging.canary_max_age", "check the job that renews it"],
        ),
        (
            open_with("old/canary") + &age,
            2,
            ["old/canary is on KV v1, which stores no time", "unset staging.canary_max_age"],
        ),
        (open_with("smtp/x").replace("SECRET_ID", "KEY"), 6, ["logging in with the source's credentials", "invalid"]),
        (open_with("fill/000000"), 6, ["fill/000000", "permission denied"]),
    ] {
        drilled(&lines).fails(code, &parts);
    }
    assert_eq!(site.names().iter().filter(|name| name.ends_with(".drill.json")).count(), 1, "of those that passed");
    assert_eq!(staging.health(), Some(ACTIVE));

    // Also sealed after a failure.
    drilled(&open_with("smtp/nothing").replace("seal_after = false", "")).fails(6, &["smtp/nothing"]);
    assert_eq!(staging.health(), Some(SEALED));
    let failures = site.audit().into_iter().filter(|event| event["event"] == "vault_backup_test_failed");
    let failures: Vec<_> = failures.collect();
    assert_eq!(failures.len(), 10);
    // The first was refused before the restore.
    assert!(failures[0]["details"]["durations_ms"]["restore"].is_null());
    for event in &failures[1..] {
        assert_eq!(event["severity"], "high");
        assert_eq!(event["details"]["backup_tested"], site.production.object);
        assert_eq!(event["details"]["staging_vault"], format!("{}/", staging.address()));
        assert!(event["details"]["durations_ms"]["restore"].is_u64(), "{event}");
    }
}

/// A proxy in front of `staging` that answers the restore with `reply`, and a drill through it.
fn through(site: &Site, staging: &Vault, lines: &str, reply: fn() -> Reply) -> (FaultServer, Tool) {
    let proxy = FaultServer::proxy(&staging.address(), move |call| match call.path == RESTORE {
        true => reply(),
        false => Reply::forward(),
    });
    let tool = site.tool(&staging_at(proxy.address(), lines)).arg("verify-restore");
    let tool = tool.env("STAGING_TOKEN", staging.root_token());
    (proxy, tool)
}

#[test]
fn drill_fails_if_staging_keeps_its_old_state_or_does_not_come_back() {
    let site = Site::new();
    let staging = Vault::builder().staging().start();
    let short = format!("{LOGIN}wait = \"2s\"\n");
    let notified = FaultServer::start(|_| Reply::status(200));
    let notify = format!("[[notify]]\ntype = \"webhook\"\nurl = {:?}\n", notified.address());

    let (proxy, tool) = through(&site, &staging, &format!("{short}{notify}"), || Reply::status(204));
    let output = tool.arg("--json").run();
    output.code(6).stderr_contains("did not come back with the restored state within 2 s (staging.wait)");
    output.stderr_contains("it kept its old state").stderr_contains("staging left unsealed");
    site.assert_clean(&output);
    let result = output.json();
    assert_eq!((&result["error"]["exit_code"], &result["backup_tested"]), (&json!(6), &json!(site.production.object)));
    assert!(staging.token_is_valid(staging.root_token()));
    let message: Value = notified.calls().pop().unwrap().json();
    assert_eq!((&message["type"], &message["severity"]), (&json!("vault_backup_test_failure"), &json!("high")));
    assert_eq!(message["details"]["staging_vault"], format!("{}/", proxy.address()));
    assert_eq!(message["details"]["backup_tested"], site.production.object);

    // Refused: nothing was restored, so nothing is sealed.
    let refusal = || Reply::json(400, &json!({"errors": ["could not do it"]}));
    let (_proxy, tool) = through(&site, &staging, &short, refusal);
    let output = tool.run();
    output.fails(3, &["restore", "could not do it"]);
    site.assert_clean(&output);
    assert_eq!(staging.health(), Some(ACTIVE));

    // Accepted, and then no response.
    let hangs = Arc::new(AtomicBool::new(false));
    let hanging = hangs.clone();
    let proxy = FaultServer::proxy(&staging.address(), move |call| match call.path == RESTORE {
        true => {
            hanging.store(true, Ordering::SeqCst);
            Reply::forward()
        }
        false if hanging.load(Ordering::SeqCst) => Reply::hang(),
        false => Reply::forward(),
    });
    let run = format!("{short}[run]\nidle_timeout = \"1s\"\n");
    let tool = site.tool(&staging_at(proxy.address(), &run)).arg("verify-restore");
    let output = tool.env("STAGING_TOKEN", staging.root_token()).run();
    output.code(6).stderr_contains("did not come back").stderr_contains("staging left unsealed");
    site.assert_clean(&output);
    staging.wait_for_health(&[SEALED]);
}

#[test]
fn drill_names_missing_duplicate_and_foreign_shares() {
    let site = Site::new();
    let staging = Vault::builder().staging().shares(5, 3).start();
    let drilled = |staging: &Vault, keys: &str| {
        let lines = LOGIN.replace("\"env:SHARE0\", \"env:SHARE1\"", keys);
        // A share with another number than SHARE0.
        let number = |share: &String| BASE64_STANDARD.decode(share).unwrap()[32];
        let of_another = |share: &&String| number(share) != number(&site.production.vault.shares()[0]);
        drill(&site, staging, &lines).env("WRONG", staging.shares().iter().find(of_another).unwrap()).run()
    };
    // Too few: refused before anything is sent.
    let output = drilled(&staging, "\"env:SHARE2\"");
    output.fails(6, &["too few unseal key shares: 1 given", "nothing was restored: staging.unseal_keys, of cluster"]);
    site.assert_clean(&output);
    assert!(staging.token_is_valid(staging.root_token()));

    // Another threshold: the message asks for a restart.
    let output = drill(&site, &staging, LOGIN).run();
    output.code(6).stderr_contains("initialised with threshold 3").stderr_contains("restart it and repeat the drill");
    site.assert_clean(&output);
    assert_eq!(staging.health(), Some(SEALED));
    staging.restart();

    // Found sealed, and the shares do not unseal it: refused.
    for (keys, code, says) in [
        ("\"env:SHARE2\"", 6, "too few unseal key shares: 1 given"),
        ("\"env:SHARE0\", \"env:WRONG\"", 2, "is sealed"),
        ("\"env:SHARE1\", \"env:SHARE1\"", 6, "share 2 of 2 (env:SHARE1): duplicate of share 1"),
        ("\"env:SHARE1\", \"env:ROLE_ID\"", 2, "share env:ROLE_ID: malformed"),
        ("", 2, "is sealed"),
    ] {
        let output = drilled(&staging, keys);
        output.fails(code, &[says]);
        site.assert_clean(&output);
        assert_eq!(staging.health(), Some(SEALED));
    }
    let output = drill(&site, &staging, LOGIN).run();
    output.ok();
    site.assert_clean(&output);

    // Wrong shares: detected when the restored state is unsealed.
    let staging = Vault::builder().staging().start();
    let output = drilled(&staging, "\"env:SHARE0\", \"env:WRONG\"");
    output
        .code(6)
        .stderr_contains("unsealing, share 2 of 2")
        .stderr_contains("set staging.unseal_keys to the unseal keys of the backup's source");
    site.assert_clean(&output);
    assert_eq!(staging.health(), Some(SEALED));
    let output = drill(&site, &staging, LOGIN).run();
    output.ok();
    assert_eq!(staging.health(), Some(SEALED));
}

#[test]
fn staging_without_root_tokens_from_shares_is_refused_before_the_restore() {
    let site = Site::new();
    let staging = Vault::start();
    // Vault 1.x has no such setting, so the proxy refuses instead of the server.
    let restored = Arc::new(AtomicBool::new(false));
    let (proxy, sent) = (staging.address(), restored.clone());
    let proxy = FaultServer::proxy(&proxy, move |call| {
        sent.fetch_or(call.path.contains("snapshot"), Ordering::SeqCst);
        match call.path.starts_with("/v1/sys/generate-root/") {
            true => Reply::json(405, &json!({"errors": ["unsupported operation"]})),
            false => Reply::forward(),
        }
    });
    let run = |lines: &str| {
        let tool = site.tool(&staging_at(proxy.address(), lines)).arg("verify-restore");
        let output = tool.env("STAGING_TOKEN", staging.root_token()).run();
        site.assert_clean(&output);
        output
    };
    let settings = ["disable_unauthed_generate_root_endpoints = false", "enable_unauthenticated_access"];
    run(LOGIN).fails(2, &settings);
    assert_eq!(staging.health(), Some(ACTIVE), "it was open before");
    // Found sealed, it is sealed again.
    staging.seal();
    let tool = site.tool(&staging_at(proxy.address(), LOGIN)).arg("verify-restore");
    let tool = tool.env("STAGING_TOKEN", staging.root_token()).env("SHARE0", &staging.shares()[0]);
    tool.env("SHARE1", &staging.shares()[1]).run().fails(2, &settings);
    assert_eq!(staging.health(), Some(SEALED));
    assert!(!restored.load(Ordering::SeqCst), "nothing was sent");
    assert!(!site.names().iter().any(|name| name.ends_with(".drill.json")));

    // Nothing must be sealed, so this is not checked.
    staging.unseal(staging.enough_shares());
    run(&format!("{LOGIN}seal_after = false\n")).ok();
}
