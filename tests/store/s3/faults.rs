//! Network faults, and failures of the server.

use super::super::{MIB, data, list, read, run, send, sha256, soon, write};
use super::{answering, behind, operation, refusal};
use crate::support::fault::{Call, Reply};
use crate::support::process::{PATIENCE, wait_for};
use bytes::Bytes;
use futures_util::StreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use vault_backup::base::error::Kind;
use vault_backup::services::store::{Deleted, Head, Put, ReadAt};

const NAME: &str = "daily/2025-11-26/vault-snapshot-20251126-020000.enc";

/// Responds with `fault` to the first `times` requests of the operation `wanted`.
fn first(
    times: usize,
    wanted: &'static str,
    fault: impl Fn() -> Reply + Send + Sync + 'static,
) -> impl Fn(&Call) -> Reply + Send + Sync + 'static {
    let seen = AtomicUsize::new(0);
    move |call| {
        let hit = operation(call) == wanted && seen.fetch_add(1, Ordering::Relaxed) < times;
        if hit { fault() } else { Reply::forward() }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_succeeds_after_a_lost_response() {
    let lost = [(1000, "PutObject"), (40 * MIB, "CompleteMultipartUpload"), (40 * MIB, "CreateMultipartUpload")];
    for (size, wanted) in lost {
        let (s3, proxy, store) = behind(first(1, wanted, Reply::lose)).await;
        let data = data(size);
        let head = send(store.as_ref(), NAME, "run-1", &data).await.unwrap();
        assert_eq!(head.size, size as u64);
        assert_eq!(proxy.calls().iter().filter(|call| operation(call) == wanted).count(), 2);
        assert!(read(store.as_ref(), NAME, ReadAt::default()).await.unwrap().1 == data);
        assert!(s3.incomplete_uploads("backups").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_put_and_delete_succeed_after_a_lost_response() {
    let (_s3, proxy, store) = behind(first(1, "CopyObject", Reply::lose)).await;
    let head = send(store.as_ref(), NAME, "run-1", &data(1000)).await.unwrap();
    store.copy(NAME, &head, "monthly/2025-11/x").await.unwrap();
    assert_eq!(proxy.calls().iter().filter(|call| operation(call) == "CopyObject").count(), 2);

    let (s3, _proxy, store) = behind(first(1, "PutObject", Reply::lose)).await;
    store.put("x", Bytes::from_static(b"small"), Put::Create).await.unwrap();
    assert_eq!(s3.get("backups", "vault/x").unwrap(), b"small");

    let (s3, _proxy, store) = behind(first(1, "DeleteObjects", Reply::lose)).await;
    s3.put("backups", "vault/x", b"");
    assert!(store.delete(&["x".to_owned()]).await[0].is_ok());
    assert!(s3.objects("backups").is_empty());
}

/// The first response is lost, and another run takes the name before the retry.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_taken_before_the_retry_is_a_conflict() {
    let (s3, _proxy, store) = behind(first(1, "PutObject", Reply::close)).await;
    s3.put("backups", &format!("vault/{NAME}"), b"another's");
    let error = send(store.as_ref(), NAME, "run-1", &data(9)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
    let error = store.put(NAME, Bytes::from_static(b"small one"), Put::Create).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_failures_are_retried() {
    let overloaded: fn() -> Reply = || refusal(503, "SlowDown");
    let failing: fn() -> Reply = || refusal(500, "InternalError");
    for (wanted, fault) in [
        ("UploadPart", overloaded),
        ("UploadPart", Reply::close),
        ("UploadPart", Reply::hang),
        ("CreateMultipartUpload", failing),
        ("CompleteMultipartUpload", failing),
        ("HeadObject", Reply::hang),
        ("UploadPart", || refusal(429, "TooManyRequests")),
        ("CreateMultipartUpload", || Reply::status(408)),
        ("CompleteMultipartUpload", || refusal(400, "RequestTimeout")),
        ("HeadObject", || Reply::status(429)),
    ] {
        let (s3, _proxy, store) = behind(first(1, wanted, fault)).await;
        let data = data(36 * MIB);
        soon(send(store.as_ref(), NAME, "run-1", &data)).await.unwrap();
        assert!(s3.get("backups", &format!("vault/{NAME}")).unwrap() == data);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permanent_failure_aborts_the_upload() {
    for wanted in ["UploadPart", "CompleteMultipartUpload", "PutObject"] {
        let (s3, _proxy, store) = behind(first(usize::MAX, wanted, || refusal(403, "AccessDenied"))).await;
        let size = if wanted == "PutObject" { 10 } else { 64 * MIB };
        let error = send(store.as_ref(), NAME, "run-1", &data(size)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Store);
        assert!(error.to_string().contains("denied: s3:PutObject"), "{error}");
        store.finish_cleanup().await;
        assert!(s3.objects("backups").is_empty());
        assert!(s3.incomplete_uploads("backups").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_upload_refuses_further_calls() {
    let (_s3, _proxy, store) =
        behind(first(usize::MAX, "CreateMultipartUpload", || refusal(403, "AccessDenied"))).await;
    let mut upload = store.upload(NAME, run("run-1")).await.unwrap();
    write(upload.as_mut(), &data(40 * MIB)).await.unwrap_err();
    upload.write(Bytes::from_static(b"more")).await.unwrap_err();
    upload.complete(sha256(b""), 0).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_survives_a_server_restart() {
    let (mut s3, _proxy, store) = behind(|_| Reply::forward()).await;
    let data = data(40 * MIB);
    let mut upload = store.upload(NAME, run("run-1")).await.unwrap();
    write(upload.as_mut(), &data).await.unwrap();
    s3.kill();
    let completing = tokio::spawn(upload.complete(sha256(&data), data.len() as u64));
    s3.restart();
    soon(completing).await.unwrap().unwrap();
    assert!(s3.get("backups", &format!("vault/{NAME}")).unwrap() == data);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_resumes_after_connection_failures() {
    // Each connection breaks, ends or stalls after some data.
    let handler = |call: &Call| match (operation(call), call.number % 3) {
        ("GetObject", 0) => Reply::forward().break_after(MIB / 2),
        ("GetObject", 1) => Reply::forward().break_after(MIB),
        ("GetObject", _) => Reply::forward().stall_after(MIB),
        _ => Reply::forward(),
    };
    let (s3, proxy, store) = behind(handler).await;
    let data = data(4 * MIB);
    s3.put("backups", &format!("vault/{NAME}"), &data);
    for (first, expected) in [(None, &data[..]), (Some(2 * MIB as u64), &data[..2 * MIB])] {
        let (_, bytes) = soon(read(store.as_ref(), NAME, ReadAt { first, version: None })).await.unwrap();
        assert!(bytes == expected);
    }
    let resumed = proxy.calls().iter().filter(|call| !call.header("if-match").is_empty()).count();
    assert!(resumed >= 6, "{resumed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_without_progress_fails() {
    let handler = |call: &Call| match (operation(call), call.header("range")) {
        ("GetObject", "") => Reply::forward().break_after(1000),
        ("GetObject", _) => Reply::forward().break_after(0),
        _ => Reply::forward(),
    };
    let (s3, _proxy, store) = behind(handler).await;
    s3.put("backups", &format!("vault/{NAME}"), &data(MIB));
    let error = soon(read(store.as_ref(), NAME, ReadAt::default())).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Store);
    assert!(error.to_string().contains(&format!("read failed after 1000 of {MIB} bytes")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_never_mixes_two_objects() {
    let (s3, _proxy, store) = behind(first(1, "GetObject", || Reply::forward().break_after(1000))).await;
    let key = format!("vault/{NAME}");
    s3.put("backups", &key, &data(MIB));
    let mut download = store.get(NAME, ReadAt::default()).await.unwrap();
    s3.put("backups", &key, &vec![7; MIB]);
    let error = loop {
        match download.body.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("the stream ended without an error"),
        }
    };
    assert!(error.to_string().contains("the object was replaced meanwhile"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_listing_is_an_error() {
    const PAGE: &str = "<ListBucketResult><IsTruncated>true</IsTruncated>
        <Contents><Key>vault/a</Key><Size>1</Size></Contents></ListBucketResult>";
    let (_server, store) = answering(|_| Reply::status(200).body(PAGE)).await;
    let error = list(store.as_ref(), "").await.unwrap_err();
    assert!(error.to_string().contains("the listing is truncated"), "{error}");

    let (_server, store) = answering(|_| Reply::status(200).body(PAGE.replace("vault/a", "other/a"))).await;
    let error = list(store.as_ref(), "").await.unwrap_err();
    assert!(error.to_string().contains("outside of the prefix"), "{error}");

    let more = PAGE.replace("true</IsTruncated>", "true</IsTruncated><NextContinuationToken>t</NextContinuationToken>");
    let pages = move |call: &Call| match call.query.contains("continuation-token=t") {
        true => refusal(403, "AccessDenied"),
        false => Reply::status(200).body(more.clone()),
    };
    let (_server, store) = answering(pages).await;
    let error = list(store.as_ref(), "").await.unwrap_err();
    assert!(error.to_string().contains("denied: s3:ListBucket"), "{error}");
}

/// A deletion that the server does not confirm is an error.
#[tokio::test(flavor = "multi_thread")]
async fn delete_reports_unconfirmed_deletions() {
    const RESULT: &str = "<DeleteResult><Deleted><Key>vault/a</Key></Deleted>
        <Error><Key>vault/b</Key><Code>AccessDenied</Code><Message>no</Message></Error>
        <Deleted><Key>vault/d</Key><DeleteMarker>true</DeleteMarker></Deleted>
        <Error><Key>vault/e</Key><Code>NoSuchKey</Code><Message>another was faster</Message></Error></DeleteResult>";
    let (_server, store) = answering(|_| Reply::status(200).body(RESULT)).await;
    let results = store.delete(&["a", "b", "c", "d", "e"].map(str::to_owned)).await;
    let ends: Vec<_> = results.iter().map(|result| result.as_ref().ok().copied()).collect();
    assert_eq!(ends, [Some(Deleted::Gone), None, None, Some(Deleted::Hidden), Some(Deleted::Gone)]);
    let errors: Vec<_> = results.into_iter().filter_map(Result::err).map(|e| e.to_string()).collect();
    assert!(errors[0].starts_with("s3://backups/vault/b: denied: s3:DeleteObject: AccessDenied: no"), "{errors:?}");
    assert!(errors[1].starts_with("s3://backups/vault/c: the store did not confirm"), "{errors:?}");

    let (_server, store) = answering(|_| refusal(403, "AccessDenied")).await;
    for (name, result) in ["a", "b"].iter().zip(store.delete(&["a", "b"].map(str::to_owned)).await) {
        let error = result.unwrap_err().to_string();
        assert!(error.starts_with(&format!("s3://backups/vault/{name}: ")) && error.contains("denied"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_falls_back_to_single_requests() {
    let (s3, proxy, store) = behind(first(usize::MAX, "DeleteObjects", || refusal(501, "NotImplemented"))).await;
    s3.put_all("backups", &["vault/a", "vault/b", "vault/c"].map(str::to_owned), b"");
    let results = store.delete(&["a", "missing", "b"].map(str::to_owned)).await;
    assert!(results.len() == 3 && results.iter().all(Result::is_ok));
    assert_eq!(s3.objects("backups"), ["vault/c"]);
    assert_eq!(proxy.calls().iter().filter(|call| operation(call) == "DeleteObject").count(), 3);
}

/// The server creates the upload, but the caller is dropped before the response.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_dropped_before_its_id_is_known_is_aborted() {
    let (mut s3, proxy, store) = behind(|_| Reply::forward()).await;
    let mut upload = store.upload(NAME, run("run-1")).await.unwrap();
    s3.pause();
    let writing = tokio::spawn(async move { write(upload.as_mut(), &data(40 * MIB)).await });
    wait_for("the upload to begin", PATIENCE, || (!proxy.calls().is_empty()).then_some(()));
    writing.abort();
    assert!(writing.await.unwrap_err().is_cancelled());
    s3.resume();
    soon(store.finish_cleanup()).await;
    assert!(proxy.calls().iter().any(|call| operation(call) == "AbortMultipartUpload"));
    assert!(s3.incomplete_uploads("backups").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_with_a_slow_server() {
    let (_s3, proxy, store) = behind(|call| match operation(call) {
        "UploadPart" => Reply::hang(),
        _ => Reply::forward(),
    })
    .await;
    let taken = Arc::new(AtomicUsize::new(0));
    let mut upload = store.upload(NAME, run("run-1")).await.unwrap();
    let counter = Arc::clone(&taken);
    let writing = tokio::spawn(async move {
        for _ in 0..128 {
            upload.write(data(MIB)).await.unwrap();
            counter.fetch_add(MIB, Ordering::Relaxed);
        }
    });
    let parts = || proxy.calls().iter().filter(|call| operation(call) == "UploadPart").count();
    // As many of 5 MiB as fit next to the one that is being filled.
    wait_for("parts in flight", PATIENCE, || (parts() >= 5).then_some(()));
    assert!(!writing.is_finished());
    assert!(taken.load(Ordering::Relaxed) <= 33 * MIB, "{taken:?}");
    writing.abort();
    let _ = writing.await;
    soon(store.finish_cleanup()).await;
}

/// With a lower limit than the real 5 GB, which take minutes.
#[tokio::test(flavor = "multi_thread")]
async fn large_objects_are_copied_by_parts() {
    let (s3, proxy, _) = behind(first(1, "UploadPartCopy", || refusal(503, "SlowDown"))).await;
    let settings =
        vault_backup::services::store::s3::S3Settings { copy_threshold: 5 * MIB as u64, ..super::through(&proxy) };
    let store = super::s3_store(settings).await;
    let data = data(12 * MIB + 1);
    let head = send(store.as_ref(), NAME, "run-1", &data).await.unwrap();
    let copy = store.copy(NAME, &head, "monthly/2025-11/x y").await.unwrap();
    assert_eq!((copy.size, &copy.metadata), (head.size, &head.metadata));
    assert!(s3.get("backups", "vault/monthly/2025-11/x y").unwrap() == data);
    assert_eq!(proxy.calls().iter().filter(|call| operation(call) == "UploadPartCopy").count(), 4);

    let changed = Head { etag: Some("\"0123\"".to_owned()), ..head };
    let error = store.copy(NAME, &changed, "monthly/2025-11/z").await.unwrap_err();
    assert!(error.to_string().contains("changed"), "{error}");
    assert!(s3.incomplete_uploads("backups").is_empty());
    assert!(s3.get("backups", "vault/monthly/2025-11/z").is_none());
}
