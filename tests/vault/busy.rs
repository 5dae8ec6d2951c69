//! A server that is too busy: requests are repeated after the pause that it asks for, and a login only
//! if Vault certainly did not process it.

use super::{assert_says, settings};
use crate::support::fault::{Call, FaultServer, Reply};
use crate::support::vault::Vault;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use vault_backup::base::error::{Kind, Result};
use vault_backup::base::secret::Secret;
use vault_backup::services::vault::{Auth, Client};

const LOGIN: &str = "/v1/auth/userpass/login/ada";
const SNAPSHOT: &str = "/v1/sys/storage/raft/snapshot";

fn user() -> Vault {
    let vault = Vault::start();
    vault.snapshot_policy("backup");
    vault.enable_auth("userpass");
    vault.ok("POST", "auth/userpass/users/ada", Some(json!({"password": "planted", "token_policies": "backup"})));
    vault
}

/// Returns a proxy for `vault` that answers the first `times` requests to `path` by `refusal`.
fn refusing(vault: &Vault, path: &'static str, times: usize, refusal: fn() -> Reply) -> FaultServer {
    let asked = AtomicUsize::new(0);
    FaultServer::proxy(&vault.address(), move |call| {
        let refused = call.path == path && asked.fetch_add(1, Ordering::SeqCst) < times;
        if refused { refusal() } else { Reply::forward() }
    })
}

fn asked(server: &FaultServer, path: &str) -> usize {
    server.calls().iter().filter(|call: &&Call| call.path == path).count()
}

/// Logs in, takes a snapshot and revokes the token.
async fn snapshot(server: &FaultServer) -> Result<usize> {
    let client = Client::new(settings(&[server.address()])).unwrap();
    let node = client.leader().await?;
    let (mount, username) = ("userpass".into(), "ada".into());
    let auth = Auth::Userpass { mount, username, password: Secret::new("planted").into() };
    let session = client.login(&node, &auth).await?;
    let taken = super::read(client.snapshot(&node, &session).await?).await?.len();
    client.revoke(session).await.map(|()| taken)
}

#[tokio::test(flavor = "multi_thread")]
async fn rate_limits_and_retry_after_are_honoured() {
    let vault = user();
    let limited = || Reply::json(429, &json!({"errors": ["request path \"x\": rate limit quota exceeded"]}));
    let page = || Reply::status(503).header("Retry-After", "1").body("<html>maintenance</html>");
    for (path, times, refusal) in [
        ("/v1/sys/health", 4, page as fn() -> Reply),
        (LOGIN, 4, limited),
        (LOGIN, 1, || Reply::status(429).header("Retry-After", "1").body("<html>slow down</html>")),
        (SNAPSHOT, 4, limited),
        (SNAPSHOT, 1, page),
        (SNAPSHOT, 2, || Reply::json(412, &json!({"errors": ["required index state not present"]}))),
        ("/v1/sys/seal-status", 2, || Reply::status(408)),
        ("/v1/auth/token/revoke-self", 3, limited),
    ] {
        let server = refusing(&vault, path, times, refusal);
        let begun = Instant::now();
        assert!(snapshot(&server).await.unwrap_or_else(|e| panic!("{path}: {e}")) > 0);
        assert_eq!(asked(&server, path), times + 1, "{path}");
        let waited = begun.elapsed();
        let paused = refusal_pause(path, times);
        assert!(waited >= paused, "{path}: {waited:?}");
    }
}

/// Returns the sum of the pauses that the servers above ask for.
fn refusal_pause(path: &str, times: usize) -> Duration {
    match (path, times) {
        ("/v1/sys/health", 4) => Duration::from_secs(4),
        (LOGIN | SNAPSHOT, 1) => Duration::from_secs(1),
        _ => Duration::ZERO,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stays_busy_is_an_error() {
    let vault = user();
    let server = refusing(&vault, LOGIN, usize::MAX, || Reply::json(429, &json!({"errors": ["quota exceeded"]})));
    let error = snapshot(&server).await.unwrap_err();
    assert_says(&error, Kind::Vault, &["login by userpass", "rate limit quota"]);
    assert_eq!(asked(&server, LOGIN), 6);
}

/// Vault may have processed it: a second login would leave a second token.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_whose_answer_is_lost_is_not_repeated_and_says_that_a_token_may_exist() {
    let vault = user();
    for lost in [
        Reply::lose as fn() -> Reply,
        || Reply::status(504).body("<html>gateway timeout</html>"),
        || Reply::status(200).body("<html>hello</html>"),
        || Reply::json(200, &json!({"auth": {"client_token": "hvs.planted"}})).break_after(10),
    ] {
        let server = refusing(&vault, LOGIN, usize::MAX, lost);
        let error = snapshot(&server).await.unwrap_err();
        let expected = ["login by userpass", "may have issued a token", "token_ttl"];
        assert_says(&error, Kind::Vault, &expected);
        assert_eq!(asked(&server, LOGIN), 1, "{error}");
    }
    // A refusal and an unreachable server leave no token.
    let server = refusing(&vault, LOGIN, usize::MAX, || Reply::json(403, &json!({"errors": ["permission denied"]})));
    assert!(!snapshot(&server).await.unwrap_err().to_string().contains("may have issued"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_of_a_drill_does_not_outlive_its_ttl() {
    let vault = Vault::start();
    let client = super::client(&vault);
    let node = client.leader().await.unwrap();
    let made = client.create_token(&node.address, &super::root(&vault), Duration::from_secs(600)).await.unwrap();
    let found = vault.ok("POST", "auth/token/lookup", Some(json!({"token": made.expose()})));
    assert_eq!(found["data"]["explicit_max_ttl"], 600, "{found}");
    assert_eq!(found["data"]["renewable"], false, "{found}");
}
