//! Credentials that end in the middle of a run, and the program that they come from.

use super::raced::Request;
use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use crate::support::tool::Output;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs a backup whose credentials come from a `credential_process`, and whose `wanted`
/// requests are refused `times` times with `status` and `code`. Returns its output, the number
/// of calls of the program, and the program's environment.
fn backup(wanted: Request, times: usize, status: u16, code: &'static str) -> (Output, usize, String) {
    let place = Place::s3();
    let (key, secret) = place.site.s3.root();
    let seen = AtomicUsize::new(0);
    let proxy = FaultServer::proxy(&place.site.s3.endpoint(), move |call| {
        match wanted.is(call) && seen.fetch_add(1, Ordering::Relaxed) < times {
            true => Reply::status(status).body(format!("<Error><Code>{code}</Code></Error>")),
            false => Reply::forward(),
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let script = format!(
        "#!/bin/sh\ncd '{}'\necho x >>calls\nenv >environment\n\
         echo '{{\"Version\":1,\"AccessKeyId\":\"{key}\",\"SecretAccessKey\":\"{secret}\"}}'\n",
        dir.path().display()
    );
    std::fs::write(at("program"), script).unwrap();
    std::fs::set_permissions(at("program"), PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::write(at("config"), format!("[default]\ncredential_process = {}\n", at("program").display())).unwrap();
    let tool = place.tool().env("AWS_ACCESS_KEY_ID", "").env("AWS_SECRET_ACCESS_KEY", "");
    let tool = tool.env("AWS_ENDPOINT_URL", proxy.address()).env("AWS_CONFIG_FILE", at("config"));
    let output = tool.env("UNRELATED", "kept").arg("backup").run();
    let read = |name: &str| std::fs::read_to_string(at(name)).unwrap();
    (output, read("calls").lines().count(), read("environment"))
}

#[test]
fn expired_credentials_are_fetched_again_once() {
    for (wanted, status, code) in [
        (Request::Manifest, 400, "ExpiredToken"),
        (Request::Names, 403, "ExpiredToken"),
        (Request::ReadBack, 400, "TokenRefreshRequired"),
        (Request::Put, 403, "RequestExpired"),
    ] {
        let (output, calls, _) = backup(wanted, 1, status, code);
        output.ok();
        assert_eq!(calls, 2, "{wanted:?} {code}");
    }
    let (output, calls, _) = backup(Request::Put, usize::MAX, 400, "ExpiredToken");
    output.fails(4, &["ExpiredToken"]);
    assert_eq!(calls, 2);
}

#[test]
fn the_credential_process_does_not_get_the_secrets_of_the_run() {
    let (output, _, environment) = backup(Request::Put, 0, 200, "");
    output.ok();
    assert!(environment.contains("UNRELATED=kept"), "{environment}");
    for secret in ["VAULT_BACKUP_KEY", "VAULT_TOKEN", "BAO_TOKEN"] {
        assert!(!environment.contains(&format!("{secret}=")), "{secret} in the environment of the program");
    }
}
