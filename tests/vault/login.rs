//! Logins and the revocation of their tokens. Kubernetes is a stand-in for its token review.

mod jwt;

use super::{assert_says, client, session, url};
use crate::support::fault::{FaultServer, Reply};
use crate::support::ldap::Ldap;
use crate::support::tls::Ca;
use crate::support::vault::{Server, Vault};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::time::Duration;
use vault_backup::base::error::Kind;
use vault_backup::base::secret::Secret;
use vault_backup::services::vault::{Auth, Client, TokenInfo};

fn approle((role_id, secret_id): (String, String)) -> Auth {
    Auth::AppRole {
        mount: "approle".into(),
        role_id: Secret::new(role_id).into(),
        secret_id: Some(Secret::new(secret_id).into()),
    }
}

fn userpass(password: &str) -> Auth {
    let (mount, username) = ("userpass".into(), "ada".into());
    Auth::Userpass { mount, username, password: Secret::new(password).into() }
}

/// Logs in, looks the token up, revokes it, and checks that it is invalid.
async fn in_and_out(client: &Client, vault: &Vault, auth: &Auth) -> TokenInfo {
    let node = client.leader().await.unwrap();
    let session = client.login(&node, auth).await.unwrap();
    assert!(session.obtained());
    let token = session.token().clone();
    let info = client.lookup_self(&node.address, &token).await.unwrap();
    client.revoke(session).await.unwrap();
    assert!(!vault.token_is_valid(token.expose()), "revoked");
    assert!(!client.token_alive(&node.address, &token).await.unwrap());
    info
}

#[tokio::test(flavor = "multi_thread")]
async fn login_with_a_token() {
    let vault = Vault::start();
    let client = client(&vault);
    let (node, session) = session(&client, vault.root_token()).await.unwrap();
    assert!(!session.obtained());
    let info = client.lookup_self(&node.address, session.token()).await.unwrap();
    assert_eq!(info, TokenInfo { policies: vec!["root".into()], ttl: None });
    client.revoke(session).await.unwrap();
    assert!(vault.token_is_valid(vault.root_token()), "what was given is not ours to revoke");

    let root = Secret::new(vault.root_token());
    let made = client.create_token(&node.address, &root, Duration::from_secs(600)).await.unwrap();
    assert!(client.token_alive(&node.address, &made).await.unwrap());
    let info = client.lookup_self(&node.address, &made).await.unwrap();
    assert_eq!(info.policies, ["default"]);
    assert!(info.ttl.unwrap() <= Duration::from_secs(600));

    let paths = ["sys/storage/raft/snapshot", "sys/seal", "secret/x"];
    vault.snapshot_policy("some");
    vault.policy("ask", r#"path "sys/capabilities-self" { capabilities = ["update"] }"#);
    let some = Secret::new(vault.token(&["some", "ask"]));
    let found = client.capabilities_self(&node.address, &some, &paths).await.unwrap();
    assert_eq!(found["sys/storage/raft/snapshot"], ["read"]);
    assert_eq!(found["sys/seal"], ["deny"]);
    let found = client.capabilities_self(&node.address, &root, &paths).await.unwrap();
    assert_eq!(found["secret/x"], ["root"]);
    let none = Secret::new(vault.token(&["nothing"]));
    let error = client.capabilities_self(&node.address, &none, &paths).await.unwrap_err();
    assert_says(&error, Kind::Vault, &["permission denied", r#"path "sys/capabilities-self""#]);
    let error = client.create_token(&node.address, &none, Duration::from_secs(600)).await.unwrap_err();
    assert_says(&error, Kind::Vault, &["permission denied", r#"path "auth/token/create""#]);
}

#[tokio::test(flavor = "multi_thread")]
async fn login_with_approle_and_a_wrapped_secret_id() {
    let vault = Vault::start();
    vault.snapshot_policy("backup");
    let client = client(&vault);
    let (role_id, secret_id) = vault.approle("backup", &["backup"]);
    let info = in_and_out(&client, &vault, &approle((role_id.clone(), secret_id))).await;
    assert_eq!(info.policies, ["backup", "default"]);
    assert!(info.ttl.unwrap() <= Duration::from_secs(3600));

    let node = client.leader().await.unwrap();
    let wrong = "b3c4b2f4-7a5e-4f5c-9b0a-3c7e0a2f7d11";
    let error = client.login(&node, &approle((role_id.clone(), wrong.into()))).await.unwrap_err();
    assert_says(&error, Kind::Vault, &["login by AppRole at auth/approle", "invalid", "check vault.auth"]);
    assert!(!error.to_string().contains(wrong));

    let wrapped = wrap(&vault, "auth/approle/role/backup/secret-id");
    in_and_out(&client, &vault, &approle((role_id.clone(), wrapped.clone()))).await;
    let error = client.login(&node, &approle((role_id.clone(), wrapped))).await.unwrap_err();
    assert_says(&error, Kind::Vault, &["expired or was already used", "revoke the old secret_id"]);

    vault.ok("POST", "auth/approle/role/other", Some(json!({})));
    vault.mount_kv("kv", 1);
    vault.put_secret("kv", "x", &json!({"secret_id": "stolen"}));
    for foreign in ["auth/token/create", "sys/wrapping/wrap"] {
        let error = client.login(&node, &approle((role_id.clone(), wrap(&vault, foreign)))).await.unwrap_err();
        assert_says(&error, Kind::Vault, &["was not created by auth/approle", foreign]);
    }
}

/// Returns the wrapping token for the response to a POST to `path`.
fn wrap(vault: &Vault, path: &str) -> String {
    let url = format!("{}/v1/{path}", vault.address());
    let request = crate::support::http::client(None, None)
        .post(url)
        .header("X-Vault-Token", vault.root_token())
        .header("X-Vault-Wrap-TTL", "5m")
        .json(&json!({"a": "b"}));
    let answer: Value =
        crate::support::http::block_on(async move { request.send().await.unwrap().json().await.unwrap() });
    answer["wrap_info"]["token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn login_with_userpass() {
    let vault = Vault::start();
    vault.enable_auth("userpass");
    vault.ok("POST", "auth/userpass/users/ada", Some(json!({"password": "planted-pw", "token_policies": ["default"]})));
    let client = client(&vault);
    let info = in_and_out(&client, &vault, &userpass("planted-pw")).await;
    assert_eq!(info.policies, ["default"]);
    let node = client.leader().await.unwrap();
    let error = client.login(&node, &userpass("planted-wrong")).await.unwrap_err();
    assert_says(&error, Kind::Vault, &["userpass at auth/userpass, user ada", "check vault.auth"]);
    assert!(!error.to_string().contains("planted"));

    // A token that may not revoke itself: the error names the missing permission.
    let body = json!({"password": "planted-pw", "token_no_default_policy": true, "token_policies": ["none"]});
    vault.ok("POST", "auth/userpass/users/ada", Some(body));
    let session = client.login(&node, &userpass("planted-pw")).await.unwrap();
    let error = client.revoke(session).await.unwrap_err();
    assert_says(&error, Kind::Vault, &["revoking the token", r#"path "auth/token/revoke-self""#]);

    // Batch tokens cannot be revoked, and need not be.
    let body = json!({"password": "planted-pw", "token_type": "batch", "token_no_default_policy": false});
    vault.ok("POST", "auth/userpass/users/ada", Some(body));
    let session = client.login(&node, &userpass("planted-pw")).await.unwrap();
    assert!(session.obtained() && ["hvb.", "b."].iter().any(|prefix| session.token().expose().starts_with(prefix)));
    client.revoke(session).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn login_with_kubernetes() {
    let review = FaultServer::start(|call| {
        assert_eq!(call.path, "/apis/authentication.k8s.io/v1/tokenreviews");
        let good = call.json()["spec"]["token"] == jwt();
        let user = json!({"username": "system:serviceaccount:ops:backup", "uid": "u-1",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:ops", "system:authenticated"]});
        Reply::json(
            201,
            &json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "status": {"authenticated": good, "user": user}}),
        )
    });
    let vault = Vault::start();
    vault.enable_auth("kubernetes");
    let config: Value = json!({"kubernetes_host": review.address(), "token_reviewer_jwt": jwt(),
        "disable_local_ca_jwt": true, "disable_iss_validation": true, "kubernetes_ca_cert": Ca::new().pem()});
    vault.ok("POST", "auth/kubernetes/config", Some(config));
    let role = json!({"bound_service_account_names": ["backup"], "bound_service_account_namespaces": ["ops"],
        "audience": "", "token_policies": ["backup"]});
    vault.ok("POST", "auth/kubernetes/role/backup", Some(role));
    let client = client(&vault);
    let node = client.leader().await.unwrap();
    let auth = |role: &str, jwt: &str| Auth::Kubernetes {
        mount: "kubernetes".into(),
        role: role.into(),
        jwt: Secret::new(jwt).into(),
    };
    let session = client.login(&node, &auth("backup", &jwt())).await.unwrap();
    let info = client.lookup_self(&node.address, session.token()).await.unwrap();
    assert_eq!(info.policies, ["backup", "default"]);
    client.revoke(session).await.unwrap();
    for (role, jwt) in [("nobody", jwt()), ("backup", "no.jwt.at-all".to_owned())] {
        let error = client.login(&node, &auth(role, &jwt)).await.unwrap_err();
        assert_says(&error, Kind::Vault, &["Kubernetes at auth/kubernetes", "check vault.auth"]);
        assert!(!error.to_string().contains(&jwt), "{error}");
    }
}

/// Returns the token of a service account. The stand-in checks its signature.
fn jwt() -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:ops:backup",
        "iat": 1_700_000_000, "exp": 4_000_000_000_u64, "kubernetes.io": {"namespace": "ops",
        "serviceaccount": {"name": "backup", "uid": "u-1"}}});
    format!("{}.{}.{}", part(json!({"alg": "RS256", "typ": "JWT"})), part(claims), part(json!("signature")))
}

#[tokio::test(flavor = "multi_thread")]
async fn login_at_a_missing_mount_is_refused() {
    let vault = Vault::start();
    let client = client(&vault);
    let node = client.leader().await.unwrap();
    assert_eq!(node.address, url(&vault.address()));
    let auth = Auth::Kubernetes { mount: "nowhere".into(), role: "r".into(), jwt: Secret::new("planted").into() };
    let error = client.login(&node, &auth).await.unwrap_err();
    assert_says(&error, Kind::Vault, &["Kubernetes at auth/nowhere", "check vault.auth"]);
    let bad = Auth::Token { token: Secret::new("planted\n").into() };
    let error = client.login(&node, &bad).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert!(!error.to_string().contains("planted"));
}

/// On OpenBao 2.6, in every run: 2.7 and the core of Vault that tests run are built without
/// this method.
#[tokio::test(flavor = "multi_thread")]
async fn login_with_ldap() {
    let vault = Vault::builder().server(Server::OpenBaoOld).start();
    let directory = Ldap::start("cn=ada,ou=people,dc=example,dc=com", "planted-pw");
    vault.enable_auth("ldap");
    let config = json!({"url": directory.address, "userdn": "ou=people,dc=example,dc=com", "userattr": "cn"});
    vault.ok("POST", "auth/ldap/config", Some(config));
    vault.ok("POST", "auth/ldap/users/ada", Some(json!({"policies": "backup"})));
    let client = client(&vault);
    let auth = |username: &str, password: &str| Auth::Ldap {
        mount: "ldap".into(),
        username: username.into(),
        password: Secret::new(password).into(),
    };
    let info = in_and_out(&client, &vault, &auth("ada", "planted-pw")).await;
    assert_eq!(info.policies, ["backup", "default"]);
    let node = client.leader().await.unwrap();
    for (username, password) in [("ada", "planted-wrong"), ("bob", "planted-pw")] {
        let error = client.login(&node, &auth(username, password)).await.unwrap_err();
        let who = format!("LDAP at auth/ldap, user {username}");
        assert_says(&error, Kind::Vault, &[&who, "check vault.auth"]);
        assert!(!error.to_string().contains("planted"), "{error}");
    }
}

/// Hardened roles issue tokens for exactly the requests of a run.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_remaining_uses_needs_no_revocation() {
    let vault = Vault::start();
    vault.snapshot_policy("backup");
    let client = client(&vault);
    for uses in 1..=3 {
        let (role_id, secret_id) = vault.approle("backup", &["backup"]);
        let role = json!({"token_policies": ["backup"], "token_num_uses": uses});
        vault.ok("POST", "auth/approle/role/backup", Some(role));
        let node = client.leader().await.unwrap();
        let session = client.login(&node, &approle((role_id, secret_id))).await.unwrap();
        let token = session.token().clone();
        let snapshot = super::read(client.snapshot(&node, &session).await.unwrap()).await.unwrap();
        assert_eq!(super::entries(&snapshot), super::WHOLE, "{uses}");
        client.revoke(session).await.unwrap_or_else(|error| panic!("{uses} uses: {error}"));
        assert!(!vault.token_is_valid(token.expose()), "{uses}");
    }
}
