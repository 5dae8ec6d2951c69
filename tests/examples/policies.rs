//! examples/policies on a real Vault: enough, and nothing more.

use super::read;
use crate::support::vault::Vault;
use serde_json::{Value, json};

/// A token with the example's policy alone.
fn token(vault: &Vault, name: &str) -> String {
    let policy = read(&format!("examples/policies/{name}.hcl"));
    vault.ok("PUT", &format!("sys/policies/acl/{name}"), Some(json!({"policy": policy})));
    let body = json!({"policies": [name], "no_default_policy": true, "no_parent": true});
    let answer = vault.ok("POST", "auth/token/create", Some(body));
    answer["auth"]["client_token"].as_str().unwrap().to_owned()
}

fn status(vault: &Vault, token: &str, method: &str, path: &str, body: Option<Value>) -> u16 {
    vault.api_as(token, method, path, body).0
}

#[test]
fn policies_grant_only_what_is_needed() {
    let vault = Vault::start();
    vault.ok("POST", "sys/mounts/smtp", Some(json!({"type": "kv", "options": {"version": "2"}})));
    for secret in ["test-tenant-id/admin", "other/admin"] {
        let written = || vault.api("POST", &format!("smtp/data/{secret}"), Some(json!({"data": {"a": "b"}}))).0;
        vault.wait_for("the mount to be upgraded", |_| (written() == 200).then_some(()));
    }

    let backup = token(&vault, "backup");
    let of = |path: &str| json!({"paths": [path]});
    assert_eq!(status(&vault, &backup, "GET", "sys/storage/raft/snapshot", None), 200);
    let snapshot = Some(of("sys/storage/raft/snapshot"));
    assert_eq!(status(&vault, &backup, "POST", "sys/capabilities-self", snapshot), 200);
    assert_eq!(status(&vault, &backup, "GET", "smtp/data/test-tenant-id/admin", None), 403);
    assert_eq!(status(&vault, &backup, "POST", "sys/storage/raft/snapshot-force", None), 403);
    assert_eq!(status(&vault, &backup, "POST", "auth/token/revoke-self", None), 204);

    let drill = token(&vault, "drill");
    assert_eq!(status(&vault, &drill, "GET", "smtp/data/test-tenant-id/admin", None), 200);
    assert_eq!(status(&vault, &drill, "GET", "sys/internal/ui/mounts/smtp/test-tenant-id/admin", None), 200);
    assert_eq!(status(&vault, &drill, "GET", "smtp/data/other/admin", None), 403);
    assert_eq!(status(&vault, &drill, "GET", "sys/storage/raft/snapshot", None), 403);
    assert_eq!(status(&vault, &drill, "POST", "auth/token/revoke-self", None), 204);

    let staging = token(&vault, "staging");
    assert_eq!(status(&vault, &staging, "GET", "sys/storage/raft/configuration", None), 200);
    assert_eq!(status(&vault, &staging, "POST", "auth/token/create", Some(json!({"ttl": "1h"}))), 200);
    let no_snapshot = status(&vault, &staging, "POST", "sys/storage/raft/snapshot-force", Some(json!({})));
    assert_eq!(no_snapshot, 500, "allowed, and then found to be no snapshot");
    assert_eq!(status(&vault, &staging, "GET", "smtp/data/test-tenant-id/admin", None), 403);
}
