//! Login, choice of the node, and revocation of the token.

use super::text;
use crate::support::cluster::Cluster;
use crate::support::fault::{FaultServer, Reply};
use crate::support::place::{Place, next_second};
use crate::support::site::SNAPSHOT;
use crate::support::tool::Tool;
use crate::support::vault::{Server, Vault};
use serde_json::json;

/// The tool with a new role that may take snapshots, through `address`.
fn with_role(place: &Place, vault: &Vault, address: &str, policies: &[&str]) -> Tool {
    let role = format!("role-{}", policies.join("-"));
    let (role_id, secret_id) = vault.approle(&role, policies);
    let tool = place.tool().env("VAULT_TOKEN", "").keeps([&secret_id]);
    let home = tool.home();
    std::fs::write(home.join("secret-id"), &secret_id).unwrap();
    std::fs::set_permissions(home.join("secret-id"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let config = format!(
        "[vault]\naddresses = [{address:?}]\n[vault.auth]\nmethod = \"approle\"\nrole_id = \"{role_id}\"\nsecret_id = \"file:{}\"\n",
        home.join("secret-id").display()
    );
    std::fs::write(home.join("config.toml"), config).unwrap();
    tool.env("VAULT_ADDR", address).arg("--config").arg(home.join("config.toml"))
}

/// The token of the snapshot request.
fn token_of(vault: &FaultServer) -> String {
    let calls = vault.calls();
    let asked: Vec<_> = calls.iter().filter(|call| call.path == SNAPSHOT).collect();
    assert_eq!(asked.len(), 1);
    asked[0].header("x-vault-token").to_owned()
}

#[test]
fn login_token_is_revoked_and_minimal_policy_is_enough() {
    let place = Place::s3();
    let site = &place.site;
    let through = |vault: &FaultServer, policies: &[&str]| with_role(&place, &site.vault, vault.address(), policies);

    let good = FaultServer::proxy(&site.vault.address(), |_| Reply::forward());
    through(&good, &["backup"]).args(["backup", "-q"]).run().ok();
    let damaged = site.vault_sending("not a snapshot");
    next_second();
    through(&damaged, &["backup"]).args(["backup"]).run().fails(5, &["not gzip"]);
    let denied = FaultServer::proxy(&site.vault.address(), |_| Reply::forward());
    next_second();
    let output = through(&denied, &["none"]).args(["backup"]).run();
    output.fails(3, &["permission denied", "sys/storage/raft/snapshot", "read"]);

    for vault in [good, damaged, denied] {
        let token = token_of(&vault);
        assert!(token.len() > 20 && !site.vault.token_is_valid(&token));
        assert_eq!(vault.calls().iter().filter(|call| call.path == "/v1/auth/token/revoke-self").count(), 1);
    }
}

/// It does not belong to this run.
#[test]
fn a_given_token_is_not_revoked() {
    let place = Place::directory();
    let vault = FaultServer::proxy(&place.site.vault.address(), |_| Reply::forward());
    place.tool().env("VAULT_ADDR", vault.address()).args(["backup"]).run().ok();
    assert_eq!(token_of(&vault), place.site.token);
    assert_eq!(place.site.vault.api_as(&place.site.token, "GET", "sys/storage/raft/snapshot", None).0, 200);
}

#[test]
fn the_token_file_of_vault_login_is_used() {
    let place = Place::directory();
    let tool = place.tool().env("VAULT_TOKEN", "");
    std::fs::write(tool.home().join(".vault-token"), &place.site.token).unwrap();
    std::fs::set_permissions(tool.home().join(".vault-token"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    tool.arg("backup").run().ok().leaves(&[".vault-token"]);
}

#[test]
fn login_over_tls_with_a_private_ca() {
    let vault = Vault::builder().tls(true).start();
    let place = Place::directory();
    let tool = || place.tool().env("VAULT_ADDR", vault.address()).env("VAULT_TOKEN", vault.root_token()).arg("backup");
    let untrusted = tool().run();
    untrusted.fails(3, &[&vault.address(), "certificate", "set vault.ca_cert"]).leaves(&[]);
    place.assert_empty();
    tool().env("VAULT_CACERT", vault.ca_cert()).run().ok();
    let configured = tool().env("VAULT_ADDR", "");
    let config = format!("[vault]\naddresses = [{:?}]\nca_cert = {:?}\n", vault.address(), vault.ca_cert());
    std::fs::write(configured.home().join("config.toml"), config).unwrap();
    next_second();
    configured.args(["--config", "config.toml"]).run().ok();
}

#[test]
fn a_refused_secret_id_is_reported() {
    let place = Place::directory();
    let tool =
        with_role(&place, &place.site.vault, &place.site.vault.address(), &["refused"]).keeps(["not-a-secret-id"]);
    std::fs::write(tool.home().join("secret-id"), "not-a-secret-id").unwrap();
    let address = place.site.vault.address();
    tool.arg("backup").run().fails(3, &[&address, "AppRole", "vault.auth"]).leaves(&["config.toml", "secret-id"]);
    place.assert_empty();
}

#[test]
fn backup_works_through_any_node_of_a_cluster() {
    let cluster = Cluster::start(3);
    let place = Place::s3();
    let leader = cluster.leader();
    leader.snapshot_policy("backup");
    let standby = cluster.standbys()[0];
    let output = with_role(&place, leader, &standby.address(), &["backup"]).args(["backup", "--json"]).run();
    output.ok();
    assert_eq!(text(&output.json()["vault"]["cluster_id"]), leader.cluster_id());
    let peers = place.tool().args(["inspect", text(&output.json()["object"]), "--json"]).run();
    assert_eq!(peers.ok().json()["checked"]["raft_peers"].as_array().unwrap().len(), 3);
}

/// The response of AWS about the signer of a request.
fn identity(user: &str) -> String {
    let result = "GetCallerIdentityResult";
    let arn =
        format!("<Arn>arn:aws:iam::123456789012:user/{user}</Arn><UserId>AIDA</UserId><Account>123456789012</Account>");
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{result}>{arn}</{result}>\
         <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    )
}

/// On Vault, in every run: OpenBao is built without this method. It sends our signed
/// request on, to a stand-in for AWS.
#[test]
fn login_by_aws_iam() {
    let (place, vault) = (Place::directory(), Vault::builder().server(Server::Vault).start());
    vault.snapshot_policy("backup");
    let sts = FaultServer::start(|call| {
        let known = call.header("authorization").contains("Credential=rootaccess/");
        Reply::status(200).header("Content-Type", "text/xml").body(identity(if known { "backup" } else { "other" }))
    });
    vault.enable_auth("aws");
    vault.ok("POST", "auth/aws/config/client", Some(json!({"sts_endpoint": sts.address(), "sts_region": "us-east-1"})));
    let role = json!({"auth_type": "iam", "resolve_aws_unique_ids": false, "token_policies": "backup",
        "bound_iam_principal_arn": "arn:aws:iam::123456789012:user/backup"});
    vault.ok("POST", "auth/aws/role/backup", Some(role));
    let through = FaultServer::proxy(&vault.address(), |_| Reply::forward());
    let run_with = |access_key: &str, keys: &str| {
        let tool = place.tool().env("VAULT_TOKEN", "").env("VAULT_ADDR", through.address());
        let config = format!("[vault.auth]\nmethod = \"aws\"\nrole = \"backup\"\n{keys}");
        std::fs::write(tool.home().join("config.toml"), config).unwrap();
        tool.env("AWS_ACCESS_KEY_ID", access_key).args(["--config", "config.toml", "backup"]).run()
    };
    let run = |access_key: &str| run_with(access_key, "");
    run(&place.site.s3.root().0).ok();
    let asked = &sts.calls()[0];
    assert_eq!((&asked.method[..], &asked.body[..]), ("POST", &b"Action=GetCallerIdentity&Version=2011-06-15"[..]));
    assert!(asked.header("authorization").starts_with("AWS4-HMAC-SHA256 Credential=rootaccess/"));
    assert!(!vault.token_is_valid(&token_of(&through)), "revoked");
    next_second();
    run("somebody-else").fails(3, &["AWS IAM at auth/aws", "check vault.auth"]);

    // A hardened server requires its name in the signed headers.
    let client = json!({"sts_endpoint": sts.address(), "sts_region": "eu-central-1",
        "iam_server_id_header_value": "vault.example.com"});
    vault.ok("POST", "auth/aws/config/client", Some(client));
    let known = place.site.s3.root().0;
    next_second();
    run(&known).fails(3, &["AWS IAM at auth/aws", "X-Vault-AWS-IAM-Server-ID"]);
    run_with(&known, "server_id = \"other.example.com\"\n").fails(3, &["AWS IAM at auth/aws"]);
    run_with(&known, "server_id = \"vault.example.com\"\nregion = \"eu-central-1\"\n").ok();
    let asked = sts.calls().pop().unwrap();
    assert_eq!(asked.header("x-vault-aws-iam-server-id"), "vault.example.com");
    assert!(asked.header("authorization").contains("/eu-central-1/sts/aws4_request"));
}

/// On OpenBao, in every run: Vault has namespaces only in its Enterprise edition.
#[test]
fn a_login_in_a_namespace_cannot_take_a_snapshot() {
    let (place, vault) = (Place::directory(), Vault::builder().server(Server::OpenBao).start());
    vault.ok("POST", "sys/namespaces/team", Some(json!({})));
    vault.ok("POST", "team/sys/auth/userpass", Some(json!({"type": "userpass"})));
    let policy = r#"path "sys/storage/raft/snapshot" { capabilities = ["read"] }"#;
    vault.ok("PUT", "team/sys/policies/acl/backup", Some(json!({"policy": policy})));
    let user = json!({"password": "planted-pw", "token_policies": "backup"});
    vault.ok("POST", "team/auth/userpass/users/backup", Some(user));
    let tool = || {
        let tool = place.tool().env("VAULT_TOKEN", "").env("VAULT_ADDR", vault.address()).env("PW", "planted-pw");
        let config = "[vault]\nnamespace = \"team\"\n[vault.auth]\nmethod = \"userpass\"\nusername = \"backup\"\npassword = \"env:PW\"\n";
        std::fs::write(tool.home().join("config.toml"), config).unwrap();
        tool.keeps(["planted-pw"]).args(["--config", "config.toml"])
    };
    let says = ["only a token of the root namespace may take", "remove vault.namespace (\"team\""];
    tool().arg("backup").run().fails(3, &says).leaves(&["config.toml"]);
    place.assert_empty();
    let doctor = tool().arg("doctor").run();
    says.iter().for_each(|text| {
        doctor.code(3).stdout_contains(text);
    });
    assert!(!doctor.text().contains("add to its policy"), "{}", doctor.text());
}
