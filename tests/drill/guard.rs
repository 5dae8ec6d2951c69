//! Refusals before anything is sent, and the state after a failure before the restore.

use super::{LOGIN, drill, staging_at};
use crate::support::cluster::Cluster;
use crate::support::fault::{FaultServer, Reply};
use crate::support::production::{self, Site};
use crate::support::tool::Output;
use crate::support::vault::{ACTIVE, SEALED, UNINITIALISED, Vault};
use serde_json::json;
use vault_backup::formats::crypto::Header;

/// `verify-restore` of `site` into the server at `address`, with production's root token.
fn into(site: &Site, addresses: &[String], address: &str) -> Output {
    site.tool_of(addresses, &staging_at(address, LOGIN)).arg("verify-restore").env_of_root(site).run()
}

trait Root {
    /// Sets production's root token as staging's.
    fn env_of_root(self, site: &Site) -> Self;
}

impl Root for crate::support::tool::Tool {
    fn env_of_root(self, site: &Site) -> Self {
        self.env("STAGING_TOKEN", site.production.vault.root_token())
    }
}

#[test]
fn guard_refuses_production_as_staging() {
    let site = Site::new();
    let production = &site.production.vault;
    let by_name = production.address().replace("127.0.0.1", "localhost");
    let addresses = [production.address()];
    let output = into(&site, &addresses, &production.address());
    output.fails(
        2,
        &["is production", "it is the same address as the production Vault's address", "nothing was changed"],
    );
    site.assert_clean(&output);
    let output = into(&site, &addresses, &by_name);
    output.fails(2, &["is production", "both resolve to 127.0.0.1"]);
    site.assert_clean(&output);

    // Its address is not known, but the backup lists its peers.
    let output = into(&site, &[], &production.address());
    output.fails(2, &["is production", "its raft peer address", "give the staging node another cluster_addr"]);
    site.assert_clean(&output);
    let proxy = FaultServer::proxy(&production.address(), |_| Reply::forward());
    let output = into(&site, &addresses, proxy.address());
    output.fails(2, &["is production", "its raft peer address"]);
    site.assert_clean(&output);
    assert!(proxy.calls().iter().all(|call| call.method == "GET"), "it was only looked at");
    assert_eq!(site.audit().len(), 4);
}

#[test]
fn guard_refuses_uninitialised_and_sealed_staging_and_a_shared_node_id() {
    let site = Site::new();
    let refused = |staging: &Vault, parts: &[&str]| {
        let output = drill(&site, staging, LOGIN).run();
        output.fails(2, parts);
        site.assert_clean(&output);
    };
    let mut staging = Vault::builder().staging().node_id(site.production.vault.node_id()).uninitialised().start();
    refused(&staging, &["is not initialised", "vault operator init"]);
    assert_eq!(staging.health(), Some(UNINITIALISED));
    staging.initialise(3, 2);
    refused(&staging, &["is sealed, and staging.unseal_keys do not unseal it"]);
    assert_eq!(staging.health(), Some(SEALED));
    staging.unseal(staging.enough_shares());
    refused(&staging, &["is production", "its raft node id", "give the staging node another node_id"]);
    assert_eq!(staging.health(), Some(ACTIVE), "it is as it was found");
    assert!(staging.token_is_valid(staging.root_token()));
}

#[test]
fn a_staging_server_found_sealed_is_sealed_again() {
    let site = Site::new();
    let clone = Vault::builder().staging().node_id(site.production.vault.node_id()).start();
    clone.take_over(&site.production.vault, site.production.vault.snapshot());
    let token = site.production.vault.root_token();
    assert_eq!(clone.api_as(token, "PUT", "sys/seal", None).0, 204);
    clone.wait_for_health(&[SEALED]);
    let output = drill(&site, &clone, LOGIN).run();
    output.fails(2, &["its raft node id"]);
    site.assert_clean(&output);
    assert_eq!(clone.health(), Some(SEALED));
}

#[test]
fn guard_refuses_a_three_node_cluster_through_any_node() {
    let site = Site::new();
    let cluster = Cluster::start(3);
    let (leader, standby) = (cluster.leader(), cluster.standbys()[0]);
    let index = || leader.ok("GET", "sys/leader", None)["raft_committed_index"].clone();
    let before = index();
    let refused = |addresses: &[String], parts: &[&str]| {
        let tool = site.tool_of(addresses, &staging_at(&leader.address(), LOGIN)).arg("verify-restore");
        let output = tool.env("STAGING_TOKEN", leader.root_token()).run();
        output.fails(2, parts);
        site.assert_clean(&output);
    };
    refused(
        &[site.production.vault.address()],
        &["has 3 raft peers, but a restore drill needs exactly one", "single-node"],
    );
    refused(&[standby.address()], &["is production", "the same address as the production Vault's leader"]);

    // A forced restore is refused too.
    let restore = site.tool("").args(["restore", &site.production.object, "--address", &leader.address(), "--force"]);
    let name = leader.ok("GET", "sys/health", None)["cluster_name"].as_str().unwrap().to_owned();
    let output = restore.args(["--confirm", &name]).env("VAULT_TOKEN", leader.root_token()).run();
    output.fails(2, &["the target has 3 raft peers", "single new node"]);
    assert_eq!(index(), before);
}

#[test]
fn drill_refuses_forged_damaged_and_missing_backups() {
    let site = Site::new();
    let object = &site.production.object;
    let staging = FaultServer::start(|_| Reply::status(500));
    let run = |extra: &str, object: &str| {
        let lines = staging_at(staging.address(), &format!("{LOGIN}{extra}"));
        let output = site.tool(&lines).args(["verify-restore", object]).env_of_root(&site).run();
        site.assert_clean(&output);
        output
    };
    let manifest = format!("{object}.manifest.json");
    let good = site.get(&manifest);
    let edited = String::from_utf8(good.clone()).unwrap().replace("\"seal_threshold\":2", "\"seal_threshold\":1");
    site.put(&manifest, edited.as_bytes());
    run("", object).fails(5, &[&site.store(), object, "its manifest fails", "invalid MAC"]);
    site.put(&manifest, &good);

    let other = site.seal(&site.production.vault.snapshot());
    site.put(&format!("{other}.manifest.json"), &good);
    run("", &other).fails(5, &["its manifest fails", "it belongs to another object"]);

    // A damaged header, a truncated backup, and a missing one.
    let mut bytes = site.get(object);
    bytes[2_000] ^= 1;
    site.put(object, &bytes);
    run("", object).fails(5, &[object]);
    site.put(object, &bytes[..1_000]);
    run("", object).fails(5, &["its manifest fails"]);
    run("", "daily/2025-11-26/vault-snapshot-20251126-020000.enc").fails(4, &["no such backup"]);
    assert!(staging.calls().is_empty(), "nothing was sent");
    let failed = site.audit();
    assert_eq!(failed.len(), 5);
    for event in failed {
        assert_eq!((&event["event"], &event["severity"]), (&json!("vault_backup_test_failed"), &json!("high")));
        assert!(event["details"]["backup_tested"].as_str().unwrap().starts_with("daily/"), "{event}");
        assert_eq!(event["details"]["staging_vault"], format!("{}/", staging.address()));
        assert!(event["details"]["durations_ms"]["pick"].is_u64(), "as far as it came: {event}");
    }
}

#[test]
fn drill_refuses_a_backup_of_another_cluster() {
    let site = Site::new();
    let staging = FaultServer::start(|_| Reply::status(500));
    let id = site.production.vault.cluster_id();
    for (configured, sent) in [("another-cluster", false), (id.as_str(), true)] {
        let tool = site.tool(&staging_at(staging.address(), LOGIN)).arg("verify-restore").env_of_root(&site);
        let config = std::fs::read_to_string(site.path("config.toml")).unwrap();
        let config = config.replacen("[vault]", &format!("[vault]\ncluster_id = {configured:?}"), 1);
        std::fs::write(site.path("config.toml"), config).unwrap();
        let output = tool.run();
        match sent {
            false => output.fails(2, &["it is of cluster", &id, "vault.cluster_id is another-cluster"]),
            true => output.code(3),
        };
        site.assert_clean(&output);
        assert_eq!(staging.calls().is_empty(), !sent);
    }
}

#[test]
fn damage_in_the_last_segment_leaves_staging_unchanged() {
    let site = Site::new();
    let staging = Vault::builder().staging().start();
    let object = &site.production.object;
    let mut bytes = site.get(object);
    *bytes.last_mut().unwrap() ^= 1;
    site.put(object, &bytes);
    let output = drill(&site, &staging, LOGIN).run();
    output.fails(5, &[object]);
    site.assert_clean(&output);
    assert_eq!(staging.health(), Some(ACTIVE));
    assert!(staging.token_is_valid(staging.root_token()));

    // Complete and correctly encrypted, but not the object of the manifest.
    *bytes.last_mut().unwrap() ^= 1;
    let file = site.path("object.enc");
    std::fs::write(&file, &bytes).unwrap();
    let plain = site.tool("").args(["decrypt", file.to_str().unwrap(), "-o-"]).run();
    let header = Header::peek(&bytes[..]).unwrap().unwrap();
    site.put(object, &production::seal(&site.production.key, &plain.ok().stdout, &header));
    let replaced = "its SHA-256 is not the one in its manifest";
    let output = drill(&site, &staging, LOGIN).run();
    output.fails(5, &[object, replaced]);
    let warned = site.tool("").args(["decrypt", object, "-o-"]).run();
    assert_eq!(warned.code(0).stderr_contains(replaced).stdout, plain.stdout);
    site.assert_clean(&output);

    // Every segment decrypts, but the snapshot in them is truncated.
    let truncated = site.seal(&plain.stdout[..plain.stdout.len() - 5]);
    let output = drill(&site, &staging, LOGIN).arg(&truncated).run();
    output.fails(5, &[&truncated]);
    site.assert_clean(&output);
    assert_eq!(staging.health(), Some(ACTIVE));
    assert!(staging.token_is_valid(staging.root_token()));
}
