//! The baseline for `prune`: only the list and delete calls, with the same SDK. Also
//! fills the store for both.
//!
//! ```text
//! bare_prune fill  ENDPOINT BUCKET PREFIX KEY_FILE BACKUPS DUE
//! bare_prune prune ENDPOINT BUCKET PREFIX DUE_BEFORE
//! ```
//!
//! `fill` writes BACKUPS good backups, each of two objects, of which DUE are older than
//! the default window; `prune` deletes the objects of days before DUE_BEFORE.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program of the benchmark fails by panicking")]

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, RequestChecksumCalculation};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use vault_backup::base::secret::Secret;
use vault_backup::formats::crypto::Key;
use vault_backup::formats::manifest::{Manifest, VaultFacts, rfc3339};
use vault_backup::formats::naming::{BackupName, BackupType};

const BODY: &[u8] = b"never read";

/// Maximum number of keys in a list or delete request.
const BATCH: usize = 1_000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["fill", endpoint, bucket, prefix, key, backups, due] => {
            let key = Key::from_hex(&Secret::new(std::fs::read_to_string(key).unwrap().trim())).unwrap();
            let names = names(Utc::now(), backups.parse().unwrap(), due.parse().unwrap());
            fill(&client(endpoint).await, bucket, prefix, &key, names).await;
        }
        ["prune", endpoint, bucket, prefix, before] => {
            println!("{}", prune(&client(endpoint).await, bucket, prefix, before).await);
        }
        // `cargo test --benches` runs it without arguments.
        _ => println!("usage: see benches/bare_prune.rs"),
    }
}

async fn client(endpoint: &str) -> Client {
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let found = aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await;
    let config = aws_sdk_s3::config::Builder::from(&found).endpoint_url(endpoint);
    let unchecked =
        config.force_path_style(true).request_checksum_calculation(RequestChecksumCalculation::WhenRequired);
    Client::from_conf(unchecked.build())
}

/// Returns the names of `due` backups older than the default 30 days, and of more recent ones.
fn names(now: DateTime<Utc>, backups: i32, due: i32) -> Vec<BackupName> {
    let recent = (0..backups - due).map(|n| now - TimeDelta::minutes(30) * n);
    let old = (0..due).map(|n| now - TimeDelta::days(40) - TimeDelta::hours(1) * n);
    recent.chain(old).map(|time| BackupName::new(BackupType::Daily, time)).collect()
}

async fn fill(s3: &Client, bucket: &str, prefix: &str, key: &Key, names: Vec<BackupName>) {
    let puts = names.into_iter().flat_map(|name| {
        let manifest = Manifest {
            object: name.object().to_owned(),
            size_bytes: BODY.len() as u64,
            sha256: "00".repeat(32),
            plaintext_size_bytes: None,
            plaintext_sha256: None,
            created_at: rfc3339(name.created_at()),
            backup_type: name.backup_type(),
            key_id: key.id().to_owned(),
            run_id: None,
            vault: VaultFacts::default(),
            verification: None,
            tool: None,
        };
        [(name.object().to_owned(), BODY.to_vec()), (name.manifest(), manifest.to_bytes(&key.mac_key()).unwrap())]
    });
    let puts = puts.map(|(name, body)| {
        let put = s3.put_object().bucket(bucket).key(format!("{prefix}/{name}")).body(ByteStream::from(body)).send();
        async move { put.await.unwrap() }
    });
    stream::iter(puts).buffer_unordered(32).for_each(async |_| ()).await;
}

/// Returns the number of deleted objects.
async fn prune(s3: &Client, bucket: &str, prefix: &str, before: &str) -> usize {
    let mut keys = Vec::new();
    for kind in ["daily", "monthly"] {
        let start = format!("{prefix}/{kind}/");
        let mut pages = s3.list_objects_v2().bucket(bucket).prefix(&start).into_paginator().send();
        while let Some(page) = pages.next().await {
            let all = page.unwrap().contents.unwrap_or_default().into_iter().filter_map(|object| object.key);
            keys.extend(all.filter(|key| &key[start.len()..] < before));
        }
    }
    for batch in keys.chunks(BATCH) {
        let objects = batch.iter().map(|key| ObjectIdentifier::builder().key(key).build().unwrap());
        let delete = Delete::builder().set_objects(Some(objects.collect())).build().unwrap();
        let answer = s3.delete_objects().bucket(bucket).delete(delete).send().await.unwrap();
        assert_eq!((answer.deleted().len(), answer.errors().len()), (batch.len(), 0));
    }
    keys.len()
}
