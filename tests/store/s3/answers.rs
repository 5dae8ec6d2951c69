//! Errors of S3 servers are one line with a hint.

use super::super::{data, list};
use super::{answering, operation, refusal, s3_store, settings};
use crate::support::fault::{FaultServer, Reply};
use crate::support::process::Port;
use crate::support::s3::S3;
use chrono::{TimeZone, Utc};
use std::time::{Duration, Instant};
use vault_backup::base::error::Kind;
use vault_backup::services::store::s3::S3Settings;
use vault_backup::services::store::{Locking, Put, ReadAt};

#[tokio::test(flavor = "multi_thread")]
async fn error_responses_have_a_message_and_a_hint() {
    for (status, code, what, hint) in [
        (403, "AccessDenied", "denied: s3:ListBucket", "allow it in the policy"),
        (404, "NoSuchBucket", "no such bucket", "create it"),
        (403, "InvalidAccessKeyId", "unknown access key", "AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "wrong secret key", "AWS_SECRET_ACCESS_KEY"),
        (400, "ExpiredToken", "credentials have expired", "get new ones"),
        (301, "PermanentRedirect", "in another region", "set store.region = \"eu-west-1\""),
        (400, "AuthorizationHeaderMalformed", "in another region", "set store.region = \"eu-west-1\""),
        (507, "XMinioStorageFull", "the store is full", "prune"),
        (403, "QuotaExceeded", "the store is full", "prune"),
        (403, "InvalidObjectState", "the object is archived", "restore it"),
        (400, "KMS.DisabledException", "the KMS key cannot be used", "store.kms_key_id"),
        (418, "Teapot", "s3:ListBucket was refused", "Teapot: said the server"),
    ] {
        let (_server, store) =
            answering(move |_| refusal(status, code).header("x-amz-bucket-region", "eu-west-1")).await;
        let error = list(store.as_ref(), "").await.unwrap_err();
        assert_eq!(error.kind(), Kind::Store, "{code}");
        let line = error.to_string();
        assert!(line.starts_with("s3://backups/vault/: "), "{line}");
        assert!(line.contains(what) && line.contains(hint), "{code}: {line}");
    }
}

/// A response to HEAD has no body, so no error code.
#[tokio::test(flavor = "multi_thread")]
async fn error_responses_without_a_body_are_reported_by_status() {
    for (status, what) in [
        (403, "denied: s3:GetObject; allow s3:GetObject and s3:ListBucket in the policy"),
        (301, "in another region"),
        (507, "the store is full"),
        (505, "the store failed with HTTP status 505"),
        (418, "s3:GetObject failed with HTTP status 418"),
    ] {
        let (_server, store) = answering(move |_| Reply::status(status)).await;
        let line = store.head("x").await.unwrap_err().to_string();
        assert!(line.starts_with("s3://backups/vault/x: ") && line.contains(what), "{status}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overloaded_store_is_reported_after_six_attempts() {
    let (server, store) = answering(|_| refusal(503, "SlowDown")).await;
    let line = list(store.as_ref(), "").await.unwrap_err().to_string();
    assert!(line.contains("the store is overloaded"), "{line}");
    assert_eq!(server.calls().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pause_that_the_store_asks_for_is_kept() {
    for (status, code) in [(429, "TooManyRequests"), (503, "SlowDown"), (400, "SlowDown"), (408, "RequestTimeout")] {
        let (server, store) = answering(move |call| match call.number {
            0 => refusal(status, code).header("Retry-After", "2"),
            _ => Reply::status(200).body("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"),
        })
        .await;
        let begun = Instant::now();
        assert_eq!(list(store.as_ref(), "").await.unwrap(), []);
        assert!(begun.elapsed() >= Duration::from_secs(2), "{status} {code}: {:?}", begun.elapsed());
        assert_eq!(server.calls().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_difference_is_reported() {
    let (_server, store) =
        answering(|_| refusal(403, "RequestTimeTooSkewed").header("date", "Wed, 26 Nov 2025 02:00:00 GMT")).await;
    let theirs = Utc.with_ymd_and_hms(2025, 11, 26, 2, 0, 0).unwrap();
    assert_eq!(store.clock().await.unwrap(), Some(theirs), "the caller compares");
    let error = list(store.as_ref(), "").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unexpected);
    assert!(error.to_string().contains("clock"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_reports_other_errors() {
    let (_server, store) = answering(|_| refusal(403, "AccessDenied")).await;
    assert!(store.clock().await.unwrap_err().to_string().contains("denied: s3:ListBucket"));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_reported_by_a_real_server() {
    let s3 = S3::start();
    s3.bucket("backups");
    let root = s3.root();
    for (credentials, what) in
        [(("nobody".to_owned(), root.1), "unknown access key"), ((root.0, "wrong".to_owned()), "wrong secret key")]
    {
        let store = s3_store(settings(&s3.endpoint(), credentials)).await;
        let line = store.clock().await.unwrap_err().to_string();
        assert!(line.contains(what) && !line.contains("rootsecret"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_bucket_is_reported_by_a_real_server() {
    let s3 = S3::start();
    let store = s3_store(settings(&s3.endpoint(), s3.root())).await;
    let mut upload = store.upload("x", super::super::run("run-1")).await.unwrap();
    upload.write(data(10)).await.unwrap();
    let errors = [
        store.clock().await.map(|_| ()).unwrap_err(),
        list(store.as_ref(), "").await.map(|_| ()).unwrap_err(),
        store.get("x", ReadAt::default()).await.map(|_| ()).unwrap_err(),
        store.probe_write("daily/").await.unwrap_err(),
        upload.complete(super::super::sha256(&data(10)), 10).await.map(|_| ()).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), Kind::Store);
        assert!(error.to_string().contains("no such bucket") && error.to_string().contains("; create it"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_fails_names_the_endpoint() {
    let port = Port::reserve();
    let endpoint = format!("http://{}", port.address());
    let store = s3_store(settings(&endpoint, ("a".to_owned(), "b".to_owned()))).await;
    let line = store.head("x").await.unwrap_err().to_string();
    let expected = format!("s3://backups/vault/x: endpoint {endpoint}: Connection refused");
    assert!(line.starts_with(&expected) && line.contains("; check store.endpoint"), "{line}");

    let endpoint = "http://vault-backup-test.invalid".to_owned();
    let settings = S3Settings { endpoint: Some(endpoint), ..settings("", ("a".to_owned(), "b".to_owned())) };
    let line = s3_store(settings).await.head("x").await.unwrap_err().to_string();
    assert!(line.contains("store.path_style") || line.contains("store.endpoint"), "{line}");
}

/// An HTML page, and a Go server's answer to plain HTTP on its TLS port.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_not_an_s3_server_is_reported() {
    let not_s3 = "the endpoint is not an S3 server: HTTP";
    for (status, body, what, hint) in [
        (200, "<html>welcome</html>", not_s3, "check store.endpoint"),
        (404, "<!DOCTYPE html><p>File not found", not_s3, "check store.endpoint"),
        (400, "Client sent an HTTP request to an HTTPS server.", "the endpoint expects HTTPS", "https://"),
    ] {
        let (_server, store) = answering(move |_| Reply::status(status).body(body)).await;
        let mut errors =
            vec![store.clock().await.map(drop).unwrap_err(), list(store.as_ref(), "").await.map(drop).unwrap_err()];
        // A web server may answer PUT with 200; the listing before it fails.
        errors.extend(store.put("x", data(1), Put::Create).await.err());
        assert_eq!(errors.len(), if status == 200 { 2 } else { 3 });
        for error in errors {
            assert_eq!(error.kind(), Kind::Store);
            let line = error.to_string();
            assert!(line.starts_with("s3://backups/vault/") && line.contains(what) && line.contains(hint), "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_on_a_plain_port_is_reported() {
    let server = FaultServer::start(|_| Reply::status(200));
    let endpoint = server.address().replace("http://", "https://");
    let store = s3_store(settings(&endpoint, ("a".to_owned(), "b".to_owned()))).await;
    let line = list(store.as_ref(), "").await.unwrap_err().to_string();
    let expected =
        format!("endpoint {endpoint}: the server does not speak TLS on this port; write store.endpoint with");
    assert!(line.contains(&expected), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn object_lock_is_off_where_the_server_does_not_support_it() {
    for (status, code) in
        [(404, "ObjectLockConfigurationNotFoundError"), (501, "NotImplemented"), (405, "MethodNotAllowed")]
    {
        let (_server, store) = answering(move |_| refusal(status, code)).await;
        assert_eq!(store.object_lock().await.unwrap(), Locking::Off, "{code}");
    }
    let (_server, store) = answering(|_| refusal(403, "AccessDenied")).await;
    let unknown = store.object_lock().await.unwrap();
    assert!(
        matches!(&unknown, Locking::Unknown(why) if why.contains("denied: s3:GetBucketObjectLockConfiguration")),
        "{unknown:?}"
    );
    let (_server, store) = answering(|call| {
        assert_eq!(operation(call), "GetObject");
        refusal(404, "NoSuchBucket")
    })
    .await;
    store.object_lock().await.unwrap_err();
}
