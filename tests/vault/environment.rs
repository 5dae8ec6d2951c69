//! What comes from the environment, so that the binary is what is tested: AWS
//! credentials for a login (by a stand-in for AWS's security token service), proxies.

use crate::support::fault::{Call, FaultServer, Reply};
use crate::support::tool;
use crate::support::tool::Tool;
use crate::support::vault::{Server, Vault};
use serde_json::json;

const IDENTITY: &str = r#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetCallerIdentityResult>
    <Arn>arn:aws:iam::123456789012:user/backup</Arn><UserId>AIDAEXAMPLE</UserId><Account>123456789012</Account>
  </GetCallerIdentityResult>
  <ResponseMetadata><RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId></ResponseMetadata>
</GetCallerIdentityResponse>"#;

#[test]
fn by_aws_iam() {
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
    // Vault asks more than once, on its own behalf, too.
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

#[test]
fn through_a_proxy() {
    let vault = Vault::start();
    let proxy = FaultServer::proxy(&vault.address(), |_| Reply::forward());
    // Nobody but the proxy knows that name.
    let run = |no_proxy: &str| {
        backup("http://vault.invalid:8200", "")
            .env("VAULT_TOKEN", vault.root_token())
            .env("http_proxy", proxy.address())
            .env("no_proxy", no_proxy)
            .run()
    };
    run("elsewhere.invalid").ok();
    assert!(proxy.calls().iter().all(|call| call.header("host") == "vault.invalid:8200"));
    let calls = proxy.calls().len();
    run("vault.invalid").fails(3, &["http://vault.invalid:8200", "is Vault running there?"]);
    assert_eq!(proxy.calls().len(), calls);
}

/// A backup of the Vault at `address` into a folder of the run's own.
fn backup(address: &str, config: &str) -> Tool {
    let tool = tool();
    let file = tool.home().join("config.toml");
    std::fs::write(&file, config).unwrap();
    let store = format!("file://{}/store", tool.home().display());
    tool.arg("backup")
        .arg("--config")
        .arg(file)
        .env("VAULT_BACKUP_STORE", store)
        .env("VAULT_BACKUP_KEY", "07".repeat(32))
        .env("VAULT_ADDR", address)
}
