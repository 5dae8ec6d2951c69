//! Vaults that return no snapshot: real ones, except for two states that a test cannot
//! produce.

use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use crate::support::process::Port;
use crate::support::vault::{SEALED, Vault};
use serde_json::{Value, json};

/// Asserts the error for the Vault at `address`, and that nothing was stored.
#[track_caller]
fn refused(place: &Place, address: &str, token: &str, says: &[&str]) {
    let output = place.tool().env("VAULT_ADDR", address).env("VAULT_TOKEN", token).keeps([token]).arg("backup").run();
    output.fails(3, &[address]).fails(3, says).stdout_is("").leaves(&[]);
    place.assert_empty();
}

#[test]
fn a_denied_snapshot_names_the_missing_policy() {
    let place = Place::s3();
    let vault = &place.site.vault;
    let right = r#"path "sys/storage/raft/snapshot" { capabilities = ["read"] }"#;
    refused(&place, &vault.address(), &vault.token(&["no-rights"]), &["permission denied", right]);
    refused(&place, &vault.address(), "hvs.planted-and-dead", &["the token is not valid here", "vault.auth"]);
}

#[test]
fn an_uninitialised_or_sealed_vault_is_reported() {
    let place = Place::directory();
    let mut vault = Vault::builder().uninitialised().start();
    refused(&place, &vault.address(), "hvs.planted", &["it is not initialised", "check that this is the right Vault"]);
    vault.initialise(1, 1);
    vault.wait_for_health(&[SEALED]);
    refused(&place, &vault.address(), "hvs.planted", &["it is sealed", "vault operator unseal"]);
}

#[test]
fn an_unreachable_vault_is_reported() {
    let place = Place::directory();
    let port = Port::reserve();
    let address = format!("http://{}", port.address());
    refused(&place, &address, "hvs.planted", &["Connection refused", "check that Vault is running there"]);
    let https = place.site.vault.address().replace("http:", "https:");
    refused(&place, &https, "hvs.planted", &["does not speak TLS"]);
}

/// A simulated node that answers with `health` and `more`.
fn double(status: u16, health: &Value, more: impl Fn(&str) -> Option<Value> + Send + Sync + 'static) -> FaultServer {
    let health = health.clone();
    FaultServer::start(move |call| match call.path.as_str() {
        "/v1/sys/health" => Reply::json(status, &health),
        path => more(path).map_or_else(|| Reply::status(404), |body| Reply::json(200, &body)),
    })
}

#[test]
fn a_storage_other_than_raft_is_reported() {
    let place = Place::directory();
    let health =
        json!({"initialized": true, "sealed": false, "standby": false, "version": "1.21.4", "cluster_id": "a"});
    let seal = json!({"initialized": true, "sealed": false, "type": "shamir", "t": 2, "n": 3, "progress": 0,
        "version": "1.21.4", "storage_type": "consul"});
    let vault = double(200, &health, move |path| (path == "/v1/sys/seal-status").then(|| seal.clone()));
    refused(&place, vault.address(), "hvs.planted", &["its storage is \"consul\", not Raft", "migrate it to Raft"]);
    assert!(vault.calls().iter().all(|call| call.header("x-vault-token").is_empty()), "it was not given the token");
}

/// Takes as long as the timeout for an election.
#[test]
fn a_standby_without_a_leader_is_reported() {
    let place = Place::directory();
    let health = json!({"initialized": true, "sealed": false, "standby": true, "version": "1.21.4", "cluster_id": "a"});
    let vault = double(429, &health, |path| (path == "/v1/sys/leader").then(|| json!({"leader_address": ""})));
    let says = ["a standby that names no leader", "vault operator raft list-peers", "redact_addresses"];
    refused(&place, vault.address(), "hvs.planted", &says);
}

#[test]
fn a_server_that_is_not_vault_gets_no_token() {
    let place = Place::directory();
    let page = FaultServer::start(|_| Reply::status(200).header("Content-Type", "text/html").body("<html>Welcome"));
    refused(&place, page.address(), "hvs.planted", &["the response is not from Vault", "check the address"]);
    assert!(page.calls().iter().all(|call| call.header("x-vault-token").is_empty()), "it was not given the token");
    refused(&place, &place.site.s3.endpoint(), "hvs.planted", &["HTTP 4"]);
}
