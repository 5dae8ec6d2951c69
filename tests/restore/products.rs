//! Restores and drills between products and versions, always with real servers of each.

use super::{cluster_name, index, restore};
use crate::drill::{LOGIN, drill};
use crate::support::production::{PLANTED, Production, Site};
use crate::support::vault::{ACTIVE, SEALED, Server, Vault};
use serde_json::json;
use std::sync::Arc;

/// A production on `server` with a backup, and a server to restore into.
fn scene(server: Server, target: Server) -> (Site, Vault) {
    let site = Arc::new(Production::of(Vault::builder().server(server).start())).site();
    (site, Vault::builder().server(target).staging().start())
}

/// Asserts that restore and drill are refused with `parts`, and nothing changes in the target.
fn refused(site: &Site, target: &Vault, force: bool, parts: &[&str]) {
    let before = index(target);
    let object = &site.production.object;
    let mut tool = restore(site, object, target).args(["--confirm", &cluster_name(target)]);
    if force {
        tool = tool.arg("--force");
    }
    tool.run().fails(2, parts);
    let output = drill(site, target, LOGIN).run();
    output.fails(2, parts);
    site.assert_clean(&output);
    assert_eq!(index(target), before, "something was sent");
    assert_eq!(target.health(), Some(ACTIVE));
}

#[test]
fn restore_of_openbao_into_vault_is_refused_even_with_force() {
    let (site, target) = scene(Server::OpenBao, Server::Vault);
    let parts = [
        "refused: the backup was taken from OpenBao 2.",
        "the target is Vault 1.",
        "would not find the backup's mounts",
    ];
    refused(&site, &target, true, &parts);
    refused(&site, &target, false, &parts);
}

#[test]
fn restore_into_an_older_version_is_refused_unless_forced() {
    let (site, target) = scene(Server::OpenBao, Server::OpenBaoOld);
    refused(
        &site,
        &target,
        false,
        &["refused: the backup was taken from OpenBao 2.7", "the target is OpenBao 2.6", "--force"],
    );

    let dry = restore(&site, &site.production.object, &target).args(["--force", "--dry-run", "--json"]).run();
    let plan = dry.ok().json();
    assert_eq!(plan["source"]["product"], "openbao");
    assert_eq!(plan["target"]["version"], target.ok("GET", "sys/health", None)["version"]);
    assert!(plan["note"].as_str().unwrap().contains("forced restore into an older version"), "{plan}");
}

#[test]
fn restore_into_a_newer_version_works() {
    let (site, target) = scene(Server::OpenBaoOld, Server::OpenBao);
    let dry = restore(&site, &site.production.object, &target).args(["--force", "--dry-run", "--json"]).run();
    assert_eq!(dry.ok().json()["note"], json!(null));
    let tool = restore(&site, &site.production.object, &target).args(["--confirm", &cluster_name(&target), "--force"]);
    tool.run().ok();
    assert_eq!(target.health(), Some(SEALED));
    target.unseal(site.production.vault.enough_shares());
    assert_eq!(site.production.canary_at(&target), Some(json!({"password": PLANTED})));
}

#[test]
fn restore_of_vault_into_openbao_is_a_migration() {
    let (site, target) = scene(Server::Vault, Server::OpenBao);
    let object = &site.production.object;
    drill(&site, &target, LOGIN)
        .arg("-v")
        .run()
        .code(0)
        .stderr_contains("migration: the backup was taken from Vault 1.");

    let target = Vault::builder().server(Server::OpenBao).start();
    let dry = restore(&site, object, &target).args(["--dry-run", "--force"]).run();
    dry.ok()
        .stdout_contains("note: migration: the backup was taken from Vault 1.")
        .stdout_contains("the target is OpenBao 2.");
    let tool = restore(&site, object, &target).args(["--confirm", &cluster_name(&target), "--force", "--json"]);
    let output = tool.run();
    assert!(output.ok().json()["note"].as_str().unwrap().starts_with("migration"));
    target.unseal(site.production.vault.enough_shares());
    assert_eq!(site.production.canary_at(&target), Some(json!({"password": PLANTED})));
}
