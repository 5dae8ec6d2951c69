//! Real servers: one node, a cluster, TLS.

use crate::support::cluster::Cluster;
use crate::support::process::{PATIENCE, wait_for};
use crate::support::vault::{ACTIVE, SEALED, STANDBY, Server, UNINITIALISED, Vault, binary, product};
use serde_json::json;
use std::process::Command;
use vault_backup::formats::product::Product;

#[test]
fn test_run_uses_the_named_product() {
    let output = Command::new(binary()).arg("version").output().unwrap();
    let version = String::from_utf8(output.stdout).unwrap();
    assert!(version.starts_with(&format!("{} v", product())), "{version}");
}

#[test]
fn installed_servers_run_in_one_test() {
    let servers = [
        (Server::OpenBao, Product::OpenBao, "2.7."),
        (Server::OpenBaoOld, Product::OpenBao, "2.6."),
        (Server::Vault, Product::Vault, "1.21."),
    ];
    for (server, product, release) in servers {
        assert_eq!(server.product(), product);
        let node = Vault::builder().server(server).start();
        let version = node.ok("GET", "sys/health", None)["version"].as_str().unwrap().to_owned();
        // VAULT_BIN may name any release, but only of the server of this run.
        assert!(version.starts_with(release) || server == Server::of_this_run(), "{server:?}: {version}");
        node.restart();
        node.unseal(node.enough_shares());
    }
}

#[test]
fn a_staging_server_makes_root_tokens_from_shares_alone() {
    let attempt = |node: &Vault| node.api_as("", "PUT", "sys/generate-root/attempt", Some(json!({}))).0;
    assert_eq!(attempt(&Vault::builder().staging().start()), 200);
    let expected = if product() == Product::OpenBao { 405 } else { 200 };
    assert_eq!(attempt(&Vault::start()), expected);
}

#[test]
fn a_snapshot_is_restored_into_another_node() {
    let source = Vault::builder().shares(5, 3).start();
    source.mount_kv("smtp", 2);
    source.put_secret("smtp", "tenant/admin", &json!({"password": "hunter2"}));
    source.mount_kv("old", 1);
    source.put_secret("old", "a", &json!({"b": "c"}));
    let snapshot = source.snapshot();

    let staging = Vault::start();
    assert_ne!(staging.cluster_id(), source.cluster_id());
    assert!(staging.token_is_valid(staging.root_token()));
    staging.take_over(&source, snapshot);
    assert_eq!(staging.health(), Some(ACTIVE));

    let read = |mount, path| staging.get_secret_as(source.root_token(), mount, path);
    assert_eq!(read("smtp", "tenant/admin"), Some(json!({"password": "hunter2"})));
    assert_eq!(read("old", "a"), Some(json!({"b": "c"})));
    assert_eq!(read("old", "nothing"), None);
    assert!(!staging.token_is_valid(staging.root_token()));
    assert_eq!(staging.cluster_id(), source.cluster_id());
}

#[test]
fn roles_have_only_their_permissions() {
    let vault = Vault::start();
    vault.snapshot_policy("backup");
    let (role_id, secret_id) = vault.approle("backup", &["backup"]);
    let login = json!({"role_id": role_id, "secret_id": secret_id});
    let (status, answer) = vault.api_as("", "POST", "auth/approle/login", Some(login));
    assert_eq!(status, 200);
    for token in [answer["auth"]["client_token"].as_str().unwrap(), &vault.token(&["backup"])] {
        assert_eq!(vault.api_as(token, "GET", "sys/storage/raft/snapshot", None).0, 200);
        assert_eq!(vault.api_as(token, "POST", "sys/storage/raft/snapshot-force", None).0, 403);
    }
}

#[test]
fn node_keeps_its_data_after_a_restart() {
    let mut vault = Vault::builder().uninitialised().node_id("only-me").start();
    assert_eq!(vault.health(), Some(UNINITIALISED));
    vault.initialise(1, 1);
    vault.unseal(vault.shares());
    assert_eq!(vault.get_secret("secret", "a"), None);
    vault.mount_kv("secret", 2);
    vault.put_secret("secret", "a", &json!({"k": 1}));
    let address = vault.address();
    let pid = vault.pid();
    vault.restart();
    assert_eq!((vault.health(), vault.address()), (Some(SEALED), address));
    assert_ne!(vault.pid(), pid);
    vault.unseal(vault.shares());
    assert_eq!(vault.get_secret("secret", "a"), Some(json!({"k": 1})));
    vault.seal();
    assert_eq!(vault.health(), Some(SEALED));
    assert_eq!(vault.node_id(), "only-me");
    assert!(vault.log().contains("only-me") || vault.dir().join("log").is_file());
    vault.kill();
    assert_eq!(vault.health(), None);
}

#[test]
fn a_node_is_filled_to_size() {
    let vault = Vault::start();
    let before = vault.snapshot().len();
    vault.fill(10_000_000);
    let grown = vault.snapshot().len() - before;
    assert!((10_000_000..12_000_000).contains(&grown), "{grown}");
}

#[test]
fn tls_with_a_private_ca_and_a_client_certificate() {
    let vault = Vault::builder().tls(true).start();
    assert!(vault.address().starts_with("https://127.0.0.1:"));
    assert!(vault.ca_cert().is_file());
    let stranger = crate::support::http::client(None, None);
    let url = format!("{}/v1/sys/health", vault.address());
    assert!(crate::support::http::exchange(&stranger, "GET", &url, None, None).is_none(), "not trusted by others");
    let identity = vault.ca().unwrap().client("backup.example");
    assert!(identity.cert.is_file() && identity.key.is_file());
}

#[test]
fn node_with_custom_settings_stops() {
    let vault = Vault::builder().config("cluster_name = \"prod\"").listener("http_read_timeout = \"9s\"").start();
    assert_eq!(vault.ok("GET", "sys/health", None)["cluster_name"], "prod");
    let state = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", vault.pid())).unwrap();
        stat.rsplit_once(") ").unwrap().1.chars().next()
    };
    vault.pause();
    wait_for("the halt", PATIENCE, || (state() == Some('T')).then_some(()));
    vault.resume();
    assert_eq!(vault.health(), Some(ACTIVE));
}

#[test]
fn a_node_on_a_unix_socket() {
    let vault = Vault::builder().listener_unix().start();
    assert!(vault.socket().unwrap().exists());
    assert!(!vault.snapshot().is_empty());
}

#[test]
fn a_cluster_survives_its_leader() {
    let cluster = Cluster::start(3);
    let old = cluster.leader();
    old.mount_kv("secret", 2);
    old.put_secret("secret", "a", &json!({"k": 1}));
    assert_eq!(cluster.standbys().len(), 2);
    for standby in cluster.standbys() {
        let (status, _) = standby.api("GET", "sys/storage/raft/snapshot", None);
        // OpenBao's standbys answer themselves or forward the request.
        assert_eq!(status, if product() == Product::OpenBao { 200 } else { 307 });
    }
    old.kill();
    let new = cluster.leader();
    assert_ne!(new.node_id(), old.node_id());
    assert_eq!(new.get_secret("secret", "a"), Some(json!({"k": 1})));
    old.restart();
    old.send_shares(old.enough_shares());
    old.wait_for_health(&[STANDBY]);
    assert_eq!(cluster.addresses().len(), cluster.nodes().len());
}

#[test]
fn a_cluster_with_tls() {
    let cluster = Cluster::start_tls(3);
    cluster.leader().wait_for_health(&[ACTIVE]);
    assert!(cluster.nodes().iter().all(|node| node.address().starts_with("https://")));
}
