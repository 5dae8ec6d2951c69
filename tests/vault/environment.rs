//! Environment variables, tested with the binary: AWS credentials for a login (with a stand-in for
//! AWS STS), proxies, addresses, tokens.

use crate::support::fault::{Call, FaultServer, Reply};
use crate::support::tool;
use crate::support::tool::Tool;
use crate::support::vault::{Server, Vault};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;

const IDENTITY: &str = r#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetCallerIdentityResult>
    <Arn>arn:aws:iam::123456789012:user/backup</Arn><UserId>AIDAEXAMPLE</UserId><Account>123456789012</Account>
  </GetCallerIdentityResult>
  <ResponseMetadata><RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId></ResponseMetadata>
</GetCallerIdentityResponse>"#;

#[test]
fn login_with_aws_iam_uses_the_credential_chain() {
    let sts = FaultServer::start(|call| match call.header("authorization").contains("Credential=AKIDGOOD/") {
        true => Reply::status(200).header("Content-Type", "text/xml").body(IDENTITY),
        false => {
            Reply::status(403).body("<ErrorResponse><Error><Code>InvalidClientTokenId</Code></Error></ErrorResponse>")
        }
    });
    let vault = Vault::builder().server(Server::Vault).start(); // OpenBao has no such auth method
    vault.snapshot_policy("backup");
    vault.enable_auth("aws");
    let config = json!({"access_key": "AKIDVAULT", "secret_key": "unused", "sts_endpoint": sts.address(), "sts_region": "us-east-1"});
    vault.ok("POST", "auth/aws/config/client", Some(config));
    let role = json!({"auth_type": "iam", "bound_iam_principal_arn": "arn:aws:iam::123456789012:user/backup",
        "resolve_aws_unique_ids": false, "token_policies": ["backup"]});
    vault.ok("POST", "auth/aws/role/backup", Some(role));

    let run = |access_key: &str| {
        let auth = "[vault.auth]\nmethod = \"aws\"\nrole = \"backup\"\n";
        backup(&vault.address(), auth)
            .env("AWS_ACCESS_KEY_ID", access_key)
            .env("AWS_SECRET_ACCESS_KEY", "planted")
            .env("AWS_SESSION_TOKEN", "planted")
            .run()
    };
    run("AKIDGOOD").ok();
    // Vault sends further requests on its own behalf.
    let is_ours = |call: &Call| call.header("x-amz-security-token") == "planted";
    let ours: Vec<_> = sts.calls().into_iter().filter(is_ours).collect();
    assert!(!ours.is_empty());
    for call in ours {
        assert_eq!(
            (call.method.as_str(), &call.body[..]),
            ("POST", &b"Action=GetCallerIdentity&Version=2011-06-15"[..])
        );
    }
    run("AKIDBAD").fails(3, &["login by AWS IAM at auth/aws", "check vault.auth"]).never_says("planted");
}

/// Starts a proxy that records each request, and returns it with all proxy variables set to it.
fn recording_proxy() -> (FaultServer, Vec<(&'static str, String)>) {
    let proxy = FaultServer::start(|_| Reply::status(502).body("planted"));
    let names = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    let names = names.into_iter().chain(["VAULT_PROXY_ADDR", "VAULT_HTTP_PROXY", "BAO_HTTP_PROXY"]);
    let variables = names.map(|name| (name, proxy.address().to_owned())).collect();
    (proxy, variables)
}

#[test]
fn no_proxy_is_used_for_loopback_and_plain_http() {
    let vault = Vault::start();
    let (proxy, variables) = recording_proxy();
    backup(&vault.address(), "").env("VAULT_TOKEN", vault.root_token()).envs(variables.clone()).run().ok();
    // Plain HTTP to another host is sent directly or not at all: it contains the token.
    let elsewhere = backup("http://vault.invalid:8200", "").env("VAULT_TOKEN", "planted").envs(variables.clone()).run();
    elsewhere.fails(3, &["http://vault.invalid:8200", "check that Vault is running there"]).never_says("planted");
    assert!(proxy.calls().is_empty(), "{:?}", proxy.calls().iter().map(|call| &call.path).collect::<Vec<_>>());
}

#[test]
fn a_proxy_that_fails_is_named_without_its_password() {
    let vault = Vault::builder().tls(true).start();
    let tool = || backup("https://vault.invalid:8200", "").env("VAULT_TOKEN", vault.root_token());
    let down = tool().env("HTTPS_PROXY", "http://user:planted@127.0.0.1:9").run();
    down.fails(
        3,
        &[
            "https://vault.invalid:8200",
            "via the proxy http://127.0.0.1:9: Connection refused",
            "hint: check that the proxy http://127.0.0.1:9 works",
        ],
    )
    .never_says("planted");
    let exempt = tool().env("HTTPS_PROXY", "http://127.0.0.1:9").env("NO_PROXY", "vault.invalid").run();
    exempt.fails(3, &["https://vault.invalid:8200: health: "]).never_says("proxy");
    let unusable = tool().env("HTTPS_PROXY", "socks5://user:planted@127.0.0.1:9").run();
    unusable.fails(2, &["HTTPS_PROXY: socks5:// proxies are not supported"]).never_says("planted");
    let chosen = tool().env("HTTPS_PROXY", "http://127.0.0.1:7").env("BAO_PROXY_ADDR", "http://127.0.0.1:9").run();
    chosen.fails(3, &["via the proxy http://127.0.0.1:9"]);
}

#[test]
fn bao_variables_override_vault_variables() {
    let vault = Vault::start();
    let tool = || backup("http://127.0.0.1:9", "").env("VAULT_TOKEN", "planted").env("BAO_ADDR", vault.address());
    let output = tool().env("BAO_TOKEN", vault.root_token()).run();
    output.code(0).stderr_contains("BAO_ADDR and VAULT_ADDR differ: BAO_ADDR is used");
    let agreed = tool().env("BAO_TOKEN", vault.root_token()).env("VAULT_ADDR", vault.address()).run();
    agreed.ok();
    tool().run().code(3).stderr_contains("the token is not valid here").never_says("planted");
    let agent = tool().env("BAO_TOKEN", vault.root_token()).env("VAULT_AGENT_ADDR", "http://127.0.0.1:9").run();
    agent.code(3).stderr_contains("http://127.0.0.1:9");
}

#[test]
fn the_token_comes_from_the_token_helper_or_file() {
    let vault = Vault::start();
    let tool = || backup(&vault.address(), "");
    let with_helper = |script: &str| {
        let tool = tool();
        let helper = tool.home().join("helper");
        std::fs::write(&helper, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&helper, PermissionsExt::from_mode(0o700)).unwrap();
        std::fs::write(tool.home().join(".vault"), format!("token_helper = {helper:?}\n")).unwrap();
        tool
    };
    let root = vault.root_token();
    with_helper(&format!("[ \"$1\" = get ] && [ -z \"$VAULT_BACKUP_KEY\" ] && echo {root}")).run().ok();
    // A background process of a helper may keep its output open.
    with_helper(&format!("sleep 60 >/dev/null & echo {root}")).run().ok();
    with_helper("sleep 60 & echo planted").run().fails(2, &["token helper", "did not end within 10 s"]);
    with_helper("exit 3").run().fails(2, &["token helper", "exit status: 3"]);
    with_helper("true").run().fails(2, &["token helper", "it printed no token"]);
    let relative = tool();
    std::fs::write(relative.home().join(".vault"), "token_helper = \"helper\"\n").unwrap();
    relative.run().fails(2, &[".vault", "not an absolute path"]);
    let file = tool();
    let write = |path: &std::path::Path| {
        std::fs::write(path, root).unwrap();
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
    };
    write(&file.home().join(".vault-token"));
    file.run().ok();
    let file = tool();
    let path = file.home().join("token");
    write(&path);
    file.env("BAO_TOKEN_PATH", path).run().ok();
}

#[test]
fn srv_lookup_is_refused() {
    let vault = Vault::start();
    let tool = |address: &str| backup(address, "").env("VAULT_TOKEN", vault.root_token()).env("BAO_SRV_LOOKUP", "1");
    tool("https://vault.invalid").run().fails(2, &["BAO_SRV_LOOKUP", "https://vault.invalid", "vault.addresses"]);
    tool(&vault.address()).run().ok();
}

#[test]
fn addresses_may_have_a_path_or_be_a_unix_socket() {
    let vault = Vault::start();
    let mapped = FaultServer::proxy(&vault.address(), |_| Reply::forward_without("/vault"));
    for path in ["/vault", "/vault/"] {
        let address = format!("{}{path}", mapped.address());
        backup(&address, "").env("VAULT_TOKEN", vault.root_token()).run().ok();
        // A login uses another library.
        vault.snapshot_policy("backup");
        let (role, secret) = vault.approle("backup", &["backup"]);
        let auth = format!("[vault.auth]\nmethod = \"approle\"\nrole_id = {role:?}\nsecret_id = \"env:ID\"\n");
        backup(&address, &auth).env("ID", secret).run().ok();
    }
    let socket = Vault::builder().listener_unix().start();
    let address = format!("unix://{}", socket.socket().unwrap().display());
    backup(&address, "").env("VAULT_TOKEN", socket.root_token()).run().ok();
    let nowhere = backup("unix:///run/no-such.sock", "").env("VAULT_TOKEN", "x").run();
    nowhere.fails(3, &["unix:///run/no-such.sock"]);
    backup("unix:", "").env("VAULT_TOKEN", "x").run().fails(2, &["VAULT_ADDR", "must be"]);
}

#[test]
fn tls_skip_verify_warns_in_each_run() {
    let vault = Vault::builder().tls(true).start();
    let tool = || backup(&vault.address(), "").env("VAULT_TOKEN", vault.root_token());
    tool().run().code(3).stderr_contains("vault.ca_cert");
    let output = tool().env("BAO_SKIP_VERIFY", "true").run();
    output.code(0).stderr_contains("not verified (tls_skip_verify)");
    tool().env("VAULT_CACERT_BYTES", vault.ca().unwrap().pem()).run().ok();
    tool().env("BAO_CAPATH", vault.ca_cert().parent().unwrap()).run().ok();
    tool().env("BAO_CACERT_BYTES", "no certificate").run().fails(2, &["CACERT_BYTES"]);
    let plain = vault.address().replace("https:", "http:");
    backup(&plain, "")
        .env("VAULT_TOKEN", vault.root_token())
        .run()
        .fails(3, &["plain HTTP was sent to a TLS port", "https://"]);
}

/// Returns a backup of the Vault at `address` into a directory of its own run.
pub(super) fn backup(address: &str, config: &str) -> Tool {
    let tool = tool();
    let file = tool.home().join("config.toml");
    std::fs::write(&file, config).unwrap();
    let store = format!("file://{}/store", tool.home().display());
    tool.arg("backup")
        .arg("--config")
        .arg(file)
        .env("VAULT_BACKUP_STORE", store)
        .env("VAULT_BACKUP_KEY", "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721")
        .env("VAULT_ADDR", address)
}
