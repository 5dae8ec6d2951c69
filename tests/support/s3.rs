//! A real S3 server, versitygw, and its buckets looked at from outside: through
//! the AWS SDK, never through the code under test.

mod protect;

use super::http::block_on;
use super::process::{Port, Process, temp_dir};
use super::server_binary;
use super::tls::{Ca, Identity};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, RequestChecksumCalculation};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use futures_util::{StreamExt, stream};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::process::Command;
use tempfile::TempDir;

/// The owner of everything on the server.
const ROOT: (&str, &str) = ("rootaccess", "rootsecret");

/// Number of objects to write at a time.
const AT_A_TIME: usize = 16;

const REGION: &str = "us-east-1";

/// A server with its own storage. Both are removed when it is dropped.
pub struct S3 {
    port: Port,
    process: Process,
    dir: TempDir,
    tls: Option<Identity>,
    /// Lives in the harness's runtime.
    client: Client,
}

impl S3 {
    /// Starts a server without TLS.
    pub fn start() -> Self {
        Self::run(None, None)
    }

    /// Starts a server that speaks TLS with a certificate of `ca`.
    pub fn start_tls(ca: &Ca) -> Self {
        Self::run(Some(ca.server()), Some(ca.pem()))
    }

    fn run(tls: Option<Identity>, ca: Option<&str>) -> Self {
        let (port, dir) = (Port::reserve(), temp_dir());
        for directory in ["data", "versions", "accounts"] {
            std::fs::create_dir(dir.path().join(directory)).unwrap();
        }
        let process = spawn(&port, &dir, tls.as_ref());
        let scheme = if tls.is_some() { "https" } else { "http" };
        let client = client(&format!("{scheme}://{}", port.address()), ROOT, ca);
        let mut s3 = Self { port, process, dir, tls, client };
        s3.wait_until_ready();
        s3
    }

    fn wait_until_ready(&mut self) {
        let address = self.port.address();
        self.process.wait_for("listening", || std::net::TcpStream::connect(&address).ok());
    }

    /// The server's URL.
    pub fn endpoint(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.port.address())
    }

    /// Access key and secret key of the owner.
    pub fn root(&self) -> (String, String) {
        (ROOT.0.to_owned(), ROOT.1.to_owned())
    }

    /// Returns the environment that leads the tool to this server.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", ROOT.0.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", ROOT.1.to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
    }

    /// Kills it, like a power failure.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops it from doing anything; connections are still accepted by the kernel.
    pub fn pause(&mut self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&mut self) {
        self.process.signal(Signal::CONT);
    }

    /// Starts it again on the same port, with what it had stored.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = spawn(&self.port, &self.dir, self.tls.as_ref());
        self.wait_until_ready();
    }

    /// Makes an account that may do what bucket policies allow it. Returns its access
    /// key and secret key.
    pub fn account(&self, name: &str) -> (String, String) {
        let mut command = Command::new(server_binary("versitygw"));
        command.args(["admin", "--access", ROOT.0, "--secret", ROOT.1, "--endpoint-url", &self.endpoint()]);
        command.args(["create-user", "--access", name, "--secret", "secret-of-it", "--role", "user"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        (name.to_owned(), "secret-of-it".to_owned())
    }

    fn ask<F, T>(&self, request: impl FnOnce(Client) -> F) -> T
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        block_on(request(self.client.clone()))
    }

    /// Makes a bucket. Its name needs at least three characters.
    pub fn bucket(&self, name: &str) {
        let name = name.to_owned();
        self.ask(|s3| async move { s3.create_bucket().bucket(name).send().await.unwrap() });
    }

    /// Makes a bucket that keeps versions.
    pub fn versioned_bucket(&self, name: &str) {
        self.bucket(name);
        let name = name.to_owned();
        let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        self.ask(|s3| async move {
            s3.put_bucket_versioning().bucket(name).versioning_configuration(on).send().await.unwrap()
        });
    }

    /// Makes a bucket with Object Lock, and so with versions.
    pub fn locked_bucket(&self, name: &str) {
        let name = name.to_owned();
        self.ask(|s3| async move {
            s3.create_bucket().bucket(name).object_lock_enabled_for_bucket(true).send().await.unwrap()
        });
    }

    /// Sets a bucket's policy, JSON.
    pub fn policy(&self, bucket: &str, policy: &serde_json::Value) {
        let (bucket, policy) = (bucket.to_owned(), policy.to_string());
        self.ask(|s3| async move { s3.put_bucket_policy().bucket(bucket).policy(policy).send().await.unwrap() });
    }

    /// Writes an object, over one that may be there.
    pub fn put(&self, bucket: &str, key: &str, body: &[u8]) {
        self.put_all(bucket, &[key.to_owned()], body);
    }

    /// Writes many objects with the same body.
    pub fn put_all(&self, bucket: &str, keys: &[String], body: &[u8]) {
        self.put_many(bucket, keys.iter().map(|key| (key.clone(), body.to_vec())).collect());
    }

    /// Writes many objects, some at a time, in no order.
    pub fn put_many(&self, bucket: &str, objects: Vec<(String, Vec<u8>)>) {
        let bucket = bucket.to_owned();
        self.ask(|s3| async move {
            let puts = objects.into_iter().map(|(key, body)| {
                let put = s3.put_object().bucket(&bucket).key(key).body(ByteStream::from(body)).send();
                async move { put.await.unwrap() }
            });
            stream::iter(puts).buffer_unordered(AT_A_TIME).for_each(async |_| ()).await;
        });
    }

    /// An object's bytes; `None` if there is none.
    pub fn get(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.ask(|s3| async move {
            match s3.get_object().bucket(bucket).key(key).send().await {
                Ok(output) => Some(output.body.collect().await.unwrap().to_vec()),
                Err(error) if error.as_service_error().is_some_and(|e| e.is_no_such_key()) => None,
                Err(error) => panic!("{error:?}"),
            }
        })
    }

    /// An object's metadata.
    pub fn metadata(&self, bucket: &str, key: &str) -> BTreeMap<String, String> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.ask(|s3| async move {
            let head = s3.head_object().bucket(bucket).key(key).send().await.unwrap();
            head.metadata.unwrap_or_default().into_iter().collect()
        })
    }

    /// Replaces an object's metadata.
    pub fn set_metadata(&self, bucket: &str, key: &str, metadata: &BTreeMap<String, String>) {
        let body = self.get(bucket, key).unwrap();
        let (bucket, key, metadata) = (bucket.to_owned(), key.to_owned(), metadata.clone().into_iter().collect());
        self.ask(|s3| async move {
            let put = s3.put_object().bucket(bucket).key(key).set_metadata(Some(metadata));
            put.body(ByteStream::from(body)).send().await.unwrap()
        });
    }

    /// All keys in a bucket, in order.
    pub fn objects(&self, bucket: &str) -> Vec<String> {
        let bucket = bucket.to_owned();
        self.ask(|s3| async move {
            let mut pages = s3.list_objects_v2().bucket(bucket).into_paginator().send();
            let mut keys = Vec::new();
            while let Some(page) = pages.next().await {
                keys.extend(page.unwrap().contents.unwrap_or_default().into_iter().filter_map(|object| object.key));
            }
            keys
        })
    }

    /// The keys of uploads that were begun and not ended.
    pub fn incomplete_uploads(&self, bucket: &str) -> Vec<String> {
        let bucket = bucket.to_owned();
        self.ask(|s3| async move {
            let page = s3.list_multipart_uploads().bucket(bucket).send().await.unwrap();
            assert_ne!(page.is_truncated, Some(true));
            page.uploads.unwrap_or_default().into_iter().filter_map(|upload| upload.key).collect()
        })
    }

    /// Begins an upload and leaves it: its id.
    pub fn abandon_upload(&self, bucket: &str, key: &str) -> String {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        let begun = self.ask(|s3| async move { s3.create_multipart_upload().bucket(bucket).key(key).send().await });
        begun.unwrap().upload_id.unwrap()
    }
}

fn spawn(port: &Port, dir: &TempDir, tls: Option<&Identity>) -> Process {
    let mut command = Command::new(server_binary("versitygw"));
    command.args(["--port", &port.address(), "--access", ROOT.0, "--secret", ROOT.1, "--region", REGION]);
    command.args(["--quiet", "--keep-alive", "--iam-cache-disable", "--iam-dir"]).arg(dir.path().join("accounts"));
    if let Some(tls) = tls {
        command.arg("--cert").arg(&tls.cert).arg("--key").arg(&tls.key);
    }
    command.args(["posix", "--versioning-dir"]).arg(dir.path().join("versions")).arg(dir.path().join("data"));
    Process::start("versitygw", command, &dir.path().join("log"))
}

fn client(endpoint: &str, (access, secret): (&str, &str), ca: Option<&str>) -> Client {
    let trusted = TrustStore::empty().with_native_roots(ca.is_none());
    let trusted = ca.into_iter().fold(trusted, |trusted, pem| trusted.with_pem_certificate(pem));
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(TlsContext::builder().with_trust_store(trusted).build().unwrap())
        .build_https();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .credentials_provider(Credentials::new(access, secret, None, None, "test"))
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .http_client(http);
    Client::from_conf(config.build())
}
