//! Through a proxy, as HTTPS_PROXY says, unless NO_PROXY says otherwise.

use crate::support::process::temp_dir;
use crate::support::proxy::Proxy;
use crate::support::s3::S3;
use crate::support::tls::Ca;
use crate::support::tool::{Tool, tool};
use crate::support::vault::Vault;
use std::sync::Arc;
use vault_backup::envelope::Key;

#[test]
fn vault_and_store_over_tls() {
    let ca = Arc::new(Ca::new());
    let (vault, s3, proxy) = (Vault::builder().tls_by(ca.clone()).start(), S3::start_tls(&ca), Proxy::start());
    let key = Key::generate().unwrap().to_hex().expose().to_owned();
    let port = |address: &str| address.rsplit(':').next().unwrap().to_owned();
    let ports = [port(&vault.address()), port(&s3.endpoint())];
    // A name that is in the servers' certificates, and that only the proxy can reach.
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
    // The store is asked first, and Vault only where the store is another one.
    let direct = || through("server.test", "server.test").args(["backup", "--kind", "daily"]);
    direct().run().fails(4, &["s3://backups/x"]);
    let directory = direct().env("VAULT_BACKUP_STORE", format!("file://{}", store.path().display()));
    directory.run().fails(3, &["https://server.test", "is Vault running there?"]);
    assert_eq!(proxy.asked(), [""; 0]);
    crate::support::place::next_second();
    through("server.test", "elsewhere.example").args(["backup", "--kind", "daily"]).run().ok();
    let mut expected = ports.map(|port| format!("server.test:{port}"));
    expected.sort();
    assert_eq!(proxy.asked(), expected);
}
