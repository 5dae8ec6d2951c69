//! The start of drills, restores and recoveries: a production Vault with a canary, an
//! encrypted backup of it in a directory, and configuration files that name them.

mod site;

pub use site::{Site, seal, seal_older};

use super::process::{PATIENCE, temp_dir, wait_for};
use super::snapshot::sha256;
use super::tool::{Tool, tool};
use super::vault::{Vault, expect_server};
use crate::barrier::state::{Place, State};
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tempfile::TempDir;
use vault_backup::formats::crypto::Key;

/// The canary's path, which is the default of `staging.canary`.
pub const CANARY: &str = "smtp/test-tenant-id/admin";

/// The value of the canary and of all other secrets. It must never appear in output.
pub const PLANTED: &str = "planted-in-production";

/// Minimum age of the canary when the backup is made, in seconds.
pub const CANARY_AGE: i64 = 2;

/// A production Vault with one backup. Tests share it, so they must not change it.
///
/// Its secrets: the canary; `smtp/deleted`, `smtp/destroyed` and `smtp/versions` (1 deleted,
/// 2 destroyed, 3 and 4 there) on KV v2; `old/canary` on KV v1; and more than a megabyte.
pub struct Production {
    /// The Vault: 2 of 3 shares, unless it was started otherwise.
    pub vault: Vault,
    /// The encryption key, 64 hex digits.
    pub key: String,
    /// The role_id and secret_id of an AppRole that may read secrets.
    pub reader: (String, String),
    /// A token that may do nothing.
    pub powerless: String,
    /// The backup's name.
    pub object: String,
    store: TempDir,
    cluster_id: String,
    index: u64,
    entries: BTreeMap<String, Vec<u8>>,
}

/// All entries of `vault`, each with the hash of its value.
fn entries(vault: &Vault) -> BTreeMap<String, Vec<u8>> {
    let state = State::of(vault);
    let hash = |place: &Place| sha256(&state.bytes()[place.value..place.value + place.length]).into_bytes();
    state.places().iter().map(|place| (place.key.clone(), hash(place))).collect()
}

impl Production {
    /// The one that all tests share, for as long as any of them uses it.
    pub fn shared() -> Arc<Self> {
        expect_server();
        static SHARED: Mutex<Weak<Production>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let production = Arc::new(Self::start(3, 2));
            *shared = Arc::downgrade(&production);
            production
        })
    }

    /// One of a test's own, with `shares` of which `threshold` unseal it.
    pub fn start(shares: usize, threshold: usize) -> Self {
        Self::of(Vault::builder().shares(shares, threshold).start())
    }

    /// A new `vault` becomes one.
    pub fn of(vault: Vault) -> Self {
        let planted = || json!({"password": PLANTED});
        vault.mount_kv("smtp", 2);
        vault.put_secret("smtp", "test-tenant-id/admin", &planted());
        let written = Utc::now();
        vault.mount_kv("old", 1);
        vault.put_secret("old", "canary", &planted());
        for (path, versions) in [("deleted", 1), ("destroyed", 1), ("versions", 4)] {
            (1..=versions).for_each(|n| vault.put_secret("smtp", path, &json!({"n": n, "password": PLANTED})));
        }
        vault.ok("DELETE", "smtp/data/deleted", None);
        vault.ok("PUT", "smtp/destroy/destroyed", Some(json!({"versions": [1]})));
        vault.ok("POST", "smtp/delete/versions", Some(json!({"versions": [1]})));
        vault.ok("PUT", "smtp/destroy/versions", Some(json!({"versions": [2]})));
        vault.fill(3_000_000);
        vault.policy("reader", r#"path "smtp/*" { capabilities = ["read"] } path "old/*" { capabilities = ["read"] }"#);
        let reader = vault.approle("reader", &["reader"]);
        let powerless = vault.token(&["nothing"]);
        let key = Key::generate().unwrap().to_hex().expose().to_owned();
        let age = || (Utc::now() - written > TimeDelta::seconds(CANARY_AGE + 1)).then_some(());
        wait_for("the canary's age", PATIENCE, age);
        let (object, cluster_id, store) = (String::new(), vault.cluster_id(), temp_dir());
        let mut production =
            Self { vault, key, reader, powerless, object, store, cluster_id, index: 0, entries: BTreeMap::new() };
        let output = production.bare_tool().args(["backup", "--kind", "daily", "--json"]).run();
        output.ok();
        production.object = output.json()["object"].as_str().unwrap().to_owned();
        production.index = production.raft_index();
        production.entries = entries(&production.vault);
        production
    }

    /// `tool` with every secret in its environment, none of which it may say: `KEY`, `ROOT`
    /// (the root token), `POWERLESS`, `ROLE_ID` and `SECRET_ID` of the reader, `SHARE0` and so on.
    pub fn armed(&self, tool: Tool) -> Tool {
        let (role_id, secret_id) = &self.reader;
        let root = self.vault.root_token();
        let shares = self.vault.shares().iter().enumerate().map(|(n, share)| (format!("SHARE{n}"), share));
        tool.envs([("KEY", self.key.as_str()), ("ROOT", root), ("POWERLESS", &self.powerless)])
            .envs([("ROLE_ID", role_id), ("SECRET_ID", secret_id)])
            .envs(shares)
            .keeps([PLANTED, &self.key, root, &self.powerless, secret_id])
            .keeps(self.vault.shares())
    }

    fn bare_tool(&self) -> Tool {
        tool()
            .env("VAULT_ADDR", self.vault.address())
            .env("VAULT_TOKEN", self.vault.root_token())
            .env("VAULT_BACKUP_KEY", &self.key)
            .env("VAULT_BACKUP_STORE", format!("file://{}", self.store.path().display()))
    }

    fn raft_index(&self) -> u64 {
        self.vault.ok("GET", "sys/leader", None)["raft_committed_index"].as_u64().unwrap()
    }

    /// Asserts that nothing was written to it since its backup, and that it serves.
    #[track_caller]
    pub fn assert_untouched(&self) {
        assert_eq!(self.vault.health(), Some(super::vault::ACTIVE));
        assert_eq!(self.vault.cluster_id(), self.cluster_id);
        if self.raft_index() != self.index {
            self.assert_only_housekeeping();
        }
        assert_eq!(self.vault.get_secret("smtp", "test-tenant-id/admin").unwrap()["password"], PLANTED);
        self.vault.ok("POST", "auth/token/lookup", Some(json!({"token": self.powerless})));
    }

    /// Asserts that nothing but what a server writes of itself every few minutes was
    /// written: how often its keys were used, and how many clients it had.
    #[track_caller]
    fn assert_only_housekeeping(&self) {
        let own = |key: &str| {
            ["core/keyring", "core/master", "core/root-key"].contains(&key) || key.starts_with("sys/counters/")
        };
        let now = entries(&self.vault);
        let names: BTreeSet<&String> = self.entries.keys().chain(now.keys()).collect();
        let changed = names.into_iter().filter(|key| self.entries.get(*key) != now.get(*key));
        let changed: Vec<_> = changed.filter(|key| !own(key)).collect();
        assert!(changed.is_empty(), "something was written to production: {changed:?}");
    }

    /// The canary that `vault`, a clone of this one, has.
    pub fn canary_at(&self, vault: &Vault) -> Option<Value> {
        vault.get_secret_as(self.vault.root_token(), "smtp", "test-tenant-id/admin")
    }

    /// The same, once `vault` serves this one's state.
    pub fn canary_at_source(&self, vault: &Vault) -> Option<Value> {
        let root = self.vault.root_token();
        (vault.try_api(root, "GET", "auth/token/lookup-self", None)?.0 == 200)
            .then(|| vault.get_secret_as(root, "smtp", "test-tenant-id/admin"))?
    }

    /// A store of a test's own with a copy of the backup in it.
    pub fn site(self: &Arc<Self>) -> Site {
        let site = Site { production: self.clone(), dir: temp_dir() };
        for name in [self.object.clone(), format!("{}.manifest.json", self.object)] {
            site.put(&name, &std::fs::read(self.store.path().join(&name)).unwrap());
        }
        site
    }
}
