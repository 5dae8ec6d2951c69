//! Snapshots from real servers, and their failures.

use super::{WHOLE, assert_says, client, entries, root, session, settings, take};
use crate::support::vault::Vault;
use futures_util::StreamExt;
use serde_json::json;
use std::time::Duration;
use vault_backup::base::error::Kind;
use vault_backup::services::vault::Client;

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_needs_only_read_on_its_path() {
    let vault = Vault::start();
    vault.snapshot_policy("backup");
    let client = client(&vault);
    assert_eq!(entries(&take(&client, &vault.token(&["backup"])).await.unwrap()), WHOLE);

    let token = vault.token(&["nothing"]);
    let denied = take(&client, &token).await.unwrap_err();
    let policy = r#"path "sys/storage/raft/snapshot" { capabilities = ["read"] }"#;
    assert_says(&denied, Kind::Vault, &[&vault.address(), "permission denied", policy]);
    assert!(!denied.to_string().contains(&token));

    let dead = take(&client, "hvs.neverwas").await.unwrap_err();
    assert_says(&dead, Kind::Vault, &["token is not valid", "vault.auth"]);
    assert!(!dead.to_string().contains("neverwas"));

    vault.ok("POST", "sys/quotas/rate-limit/all", Some(json!({"rate": 0.1, "interval": "1h"})));
    let error = loop {
        match take(&client, vault.root_token()).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_says(&error, Kind::Vault, &["rate limit quota", "raise the quota"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_is_sealed_before_the_snapshot_is_an_error() {
    let vault = Vault::start();
    let client = client(&vault);
    let (node, session) = session(&client, vault.root_token()).await.unwrap();
    client.seal(&node.address, &root(&vault)).await.unwrap();
    vault.wait_for_health(&[crate::support::vault::SEALED]);
    let error = client.snapshot(&node, &session).await.err().unwrap();
    assert_says(&error, Kind::Vault, &["sealed", "vault operator unseal"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_server_times_out() {
    let vault = Vault::start();
    vault.fill(24 << 20);
    let mut settings = settings(&[vault.address()]);
    settings.idle_timeout = Duration::from_secs(1);
    let client = Client::new(settings).unwrap();
    let (node, session) = session(&client, vault.root_token()).await.unwrap();
    let mut body = client.snapshot(&node, &session).await.unwrap().body;
    body.next().await.unwrap().unwrap();
    vault.pause();
    let error = loop {
        match body.next().await.expect("no clean end") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_says(&error, Kind::Vault, &["no data for 1 s", "run.idle_timeout"]);
    let error = client.leader().await.unwrap_err();
    assert_says(&error, Kind::Vault, &["run.idle_timeout"]);
    vault.resume();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_over_a_unix_socket() {
    let vault = Vault::builder().listener_unix().start();
    let mut settings = settings(&["http://localhost"]);
    settings.unix_socket = vault.socket();
    let client = Client::new(settings).unwrap();
    assert_eq!(entries(&take(&client, vault.root_token()).await.unwrap()), WHOLE);
}
