//! What a backup needs, all of it real: a Vault with a secret in it, an S3
//! server, a key; and stores that are looked at from outside.

use super::fault::{Call, FaultServer, Reply};
use super::process::{temp_dir, wait_for};
use super::s3::S3;
use super::tool::{Tool, tool};
use super::vault::Vault;
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tempfile::TempDir;
use vault_backup::envelope::Key;

/// The path of a snapshot in Vault's API.
pub const SNAPSHOT: &str = "/v1/sys/storage/raft/snapshot";

/// A value that the Vault keeps, and that must be found nowhere else.
pub const PLANTED: &str = "planted-in-the-vault";

/// The servers and the key. Nobody changes them: tests share them.
pub struct Site {
    /// Holds [`PLANTED`] as `value` of `secret/app`.
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

    /// The binary, knowing Vault and key, but no store. Whatever it is told to do,
    /// it must not say a secret of these.
    pub fn tool(&self) -> Tool {
        tool()
            .env("VAULT_ADDR", self.vault.address())
            .env("VAULT_TOKEN", &self.token)
            .env("VAULT_BACKUP_KEY", &self.key)
            .envs(self.s3.env())
            .keeps([&self.token, &self.password, &self.key, self.vault.root_token(), &self.s3.root().1, PLANTED])
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
    Key::from_hex(&vault_backup::secret::Secret::new(hex)).unwrap().id().to_owned()
}

/// A store of a test's own, empty at first.
pub struct Place {
    /// Where it is.
    pub site: Arc<Site>,
    holder: Holder,
}

enum Holder {
    /// The bucket's name; names lie below a prefix.
    Bucket(String),
    /// The folder does not exist before it is needed.
    Folder(TempDir),
}

/// Where in a bucket the backups lie.
const PREFIX: &str = "prod/";

impl Place {
    /// Below a prefix in a new bucket of the shared server.
    pub fn s3() -> Self {
        Self::in_bucket(Site::shared())
    }

    /// Below a prefix in a new bucket of `site`.
    pub fn in_bucket(site: Arc<Site>) -> Self {
        let bucket = format!("backups-{}", site.buckets.fetch_add(1, Ordering::Relaxed));
        site.s3.bucket(&bucket);
        Self { site, holder: Holder::Bucket(bucket) }
    }

    /// In a new folder, beside the shared servers.
    pub fn folder() -> Self {
        Self::folder_of(Site::shared())
    }

    /// In a new folder, beside the servers of `site`.
    pub fn folder_of(site: Arc<Site>) -> Self {
        Self { site, holder: Holder::Folder(temp_dir()) }
    }

    /// One of each kind.
    pub fn both() -> [Self; 2] {
        [Self::s3(), Self::folder()]
    }

    /// Whether it keeps metadata.
    pub fn is_s3(&self) -> bool {
        matches!(self.holder, Holder::Bucket(_))
    }

    /// The bucket's name.
    ///
    /// # Panics
    /// If it is a folder.
    pub fn bucket(&self) -> &str {
        match &self.holder {
            Holder::Bucket(name) => name,
            Holder::Folder(dir) => panic!("{} is no bucket", dir.path().display()),
        }
    }

    /// The store's URL.
    pub fn url(&self) -> String {
        match &self.holder {
            Holder::Bucket(bucket) => format!("s3://{bucket}/{}", PREFIX.trim_end_matches('/')),
            Holder::Folder(dir) => format!("file://{}", folder(dir).display()),
        }
    }

    /// The binary, with all that it needs, and this store.
    pub fn tool(&self) -> Tool {
        self.site.tool().env("VAULT_BACKUP_STORE", self.url())
    }

    /// Makes a daily backup; its JSON result.
    pub fn backup(&self) -> Value {
        let output = self.tool().args(["backup", "--kind", "daily", "--json"]).run();
        output.ok().leaves(&[]);
        output.json()
    }

    /// Makes a daily backup of `snapshot` as if Vault had sent it; its name.
    pub fn backup_of(&self, snapshot: impl Into<Bytes>) -> String {
        let vault = self.site.vault_sending(snapshot);
        let output = self.tool().env("VAULT_ADDR", vault.address()).args(["backup", "--kind", "daily", "--json"]).run();
        output.ok().leaves(&[]);
        output.json()["object"].as_str().unwrap().to_owned()
    }

    /// All objects, by their names relative to the URL, and files being written; in order.
    pub fn names(&self) -> Vec<String> {
        match &self.holder {
            Holder::Bucket(bucket) => {
                let strip =
                    |key: String| key.strip_prefix(PREFIX).map(str::to_owned).expect("nothing beside the prefix");
                self.site.s3.objects(bucket).into_iter().map(strip).collect()
            }
            Holder::Folder(dir) => {
                let mut names = Vec::new();
                if folder(dir).exists() {
                    walk(&folder(dir), "", &mut names);
                }
                names.sort();
                names
            }
        }
    }

    /// An object's bytes.
    pub fn get(&self, name: &str) -> Vec<u8> {
        match &self.holder {
            Holder::Bucket(bucket) => self.site.s3.get(bucket, &format!("{PREFIX}{name}")).expect(name),
            Holder::Folder(dir) => std::fs::read(folder(dir).join(name)).unwrap(),
        }
    }

    /// An object that is a JSON document.
    pub fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.get(name)).unwrap()
    }

    /// Writes an object, also over another one, as whoever else uses the store might.
    pub fn put(&self, name: &str, body: &[u8]) {
        match &self.holder {
            Holder::Bucket(bucket) => self.site.s3.put(bucket, &format!("{PREFIX}{name}"), body),
            Holder::Folder(dir) => {
                let path = folder(dir).join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, body).unwrap();
            }
        }
    }

    /// An object's metadata.
    pub fn metadata(&self, name: &str) -> BTreeMap<String, String> {
        self.site.s3.metadata(self.bucket(), &format!("{PREFIX}{name}"))
    }

    /// Replaces an object's metadata.
    pub fn set_metadata(&self, name: &str, metadata: &BTreeMap<String, String>) {
        self.site.s3.set_metadata(self.bucket(), &format!("{PREFIX}{name}"), metadata);
    }

    /// Asserts that there is nothing at all: no object, no upload begun, no folder.
    #[track_caller]
    pub fn assert_empty(&self) {
        assert_eq!(self.names(), [""; 0], "{}", self.url());
        match &self.holder {
            Holder::Bucket(bucket) => assert_eq!(self.site.s3.incomplete_uploads(bucket), [""; 0]),
            // The two folders at the top may stay, but nothing in them.
            Holder::Folder(dir) => {
                for top in ["daily", "monthly"] {
                    let entries = std::fs::read_dir(folder(dir).join(top));
                    assert_eq!(entries.map_or(0, Iterator::count), 0, "{top} in {}", self.url());
                }
            }
        }
    }
}

fn folder(dir: &TempDir) -> PathBuf {
    dir.path().join("store")
}

fn walk(dir: &Path, prefix: &str, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        match entry.file_type().unwrap().is_dir() {
            true => walk(&entry.path(), &format!("{name}/"), names),
            false => names.push(name),
        }
    }
}

/// Waits until the clock shows another second: two runs in one would be of one name.
pub fn next_second() {
    let second = || chrono::Utc::now().timestamp();
    let begun = second();
    wait_for("the next second", Duration::from_secs(5), || (second() != begun).then_some(()));
}
