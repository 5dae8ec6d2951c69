//! `inspect`: the contents of a backup by mount.

use crate::support::production::{Production, Site, seal_older};
use crate::support::snapshot::Synthetic;
use crate::support::tool::{Tool, tool};
use serde_json::Value;

fn inspect(production: &Production, from: &str, shares: &[&str]) -> Tool {
    let flags = ["inspect", from, "--key", "env:KEY"];
    shares.iter().fold(production.armed(tool()).args(flags), |tool, share| tool.args(["--share", share]))
}

/// The site's backup as a file.
fn copy(site: &Site) -> String {
    site.file("copy.enc", &site.get(&site.production.object))
}

#[test]
fn lists_mounts_by_name_with_shares_and_by_storage_prefix_without() {
    let site = Site::new();
    let from = copy(&site);
    let mounts = |shares: &[&str]| -> Vec<Value> {
        let output = inspect(&site.production, &from, shares).args(["--json"]).run();
        let contents = output.ok().json()["checked"]["contents"].clone();
        let mounts = contents["mounts"].as_array().unwrap().clone();
        for sum in ["entries", "bytes"] {
            let parts: u64 = mounts.iter().map(|mount| mount[sum].as_u64().unwrap()).sum();
            assert_eq!(contents[sum], parts, "{sum}: {contents}");
        }
        let largest = mounts.iter().map(|mount| mount["largest_bytes"].as_u64().unwrap()).max();
        assert_eq!(contents["largest"]["bytes"].as_u64(), largest, "{contents}");
        mounts
    };
    let (placed, named) = (mounts(&[]), mounts(&["env:SHARE0", "env:SHARE2"]));
    let places =
        |mounts: &[Value]| mounts.iter().map(|m| (m["storage"].clone(), m["bytes"].clone())).collect::<Vec<_>>();
    assert_eq!(places(&placed), places(&named));
    assert!(placed.iter().all(|mount| mount["mount"].is_null() && mount["type"].is_null()));
    let entries = |path: &str| {
        let mount = named.iter().find(|mount| mount["mount"] == path).unwrap_or_else(|| panic!("no {path}: {named:?}"));
        (mount["type"].as_str().unwrap(), mount["entries"].as_u64().unwrap())
    };
    assert_eq!(entries("old/"), ("kv", 1), "KV v1 has one entry a secret");
    let (kind, versions) = entries("smtp/");
    assert!(kind == "kv" && versions > 8, "KV v2 has entries for metadata and versions: {versions}");

    let output = inspect(&site.production, &from, &["env:SHARE1", "env:SHARE0"]).run();
    let text = output.ok().text();
    for part in ["entries", "smtp/ (kv)", "old/ (kv)", "core/", "this is a complete snapshot"] {
        assert!(text.contains(part), "no {part} in:\n{text}");
    }
    site.production.assert_untouched();
}

#[test]
fn wrong_shares_are_reported() {
    let site = Site::new();
    let from = copy(&site);
    let few = "too few unseal key shares: 1 given";
    let health = site.production.vault.ok("GET", "sys/health", None);
    let cluster = format!("cluster {}", health["cluster_name"].as_str().unwrap());
    inspect(&site.production, &from, &["env:SHARE0"]).run().fails(6, &[&from, &cluster, few]).stdout_is("").leaves(&[]);
    inspect(&site.production, &from, &["env:KEY"]).run().fails(6, &[&from, "share 1 of 1 (env:KEY)"]).stdout_is("");
    inspect(&site.production, &from, &["SHARE0"]).run().fails(2, &["--share"]).stdout_is("").leaves(&[]);
    let keyless = site.production.armed(tool()).args(["inspect", &from, "--share", "env:SHARE0"]);
    keyless.run().fails(2, &["--share", "--key"]).stdout_is("").leaves(&[]);
}

#[test]
fn a_plain_snapshot_needs_no_key() {
    let site = Site::new();
    let snapshot = site.production.vault.snapshot();
    let from = site.file("vault.snap", &snapshot);
    let bare = || site.production.armed(tool()).args(["inspect", &from]);
    for (tool, mount) in [(bare(), "logical/"), (inspect(&site.production, &from, &[]), "logical/")] {
        let text = tool.run().ok().text();
        for part in ["plain snapshot, not encrypted", "this is a complete snapshot", mount] {
            assert!(text.contains(part), "no {part} in:\n{text}");
        }
    }
    let shares = bare().args(["--share", "env:SHARE0", "--share", "env:SHARE1", "--json"]);
    let found = shares.run().ok().json();
    assert_eq!((&found["layout"], &found["header"]), (&"snapshot".into(), &Value::Null));
    let mounts = found["checked"]["contents"]["mounts"].as_array().unwrap();
    assert!(mounts.iter().any(|mount| mount["mount"] == "smtp/"), "{found}");
    bare().args(["--share", "env:SHARE0"]).run().fails(6, &[&from, "too few unseal key shares: 1 given"]);
    let damaged = site.file("damaged.snap", &snapshot[..snapshot.len() - 9]);
    site.production.armed(tool()).args(["inspect", &damaged]).run().fails(5, &[&damaged]).stdout_is("");
    // An object in the store must be encrypted.
    let name = site.seal(b"");
    site.put(&name, &snapshot);
    site.tool_of(&[], "").args(["inspect", &name]).run().fails(5, &[&name]);
}

/// A later Vault may write its entries in another form; the backup is intact all the same.
#[test]
fn entries_in_an_unknown_form_are_no_failure() {
    let site = Site::new();
    let unknown = Synthetic::whole(&[0xff; 1000]).bytes();
    let from = &site.file("unknown.enc", &seal_older(&site.production.key, &unknown));
    let inspect =
        |production: &Production, from: &str, shares: &[&str]| inspect(production, from, shares).arg("--legacy");
    let output = inspect(&site.production, from, &[]).args(["--json"]).run();
    let found = output.ok().json();
    assert!(found["checked"]["contents"].is_null() && !found["checked"]["sha256"].is_null(), "{found}");
    let output = inspect(&site.production, from, &[]).run();
    output.ok().stdout_contains("contents unknown").stdout_contains("this is a complete snapshot");
    inspect(&site.production, from, &["env:SHARE0"]).run().fails(5, &[from]);
}
