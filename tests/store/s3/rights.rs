//! The example policies are sufficient and minimal, tested with a real server.

use super::super::{MIB, data, list, read, send};
use super::{s3_store, settings};
use crate::support::s3::S3;
use bytes::Bytes;
use chrono::Utc;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use vault_backup::services::store::{Locking, Put, ReadAt, Store};

const NAME: &str = "daily/2025-11-26/vault-snapshot-20251126-020000.enc";

/// Returns a store with the example policy of `role`.
async fn role(s3: &S3, role: &str) -> Arc<dyn Store> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/iam/{role}.json"));
    let example = std::fs::read_to_string(example).unwrap();
    let ours = example.replace("example-vault-backups", "backups").replace("prod/", "vault/");
    let mut policy: Value = serde_json::from_str(&ours).unwrap();
    let statements = policy["Statement"].as_array_mut().unwrap();
    // The server has no KMS.
    statements.retain(|statement| statement["Sid"] != "Key");
    statements.iter_mut().for_each(|statement| statement["Principal"] = json!({"AWS": ["role"]}));
    let account = s3.account("role");
    s3.policy("backups", &policy);
    s3_store(settings(&s3.endpoint(), account)).await
}

fn server() -> S3 {
    let s3 = S3::start();
    s3.bucket("backups");
    s3
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backup_policy_allows_backups_only() {
    let s3 = server();
    let store = role(&s3, "backup").await;
    store.clock().await.unwrap();
    store.probe_write("daily/").await.unwrap();
    assert_eq!(store.head(NAME).await.unwrap(), None);
    let head = send(store.as_ref(), NAME, "run-1", &data(40 * MIB)).await.unwrap();
    assert!(read(store.as_ref(), NAME, ReadAt::default()).await.unwrap().1 == data(40 * MIB));
    store.put("daily/x.manifest.json", Bytes::from_static(b"{}"), Put::Create).await.unwrap();
    store.copy(NAME, &head, "monthly/2025-11/x").await.unwrap();
    assert_eq!(list(store.as_ref(), "").await.unwrap().len(), 3);
    let mut upload = store.upload("daily/y", super::super::run("run-2")).await.unwrap();
    super::super::write(upload.as_mut(), &data(40 * MIB)).await.unwrap();
    upload.abort().await.unwrap();
    assert!(s3.incomplete_uploads("backups").is_empty());
    let error = store.delete(&[NAME.to_owned()]).await.remove(0).unwrap_err().to_string();
    assert!(error.contains("denied: s3:DeleteObject"), "{error}");
    assert_eq!(s3.objects("backups").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prune_policy_allows_pruning_only() {
    let s3 = server();
    s3.put_all("backups", &["vault/daily/x".to_owned(), "other/daily/x".to_owned()], b"12");
    s3.abandon_upload("backups", &format!("vault/{NAME}"));
    let store = role(&s3, "prune").await;
    assert_eq!(list(store.as_ref(), "").await.unwrap().len(), 1);
    assert_eq!(store.object_lock().await.unwrap(), Locking::Off);
    assert!(store.head("daily/x").await.unwrap().is_some());
    assert_eq!(read(store.as_ref(), "daily/x", ReadAt::default()).await.unwrap().1, b"12");
    assert!(store.delete(&["daily/x".to_owned()]).await[0].is_ok());
    let soon = Utc::now() + chrono::TimeDelta::minutes(1);
    assert_eq!(store.abort_abandoned(soon, |_| true).await.unwrap(), [NAME]);
    assert_eq!(s3.objects("backups"), ["other/daily/x"]);
    let error = store.put("daily/x", Bytes::new(), Put::Create).await.unwrap_err().to_string();
    assert!(error.contains("denied: s3:PutObject"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_restore_policy_allows_reads_only() {
    let s3 = server();
    s3.put("backups", "vault/daily/x", b"12");
    let store = role(&s3, "restore").await;
    assert_eq!(list(store.as_ref(), "").await.unwrap().len(), 1);
    assert_eq!(read(store.as_ref(), "daily/x", ReadAt::default()).await.unwrap().1, b"12");
    let error = store.probe_write("daily/").await.unwrap_err().to_string();
    assert!(error.contains("denied: s3:PutObject"), "{error}");
    let error = store.abort_abandoned(Utc::now(), |_| true).await.unwrap_err().to_string();
    assert!(error.contains("denied: s3:ListBucketMultipartUploads"), "{error}");
}
