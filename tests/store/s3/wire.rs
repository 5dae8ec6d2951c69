//! Requests: conditions, checksums, lengths, TLS.

use super::super::{MIB, data, list, read, run, send, sha256};
use super::{behind, operation, s3_store, settings};
use crate::support::fault::Reply;
use crate::support::s3::S3;
use crate::support::tls::Ca;
use bytes::Bytes;
use vault_backup::base::error::Kind;
use vault_backup::services::store::s3::{S3Settings, S3Store};
use vault_backup::services::store::{Put, ReadAt, Store};

#[tokio::test(flavor = "multi_thread")]
async fn every_create_has_a_condition_and_a_checksum() {
    let (_s3, proxy, store) = behind(|_| Reply::forward()).await;
    let large = data(36 * MIB);
    send(store.as_ref(), "small", "run-1", &data(1000)).await.unwrap();
    send(store.as_ref(), "large", "run-1", &large).await.unwrap();
    store.put("manifest", Bytes::from_static(b"{}"), Put::Create).await.unwrap();
    store.put("drill", Bytes::from_static(b"{}"), Put::Replace).await.unwrap();
    let mut parts = Vec::new();
    for call in proxy.calls() {
        match operation(&call) {
            "PutObject" => {
                let condition = if call.path.ends_with("/drill") { "" } else { "*" };
                assert_eq!(call.header("if-none-match"), condition);
                assert_eq!(call.header("x-amz-checksum-sha256").len(), 44);
                assert_eq!(call.header("x-amz-content-sha256"), "UNSIGNED-PAYLOAD");
            }
            "UploadPart" => {
                assert_eq!(call.header("x-amz-checksum-crc32c").len(), 8);
                assert_eq!(call.header("x-amz-content-sha256"), "UNSIGNED-PAYLOAD");
                assert_eq!(call.header("content-encoding"), "", "no aws-chunked");
                parts.push(call.header("content-length").parse::<usize>().unwrap());
            }
            "CompleteMultipartUpload" => assert_eq!(call.header("if-none-match"), "*"),
            _ => {}
        }
    }
    parts.sort_unstable();
    assert_eq!(parts, [&[MIB][..], &[5 * MIB; 7]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_checksum_is_refused_by_the_server() {
    let (s3, _proxy, store) = behind(|_| Reply::forward()).await;
    let mut upload = store.upload("x", run("run-1")).await.unwrap();
    upload.write(data(1000)).await.unwrap();
    let error = upload.complete(sha256(b"other bytes"), 1000).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Store, "{error}");
    assert!(s3.objects("backups").is_empty());
}

/// Vault's version comes from a server and is sent in a header.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_is_sanitised_for_headers() {
    let (_s3, _proxy, store) = behind(|_| Reply::forward()).await;
    let mut metadata = run("run-1");
    metadata.insert("vault_version".to_owned(), " 1.21\r\nx-evil: ü ".to_owned());
    let mut upload = store.upload("x", metadata).await.unwrap();
    upload.write(data(10)).await.unwrap();
    let head = upload.complete(sha256(&data(10)), 10).await.unwrap().head;
    assert_eq!(head.metadata["vault_version"], "1.21??x-evil: ?");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_in_ca_cert_is_trusted() {
    let ca = Ca::new();
    let s3 = S3::start_tls(&ca);
    let plain = settings(&s3.endpoint(), s3.root());
    let error = list(s3_store(plain.clone()).await.as_ref(), "").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Store);
    assert!(error.to_string().contains("store.ca_cert"), "{error}");

    let store = s3_store(S3Settings { ca_cert: Some(ca.path()), ..plain }).await;
    let error = list(store.as_ref(), "").await.unwrap_err();
    assert!(error.to_string().contains("no such bucket"), "past TLS: {error}");
}

/// The server's certificate is a CA certificate, as `openssl req -x509` creates it.
#[tokio::test(flavor = "multi_thread")]
async fn a_self_signed_certificate_in_ca_cert_is_trusted() {
    let (ours, other) = (Ca::self_signed(&["127.0.0.1"]), Ca::self_signed(&["127.0.0.1"]));
    let s3 = S3::start_tls(&ours);
    for (ca, expected) in [(&ours, "no such bucket"), (&other, "invalid peer certificate")] {
        let settings = S3Settings { ca_cert: Some(ca.path()), ..settings(&s3.endpoint(), s3.root()) };
        let error = list(s3_store(settings).await.as_ref(), "").await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn an_unusable_ca_cert_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let open = async || {
        let settings = S3Settings { ca_cert: Some(path.clone()), ..S3Settings::default() };
        S3Store::new("backups", "", settings).await.map(|_| ()).unwrap_err()
    };
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (content, why) in
        [(None, "cannot be read"), (Some("text"), "no PEM certificate"), (Some(broken), "cannot be parsed")]
    {
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let error = open().await;
        assert_eq!(error.kind(), Kind::Usage);
        assert!(error.to_string().contains(why) && error.to_string().contains("ca.pem"), "{error}");
    }
}

#[tokio::test]
async fn an_endpoint_with_credentials_is_refused() {
    for endpoint in ["minio:9000", "ftp://minio", "http://key:planted@minio"] {
        let settings = S3Settings { endpoint: Some(endpoint.to_owned()), ..S3Settings::default() };
        let error = S3Store::new("backups", "", settings).await.map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert!(!error.to_string().contains("planted"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_may_have_no_prefix() {
    let s3 = S3::start();
    s3.bucket("backups");
    let store = S3Store::new("backups", "", settings(&s3.endpoint(), s3.root())).await.unwrap();
    send(&store, "daily/x", "run-1", &data(10)).await.unwrap();
    assert_eq!(s3.objects("backups"), ["daily/x"]);
    assert_eq!(list(&store, "").await.unwrap()[0].name, "daily/x");
    assert_eq!(store.locate("daily/x"), "s3://backups/daily/x");
    assert_eq!(read(&store, "daily/x", ReadAt::default()).await.unwrap().1, data(10));
}

/// Checksums that a real server computed.
#[tokio::test(flavor = "multi_thread")]
async fn the_checksum_of_the_server_is_that_of_the_sent_bytes() {
    let (_s3, _proxy, store) = behind(|_| Reply::forward()).await;
    for (size, begin, end) in [(1000, "sha256:", "="), (36 * MIB, "crc32c:", "-8")] {
        let mut upload = store.upload("x", run("run-1")).await.unwrap();
        super::super::write(upload.as_mut(), &data(size)).await.unwrap();
        let ours = upload.complete(sha256(&data(size)), size as u64).await.unwrap().checksum.unwrap();
        assert!(ours.starts_with(begin) && ours.ends_with(end), "{ours}");
        let theirs = store.head_with_checksum("x").await.unwrap().unwrap();
        assert_eq!(theirs.checksum, Some(ours));
        assert_eq!(store.head("x").await.unwrap().unwrap().checksum, None, "it was not asked for");
        store.delete(&["x".to_owned()]).await.remove(0).unwrap();
    }
}
