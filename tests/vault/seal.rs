//! Sealing, unsealing, and root tokens from shares.

use super::{assert_says, client, root, settings, shares_of, url};
use crate::support::fault::{FaultServer, Reply};
use crate::support::vault::{SEALED, Vault};
use serde_json::json;
use vault_backup::base::error::Kind;
use vault_backup::base::secret::Secret;
use vault_backup::services::vault::Client;

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_is_sealed_and_unsealed() {
    let vault = Vault::builder().shares(5, 3).start();
    let (client, at) = (client(&vault), url(&vault.address()));
    let error = client.seal(&at, &Secret::new(vault.token(&["nothing"]))).await.unwrap_err();
    assert_says(&error, Kind::Vault, &["sealing", r#"path "sys/seal" { capabilities = ["sudo", "update"] }"#]);
    client.seal(&at, &root(&vault)).await.unwrap();
    vault.wait_for_health(&[SEALED]);
    let status = client.seal_status(&at).await.unwrap();
    assert_eq!((status.sealed, status.initialized, status.threshold, status.shares), (true, true, 3, 5));
    assert_eq!(status.storage_type.as_deref(), Some("raft"));

    let shares = shares_of(vault.shares());
    // An attempt in progress is discarded.
    vault.ok("PUT", "sys/unseal", Some(json!({"key": vault.shares()[4]})));
    let error = client.unseal(&at, &shares[..2]).await.unwrap_err();
    assert_says(&error, Kind::Drill, &["still sealed after all 2 shares", "2 of 3 required shares accepted"]);
    let twice = [shares[0].clone(), shares[0].clone(), shares[1].clone()];
    assert_says(&client.unseal(&at, &twice).await.unwrap_err(), Kind::Drill, &["2 of 3 required shares accepted"]);

    let foreign = Vault::builder().shares(5, 3).start();
    let error = client.unseal(&at, &shares_of(foreign.shares())).await.unwrap_err();
    assert_says(&error, Kind::Drill, &["share 3 of 5 (env:SHARE2)", "give the shares of the source Vault"]);

    let status = client.unseal(&at, &shares).await.unwrap();
    assert!(!status.sealed);
    vault.wait_for_health(&[200]);
    assert!(!client.unseal(&at, &shares).await.unwrap().sealed, "already open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_token_is_generated_from_shares() {
    let vault = Vault::builder().staging().start();
    let (client, at) = (client(&vault), url(&vault.address()));
    let shares = shares_of(vault.shares());
    // An attempt in progress is discarded.
    vault.ok("PUT", "sys/generate-root/attempt", Some(json!({})));
    let token = client.generate_root(&at, &shares).await.unwrap();
    assert_eq!(client.lookup_self(&at, &token).await.unwrap().policies, ["root"]);

    let error = client.generate_root(&at, &shares[..1]).await.unwrap_err();
    assert_says(&error, Kind::Drill, &["not enough shares", "1 of 2 required shares accepted"]);
    let foreign = Vault::start();
    let error = client.generate_root(&at, &shares_of(foreign.shares())).await.unwrap_err();
    assert_says(&error, Kind::Drill, &["share 2 of 3 (env:SHARE1)", "give the shares of the source Vault"]);
    let attempt = vault.ok("GET", "sys/generate-root/attempt", None);
    assert_eq!(attempt["started"], false, "no attempt is left behind");

    vault.seal();
    assert_says(&client.generate_root(&at, &shares).await.unwrap_err(), Kind::Vault, &["sealed"]);
}

/// The default of OpenBao since 2.5.3.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_root_tokens_from_shares_names_the_setting() {
    let double = FaultServer::start(|_| Reply::json(405, &json!({"errors": ["unsupported operation"]})));
    let client = Client::new(settings(&[double.address()])).unwrap();
    let error = client.generate_root(&url(double.address()), &[]).await.unwrap_err();
    let says = [double.address(), "HTTP 405", "disable_unauthed_generate_root_endpoints = false", "Vault 2:"];
    assert_says(&error, Kind::Vault, &says);
}
