//! Stores that are missing, deny access, are full, or corrupt objects.

use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use crate::support::process::Port;
use crate::support::snapshot::Synthetic;
use crate::support::tool::{Output, Tool, program};
use crate::support::vectors::plaintext;
use serde_json::json;

fn backup(tool: Tool) -> Output {
    let output = tool.arg("backup").run();
    output.leaves(&[]).stdout_is("");
    output
}

#[test]
fn a_missing_bucket_or_wrong_credentials_are_reported() {
    let place = Place::s3();
    let store = |url: &str| backup(place.tool().env("VAULT_BACKUP_STORE", url));
    store("s3://no-such-bucket/x")
        .fails(4, &["s3://no-such-bucket/x", "no such bucket", "create it, or correct store.url"]);
    let with = |vars: &[(&str, &str)]| backup(place.tool().envs(vars.iter().copied()).keeps(["pl4nted"]));
    let wrong = with(&[("AWS_SECRET_ACCESS_KEY", "pl4nted")]);
    wrong.fails(4, &[&place.url(), "wrong secret key", "AWS_SECRET_ACCESS_KEY"]);
    with(&[("AWS_ACCESS_KEY_ID", "stranger")]).fails(4, &["unknown access key", "AWS_ACCESS_KEY_ID"]);
    let none = with(&[("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")]);
    none.fails(4, &["no AWS credentials found (tried: environment, profile files, ", "hint: set AWS_ACCESS_KEY_ID"]);
    let profile = with(&[("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", ""), ("AWS_PROFILE", "no-such")]);
    profile.fails(4, &[&place.url(), "AWS profile \"no-such\" is not defined", "hint: correct AWS_PROFILE"]);
    let port = Port::reserve();
    let closed = format!("http://{}", port.address());
    let refused = with(&[("AWS_ENDPOINT_URL", &closed)]);
    let message = format!("endpoint {closed}: Connection refused");
    refused.fails(4, &[&place.url(), &message, "hint: check store.endpoint"]);
    place.assert_empty();
}

/// An account that may list and read, and one without any rights.
#[test]
fn a_denied_action_is_named() {
    let place = Place::s3();
    let bucket = format!("arn:aws:s3:::{}", place.bucket());
    let (reader, secret) = place.site.s3.account("reader");
    let policy = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": [reader]},
        "Action": ["s3:ListBucket", "s3:GetObject"], "Resource": [bucket, format!("{bucket}/*")]}]});
    place.site.s3.policy(place.bucket(), &policy);
    let account = |id: &str| place.tool().env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", &secret);
    backup(account(&reader)).fails(4, &[&place.url(), "denied: s3:PutObject", "policy"]);
    let (powerless, _) = place.site.s3.account("nobody");
    backup(account(&powerless)).fails(4, &[&place.url(), "denied: s3:ListBucket"]);
    place.assert_empty();
}

#[test]
fn a_full_store_is_reported() {
    let place = Place::s3();
    for (status, code) in [(507, "InsufficientStorage"), (403, "QuotaExceeded"), (507, "XMinioStorageFull")] {
        let s3 = FaultServer::proxy(&place.site.s3.endpoint(), move |call| match call.method.as_str() {
            "PUT" => Reply::status(status).body(format!("<Error><Code>{code}</Code><Message>full</Message></Error>")),
            _ => Reply::forward(),
        });
        let output = backup(place.tool().env("AWS_ENDPOINT_URL", s3.address()));
        output.fails(4, &[&place.url(), "the store is full", "vault-backup prune"]);
        place.assert_empty();
    }
}

/// A directory on a file system of 1 MiB, in a mount namespace of the run.
#[test]
fn a_full_file_system_leaves_no_file() {
    let place = Place::directory();
    let vault = place.site.vault_sending(Synthetic::whole(&plaintext(4 << 20)).bytes());
    let dir = crate::support::process::temp_dir();
    let script = "mount -t tmpfs -o size=1m tmpfs \"$0\"; \"$1\" backup; code=$?; find \"$0\" -type f; exit $code";
    let (site, store) = (&place.site, format!("file://{}", dir.path().display()));
    let output = program("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script])
        .arg(dir.path())
        .arg(env!("CARGO_BIN_EXE_vault-backup"))
        .envs([("VAULT_ADDR", vault.address()), ("VAULT_TOKEN", &site.token)])
        .envs([("VAULT_BACKUP_KEY", &site.key), ("VAULT_BACKUP_STORE", &store)])
        .run();
    // `find` prints files that were left.
    output.fails(4, &[&store, "the store is full", "No space left on device"]).stdout_is("").leaves(&[]);
}

#[test]
fn a_missing_directory_is_reported() {
    let place = Place::directory();
    let dir = crate::support::process::temp_dir();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let store = format!("file://{}/file/store", dir.path().display());
    backup(place.tool().env("VAULT_BACKUP_STORE", &store)).fails(4, &[&store]);
    for command in ["list", "status", "prune"] {
        place.tool().arg(command).run().fails(4, &[&place.url(), "no such directory"]).leaves(&[]);
    }
}

#[test]
fn a_missing_object_is_reported() {
    for place in Place::both() {
        let name = "daily/2025-01-01/vault-snapshot-20250101-020000.enc";
        place.backup();
        for command in ["decrypt", "inspect"] {
            let output = place.tool().args([command, name]).run();
            let missing = format!("{}/{name}: no such backup", place.url());
            output.fails(4, &[&missing, "vault-backup list"]).leaves(&[]);
            for name in ["daily/x", "daily/../../etc/passwd", "no-such-file"] {
                let output = place.tool().args([command, name]).run();
                let missing = format!("{name}: no such file, and no such backup in {}/", place.url());
                output.fails(4, &[&missing, "vault-backup list"]).leaves(&[]);
            }
        }
    }
}

/// The backup is then never good.
#[test]
fn the_read_back_finds_what_the_store_corrupted() {
    type Damage = fn(Reply) -> Reply;
    let damages: [(Damage, i32, &str); 4] = [
        (|reply| reply.flip(3), 5, "does not start with VLTBKUP1"),
        (|reply| reply.flip(90), 5, "header is malformed"),
        (|reply| reply.flip(9000), 5, "segment 0 of the backup: authentication failed"),
        (|reply| reply.end_after(9000), 4, "the store did not send its size"),
    ];
    for (damage, code, says) in damages {
        let place = Place::s3();
        let s3 = FaultServer::proxy(&place.site.s3.endpoint(), move |call| {
            let is_read_back = call.method == "GET" && call.path.ends_with(".enc");
            if is_read_back { damage(Reply::forward()) } else { Reply::forward() }
        });
        let output = backup(place.tool().env("AWS_ENDPOINT_URL", s3.address()));
        output.fails(code, &[&place.url(), "uploaded, but not verified", says]);
        assert_eq!(place.names().len(), 1, "the object, and no manifest");
        place.tool().arg("status").run().code(9);
    }
}

#[test]
fn a_pause_that_the_store_asks_for_ends_at_the_deadline() {
    let place = Place::s3();
    let s3 = FaultServer::proxy(&place.site.s3.endpoint(), |call| match call.method.as_str() {
        "PUT" => Reply::status(429).header("Retry-After", "50"),
        _ => Reply::forward(),
    });
    let begun = std::time::Instant::now();
    let output = backup(place.tool().env("AWS_ENDPOINT_URL", s3.address()).args(["--deadline", "4s"]));
    output.fails(124, &["deadline"]);
    assert!(begun.elapsed().as_secs() < 30);
    place.assert_empty();
}

/// Names and retention depend on the clock.
#[test]
fn a_wrong_clock_stops_a_backup() {
    let place = Place::s3();
    let listing = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
    let s3 = FaultServer::proxy(&place.site.s3.endpoint(), move |call| match call.query.contains("list-type=2") {
        true => Reply::status(200).header("Date", "Wed, 26 Nov 2025 02:00:00 GMT").body(listing),
        false => Reply::forward(),
    });
    let output = backup(place.tool().env("AWS_ENDPOINT_URL", s3.address()));
    output.fails(1, &["this machine's clock says 2", "the store's 2025-11-26T02:00:00Z", "NTP"]);
    place.assert_empty();
}
