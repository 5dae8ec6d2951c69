//! Failures that a real server cannot produce on demand: proxies, load balancers, unsafe redirects,
//! responses that are not from Vault.

use super::{WHOLE, assert_says, entries, read, session, settings, take, url};
use crate::support::cluster::Cluster;
use crate::support::fault::{Call, FaultServer, Reply};
use crate::support::tls::Ca;
use crate::support::vault::{Server, Vault, product};
use serde_json::json;
use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;
use vault_backup::base::error::{Kind, Result};
use vault_backup::base::secret::Secret;
use vault_backup::formats::product::Product;
use vault_backup::services::http::TlsSettings;
use vault_backup::services::vault::{Auth, Client};

const SNAPSHOT: &str = "/v1/sys/storage/raft/snapshot";

/// Returns the responses of an active node of cluster `id`, except for those of `special`.
fn active(id: &'static str, special: impl Fn(&Call) -> Option<Reply> + Send + Sync + 'static) -> FaultServer {
    FaultServer::start(node(id, special))
}

fn node(id: &str, special: impl Fn(&Call) -> Option<Reply>) -> impl Fn(&Call) -> Reply {
    let health = json!({"initialized": true, "sealed": false, "standby": false, "version": "1.21.4", "cluster_id": id});
    let seal = json!({"initialized": true, "sealed": false, "type": "shamir", "t": 2, "n": 3, "progress": 0,
        "version": "1.21.4", "storage_type": "raft"});
    move |call| {
        special(call).unwrap_or_else(|| match call.path.as_str() {
            "/v1/sys/health" => Reply::json(200, &health),
            "/v1/sys/seal-status" => Reply::json(200, &seal),
            SNAPSHOT => Reply::status(200).header("Content-Type", "application/gzip").body("a snapshot"),
            _ => Reply::status(404),
        })
    }
}

fn redirect(to: String) -> impl Fn(&Call) -> Option<Reply> {
    move |call| (call.path == SNAPSHOT).then(|| Reply::status(307).header("Location", &format!("{to}{SNAPSHOT}")))
}

fn at(server: &FaultServer) -> Client {
    Client::new(settings(&[server.address()])).unwrap()
}

fn got_token(server: &FaultServer) -> bool {
    server.calls().iter().any(|call| !call.header("x-vault-token").is_empty())
}

async fn snapshot_of(server: &FaultServer) -> Result<Vec<u8>> {
    take(&at(server), "hvs.planted").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_the_leader_is_followed_once() {
    let leader = active("a", |_| None);
    let standby = active("a", redirect(leader.address().to_owned()));
    assert_eq!(snapshot_of(&standby).await.unwrap(), b"a snapshot");
    assert!(got_token(&leader));

    let again = active("a", redirect(standby.address().to_owned()));
    let hasty = at(&again).with_election_wait(Duration::from_secs(1));
    let error = take(&hasty, "hvs.planted").await.unwrap_err();
    assert_says(&error, Kind::Vault, &[standby.address(), "it is a standby, but was active just before"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_another_cluster_or_to_http_is_refused() {
    let other = active("b", |_| None);
    let standby = active("a", redirect(other.address().to_owned()));
    let error = snapshot_of(&standby).await.unwrap_err();
    assert_says(&error, Kind::Vault, &[standby.address(), other.address(), "another cluster"]);

    let sealed = active("a", |call| {
        let body = json!({"initialized": true, "sealed": true, "standby": true, "cluster_id": "a"});
        (call.path == "/v1/sys/health").then(|| Reply::json(503, &body))
    });
    let standby = active("a", redirect(sealed.address().to_owned()));
    let error = snapshot_of(&standby).await.unwrap_err();
    assert_says(&error, Kind::Vault, &[sealed.address(), "not active"]);

    let ca = Ca::new();
    let plain = active("a", |_| None);
    let standby = FaultServer::start_tls(&ca, node("a", redirect(plain.address().to_owned())));
    let mut settings = settings(&[standby.address()]);
    settings.tls = TlsSettings { ca_cert: Some(ca.path()), ..TlsSettings::default() };
    let error = take(&Client::new(settings).unwrap(), "hvs.planted").await.unwrap_err();
    assert_says(&error, Kind::Vault, &[plain.address(), "not https"]);
    assert!(plain.calls().is_empty(), "not even its health was asked");

    assert!(!got_token(&other) && !got_token(&sealed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_at_an_unsafe_address_is_refused() {
    let ca = Ca::new();
    let plain = active("a", |_| None);
    let named = plain.address().to_owned();
    let standby = move |call: &Call| match call.path.as_str() {
        "/v1/sys/health" => {
            let body = json!({"initialized": true, "sealed": false, "standby": true, "cluster_id": "a"});
            Some(Reply::json(429, &body))
        }
        "/v1/sys/leader" => Some(Reply::json(200, &json!({"leader_address": named}))),
        _ => None,
    };
    let tls = FaultServer::start_tls(&ca, node("a", standby.clone()));
    let mut secure = settings(&[tls.address()]);
    secure.tls = TlsSettings { ca_cert: Some(ca.path()), ..TlsSettings::default() };
    let error = Client::new(secure).unwrap().leader().await.unwrap_err();
    assert_says(&error, Kind::Vault, &[tls.address(), plain.address(), "not https", "api_addr"]);
    assert!(plain.calls().is_empty());

    // Over plain HTTP it is followed, but not by a client of one node.
    let standby = active("a", standby);
    assert_eq!(at(&standby).leader().await.unwrap().address, url(plain.address()));
    let asked = plain.calls().len();
    let alone = at(&standby).single_node().with_election_wait(Duration::from_secs(1));
    assert_says(&alone.leader().await.unwrap_err(), Kind::Vault, &["unsealed, but not active"]);
    assert_says(
        &alone.token_alive(&url(standby.address()), &Secret::new("hvs.planted")).await.unwrap_err(),
        Kind::Vault,
        &["not active (HTTP 429)"],
    );
    assert_eq!(plain.calls().len(), asked);
    assert!(!got_token(&standby));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_through_a_load_balancer_follows_the_leader() {
    let cluster = Cluster::start(2);
    let leader = cluster.leader();
    // Its health check reaches the leader, the snapshot request a standby.
    let health = leader.ok("GET", "sys/health", None);
    let balancer = FaultServer::proxy(&cluster.standbys()[0].address(), move |call| match call.path.as_str() {
        "/v1/sys/health" => Reply::json(200, &health),
        _ => Reply::forward(),
    });
    let client = at(&balancer);
    let (node, session) = session(&client, leader.root_token()).await.unwrap();
    assert_eq!(node.address, url(balancer.address()));
    let snapshot = client.snapshot(&node, &session).await.unwrap();
    // Vault's standby redirects to the leader, OpenBao's forwards the request.
    let forwarded = product() == Product::OpenBao;
    let answered = if forwarded { balancer.address().to_owned() } else { leader.address() };
    assert_eq!(snapshot.node.address, url(&answered));
    assert_eq!(entries(&read(snapshot).await.unwrap()), WHOLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_failures_are_retried() {
    let vault = Vault::start();
    let seen = Mutex::new(HashSet::new());
    let gateway =
        FaultServer::proxy(&vault.address(), move |call| match seen.lock().unwrap().insert(call.path.clone()) {
            true => Reply::status(503).body("<html>no upstream</html>"),
            false => Reply::forward(),
        });
    assert_eq!(entries(&take(&at(&gateway), vault.root_token()).await.unwrap()), WHOLE);

    let down = FaultServer::proxy(&vault.address(), |call| match call.path.as_str() {
        SNAPSHOT => Reply::json(500, &json!({"errors": ["local node not active but active cluster node not found"]})),
        _ => Reply::forward(),
    });
    let error = take(&at(&down), vault.root_token()).await.unwrap_err();
    assert_says(&error, Kind::Vault, &[down.address(), "the cluster has no leader"]);
    assert_eq!(down.calls().iter().filter(|call| call.path == SNAPSHOT).count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_is_not_from_vault_is_refused() {
    let page = || Reply::status(200).header("Content-Type", "text/html").body("<html>Sign in</html>");
    let web = FaultServer::start(move |_| page());
    let error = snapshot_of(&web).await.unwrap_err();
    assert_says(&error, Kind::Vault, &[web.address(), "health", "the response is not from Vault", "check the address"]);
    assert!(!got_token(&web), "no token goes to a page");

    let portal = active("a", move |call| (call.path == SNAPSHOT).then(page));
    let error = snapshot_of(&portal).await.unwrap_err();
    assert_says(&error, Kind::Vault, &[portal.address(), "HTTP 200", "not a snapshot but text/html"]);

    let file = active("a", |call| {
        let body = json!({"initialized": true, "sealed": false, "type": "shamir", "t": 1, "n": 1, "progress": 0,
            "version": "1.21.4", "storage_type": "file"});
        (call.path == "/v1/sys/seal-status").then(|| Reply::json(200, &body))
    });
    let error = snapshot_of(&file).await.unwrap_err();
    assert_says(&error, Kind::Vault, &[file.address(), r#"storage is "file""#, "migrate it to Raft"]);
    assert!(!got_token(&file));

    let endless = FaultServer::start(|_| Reply::status(200).body(vec![b' '; 5 << 20]));
    assert_says(&snapshot_of(&endless).await.unwrap_err(), Kind::Vault, &["too long for Vault"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_and_stalled_connections_are_errors() {
    let vault = Vault::start();
    let cut = FaultServer::proxy(&vault.address(), |call| match call.path.as_str() {
        SNAPSHOT => Reply::forward().break_after(1000),
        _ => Reply::forward(),
    });
    let error = take(&at(&cut), vault.root_token()).await.unwrap_err();
    assert_says(&error, Kind::Vault, &[cut.address(), "snapshot, after", "bytes"]);

    let silent = active("a", |call| (call.path == SNAPSHOT).then(Reply::hang));
    let mut hasty = settings(&[silent.address()]);
    hasty.idle_timeout = Duration::from_secs(1);
    let error = take(&Client::new(hasty).unwrap(), "hvs.planted").await.unwrap_err();
    assert_says(&error, Kind::Vault, &[silent.address(), "no data for 1 s", "run.idle_timeout"]);

    let closed = active("a", |call| (call.path == SNAPSHOT).then(Reply::close));
    let error = snapshot_of(&closed).await.unwrap_err();
    assert_says(&error, Kind::Vault, &[closed.address(), "snapshot"]);
    assert!(!error.to_string().contains("planted"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unparsable_response_is_never_quoted() {
    let odd = active("a", |call| {
        let body = json!({"auth": {"accessor": "hvs.planted"}, "data": {"password": "planted"}});
        let mount = json!({"data": {"path": "smtp/", "type": "kv", "options": {"version": "2"}}});
        match call.path.as_str() {
            "/v1/sys/internal/ui/mounts/smtp/a" => Some(Reply::json(200, &mount)),
            "/v1/auth/userpass/login/ada" | "/v1/smtp/data/a" => Some(Reply::json(200, &body)),
            _ => None,
        }
    });
    let client = at(&odd);
    let node = client.leader().await.unwrap();
    let auth =
        Auth::Userpass { mount: "userpass".into(), username: "ada".into(), password: Secret::new("planted").into() };
    let error = client.login(&node, &auth).await.unwrap_err();
    assert_says(&error, Kind::Vault, &["login by userpass", "not from Vault"]);
    assert!(!format!("{error} {error:?}").contains("planted"), "{error:?}");
    let error = client.read_secret(&node.address, &Secret::new("hvs.x"), "smtp/a").await.unwrap_err();
    assert_says(&error, Kind::Vault, &["reading smtp/a", "not from Vault"]);
    assert!(!format!("{error} {error:?}").contains("planted"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_revoked_through_another_address() {
    let vault = Vault::start();
    vault.enable_auth("userpass");
    vault.ok("POST", "auth/userpass/users/ada", Some(json!({"password": "pw"})));
    let proxy = FaultServer::proxy(&vault.address(), |_| Reply::forward());
    let client = Client::new(settings(&[proxy.address(), &vault.address()])).unwrap();
    let node = client.leader().await.unwrap();
    assert_eq!(node.address, url(proxy.address()));
    let auth = Auth::Userpass { mount: "userpass".into(), username: "ada".into(), password: Secret::new("pw").into() };
    let session = client.login(&node, &auth).await.unwrap();
    let token = session.token().clone();
    assert!(vault.token_is_valid(token.expose()));
    drop(proxy);
    client.revoke(session).await.unwrap();
    assert!(!vault.token_is_valid(token.expose()));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_carry_headers_and_namespaces() {
    // Vault's community edition ignores the namespace header, OpenBao does not.
    let vault = Vault::builder().server(Server::Vault).start();
    let (role_id, secret_id) = vault.approle("backup", &["root-like"]);
    vault.policy("root-like", r#"path "*" { capabilities = ["read", "update", "sudo"] }"#);
    vault.mount_kv("kv", 1);
    let proxy = FaultServer::proxy(&vault.address(), |_| Reply::forward());
    let mut settings = settings(&[proxy.address()]);
    settings.namespace = Some("team/a".into());
    let client = Client::new(settings).unwrap();
    let node = client.leader().await.unwrap();
    let auth = Auth::AppRole {
        mount: "approle".into(),
        role_id: Secret::new(role_id).into(),
        secret_id: Some(Secret::new(secret_id).into()),
    };
    let session = client.login(&node, &auth).await.unwrap();
    read(client.snapshot(&node, &session).await.unwrap()).await.unwrap();
    let _ = client.read_secret(&node.address, session.token(), "kv/a").await;
    client.raft_configuration(&node.address, session.token()).await.unwrap();
    client.revoke(session).await.unwrap();

    let calls = proxy.calls();
    let namespace = |path: &str| {
        let call = calls.iter().find(|call| call.path == path).unwrap_or_else(|| panic!("no call of {path}"));
        call.header("x-vault-namespace").to_owned()
    };
    for path in ["auth/approle/login", "sys/internal/ui/mounts/kv/a", "auth/token/revoke-self"] {
        assert_eq!(namespace(&format!("/v1/{path}")), "team/a", "{path}");
    }
    for path in ["sys/health", "sys/seal-status", "sys/storage/raft/snapshot", "sys/storage/raft/configuration"] {
        assert_eq!(namespace(&format!("/v1/{path}")), "", "{path}");
    }
    for call in &calls {
        assert_eq!(call.header("x-vault-request"), "true", "{}", call.path);
        assert_eq!(call.headers.get_all("x-vault-request").iter().count(), 1, "{}", call.path);
    }
}
