//! Operations on a running node with the root token: mounts, policies, logins, secrets and
//! snapshots.

use super::{SEALED, Vault, text};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Bytes of one value written by [`Vault::fill`]; Raft takes up to 1 MiB an entry.
const FILL_VALUE: usize = 768 * 1024;

/// Number of values that [`Vault::fill`] writes at a time.
const FILL_WRITERS: usize = 4;

impl Vault {
    /// Mounts a KV engine of `version` 1 or 2 at `path`.
    pub fn mount_kv(&self, path: &str, version: u8) {
        let body = json!({"type": "kv", "options": {"version": version.to_string()}});
        self.ok("POST", &format!("sys/mounts/{path}"), Some(body));
        // A new version 2 mount refuses everything until it has set itself up.
        if version == 2 {
            self.wait_for("the new mount", |v| (v.api("GET", &format!("{path}/config"), None).0 == 200).then_some(()));
        }
    }

    /// Returns `true` if the KV engine at `mount` is of version 2.
    fn is_v2(&self, mount: &str) -> bool {
        self.ok("GET", &format!("sys/internal/ui/mounts/{mount}"), None)["data"]["options"]["version"] == "2"
    }

    /// Writes `data`, an object, at `path` of the KV engine at `mount`, of either version.
    pub fn put_secret(&self, mount: &str, path: &str, data: &Value) {
        let (path, body) = match self.is_v2(mount) {
            true => (format!("{mount}/data/{path}"), json!({"data": data})),
            false => (format!("{mount}/{path}"), data.clone()),
        };
        self.ok("POST", &path, Some(body));
    }

    /// Reads what [`Vault::put_secret`] wrote; `None` if there is nothing.
    pub fn get_secret(&self, mount: &str, path: &str) -> Option<Value> {
        self.get_secret_as(&self.root_token, mount, path)
    }

    /// [`Vault::get_secret`] with another token, such as the root token of the
    /// node whose snapshot this one has taken over.
    pub fn get_secret_as(&self, token: &str, mount: &str, path: &str) -> Option<Value> {
        let (_, info) = self.api_as(token, "GET", &format!("sys/internal/ui/mounts/{mount}"), None);
        let v2 = info["data"]["options"]["version"] == "2";
        let path = if v2 { format!("{mount}/data/{path}") } else { format!("{mount}/{path}") };
        let (status, answer) = self.api_as(token, "GET", &path, None);
        let data = if v2 { &answer["data"]["data"] } else { &answer["data"] };
        (status == 200).then(|| data.clone())
    }

    /// Defines a policy.
    pub fn policy(&self, name: &str, hcl: &str) {
        self.ok("PUT", &format!("sys/policies/acl/{name}"), Some(json!({"policy": hcl})));
    }

    /// Defines a policy that lets its holder take snapshots, and nothing more.
    pub fn snapshot_policy(&self, name: &str) {
        self.policy(name, r#"path "sys/storage/raft/snapshot" { capabilities = ["read"] }"#);
    }

    /// Makes a token with just these policies.
    pub fn token(&self, policies: &[&str]) -> String {
        let body = json!({"policies": policies, "no_default_policy": true, "ttl": "1h"});
        text(&self.ok("POST", "auth/token/create-orphan", Some(body))["auth"]["client_token"])
    }

    /// Enables an auth method at its default mount, unless it is enabled.
    pub fn enable_auth(&self, method: &str) {
        if self.ok("GET", "sys/auth", None)["data"][format!("{method}/")].is_null() {
            self.ok("POST", &format!("sys/auth/{method}"), Some(json!({"type": method})));
        }
    }

    /// Makes an AppRole with these policies: its role_id and a secret_id.
    pub fn approle(&self, name: &str, policies: &[&str]) -> (String, String) {
        self.enable_auth("approle");
        let role = format!("auth/approle/role/{name}");
        self.ok("POST", &role, Some(json!({"token_policies": policies, "token_ttl": "1h"})));
        let role_id = &self.ok("GET", &format!("{role}/role-id"), None)["data"]["role_id"];
        let secret_id = &self.ok("POST", &format!("{role}/secret-id"), None)["data"]["secret_id"];
        (text(role_id), text(secret_id))
    }

    /// Has it give up the lead, and not take it back for 10 s.
    pub fn step_down(&self) {
        self.ok("PUT", "sys/step-down", None);
    }

    /// The cluster's id.
    pub fn cluster_id(&self) -> String {
        text(&self.ok("GET", "sys/health", None)["cluster_id"])
    }

    /// Accessors of all tokens.
    pub fn accessors(&self) -> BTreeSet<String> {
        let keys = self.ok("LIST", "auth/token/accessors", None)["data"]["keys"].clone();
        serde_json::from_value(keys).unwrap()
    }

    /// Returns `true` if `token` is valid here.
    pub fn token_is_valid(&self, token: &str) -> bool {
        self.api_as(token, "GET", "auth/token/lookup-self", None).0 == 200
    }

    /// Takes a snapshot.
    pub fn snapshot(&self) -> Vec<u8> {
        let answer = self.try_api(&self.root_token, "GET", "sys/storage/raft/snapshot", None);
        let (status, body) = answer.expect("a whole snapshot");
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        body
    }

    /// Hands `snapshot`, of any cluster, to this node, which applies it in the
    /// background; with other keys it then seals itself.
    pub fn snapshot_force(&self, snapshot: Vec<u8>) {
        let path = "sys/storage/raft/snapshot-force";
        let (status, body) = self.try_api(&self.root_token, "POST", path, Some(snapshot)).expect("an answer");
        assert_eq!(status, 204, "{}", String::from_utf8_lossy(&body));
    }

    /// Becomes `source` as it was when it took `snapshot`, unsealed with its
    /// shares. The two must have different keys.
    pub fn take_over(&self, source: &Self, snapshot: Vec<u8>) {
        self.snapshot_force(snapshot);
        self.wait_for_health(&[SEALED]);
        // Until then it counts shares by its own old threshold (seen in Vault 1.21.4).
        self.restart();
        self.unseal(source.enough_shares());
    }

    /// Gives it new shares, which are returned; the ones that it knows of are then the old ones.
    pub fn rekey(&self, count: usize, threshold: usize) -> Vec<String> {
        let body = json!({"secret_shares": count, "secret_threshold": threshold});
        let nonce = self.ok("PUT", "sys/rekey/init", Some(body))["nonce"].clone();
        let hand_in = |share| self.ok("PUT", "sys/rekey/update", Some(json!({"key": share, "nonce": nonce})));
        let answers: Vec<Value> = self.enough_shares().iter().map(hand_in).collect();
        answers.last().unwrap()["keys_base64"].as_array().unwrap().iter().map(text).collect()
    }

    /// Writes secrets of about `bytes` in all below `fill/`. A snapshot grows by
    /// as much: Vault encrypts them, and ciphertext doesn't compress.
    pub fn fill(&self, bytes: usize) {
        if self.ok("GET", "sys/mounts", None)["data"]["fill/"].is_null() {
            self.mount_kv("fill", 1);
        }
        let body = json!({"value": "x".repeat(FILL_VALUE)});
        let count = bytes.div_ceil(FILL_VALUE);
        std::thread::scope(|scope| {
            for writer in 0..FILL_WRITERS {
                let body = &body;
                scope.spawn(move || {
                    for n in (writer..count).step_by(FILL_WRITERS) {
                        // A machine under load may lose its leader for a moment.
                        self.wait_for("a write", |v| {
                            (v.api("POST", &format!("fill/{n:06}"), Some(body.clone())).0 == 204).then_some(())
                        });
                    }
                });
            }
        });
    }
}
