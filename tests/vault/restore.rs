//! Restoring snapshots into Vault.

use super::{assert_says, client, root, session, settings, shares_of, take};
use crate::support::vault::{SEALED, Vault};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use serde_json::json;
use std::time::Duration;
use vault_backup::base::error::{Error, Kind, Result};
use vault_backup::base::secret::Secret;
use vault_backup::services::vault::Client;

/// Returns `bytes` in pieces.
fn pieces(bytes: &[u8]) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    let pieces: Vec<_> = bytes.chunks(64 << 10).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_restored_into_its_own_and_another_cluster() {
    let source = Vault::start();
    source.mount_kv("smtp", 2);
    source.put_secret("smtp", "a", &json!({"k": "before"}));
    let at_source = client(&source);
    let snapshot = take(&at_source, source.root_token()).await.unwrap();

    source.put_secret("smtp", "a", &json!({"k": "after"}));
    let (node, _) = session(&at_source, source.root_token()).await.unwrap();
    at_source.restore(&node, &root(&source), pieces(&snapshot), false).await.unwrap();
    source.wait_for("the old state", |v| {
        (v.try_api(v.root_token(), "GET", "smtp/data/a", None)?.1).windows(6).any(|w| w == b"before").then_some(())
    });

    let staging = Vault::builder().staging().start();
    let at_staging = client(&staging).single_node();
    let (node, _) = session(&at_staging, staging.root_token()).await.unwrap();
    let token = root(&staging);
    let dies = at_staging.create_token(&node.address, &token, Duration::from_secs(3600)).await.unwrap();
    let error = at_staging.restore(&node, &token, pieces(&snapshot), false).await.unwrap_err().error;
    assert_says(&error, Kind::Vault, &["other seal keys", "--force"]);
    let none = Secret::new(staging.token(&["nothing"]));
    let error = at_staging.restore(&node, &none, pieces(&snapshot), true).await.unwrap_err().error;
    assert_says(&error, Kind::Vault, &["permission denied", r#"path "sys/storage/raft/snapshot-force""#]);

    at_staging.restore(&node, &token, pieces(&snapshot), true).await.unwrap();
    staging.wait_for_health(&[SEALED]);
    let shares = shares_of(source.shares());
    assert!(!at_staging.unseal(&node.address, &shares).await.unwrap().sealed);
    let restored = at_staging.leader().await.unwrap();
    assert_eq!(restored.address, node.address);
    assert_eq!(restored.health.cluster_id, Some(source.cluster_id()));
    assert!(!at_staging.token_alive(&node.address, &dies).await.unwrap());
    let made = at_staging.generate_root(&node.address, &shares).await.unwrap();
    at_staging.seal(&node.address, &made).await.unwrap();
    staging.wait_for_health(&[SEALED]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_ends_the_upload() {
    let staging = Vault::start();
    let client = client(&staging);
    let (node, _) = session(&client, staging.root_token()).await.unwrap();
    let none = Secret::new(staging.token(&["nothing"]));
    let error = client.restore(&node, &none, pieces(&vec![7; 64 << 20]), true).await.unwrap_err().error;
    assert_says(&error, Kind::Vault, &["permission denied", r#"path "sys/storage/raft/snapshot-force""#]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_threshold_is_used_until_a_restart() {
    let source = Vault::builder().shares(5, 3).start();
    let snapshot = take(&client(&source), source.root_token()).await.unwrap();
    let staging = Vault::builder().shares(3, 2).start();
    let client = client(&staging).single_node();
    let (node, _) = session(&client, staging.root_token()).await.unwrap();
    client.restore(&node, &root(&staging), pieces(&snapshot), true).await.unwrap();
    staging.wait_for_health(&[SEALED]);
    let shares = shares_of(source.shares());
    let error = client.unseal(&node.address, &shares).await.unwrap_err();
    assert_says(&error, Kind::Drill, &["share 2 of 5", "it uses its old threshold"]);
    staging.restart();
    client.unseal(&node.address, &shares).await.unwrap();
    let restored = client.leader().await.unwrap();
    assert_eq!(restored.health.cluster_id, Some(source.cluster_id()));
    assert_eq!((restored.seal.threshold, restored.seal.shares), (3, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_source_never_completes_the_upload() {
    let source = Vault::start();
    source.fill(6 << 20);
    let snapshot = take(&client(&source), source.root_token()).await.unwrap();
    let staging = Vault::start();
    let before = staging.cluster_id();
    let client = client(&staging);
    let (node, _) = session(&client, staging.root_token()).await.unwrap();
    // Even if every byte was sent, the end of the body must be missing.
    for cut in [1, snapshot.len() / 2, snapshot.len()] {
        let failure = stream::once(async { Err(Error::integrity("segment 3: authentication failed")) });
        let body = pieces(&snapshot[..cut]).chain(failure);
        let error = client.restore(&node, &root(&staging), body, true).await.unwrap_err().error;
        assert_says(&error, Kind::Integrity, &["segment 3"]);
    }
    assert_eq!(staging.cluster_id(), before);
    let log = staging.log();
    assert!(!log.contains("applying snapshot") && !log.contains("installed snapshot"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_stalls_or_dies_is_an_error() {
    let staging = Vault::start();
    let mut settings = settings(&[staging.address()]);
    settings.idle_timeout = Duration::from_secs(1);
    let client = Client::new(settings).unwrap();
    let (node, _) = session(&client, staging.root_token()).await.unwrap();
    let endless = || stream::repeat_with(|| Ok(Bytes::from_static(&[7; 64 << 10])));
    staging.pause();
    let error = client.restore(&node, &root(&staging), endless(), true).await.unwrap_err().error;
    assert_says(&error, Kind::Vault, &["no progress for 1 s", "run.idle_timeout"]);
    staging.resume();

    // A slow source does not count as a slow Vault.
    let slow = stream::once(async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Err(Error::store("s3://b/o: it is slow"))
    });
    let error = client.restore(&node, &root(&staging), slow, true).await.unwrap_err().error;
    assert_says(&error, Kind::Store, &["it is slow"]);

    // It would refuse an unreadable snapshot before it dies.
    staging.fill(6 << 20);
    let snapshot = take(&client, staging.root_token()).await.unwrap();
    let pid = rustix::process::Pid::from_raw(staging.pid() as i32).unwrap();
    let dying = pieces(&snapshot).enumerate().map(move |(sent, piece)| {
        if sent == 8 {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
        piece
    });
    let error = client.restore(&node, &root(&staging), dying, true).await.unwrap_err().error;
    assert_says(&error, Kind::Vault, &["restore, after", "http_read_timeout"]);
}
