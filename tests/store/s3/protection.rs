//! Versions, Object Lock, encryption and storage class.

use super::super::{data, list, read, send};
use super::{operation, s3_store, settings};
use crate::support::fault::Reply;
use crate::support::s3::S3;
use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use std::time::Duration;
use vault_backup::services::store::s3::{LockMode, ObjectLock, S3Settings, Sse};
use vault_backup::services::store::{Deleted, Locking, Put, ReadAt};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_listed_and_can_be_read() {
    let s3 = S3::start();
    s3.versioned_bucket("backups");
    let store = s3_store(settings(&s3.endpoint(), s3.root())).await;
    for body in [&b"oldest"[..], b"older", b"newest"] {
        s3.put("backups", "vault/daily/x", body);
        s3.put("backups", "vault/daily/x.manifest.json", body);
    }
    assert_eq!(store.object_lock().await.unwrap(), Locking::Off);
    let versions = store.versions("daily/x").await.unwrap();
    assert_eq!(versions.iter().map(|v| (v.size, v.latest)).collect::<Vec<_>>(), [(6, true), (5, false), (6, false)]);
    let at = |index: usize| ReadAt { version: Some(versions[index].id.clone()), first: None };
    for (index, body) in [&b"newest"[..], b"older", b"oldest"].into_iter().enumerate() {
        let (head, bytes) = read(store.as_ref(), "daily/x", at(index)).await.unwrap();
        assert_eq!((bytes.as_slice(), head.version), (body, Some(versions[index].id.clone())));
    }
    // A delete marker hides the object and keeps its versions.
    assert_eq!(store.delete(&["daily/x".to_owned()]).await.remove(0).unwrap(), Deleted::Hidden);
    assert_eq!(store.head("daily/x").await.unwrap(), None);
    assert_eq!(list(store.as_ref(), "").await.unwrap().len(), 1);
    let left = store.versions("daily/x").await.unwrap();
    assert_eq!(left.iter().map(|v| &v.id).collect::<Vec<_>>(), versions.iter().map(|v| &v.id).collect::<Vec<_>>());
    assert!(left.iter().all(|v| !v.latest));
}

#[tokio::test(flavor = "multi_thread")]
async fn written_objects_are_locked() {
    let s3 = S3::start();
    s3.locked_bucket("backups");
    let lock = |days| Some(ObjectLock { mode: LockMode::Governance, period: DAY * days });
    let plain = settings(&s3.endpoint(), s3.root());
    let store = s3_store(S3Settings {
        object_lock_daily: lock(10),
        object_lock_monthly: lock(100),
        copy_threshold: 1_000_000,
        ..plain
    })
    .await;
    assert_eq!(store.object_lock().await.unwrap(), Locking::On);
    store.probe_write("daily/").await.unwrap();
    for (name, size) in [("daily/1/small", 1000), ("daily/1/large", 40_000_000)] {
        let head = send(store.as_ref(), name, "run-1", &data(size)).await.unwrap();
        store.copy(name, &head, &name.replace("daily", "monthly")).await.unwrap();
    }
    store.put("daily/1/small.manifest.json", Bytes::from_static(b"{}"), Put::Create).await.unwrap();
    for _ in 0..2 {
        store.put("daily/1/small.drill.json", Bytes::from_static(b"{}"), Put::Replace).await.unwrap();
    }
    send(store.as_ref(), "elsewhere", "run-1", &data(10)).await.unwrap();
    for listed in list(store.as_ref(), "").await.unwrap() {
        let head = store.head(&listed.name).await.unwrap().unwrap();
        let days = match listed.name.split('/').next().unwrap() {
            "daily" => 10,
            "monthly" => 100,
            _ => {
                assert_eq!(head.retain_until, None, "{}", listed.name);
                continue;
            }
        };
        let until = head.retain_until.unwrap_or_else(|| panic!("{} is not locked", listed.name));
        assert!((until - Utc::now() - TimeDelta::days(days)).abs() < TimeDelta::minutes(5), "{}", listed.name);
        assert!(!head.legal_hold);
    }
    s3.legal_hold("backups", "vault/elsewhere");
    assert!(store.head("elsewhere").await.unwrap().unwrap().legal_hold);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_without_object_lock_is_reported() {
    let s3 = S3::start();
    s3.bucket("backups");
    let lock = ObjectLock { mode: LockMode::Compliance, period: DAY };
    let plain = settings(&s3.endpoint(), s3.root());
    let store = s3_store(S3Settings { object_lock_daily: Some(lock), ..plain }).await;
    for (name, size) in [("daily/small", 10), ("daily/large", 40_000_000)] {
        let error = send(store.as_ref(), name, "run-1", &data(size)).await.unwrap_err();
        assert!(error.to_string().contains("use a bucket with Object Lock"), "{error}");
    }
    // Unlike S3, versitygw keeps the object of a refused PUT.
    assert!(s3.get("backups", "vault/daily/large").is_none() && s3.incomplete_uploads("backups").is_empty());
}

/// versitygw ignores encryption and storage classes, so this checks the requests.
#[tokio::test(flavor = "multi_thread")]
async fn encryption_and_storage_class_are_requested() {
    let (s3, proxy, _) = super::behind(|_| Reply::forward()).await;
    let store = s3_store(S3Settings {
        sse: Some(Sse::Kms),
        kms_key_id: Some("alias/backups".to_owned()),
        storage_class: Some("STANDARD_IA".to_owned()),
        ..super::through(&proxy)
    })
    .await;
    let _ = send(store.as_ref(), "daily/small", "run-1", &data(10)).await;
    let _ = send(store.as_ref(), "daily/large", "run-1", &data(40_000_000)).await;
    s3.put("backups", "vault/daily/copied", b"12");
    let head = store.head("daily/copied").await.unwrap().unwrap();
    let _ = store.copy("daily/copied", &head, "monthly/copied").await;
    let mut seen = Vec::new();
    for call in proxy.calls() {
        let operation = operation(&call);
        if matches!(operation, "PutObject" | "CreateMultipartUpload" | "CopyObject") {
            assert_eq!(call.header("x-amz-server-side-encryption"), "aws:kms");
            assert_eq!(call.header("x-amz-server-side-encryption-aws-kms-key-id"), "alias/backups");
            assert_eq!(call.header("x-amz-storage-class"), "STANDARD_IA");
            seen.push(operation);
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, ["CopyObject", "CreateMultipartUpload", "PutObject"]);
}
