//! The lab: servers, rights and earlier backups that all trials share.

use crate::support::process::temp_dir;
use crate::support::site::{PLANTED, Site};
use crate::support::snapshot::sha256;
use crate::support::tool::{Tool, tool};
use crate::support::vault::Vault;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use vault_backup::base::secret::Secret;
use vault_backup::formats::crypto::{self, Key, Keyring, Layouts};

/// Size of what is in the large Vault, whose backups are uploaded in parts.
const LARGE: usize = 34_000_000;

/// Lifetime of a login in seconds: that of a token that a killed run leaves.
pub const TOKEN_TTL: u64 = 120;

/// Ages of the earlier backups that a prune must delete (`true`) or keep, under [`RETENTION`].
const EARLIER: &[(&str, &str, bool)] = &[
    ("daily", "-41d", true),
    ("daily", "-40d", true),
    ("daily", "-20d", false),
    ("daily", "-2d", false),
    ("daily", "-1d", false),
    ("monthly", "-430d", true),
    ("monthly", "-400d", true),
    ("monthly", "-70d", false),
];

const RETENTION: &str = "daily_days = 30\nkeep_daily = 2\nmonthly_months = 12\nkeep_monthly = 1";

/// Library of `faketime`, which changes the clock of a process.
pub fn faketime() -> Vec<(&'static str, String)> {
    let arch = format!("/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH);
    assert!(Path::new(&arch).is_file(), "no {arch}: run tests/servers/programs.sh");
    // The timers of the runtime need a clock that goes on.
    vec![("LD_PRELOAD", arch), ("DONT_FAKE_MONOTONIC", "1".into()), ("FAKETIME_DONT_RESET", "1".into())]
}

/// An earlier backup, of which each trial has a copy.
pub struct Earlier {
    pub object: String,
    /// Object and manifest.
    pub files: Vec<(String, Vec<u8>)>,
    pub deletable: bool,
}

/// The servers and what is the same in all trials.
pub struct Lab {
    pub site: Arc<Site>,
    pub earlier: Vec<Earlier>,
    /// SHA-256 of the snapshots in the earlier backups.
    pub sent: BTreeSet<String>,
    large: OnceLock<Vault>,
}

impl Lab {
    /// Starts the servers and makes the earlier backups.
    pub fn start() -> Self {
        let site = Arc::new(Site::start());
        prepare(&site.vault);
        // Version 1 stores no time: the earlier backups are older than anything in this Vault.
        site.vault.mount_kv("old", 1);
        site.vault.put_secret("old", "app", &json!({"value": PLANTED}));
        let mut lab = Self { site, earlier: Vec::new(), sent: BTreeSet::new(), large: OnceLock::new() };
        lab.make_earlier();
        lab
    }

    fn make_earlier(&mut self) {
        let dir = temp_dir();
        for (kind, age, deletable) in EARLIER {
            let run = self.site.tool().envs(faketime()).env("FAKETIME", age);
            let run = run.env("VAULT_BACKUP_STORE", format!("file://{}", dir.path().display()));
            let output = run.args(["backup", "--kind", kind, "--json"]).run();
            let object = output.ok().json()["object"].as_str().unwrap().to_owned();
            let read = |name: String| (name.clone(), std::fs::read(dir.path().join(&name)).unwrap());
            let files = vec![read(object.clone()), read(format!("{object}.manifest.json"))];
            self.sent.insert(sha256(&self.plaintext(&files[0].1).unwrap()));
            self.earlier.push(Earlier { object, files, deletable: *deletable });
        }
    }

    /// The Vault of a trial.
    pub fn vault(&self, large: bool) -> &Vault {
        let start = || {
            let vault = Vault::start();
            prepare(&vault);
            vault.fill(LARGE);
            vault
        };
        if large { self.large.get_or_init(start) } else { &self.site.vault }
    }

    /// Decrypts an object; `None` if it is damaged.
    pub fn plaintext(&self, object: &[u8]) -> Option<Vec<u8>> {
        let keys = Keyring::new(Key::from_hex(&Secret::new(self.site.key.as_str())).unwrap(), Vec::new());
        let mut plain = Vec::new();
        let mut opened = crypto::open(object, &keys, Layouts::Any).ok()?;
        std::io::Read::read_to_end(&mut opened, &mut plain).ok()?;
        Some(plain)
    }

    /// The binary with its configuration in `home`, and with the rights of the trial `seed`, if it has any.
    pub fn tool(&self, home: &Path, vault: &str, store: &[(&str, String)], login: &Login<'_>) -> Tool {
        let shares: Vec<_> = (0..2).map(|n| format!("env:SHARE{n}")).collect();
        let config = format!(
            "[vault]\naddresses = [{vault:?}]\n[vault.auth]\nmethod = \"approle\"\nmount = {mount:?}\nrole_id = \"env:ROLE_ID\"\n\
             secret_id = \"env:SECRET_ID\"\n[encryption]\nkey = \"env:KEY\"\n[retention]\n{RETENTION}\n[staging]\n\
             unseal_keys = {shares:?}\ncanary = \"old/app\"\n[run]\nconnect_timeout = \"5s\"\nidle_timeout = \"6s\"\n\
             lock_file = {lock:?}\n[audit]\nfile = {audit:?}\n",
            mount = login.mount,
            lock = home.join("lock"),
            audit = home.join("audit.log"),
        );
        std::fs::write(home.join("config.toml"), config).unwrap();
        let secrets = [("KEY", &self.site.key), ("ROLE_ID", &login.role_id), ("SECRET_ID", &login.secret_id)];
        let shares = self.site.vault.enough_shares().iter().enumerate();
        let directories = [("HOME", "home"), ("TMPDIR", "tmp"), ("XDG_RUNTIME_DIR", "run")];
        let parent = home.parent().unwrap();
        tool()
            .cwd(home)
            .envs(self.site.s3.env())
            .envs(store.iter().map(|(key, value)| (key, value)))
            .envs(secrets)
            .envs(shares.map(|(n, share)| (format!("SHARE{n}"), share)))
            .envs(directories.map(|(key, name)| (key, parent.join(name))))
            .env("VAULT_BACKUP_CONFIG", home.join("config.toml"))
            .keeps([PLANTED, &self.site.key, &login.secret_id])
            .keeps(self.site.vault.shares())
    }

    /// The rights of one trial: a login method of its own, so that its tokens can be told from others'.
    pub fn login(&self, large: bool, seed: u64) -> Login<'_> {
        let (vault, mount) = (self.vault(large), format!("fire-{seed}"));
        vault.ok("POST", &format!("sys/auth/{mount}"), Some(json!({"type": "approle"})));
        let policies = ["backup", "peers"];
        let role = json!({"token_policies": policies, "token_ttl": TOKEN_TTL, "token_max_ttl": TOKEN_TTL});
        vault.ok("POST", &format!("auth/{mount}/role/fire"), Some(role));
        let field = |method: &str, name: &str| {
            let made = vault.ok(method, &format!("auth/{mount}/role/fire/{}", name.replace('_', "-")), None);
            made["data"][name].as_str().unwrap().to_owned()
        };
        Login { role_id: field("GET", "role_id"), secret_id: field("POST", "secret_id"), mount, vault }
    }
}

/// What a trial logs in with. Dropping it revokes every token that is left.
pub struct Login<'a> {
    mount: String,
    role_id: String,
    secret_id: String,
    vault: &'a Vault,
}

impl Login<'_> {
    /// The remaining lifetimes of the tokens that the runs have left, in seconds.
    pub fn tokens(&self) -> Vec<u64> {
        // Not by accessors: looking up a token that is just being made, of another trial, revokes it.
        let prefix = format!("auth/{}/login/", self.mount);
        let (status, listed) = self.vault.api("LIST", &format!("sys/leases/lookup/{prefix}"), None);
        let keys = if status == 200 { listed["data"]["keys"].as_array().unwrap().clone() } else { Vec::new() };
        let lookup = |key: &Value| {
            let body = json!({"lease_id": format!("{prefix}{}", key.as_str().unwrap())});
            let (status, lease) = self.vault.api("PUT", "sys/leases/lookup", Some(body));
            (status == 200).then(|| lease["data"]["ttl"].as_u64().unwrap())
        };
        keys.iter().filter_map(lookup).collect()
    }
}

impl Drop for Login<'_> {
    fn drop(&mut self) {
        self.vault.api("DELETE", &format!("sys/auth/{}", self.mount), None);
    }
}

/// Defines the policies of all trials.
fn prepare(vault: &Vault) {
    vault.snapshot_policy("backup");
    let read = r#"path "sys/storage/raft/configuration" { capabilities = ["read"] }"#;
    vault.policy("peers", read); // for a restore's dry run
}
