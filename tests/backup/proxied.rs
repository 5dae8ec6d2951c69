//! HTTPS_PROXY and NO_PROXY.

use crate::support::fault::{FaultServer, Reply};
use crate::support::process::temp_dir;
use crate::support::proxy::Proxy;
use crate::support::s3::S3;
use crate::support::tls::Ca;
use crate::support::tool::{Tool, tool};
use crate::support::vault::Vault;
use std::sync::Arc;
use vault_backup::formats::crypto::Key;

#[test]
fn https_proxy_is_used_for_vault_and_store() {
    let ca = Arc::new(Ca::new());
    let (vault, s3, proxy) = (Vault::builder().tls_by(ca.clone()).start(), S3::start_tls(&ca), Proxy::start());
    let key = Key::generate().unwrap().to_hex().expose().to_owned();
    let port = |address: &str| address.rsplit(':').next().unwrap().to_owned();
    let ports = [port(&vault.address()), port(&s3.endpoint())];
    // A name in the servers' certificates that only the proxy can reach.
    let at = |host: &str| ports.each_ref().map(|port| format!("https://{host}:{port}"));
    s3.bucket("backups");
    let store = temp_dir();
    let through = |host: &str, no_proxy: &str| -> Tool {
        let [vault_url, s3_url] = at(host);
        let tool = tool().keeps([&key]);
        let config = format!("[vault]\nca_cert = {0:?}\n[store]\npath_style = true\nca_cert = {0:?}\n", ca.path());
        std::fs::write(tool.home().join("config.toml"), config).unwrap();
        tool.envs(s3.env())
            .envs([("VAULT_ADDR", &vault_url[..]), ("VAULT_TOKEN", vault.root_token()), ("AWS_ENDPOINT_URL", &s3_url)])
            .envs([("VAULT_BACKUP_STORE", "s3://backups/x"), ("VAULT_BACKUP_KEY", &key)])
            .envs([("HTTPS_PROXY", &proxy.address[..]), ("NO_PROXY", no_proxy)])
            .args(["--config", "config.toml"])
    };
    // Loopback never goes through a proxy.
    through("localhost", "elsewhere.example").args(["backup", "--kind", "daily"]).run().ok();
    assert_eq!(proxy.asked(), [""; 0]);
    // The store is contacted first, and Vault only if the store works.
    let direct = || through("server.test", "server.test").args(["backup", "--kind", "daily"]);
    direct().run().fails(4, &["s3://backups/x"]);
    let directory = direct().env("VAULT_BACKUP_STORE", format!("file://{}", store.path().display()));
    directory.run().fails(3, &["https://server.test", "check that Vault is running there"]);
    assert_eq!(proxy.asked(), [""; 0]);
    crate::support::place::next_second();
    through("server.test", "elsewhere.example").args(["backup", "--kind", "daily"]).run().ok();
    let mut expected = ports.map(|port| format!("server.test:{port}"));
    expected.sort();
    assert_eq!(proxy.asked(), expected);
}

/// Every request of a run, in clear text on loopback: nothing of it is a proxy's business.
#[test]
fn loopback_addresses_bypass_the_proxy() {
    let (vault, s3) = (Vault::start(), S3::start());
    let proxy = FaultServer::start(|_| Reply::status(502));
    let hook = FaultServer::start(|_| Reply::status(204));
    s3.bucket("backups");
    let key = Key::generate().unwrap().to_hex().expose().to_owned();
    let tool = tool().keeps([&key]);
    let config = format!(
        "[store]\npath_style = true\n[[notify]]\ntype = \"webhook\"\nurl = {0:?}\n[ping]\nurl = \"{0}/ping\"\n",
        hook.address()
    );
    std::fs::write(tool.home().join("config.toml"), config).unwrap();
    let proxies = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    tool.envs(s3.env())
        .envs([("VAULT_ADDR", &vault.address()[..]), ("VAULT_TOKEN", vault.root_token())])
        .envs([("AWS_ENDPOINT_URL", &s3.endpoint()[..]), ("VAULT_BACKUP_STORE", "s3://backups/x")])
        .env("VAULT_BACKUP_KEY", &key)
        .envs(proxies.map(|name| (name, proxy.address())))
        .args(["--config", "config.toml", "backup", "--kind", "daily"])
        .run()
        .ok();
    assert!(!hook.calls().is_empty());
    assert!(proxy.calls().is_empty(), "{:?}", proxy.calls().iter().map(|call| &call.path).collect::<Vec<_>>());
}

#[test]
fn an_unreachable_proxy_is_named() {
    let vault = Vault::start();
    let key = Key::generate().unwrap().to_hex().expose().to_owned();
    tool()
        .envs([("VAULT_ADDR", &vault.address()[..]), ("VAULT_TOKEN", vault.root_token())])
        .envs([("AWS_ENDPOINT_URL", "https://s3.invalid"), ("VAULT_BACKUP_STORE", "s3://backups/x")])
        .envs([("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s"), ("VAULT_BACKUP_KEY", &key)])
        .env("HTTPS_PROXY", "http://user:planted@127.0.0.1:9")
        .args(["backup", "--kind", "daily"])
        .run()
        .fails(4, &["via the proxy http://127.0.0.1:9"])
        .never_says("planted");
}
