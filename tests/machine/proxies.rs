//! Every command next to a proxy that records what it gets: tokens, secret ids, shares, AWS's credentials
//! and the URLs of webhooks never go through it in clear text.
//!
//! The servers are addressed as 0.0.0.0: an address that is not loopback and that leads to this machine.

use crate::drill::ephemeral;
use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use crate::support::production::{CANARY, Production};
use crate::support::tool::Tool;
use crate::support::vault::Vault;
use serde_json::json;
use std::sync::Arc;

const VARIABLES: [&str; 10] = [
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "VAULT_PROXY_ADDR",
    "VAULT_HTTP_PROXY",
    "BAO_PROXY_ADDR",
    "BAO_HTTP_PROXY",
];

/// A proxy that records each request.
struct Recorder(FaultServer);

impl Recorder {
    fn start() -> Self {
        Self(FaultServer::start(|_| Reply::status(502)))
    }

    /// Sets all variables of `tool` to the proxy.
    fn before(&self, tool: Tool) -> Tool {
        tool.envs(VARIABLES.map(|name| (name, self.0.address())))
    }

    #[track_caller]
    fn assert_nothing(&self, what: &str) {
        let calls: Vec<_> = self.0.calls().iter().map(|call| format!("{} {}", call.method, call.path)).collect();
        assert!(calls.is_empty(), "{what}: {calls:?}");
    }
}

/// Returns the address as one that is not loopback.
fn outside(address: &str) -> String {
    address.replace("127.0.0.1", "0.0.0.0")
}

#[test]
fn no_request_to_vault_store_or_webhook_over_plain_http_reaches_a_proxy() {
    let (place, recorder) = (Place::s3(), Recorder::start());
    let hook = FaultServer::start(|_| Reply::status(204));
    let config = format!(
        "[vault.auth]\nmethod = \"userpass\"\nusername = \"backup\"\npassword = \"env:PW\"\n[store]\npath_style = true\n\
         [[notify]]\ntype = \"webhook\"\nurl = \"{0}/planted-hook\"\n[ping]\nurl = \"{0}/planted-ping\"\n",
        outside(hook.address())
    );
    let tool = || {
        let tool = place.tool().env("VAULT_ADDR", outside(&place.site.vault.address())).env("VAULT_TOKEN", "");
        std::fs::write(tool.home().join("config.toml"), &config).unwrap();
        let tool = tool.env("PW", &place.site.password).env("AWS_ENDPOINT_URL", outside(&place.site.s3.endpoint()));
        recorder.before(tool.args(["--config", "config.toml"]))
    };
    tool().args(["backup", "--kind", "daily", "--prune"]).run().code(0);
    let backup = place.names().into_iter().find(|name| name.ends_with(".enc")).unwrap();
    let commands: [(&[&str], i32); 7] = [
        (&["prune"], 0),
        (&["list"], 0),
        (&["status", "--max-age", "1d"], 0),
        (&["inspect", &backup], 0),
        (&["decrypt", &backup, "--output", "out"], 0),
        (&["verify-restore", "--offline"], 2), // after it has found the backup: no shares are configured
        (&["doctor", "--notify-test"], 0),
    ];
    for (command, code) in commands {
        tool().args(command).run().code(code);
        recorder.assert_nothing(&format!("{command:?}"));
    }
    assert!(hook.calls().len() >= 4, "backup and doctor notified");
}

#[test]
fn no_token_or_share_of_drill_restore_and_recover_reaches_a_proxy() {
    let recorder = Recorder::start();
    let site = Arc::new(Production::start(3, 2)).site();
    let source = outside(&site.production.vault.address());
    let staging = Vault::builder().staging().start();
    let section = format!(
        "{}address = {:?}\ntoken = \"env:STAGING_TOKEN\"\n",
        ephemeral::staging(""),
        outside(&staging.address())
    );
    let tool = |arguments: &[&str]| {
        let tool = site.tool_of(std::slice::from_ref(&source), &section).args(arguments);
        recorder.before(tool.env("STAGING_TOKEN", staging.root_token()))
    };
    let object = &site.production.object.clone();
    tool(&["verify-restore"]).run().ok();
    ephemeral::passed(&tool(&["verify-restore", "--ephemeral"]).run());
    tool(&["verify-restore", "--offline"]).run().ok();
    tool(&["recover", CANARY, "--from", object, "--share", "env:SHARE0", "--share", "env:SHARE1", "-o", "out"])
        .run()
        .ok();
    let name = site.production.vault.ok("GET", "sys/health", None)["cluster_name"].as_str().unwrap().to_owned();
    let restore = tool(&["restore", object, "--address", &source, "--confirm", &name]);
    restore.env("VAULT_TOKEN", site.production.vault.root_token()).run().code(0);
    recorder.assert_nothing("verify-restore, recover and restore");
}

#[test]
fn aws_credentials_of_an_instance_are_asked_for_directly() {
    let (place, recorder) = (Place::s3(), Recorder::start());
    let (id, secret) = place.site.s3.root();
    let (id, secret) = (id.to_owned(), secret.to_owned());
    let metadata = FaultServer::start(move |call| match call.path.as_str() {
        "/latest/api/token" => {
            Reply::status(200).header("x-aws-ec2-metadata-token-ttl-seconds", "21600").body("planted-imds-token")
        }
        "/latest/meta-data/iam/security-credentials/" => Reply::status(200).body("role"),
        "/latest/meta-data/iam/security-credentials/role" => Reply::json(
            200,
            &json!({"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": id, "SecretAccessKey": secret, "Token": "",
                "LastUpdated": "2026-01-01T00:00:00Z", "Expiration": "2099-01-01T00:00:00Z"}),
        ),
        _ => Reply::status(404),
    });
    let tool = place.tool().env("AWS_ACCESS_KEY_ID", "").env("AWS_SECRET_ACCESS_KEY", "");
    std::fs::write(tool.home().join("config.toml"), "[store]\npath_style = true\n").unwrap();
    let tool = tool
        .env("AWS_EC2_METADATA_DISABLED", "false")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", outside(metadata.address()))
        .env("AWS_ENDPOINT_URL", outside(&place.site.s3.endpoint()))
        .args(["--config", "config.toml", "list"]);
    let _ = recorder.before(tool).run();
    assert!(!metadata.calls().is_empty(), "the metadata service was asked");
    recorder.assert_nothing("credentials");
}
