//! Drills with an `s3://` store, and a staging server that speaks TLS by a private CA.

use super::{LOGIN, drill};
use crate::support::production::{PLANTED, Site};
use crate::support::s3::S3;
use crate::support::tool::Tool;
use crate::support::vault::{ACTIVE, SEALED, Vault};
use serde_json::json;
use std::collections::BTreeMap;

const BUCKET: &str = "backups";

/// A bucket with the backup of `site`, and its manifest.
fn bucket(site: &Site) -> S3 {
    let s3 = S3::start();
    s3.bucket(BUCKET);
    site.names().iter().for_each(|name| s3.put(BUCKET, name, &site.get(name)));
    s3
}

/// `tool` with the bucket as its store.
fn from(s3: &S3, tool: Tool) -> Tool {
    tool.args(["--store", &format!("s3://{BUCKET}")]).envs(s3.env())
}

#[test]
fn drill_from_s3_into_a_tls_server_with_a_private_ca() {
    let site = Site::new();
    let s3 = bucket(&site);
    let staging = Vault::builder().staging().tls(true).start();
    let drilled = |lines: &str| {
        let output = from(&s3, drill(&site, &staging, &format!("{LOGIN}{lines}"))).run();
        site.assert_clean(&output);
        output
    };
    drilled("").fails(3, &[&staging.address(), "certificate"]);
    assert!(staging.token_is_valid(staging.root_token()));
    let trust = format!("ca_cert = {:?}\n", staging.ca_cert());
    drilled(&trust).ok();
    assert_eq!(staging.health(), Some(SEALED));
    let object = &site.production.object;
    let record = s3.get(BUCKET, &format!("{object}.drill.json")).expect("a drill record");
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(record["staging_vault"], format!("{}/", staging.address()));
    // The second starts with a sealed node and a store with a record.
    drilled(&format!("{trust}seal_after = false\n")).ok();
    assert_eq!(site.production.canary_at(&staging), Some(json!({"password": PLANTED})));
}

#[test]
fn drill_compares_the_object_with_its_metadata() {
    let site = Site::new();
    let s3 = bucket(&site);
    let staging = Vault::builder().staging().start();
    let object = site.production.object.clone();
    let older = site.seal_older(&site.production.vault.snapshot());
    s3.put(BUCKET, &older, &site.get(&older));
    let hash = |bytes: &[u8]| hex::encode(ring::digest::digest(&ring::digest::SHA256, bytes));
    let say = |name: &str, checksum: String| {
        s3.set_metadata(BUCKET, name, &BTreeMap::from([("checksum".to_owned(), checksum)]));
    };
    for name in [&object, &older] {
        say(name, hash(b"something else"));
        let restore = site.tool("").args(["restore", name, "--address", &staging.address(), "--force", "--dry-run"]);
        let restore = restore.args(["--unverified", "--legacy"]);
        for tool in [
            drill(&site, &staging, LOGIN).args(["--legacy", name]),
            restore.env("VAULT_TOKEN", staging.root_token()),
            drill(&site, &staging, LOGIN).args(["--legacy", "--offline", name]),
        ] {
            let output = from(&s3, tool).run();
            output.code(5).stderr_contains(&format!("{name}: its SHA-256 is not the one in its metadata"));
            site.assert_clean(&output);
        }
        assert_eq!(staging.health(), Some(ACTIVE));
        assert!(staging.token_is_valid(staging.root_token()), "nothing was restored");
        say(name, hash(&site.get(name)).to_uppercase());
        from(&s3, drill(&site, &staging, LOGIN).args(["--legacy", "--offline", name])).run().code(0);
    }
    // Like a backup of the previous service, which wrote no manifest.
    let output = from(&s3, drill(&site, &staging, LOGIN).args(["--legacy", &older])).run();
    output.code(0).stderr_contains("no drill record was written because the backup has no manifest");
    site.assert_clean(&output);
}
