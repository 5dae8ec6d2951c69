//! `vault.cluster_id`: another cluster is never backed up, and its backups never count.

use super::text;
use crate::support::fault::{Call, FaultServer, Reply};
use crate::support::place::Place;
use crate::support::tool::Tool;
use serde_json::Value;

/// `place`'s tool, with `vault.cluster_id`.
fn tool_of(place: &Place, cluster: &str) -> Tool {
    let tool = place.tool();
    let config = tool.tmp().join("config.toml");
    std::fs::write(&config, format!("[vault]\ncluster_id = {cluster:?}\n")).unwrap();
    tool.arg("--config").arg(config)
}

/// A Vault whose responses to unauthenticated requests are edited by `edit`.
fn edited(place: &Place, edit: fn(&mut Value)) -> FaultServer {
    let vault = &place.site.vault;
    let answers = ["sys/health", "sys/seal-status"].map(|path| {
        let mut answer = vault.ok("GET", path, None);
        edit(&mut answer);
        (format!("/v1/{path}"), answer)
    });
    FaultServer::proxy(&vault.address(), move |call: &Call| {
        let known = answers.iter().find(|(path, _)| *path == call.path);
        known.map_or_else(Reply::forward, |(_, answer)| Reply::json(200, answer))
    })
}

#[test]
fn backup_of_the_configured_cluster_works() {
    let place = Place::directory();
    let id = place.site.vault.cluster_id();
    let said = tool_of(&place, &id).args(["backup", "--json"]).run().code(0).json();
    assert_eq!(said["vault"]["cluster_id"], id);
    let product = crate::support::vault::product().as_str();
    assert_eq!(said["vault"]["product"], product);
    let shown = place.tool().args(["inspect", text(&said["object"]), "--json"]).run().code(0).json();
    assert_eq!([&shown["header"]["vault"]["product"], &shown["manifest"]["vault"]["product"]], [product, product]);
    place.tool().args(["inspect", text(&said["object"])]).run().ok().stdout_contains(match product {
        "vault" => "Vault 1.",
        _ => "OpenBao 2.",
    });
}

#[test]
fn backup_refuses_another_cluster_before_login() {
    for place in Place::both() {
        let proxy = edited(&place, |_| {});
        let id = place.site.vault.cluster_id();
        let tool = tool_of(&place, "another").env("VAULT_ADDR", proxy.address());
        tool.arg("backup").run().fails(2, &["its cluster is", &id, "vault.cluster_id is another", "nothing was read"]);
        assert!(proxy.calls().iter().all(|call| call.header("x-vault-token").is_empty()), "a token was sent");
        place.assert_empty();
    }
}

#[test]
fn backup_refuses_a_cluster_without_id_if_vault_cluster_id_is_set() {
    let absent: fn(&mut Value) = |answer| drop(answer.as_object_mut().unwrap().remove("cluster_id"));
    let redacted: fn(&mut Value) = |answer| answer["cluster_id"] = "".into();
    for edit in [absent, redacted] {
        let place = Place::directory();
        let (id, proxy) = (place.site.vault.cluster_id(), edited(&place, edit));
        let tool = tool_of(&place, &id).env("VAULT_ADDR", proxy.address());
        tool.arg("backup").run().fails(2, &["does not report its cluster id", &id, "remove vault.cluster_id"]);
        assert!(proxy.calls().iter().all(|call| call.header("x-vault-token").is_empty()), "a token was sent");
        place.assert_empty();
        // Without one, such a cluster is backed up.
        let said = place.tool().env("VAULT_ADDR", proxy.address()).args(["backup", "--json"]).run().code(0).json();
        assert_eq!(said["vault"]["cluster_id"], Value::Null);
        place.tool().args(["inspect", text(&said["object"])]).run().ok();
    }
}

/// Redacting listeners return empty strings, which count as absent.
#[test]
fn redacted_fields_of_a_listener_are_omitted() {
    let place = Place::directory();
    let proxy = edited(&place, |answer| {
        (answer["version"], answer["cluster_name"]) = ("".into(), "".into());
    });
    let said = place.tool().env("VAULT_ADDR", proxy.address()).args(["backup", "--json"]).run().code(0).json();
    let vault = said["vault"].as_object().unwrap();
    assert!(!vault.contains_key("version") && !vault.contains_key("cluster_name"), "{said}");
    assert_eq!(vault["product"], crate::support::vault::product().as_str(), "detected without the version");
}

#[test]
fn a_backup_of_another_cluster_is_never_good() {
    let place = Place::directory();
    let object = text(&place.backup()["object"]).to_owned();
    let id = place.site.vault.cluster_id();
    let of = |cluster: &str, args: &[&str]| tool_of(&place, cluster).args(args).run();
    assert_eq!(of(&id, &["list", "--json"]).code(0).json()["backups"][0]["standing"], "good");

    let listed = of("another", &["list", "--json"]).code(0).json();
    let entry = &listed["backups"][0];
    assert_eq!([&entry["standing"], &entry["delete"]], [&Value::from("other-cluster"), &Value::from(false)]);
    assert_eq!(entry["retention"], "keep: of another cluster");
    assert_eq!(entry["reason"], format!("it is of cluster {id}, vault.cluster_id is another"));
    of("another", &["list"]).ok().stdout_contains("other-cluster");
    let status = of("another", &["status", "--json"]).code(9).json();
    assert_eq!([&status["daily"]["good"], &status["daily"]["newest_good"]], [&Value::from(0), &Value::Null]);
    assert!(status["other_cluster"].as_u64() >= Some(1), "{status}");
    of("another", &["status"]).code(9).stdout_contains("of another cluster, not counted");

    // Shown and decrypted with a warning; nothing is restored or recovered from it.
    let warns = [&id[..], "vault.cluster_id is another"];
    let file = place.path().join(&object).display().to_string();
    for input in [&object, &file] {
        let output = of("another", &["inspect", input]);
        output.code(0).stderr_contains(warns[0]).stderr_contains(warns[1]);
        let output = of("another", &["decrypt", input, "-o", "-"]);
        output.code(0).stderr_contains(warns[0]).stderr_contains(warns[1]);
        let vault = &place.site.vault;
        let share = |n: usize| vault.shares()[n].clone();
        let recover = tool_of(&place, "another").args(["recover", "secret/app", "--from", input]);
        let recover = recover.args(["--share", "env:SHARE0", "--share", "env:SHARE1"]);
        recover.env("SHARE0", share(0)).env("SHARE1", share(1)).run().fails(2, &warns);
        let restore = tool_of(&place, "another").args(["restore", input, "--address", &vault.address(), "--dry-run"]);
        restore.env("VAULT_TOKEN", vault.root_token()).run().fails(2, &warns);
    }
}
