//! The `s3://` store: network faults, error responses, object protection, requests.

mod answers;
mod faults;
mod listings;
mod protection;
mod rights;
mod wire;

use super::{s3_store, settings};
use crate::support::fault::{Call, FaultServer, Reply};
use crate::support::s3::S3;
use std::sync::Arc;
use std::time::Duration;
use vault_backup::services::store::Store;
use vault_backup::services::store::s3::S3Settings;

/// Returns settings for `server`, a proxy or a fake S3 server.
fn through(server: &FaultServer) -> S3Settings {
    S3Settings {
        idle_timeout: Duration::from_secs(2),
        ..settings(server.address(), ("rootaccess".to_owned(), "rootsecret".to_owned()))
    }
}

/// Returns a store whose requests pass `handler` before a real server.
async fn behind(handler: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> (S3, FaultServer, Arc<dyn Store>) {
    let s3 = S3::start();
    s3.bucket(super::BUCKET);
    let proxy = FaultServer::proxy(&s3.endpoint(), handler);
    let store = s3_store(through(&proxy)).await;
    (s3, proxy, store)
}

/// Returns a store on a server with the same response to every request.
async fn answering(handler: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> (FaultServer, Arc<dyn Store>) {
    let server = FaultServer::start(handler);
    let store = s3_store(through(&server)).await;
    (server, store)
}

/// Returns S3's error response.
fn refusal(status: u16, code: &str) -> Reply {
    let body = format!("<Error><Code>{code}</Code><Message>said the server</Message></Error>");
    Reply::status(status).header("content-type", "application/xml").body(body)
}

/// Returns the operation of a request.
fn operation(call: &Call) -> &'static str {
    let has = |key: &str| call.query.split('&').any(|pair| pair.split('=').next() == Some(key));
    match call.method.as_str() {
        "PUT" if !call.header("x-amz-copy-source").is_empty() && has("partNumber") => "UploadPartCopy",
        "PUT" if !call.header("x-amz-copy-source").is_empty() => "CopyObject",
        "PUT" if has("partNumber") => "UploadPart",
        "PUT" => "PutObject",
        "POST" if has("uploads") => "CreateMultipartUpload",
        "POST" if has("uploadId") => "CompleteMultipartUpload",
        "POST" if has("delete") => "DeleteObjects",
        "DELETE" if has("uploadId") => "AbortMultipartUpload",
        "DELETE" => "DeleteObject",
        "HEAD" => "HeadObject",
        "GET" if has("list-type") => "ListObjectsV2",
        "GET" => "GetObject",
        _ => "other",
    }
}
