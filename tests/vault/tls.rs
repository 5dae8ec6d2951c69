//! TLS with a private CA, other names than the address's, client certificates.

use super::{WHOLE, assert_says, entries, session, settings, take, url};
use crate::support::cluster::Cluster;
use crate::support::fault::{FaultServer, Reply};
use crate::support::process::{Port, temp_dir};
use crate::support::tls::Ca;
use crate::support::vault::Vault;
use serde_json::json;
use vault_backup::base::error::Kind;
use vault_backup::services::http::TlsSettings;
use vault_backup::services::vault::{Auth, Client};

fn client(address: &str, tls: TlsSettings) -> vault_backup::base::error::Result<Client> {
    let mut settings = settings(&[address]);
    settings.tls = tls;
    Client::new(settings)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_ca_is_trusted() {
    let cluster = Cluster::start_tls(2);
    let leader = cluster.leader();
    let trusting = TlsSettings { ca_cert: Some(leader.ca_cert()), ..TlsSettings::default() };
    for address in cluster.addresses() {
        let client = client(&address, trusting.clone()).unwrap();
        assert_eq!(entries(&take(&client, leader.root_token()).await.unwrap()), WHOLE, "from {address}");
    }
    let at = leader.address();
    let error = client(&at, TlsSettings::default()).unwrap().leader().await.unwrap_err();
    assert_says(&error, Kind::Vault, &[&at, "invalid peer certificate", "vault.ca_cert"]);
    let other = Ca::new();
    let error = client(&at, TlsSettings { ca_cert: Some(other.path()), ..TlsSettings::default() }).unwrap();
    assert_says(&error.leader().await.unwrap_err(), Kind::Vault, &["invalid peer certificate"]);
    let blind = TlsSettings { skip_verify: true, ..TlsSettings::default() };
    assert_eq!(client(&at, blind).unwrap().leader().await.unwrap().address, url(&at));

    // The certificate is for 127.0.0.1 and localhost.
    for (name, right) in [("localhost", true), ("vault.example.com", false)] {
        let tls = TlsSettings { server_name: Some(name.into()), ..trusting.clone() };
        let found = client(&at, tls).unwrap().leader().await;
        match found {
            Ok(node) => assert!(right && node.address == url(&at)),
            Err(error) => {
                assert!(!right, "{error}");
                assert_says(&error, Kind::Vault, &[&at, "invalid peer certificate", "vault.tls_server_name"]);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn login_with_a_client_certificate() {
    let vault = Vault::builder().tls(true).start();
    let ca = vault.ca().unwrap();
    vault.enable_auth("cert");
    for (role, cn) in [("backup", "backup"), ("drill", "drill")] {
        let body = json!({"certificate": ca.pem(), "allowed_common_names": [cn], "token_policies": [role]});
        vault.ok("POST", &format!("auth/cert/certs/{role}"), Some(body));
    }
    let identity = ca.client("backup");
    let tls = TlsSettings {
        ca_cert: Some(vault.ca_cert()),
        client_cert: Some(identity.cert),
        client_key: Some(identity.key),
        ..TlsSettings::default()
    };
    let auth = |role: Option<&str>| Auth::Cert { mount: "cert".into(), role: role.map(Into::into) };
    let with = client(&vault.address(), tls.clone()).unwrap();
    let node = with.leader().await.unwrap();
    for role in [None, Some("backup")] {
        let session = with.login(&node, &auth(role)).await.unwrap();
        let info = with.lookup_self(&node.address, session.token()).await.unwrap();
        assert_eq!(info.policies, ["backup", "default"]);
        with.revoke(session).await.unwrap();
    }
    let error = with.login(&node, &auth(Some("drill"))).await.unwrap_err();
    assert_says(&error, Kind::Vault, &["certificate at auth/cert", "check vault.auth"]);

    let without = TlsSettings { client_cert: None, client_key: None, ..tls.clone() };
    let without = client(&vault.address(), without).unwrap();
    let error = without.login(&node, &auth(None)).await.unwrap_err();
    assert_says(&error, Kind::Usage, &["vault.client_cert"]);
    assert!(session(&without, vault.root_token()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_server_name_is_sent_as_sni() {
    let ca = Ca::new();
    let named =
        |name: &str| TlsSettings { ca_cert: Some(ca.path()), server_name: Some(name.into()), ..TlsSettings::default() };
    let server = FaultServer::start_tls(&ca, |_| Reply::status(404));
    client(server.address(), named("localhost")).unwrap().leader().await.unwrap_err();
    assert_eq!(server.calls()[0].header("host"), server.address().trim_start_matches("https://"));

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let hello = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let start = tokio_rustls::LazyConfigAcceptor::new(Default::default(), stream).await.unwrap();
        start.client_hello().server_name().map(str::to_owned)
    });
    let error = client(&address, named("vault.example.com")).unwrap().health(&url(&address)).await.unwrap_err();
    assert_says(&error, Kind::Vault, &[&address]);
    assert!(!error.to_string().contains("example.com"), "the address is what is reported: {error}");
    assert_eq!(hello.await.unwrap().as_deref(), Some("vault.example.com"));
}

/// As `openssl req -x509` generates it: the server's certificate is a CA certificate.
#[tokio::test(flavor = "multi_thread")]
async fn a_self_signed_certificate_is_accepted_when_it_is_the_one_in_ca_cert() {
    let (ours, other) = (Ca::self_signed(&["127.0.0.1"]), Ca::self_signed(&["127.0.0.1"]));
    let elsewhere = Ca::self_signed(&["vault.example.com"]);
    let trusting = |ca: &Ca| TlsSettings { ca_cert: Some(ca.path()), ..TlsSettings::default() };
    let health = async |server: &Ca, trusted: &Ca| {
        let double = FaultServer::start_tls(server, |_| {
            Reply::json(200, &json!({"initialized": true, "sealed": false, "standby": false}))
        });
        let client = client(double.address(), trusting(trusted)).unwrap();
        client.health(&url(double.address())).await
    };
    health(&ours, &ours).await.unwrap();
    let expired = Ca::self_signed_until(&["127.0.0.1"], 2020);
    for (server, trusted, why) in [
        (&other, &ours, "it is a CA certificate"),
        (&elsewhere, &elsewhere, "not valid for"),
        (&expired, &expired, "expired"),
    ] {
        let error = health(server, trusted).await.unwrap_err();
        assert_says(&error, Kind::Vault, &["invalid peer certificate", why]);
    }
}

/// A real server with a certificate whose algorithm ring does not support.
#[tokio::test(flavor = "multi_thread")]
async fn an_unsupported_algorithm_is_named() {
    let (port, dir) = (Port::reserve(), temp_dir());
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| dir.path().join(name));
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521", "-nodes", "-subj", "/CN=p521"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-out"])
        .arg(&cert)
        .arg("-keyout")
        .arg(&key)
        .output();
    assert!(made.unwrap().status.success());
    let listener = format!(
        "listener \"tcp\" {{\n address = {:?}\n tls_cert_file = {cert:?}\n tls_key_file = {key:?}\n}}\n",
        port.address()
    );
    let _vault = Vault::builder().config(&listener).start();
    let address = format!("https://{}", port.address());
    for tls in [
        TlsSettings { ca_cert: Some(cert), ..TlsSettings::default() },
        TlsSettings { skip_verify: true, ..TlsSettings::default() },
    ] {
        let error = client(&address, tls).unwrap().health(&url(&address)).await.unwrap_err();
        assert_says(&error, Kind::Vault, &[&address, "unsupported TLS version or algorithm", "not ECDSA P-521"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_at_a_plain_http_port_is_named() {
    let vault = Vault::start();
    let address = vault.address().replace("http:", "https:");
    let error = client(&address, TlsSettings::default()).unwrap().health(&url(&address)).await.unwrap_err();
    assert_says(&error, Kind::Vault, &[&address, "the server does not speak TLS on this port", "write http://"]);
}

#[test]
fn unusable_certificate_files_are_named() {
    let ca = Ca::new();
    let identity = ca.client("x");
    let missing = ca.path().with_file_name("missing.pem");
    let junk = ca.path().with_file_name("junk.pem");
    std::fs::write(&junk, "no PEM at all").unwrap();
    let tls = TlsSettings::default;
    for (settings, texts) in [
        (TlsSettings { ca_cert: Some(missing.clone()), ..tls() }, ["missing.pem", "cannot be read"]),
        (TlsSettings { ca_cert: Some(junk.clone()), ..tls() }, ["junk.pem", "ca_cert"]),
        (TlsSettings { client_cert: Some(identity.cert.clone()), ..tls() }, ["client_cert", "client_key"]),
        (
            TlsSettings { client_cert: Some(identity.cert.clone()), client_key: Some(junk), ..tls() },
            ["junk.pem", "client_key"],
        ),
        (
            TlsSettings { client_cert: Some(missing), client_key: Some(identity.key), ..tls() },
            ["missing.pem", "cannot be read"],
        ),
        (TlsSettings { server_name: Some("10.0.0.1".into()), ..tls() }, ["tls_server_name", "not a DNS name"]),
    ] {
        let error = client("https://127.0.0.1:8200", settings).err().unwrap();
        assert_says(&error, Kind::Usage, &texts);
    }
}
