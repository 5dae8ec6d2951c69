//! `restore` into real clusters: every guard, then the restore.

mod products;
mod swapped;

use crate::support::cluster::Cluster;
use crate::support::fault::{FaultServer, Reply};
use crate::support::production::{self, PLANTED, Production, Site};
use crate::support::tool::{Tool, program};
use crate::support::vault::{ACTIVE, SEALED, Vault};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::sync::Arc;

fn index(vault: &Vault) -> Value {
    vault.ok("GET", "sys/leader", None)["raft_committed_index"].clone()
}

pub fn cluster_name(vault: &Vault) -> String {
    vault.ok("GET", "sys/health", None)["cluster_name"].as_str().unwrap().to_owned()
}

/// `restore OBJECT` into `target`, with its root token.
fn restore(site: &Site, object: &str, target: &Vault) -> Tool {
    site.tool("").args(["restore", object, "--address", &target.address()]).env("VAULT_TOKEN", target.root_token())
}

#[test]
fn restore_into_the_same_cluster_needs_confirmation() {
    let site = Arc::new(Production::start(3, 2)).site();
    let (vault, object) = (&site.production.vault, site.production.object.clone());
    let name = cluster_name(vault);
    vault.put_secret("smtp", "test-tenant-id/admin", &json!({"password": "overwritten by mistake"}));
    let later = vault.token(&["nothing"]);
    let before = index(vault);

    let refused = |tool: Tool, code: i32, parts: &[&str]| {
        tool.run().fails(code, parts).stdout_is("").leaves(&[]);
        assert_eq!(vault.health(), Some(ACTIVE));
    };
    refused(restore(&site, &object, vault), 2, &["it was not confirmed", "--confirm"]);
    refused(
        restore(&site, &object, vault).args(["--confirm", "vault-cluster-0"]),
        2,
        &["is not the target's cluster name", &name],
    );
    let denied =
        restore(&site, &object, vault).args(["--confirm", &name]).env("VAULT_TOKEN", &site.production.powerless);
    refused(denied, 3, &["permission denied"]);
    let manifest = format!("{object}.manifest.json");
    let good = site.get(&manifest);
    site.put(
        &manifest,
        String::from_utf8(good.clone()).unwrap().replace("\"seal_shares\":3", "\"seal_shares\":1").as_bytes(),
    );
    refused(
        restore(&site, &object, vault).args(["--confirm", &name]),
        5,
        &["its manifest is invalid", "choose another backup"],
    );
    site.put(&manifest, &good);
    let nowhere =
        site.tool("").args(["restore", &object, "--address", "http://127.0.0.1:1", "--confirm", &name, "--dry-run"]);
    refused(nowhere.env("VAULT_TOKEN", vault.root_token()), 3, &["127.0.0.1:1"]);
    let events = site.audit();
    assert!(
        events.iter().all(|event| event["event"] == "vault_backup_restore_failed" && event["severity"] == "critical")
    );
    assert_eq!(events.len(), 3, "a missing --confirm is a usage error, and dry runs send no notifications");

    let dry = restore(&site, &object, vault).args(["--dry-run", "--json"]).run();
    let plan = dry.ok().json();
    assert_eq!((&plan["forced"], &plan["target"]["cluster_name"]), (&json!(false), &json!(name)));
    assert_eq!(plan["source"]["cluster_id"], plan["target"]["cluster_id"]);
    assert_eq!((&plan["source"]["seal"], &plan["target"]["raft_peers"]), (&json!("shamir, 2 of 3 shares"), &json!(1)));
    let dry = restore(&site, &object, vault).arg("--dry-run").run();
    dry.ok().stdout_contains(&name).stdout_contains(&vault.cluster_id()).stdout_contains("2 of 3 shares");
    assert_eq!(index(vault), before, "nothing was sent, nothing was written");
    assert_eq!(site.audit().len(), events.len());

    let output = restore(&site, &object, vault).args(["--confirm", &name, "--json"]).run();
    let result = output.ok().leaves(&[]).json();
    assert_eq!(result["sealed"], false);
    assert_eq!(vault.health(), Some(ACTIVE));
    assert_eq!(vault.get_secret("smtp", "test-tenant-id/admin"), Some(json!({"password": PLANTED})));
    assert!(vault.token_is_valid(vault.root_token()), "it was there when the backup was made");
    assert_eq!(vault.api("POST", "auth/token/lookup", Some(json!({"token": later}))).0, 403);
    let event = site.audit().pop().unwrap();
    assert_eq!((&event["event"], &event["details"]["backup"]), (&json!("vault_backup_restored"), &json!(object)));
    assert_eq!(event["details"]["target"], vault.address());
}

/// `script` runs it on a terminal.
#[test]
fn restore_on_a_terminal_shows_the_plan_and_asks_for_confirmation() {
    let site = Arc::new(Production::start(3, 2)).site();
    let (vault, object) = (&site.production.vault, &site.production.object);
    let name = cluster_name(vault);
    vault.put_secret("smtp", "test-tenant-id/admin", &json!({"password": "overwritten by mistake"}));
    let typing = |line: &str| {
        let tool = site.production.armed(program("script")).env("VAULT_TOKEN", vault.root_token());
        let config = site.path("config.toml");
        let (binary, address) = (env!("CARGO_BIN_EXE_vault-backup"), vault.address());
        let command = format!("{binary} --config {} restore {object} --address {address}", config.display());
        tool.args(["--quiet", "--return", "--command", &command, "/dev/null"]).stdin(format!("{line}\n")).run()
    };
    drop(site.tool("")); // writes the configuration
    let before = index(vault);
    for line in ["yes", ""] {
        let output = typing(line);
        output.code(2).stdout_contains("Type its cluster name to continue").stdout_contains("2 of 3 shares");
        output.stdout_contains(&vault.cluster_id()).stdout_contains("is not the target's cluster name");
    }
    assert_eq!(index(vault), before);
    typing(&name).code(0).stdout_contains("serves the restored data");
    assert_eq!(vault.get_secret("smtp", "test-tenant-id/admin"), Some(json!({"password": PLANTED})));
}

#[test]
fn restore_into_the_same_cluster_after_a_rekey_needs_force() {
    let site = Arc::new(Production::of(Vault::builder().rekeyable().start())).site();
    let (vault, object) = (&site.production.vault, site.production.object.clone());
    let name = cluster_name(vault);
    vault.put_secret("smtp", "test-tenant-id/admin", &json!({"password": "overwritten by mistake"}));
    vault.rekey(5, 3);
    let output = restore(&site, &object, vault).args(["--confirm", &name]).run();
    output.fails(3, &["nothing was changed", "with other seal keys", "if the cluster was rekeyed since", "--force"]);
    assert_eq!(vault.health(), Some(ACTIVE));
    assert_ne!(vault.get_secret("smtp", "test-tenant-id/admin"), Some(json!({"password": PLANTED})));

    let output = restore(&site, &object, vault).args(["--confirm", &name, "--force", "--json"]).run();
    assert_eq!(output.ok().leaves(&[]).json()["sealed"], false, "a rekey leaves the key below the shares' as it is");
    assert_eq!(vault.get_secret("smtp", "test-tenant-id/admin"), Some(json!({"password": PLANTED})));
    vault.restart();
    vault.unseal(vault.enough_shares());

    // With its current keys, --force changes nothing: Vault checks them.
    let asked = FaultServer::proxy(&vault.address(), |_| Reply::forward());
    let tool = site.tool("").args(["restore", &object, "--address", asked.address(), "--confirm", &name, "--force"]);
    tool.env("VAULT_TOKEN", vault.root_token()).run().ok();
    assert!(asked.calls().iter().all(|call| !call.path.ends_with("/snapshot-force")));
}

#[test]
fn restore_into_another_cluster_needs_force() {
    let site = Site::new();
    let object = site.production.object.clone();
    let snapshot = site.production.vault.snapshot();
    let (file, plain) = (site.path("copy.enc"), site.path("plain.snap"));
    std::fs::write(&file, site.get(&object)).unwrap();
    std::fs::write(&plain, &snapshot).unwrap();
    let older = site.path("older.enc");
    std::fs::write(&older, production::seal_older(&site.production.key, &snapshot)).unwrap();

    let target = Vault::start();
    let (name, before) = (cluster_name(&target), index(&target));
    let output = restore(&site, &object, &target).args(["--confirm", &name]).run();
    output.fails(
        2,
        &["the backup was taken from cluster", &site.production.vault.cluster_id(), &target.cluster_id(), "--force"],
    );
    for (input, legacy) in [(&file, &[][..]), (&older, &["--legacy"])] {
        let dry = || restore(&site, input.to_str().unwrap(), &target).arg("--dry-run").args(legacy);
        dry().arg("--force").run().ok().stdout_contains(input.to_str().unwrap());
        dry().run().fails(2, &["refused", "--force"]);
    }
    let refused = restore(&site, older.to_str().unwrap(), &target).args(["--dry-run", "--force"]).run();
    refused.fails(5, &["older.enc", "in the legacy format", "--legacy", "encryption.legacy_until"]);
    let output = restore(&site, plain.to_str().unwrap(), &target).args(["--dry-run", "--force"]).run();
    output.fails(5, &["plain.snap", "a snapshot that is not encrypted", "vault operator raft snapshot restore"]);
    restore(&site, "-", &target).args(["--dry-run", "--force"]).run().fails(2, &["stdin cannot be read twice"]);
    assert_eq!(index(&target), before);
    assert!(target.token_is_valid(target.root_token()));

    // By name, from a file, in the legacy format: each into another cluster.
    let targets = [&target, &Vault::start()];
    for (target, input) in targets.into_iter().zip([object.as_str(), older.to_str().unwrap()]) {
        let tool = restore(&site, input, target).args(["--confirm", &cluster_name(target), "--force", "--legacy"]);
        let output = tool.run();
        output
            .ok()
            .stdout_contains("Next: unseal every node of the target with the unseal keys of the backup's cluster");
        site.assert_clean(&output);
        assert_eq!(target.health(), Some(SEALED));
        target.unseal(site.production.vault.enough_shares());
        assert_eq!(site.production.canary_at(target), Some(json!({"password": PLANTED})));
        assert!(!target.token_is_valid(target.root_token()));
    }
}

#[test]
fn restore_into_a_three_node_cluster_works_through_any_node() {
    let site = Site::new();
    let cluster = Cluster::start(3);
    let (leader, standby) = (cluster.leader(), cluster.standbys()[0]);
    leader.mount_kv("app", 2);
    leader.put_secret("app", "a", &json!({"n": 1}));
    let backup = site.tool_of(&cluster.addresses(), "").args(["backup", "--kind", "daily", "--json"]);
    let object =
        backup.env("VAULT_TOKEN", leader.root_token()).run().code(0).json()["object"].as_str().unwrap().to_owned();
    leader.put_secret("app", "a", &json!({"n": 2}));
    let output = restore(&site, &object, standby).args(["--confirm", &cluster_name(leader)]).run();
    output.ok().stdout_contains("serves the restored data");
    assert_eq!(cluster.leader().get_secret("app", "a"), Some(json!({"n": 1})));
}

#[test]
fn restore_reports_an_unknown_result_after_a_lost_response() {
    let site = Site::new();
    let target = Vault::start();
    let tokens = || target.ok("LIST", "auth/token/accessors", None)["data"]["keys"].clone();
    let before = tokens();
    // In this order: after a restore it is another cluster.
    for (reply, part) in [
        ((|| Reply::json(400, &json!({"errors": ["no"]}))) as fn() -> Reply, "nothing was changed in the target"),
        (Reply::lose, "it is unknown whether the backup was restored"),
    ] {
        let proxy = FaultServer::proxy(&target.address(), move |call| match call.path.ends_with("/snapshot-force") {
            true => reply(),
            false => Reply::forward(),
        });
        let tool = site.tool("").args(["restore", &site.production.object, "--address", proxy.address(), "--force"]);
        let tool = tool.args(["--confirm", &cluster_name(&target)]).env("VAULT_TOKEN", target.root_token());
        let output = tool.run();
        output.fails(3, &[part]);
        site.assert_clean(&output);
        if part.starts_with("nothing") {
            assert_eq!(tokens(), before, "the token that was to show the restore is gone");
        }
    }
    target.wait_for_health(&[SEALED]);
}

#[test]
fn interrupted_restore_reports_whether_the_target_may_have_changed() {
    let site = Site::new();
    let target = Vault::start();
    let name = cluster_name(&target);
    for (hangs, parts) in [
        ("/auth/token/create", ["vault-backup: error: terminated", ""]),
        // By then it may or may not have been sent completely.
        ("/snapshot-force", ["the target", ": terminated"]),
    ] {
        let proxy = FaultServer::proxy(&target.address(), move |call| match call.path.ends_with(hangs) {
            true => Reply::hang(),
            false => Reply::forward(),
        });
        let tool = site.tool("").args(["restore", &site.production.object, "--address", proxy.address(), "--force"]);
        let mut run = tool.args(["--confirm", &name]).env("VAULT_TOKEN", target.root_token()).start();
        run.wait_for("it to hang", || proxy.calls().iter().any(|call| call.path.ends_with(hangs)).then_some(()));
        run.signal(Signal::TERM);
        let output = run.wait();
        output.fails(143, &parts);
        site.assert_clean(&output);
        assert_eq!(target.health(), Some(ACTIVE));
        assert!(target.token_is_valid(target.root_token()), "nothing came through");
    }
}
