//! The requirements of a backup: a real Vault with a secret, a real S3 server and a key. Not
//! here: the stores of the backups (`place`).

use super::fault::{Call, FaultServer, Reply};
use super::s3::S3;
use super::tool::{Tool, tool};
use super::vault::{Vault, expect_server};
use bytes::Bytes;
use serde_json::json;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use vault_backup::formats::crypto::Key;

/// The path of a snapshot in Vault's API.
pub const SNAPSHOT: &str = "/v1/sys/storage/raft/snapshot";

/// A value that the Vault keeps, and that must be found nowhere else.
pub const PLANTED: &str = "planted-in-the-vault";

/// The servers and the key. Tests share them, so they must not change them.
pub struct Site {
    /// A Vault with [`PLANTED`] as `value` of `secret/app`.
    pub vault: Vault,
    /// The S3 server.
    pub s3: S3,
    /// A token that may take snapshots, and nothing else.
    pub token: String,
    /// The password of the user `backup`, who has the same rights.
    pub password: String,
    /// 64 hex digits.
    pub key: String,
    buckets: AtomicU32,
}

impl Site {
    /// The site that all tests share, for as long as any of them uses it.
    pub fn shared() -> Arc<Self> {
        expect_server();
        static SHARED: Mutex<Weak<Site>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let site = Arc::new(Self::start());
            *shared = Arc::downgrade(&site);
            site
        })
    }

    /// A site of a test's own.
    pub fn start() -> Self {
        let (vault, s3) = (Vault::start(), S3::start());
        vault.mount_kv("secret", 2);
        vault.put_secret("secret", "app", &json!({"value": PLANTED}));
        vault.snapshot_policy("backup");
        let token = vault.token(&["backup"]);
        let (password, key) = (random(), random());
        vault.enable_auth("approle");
        vault.enable_auth("userpass");
        let user = json!({"password": password, "token_policies": "backup"});
        vault.ok("POST", "auth/userpass/users/backup", Some(user));
        Self { vault, s3, token, password, key, buckets: AtomicU32::new(0) }
    }

    /// The name that the key has in headers and manifests.
    pub fn key_id(&self) -> String {
        key_id(&self.key)
    }

    /// Returns the binary with Vault and key, but no store. Its output must never contain one
    /// of their secrets.
    pub fn tool(&self) -> Tool {
        tool()
            .env("VAULT_ADDR", self.vault.address())
            .env("VAULT_TOKEN", &self.token)
            .env("VAULT_BACKUP_KEY", &self.key)
            .envs(self.s3.env())
            .keeps([&self.token, &self.password, &self.key, self.vault.root_token(), &self.s3.root().1, PLANTED])
    }

    /// Makes a bucket that no other test uses, by `make`.
    pub fn new_bucket(&self, make: fn(&S3, &str)) -> String {
        let name = format!("backups-{}", self.buckets.fetch_add(1, Ordering::Relaxed));
        make(&self.s3, &name);
        name
    }

    /// The Vault behind a proxy, which does with a snapshot's request as `reply` says.
    pub fn vault_with(&self, reply: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> FaultServer {
        FaultServer::proxy(
            &self.vault.address(),
            move |call| {
                if call.path == SNAPSHOT { reply(call) } else { Reply::forward() }
            },
        )
    }

    /// The Vault behind a proxy, which sends `body` as the snapshot.
    pub fn vault_sending(&self, body: impl Into<Bytes>) -> FaultServer {
        let body = body.into();
        self.vault_with(move |_| Reply::status(200).header("Content-Type", "application/gzip").body(body.clone()))
    }
}

/// 64 hex digits.
fn random() -> String {
    Key::generate().unwrap().to_hex().expose().to_owned()
}

/// The name that the key of these 64 hex digits has in headers and manifests.
pub fn key_id(hex: &str) -> String {
    Key::from_hex(&vault_backup::base::secret::Secret::new(hex)).unwrap().id().to_owned()
}
