//! `doctor` on real servers: its findings and messages. It leaves nothing behind.

mod setup;

use crate::backup::raced::begins_late;
use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use crate::support::vault::{Vault, product};
use rustix::process::Signal;
use serde_json::json;
use setup::{Setup, assert_found, not_ok};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use vault_backup::formats::product::Product;

#[test]
fn passes_with_a_correct_setup_and_leaves_nothing() {
    let setup = Setup::start();
    let output = setup.doctor(&[]);
    output.code(0);
    assert_eq!(not_ok(&output), ["read"], "no backup yet: {output:?}");
    setup.place.assert_empty();
    assert_eq!(fs::read_to_string(setup.path("audit.log")).unwrap(), "", "a check is not audited");

    setup.tool(&[]).args(["backup", "--kind", "daily"]).run().ok();
    let (names, audit) = (setup.place.names(), fs::read_to_string(setup.path("audit.log")).unwrap());
    let output = setup.doctor(&[]);
    output.code(0);
    assert_eq!(not_ok(&output), [""; 0], "{output:?}");
    assert_eq!(setup.place.names(), names);
    assert_eq!(setup.place.site.s3.incomplete_uploads(setup.place.bucket()), [""; 0]);
    assert_eq!(fs::read_to_string(setup.path("audit.log")).unwrap(), audit);
    let tests = |path: &str| setup.listener.calls().iter().filter(|call| call.path == path).count();
    assert_eq!((tests("/hook"), tests("/ping/start")), (3, 1), "two tests and one backup; a test sends no ping");

    let text = setup.tool(&[]).arg("doctor").run();
    text.ok().stdout_contains("ok       leader").stdout_contains("-        notifications  2 configured; --notify-test");
}

#[test]
fn reports_failures_with_the_exit_code_of_the_first() {
    let setup = Setup::start();
    let nowhere = "s3://no-such-bucket/x";
    let (vault, url) = (setup.vault.address(), setup.place.url());
    let approle = format!("\"approle\"\nrole_id = \"{}\"\nsecret_id = \"env:SECRET_ID\"", setup.role.0);
    for (from, to, code, check, says) in [
        (&approle[..], "\"token\"\ntoken = \"env:POWERLESS\"", 3, "capabilities", "capabilities = [\"read\"]"),
        ("env:SECRET_ID", "env:SHARE", 3, "login", "check vault.auth"),
        ("env:SECRET_ID", "env:NOT_SET", 2, "login", "env:NOT_SET"),
        (&url, nowhere, 4, "list", "no such bucket"),
        ("audit.log", "no/such/directory/audit.log", 8, "audit log", "cannot be written"),
        ("/hook", "/refuse", 8, "notifications", "HTTP 404"),
        (&setup.staging.address(), &vault, 2, "guard", "production"),
    ] {
        let output = setup.doctor(&[(from, to)]);
        output.code(code);
        assert_eq!(output.json()["exit_code"], code);
        assert_found(&output, check, "failed", says);
    }
    let ephemeral = |program: &str| {
        let changed = format!("[staging]\nmode = \"ephemeral\"\nvault_binary = {program:?}");
        setup.doctor(&[("[staging]", &changed)])
    };
    assert_found(ephemeral("no-such-vault").code(2), "staging", "failed", "there is no such program");
    assert_found(ephemeral("/bin/sh").code(0), "staging", "ok", "ephemeral, by /bin/sh");
    // The first failure decides.
    setup.key_mode(0o644);
    let output = setup.doctor(&[(&url, nowhere), ("/hook", "/refuse")]);
    output.code(2);
    assert_found(&output, "key", "failed", "chmod");
    assert_found(&output, "list", "failed", "no such bucket");
    assert_found(&output, "notifications", "failed", "404");
    setup.key_mode(0o600);

    setup.vault.seal();
    let output = setup.doctor(&[]);
    output.code(3);
    assert_found(&output, "leader", "failed", "sealed");
}

/// The account may only list and read.
#[test]
fn reports_a_store_without_write_permission() {
    let place = Place::s3();
    let reader = place.may(&["s3:ListBucket", "s3:GetObject"]);
    let tool = place.tool().env("VAULT_TOKEN", place.site.vault.root_token()).envs(reader);
    let output = tool.args(["doctor", "--json"]).run();
    output.code(4);
    assert_found(&output, "write", "failed", "denied: s3:PutObject");
    assert_found(&output, "list", "ok", "0 backups");
}

#[test]
fn reports_a_clock_that_differs_from_the_store() {
    let place = Place::s3();
    let listing = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
    let s3 = FaultServer::proxy(&place.site.s3.endpoint(), move |call| match call.query.contains("list-type=2") {
        true => Reply::status(200).header("Date", "Wed, 26 Nov 2025 02:00:00 GMT").body(listing),
        false => Reply::forward(),
    });
    let tool = place.tool().env("VAULT_TOKEN", place.site.vault.root_token()).env("AWS_ENDPOINT_URL", s3.address());
    let output = tool.args(["doctor", "--json"]).run();
    output.code(1);
    assert_found(&output, "clock", "failed", "set this machine's clock (NTP)");
}

#[test]
fn reports_a_storage_other_than_raft() {
    let place = Place::directory();
    let vault = FaultServer::proxy(&place.site.vault.address(), |call| match &call.path[..] {
        "/v1/sys/seal-status" => Reply::json(
            200,
            &json!({"initialized": true, "sealed": false, "type": "shamir", "t": 2, "n": 3, "progress": 0,
                "version": "1.21.4", "storage_type": "consul"}),
        ),
        _ => Reply::forward(),
    });
    let output = place.tool().env("VAULT_ADDR", vault.address()).args(["doctor", "--json"]).run();
    output.code(3);
    assert_found(&output, "storage", "failed", "the storage is consul, not raft");
}

/// `backup` refuses it, so `doctor` fails.
#[test]
fn reports_a_cluster_other_than_the_configured_one() {
    let setup = Setup::start();
    let other = "[vault]\ncluster_id = \"00000000-0000-4000-8000-000000000000\"\n";
    let output = setup.doctor(&[("[vault]\n", other)]);
    output.code(2);
    assert_found(&output, "cluster", "failed", "vault.cluster_id is 00000000-0000-4000-8000-000000000000");
    let own = format!("[vault]\ncluster_id = {:?}\n", setup.vault.cluster_id());
    let output = setup.doctor(&[("[vault]\n", &own)]);
    output.code(0);
    assert_found(&output, "cluster", "ok", &setup.vault.cluster_id());
}

/// The configuration works, but needs attention.
#[test]
fn warnings_do_not_change_the_exit_code() {
    let setup = Setup::start();
    let approle = format!("\"approle\"\nrole_id = \"{}\"\nsecret_id = \"env:SECRET_ID\"", setup.role.0);
    setup.staging.seal();
    let root = [(&approle[..], "\"token\"\ntoken = \"env:ROOT\"")];
    let output = setup.doctor(&root);
    output.code(0);
    assert_found(&output, "capabilities", "warning", "more than a backup needs");
    assert_found(&output, "staging", "ok", "sealed, as after a drill");
    assert!(setup.vault.token_is_valid(setup.vault.root_token()), "a given token is not revoked");

    let place = Place::directory();
    let doctor = || place.tool().env("VAULT_TOKEN", place.site.vault.root_token()).arg("doctor").run();
    doctor().ok().stdout_contains("the first backup creates it; is the volume mounted?");
    place.assert_empty();
    place.backup();
    let output = doctor();
    output.ok().stdout_contains("WARNING  vault          plain http");
    output.stdout_contains("WARNING  notifications  none configured");
    assert_eq!(place.names().len(), 2);
}

/// The store starts the upload of the write check, but responds only after the signal.
#[test]
fn sigterm_during_the_write_check_leaves_no_upload() {
    let place = Arc::new(Place::s3());
    let signalled = Arc::new(AtomicBool::new(false));
    let s3 = begins_late(&place, &signalled);
    let uploads = || place.site.s3.incomplete_uploads(place.bucket());
    let mut run = place.tool().env("AWS_ENDPOINT_URL", s3.address()).arg("doctor").start();
    run.wait_for("the upload", || (!uploads().is_empty()).then_some(()));
    run.signal(Signal::TERM);
    run.goes_on_for(std::time::Duration::from_millis(500));
    signalled.store(true, Ordering::SeqCst);
    run.wait().fails(143, &["terminated"]);
    assert_eq!(uploads(), [""; 0]);
    place.assert_empty();
}

#[test]
fn sigint_during_the_vault_checks_revokes_the_token() {
    let setup = Setup::start();
    let plain = Vault::start();
    plain.snapshot_policy("backup");
    let (role_id, secret_id) = plain.approle("backup", &["backup"]);
    let vault = FaultServer::proxy(&plain.address(), |call| match call.path.ends_with("capabilities-self") {
        true => Reply::hang(),
        false => Reply::forward(),
    });
    let changes = [(&setup.vault.address()[..], vault.address()), (&setup.role.0, &role_id)];
    let mut run = setup.tool(&changes).env("SECRET_ID", secret_id).arg("doctor").start();
    let asked = || vault.calls().into_iter().find(|call| call.path.ends_with("capabilities-self"));
    let call = run.wait_for("the question", asked);
    run.signal(Signal::INT);
    run.wait().fails(130, &["interrupted"]);
    assert!(!plain.token_is_valid(call.header("x-vault-token")), "the token is still valid");
}

#[test]
fn reports_what_would_make_a_drill_fail() {
    let setup = Setup::start();
    setup.tool(&[]).arg("backup").run().code(0);
    let output = setup.doctor(&[(", \"env:SHARE1\"]", "]")]);
    output.code(6);
    assert_found(&output, "unlock", "failed", "too few unseal key shares: 1 given");
    let output = setup.doctor(&[]);
    output.code(0);
    assert_found(&output, "unlock", "ok", "unsealed, seal shamir, 2 of 3 shares");
    assert_found(&output, "versions", "ok", "staging is");
    assert_found(&output, "sealing", "ok", "can be sealed after a drill");
    if product() == Product::OpenBao {
        // With OpenBao's defaults a drill cannot seal the server at the end.
        let closed = Vault::builder().tls_by(Arc::new(crate::support::tls::Ca::new())).start();
        let (from, to) = (setup.staging.address(), closed.address());
        let (ca, other) = (format!("{:?}", setup.staging.ca_cert()), format!("{:?}", closed.ca_cert()));
        let output = setup.doctor(&[(&from, &to), (&ca, &other)]);
        output.code(2);
        assert_found(&output, "sealing", "failed", "disable_unauthed_generate_root_endpoints");
    }
}
