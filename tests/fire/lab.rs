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
    role_id: String,
    /// With the role_id there.
    large: OnceLock<(Vault, String)>,
}

impl Lab {
    /// Starts the servers and makes the earlier backups.
    pub fn start() -> Self {
        let site = Arc::new(Site::start());
        let role_id = role(&site.vault);
        // Version 1 stores no time: the earlier backups are older than anything in this Vault.
        site.vault.mount_kv("old", 1);
        site.vault.put_secret("old", "app", &json!({"value": PLANTED}));
        let mut lab = Self { site, earlier: Vec::new(), sent: BTreeSet::new(), role_id, large: OnceLock::new() };
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
        if large { &self.large().0 } else { &self.site.vault }
    }

    fn large(&self) -> &(Vault, String) {
        self.large.get_or_init(|| {
            let vault = Vault::start();
            vault.snapshot_policy("backup");
            vault.fill(LARGE);
            let role_id = role(&vault);
            (vault, role_id)
        })
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
    pub fn tool(&self, home: &Path, vault: &str, store: &[(&str, String)], login: &Login) -> Tool {
        let shares: Vec<_> = (0..2).map(|n| format!("env:SHARE{n}")).collect();
        let config = format!(
            "[vault]\naddresses = [{vault:?}]\n[vault.auth]\nmethod = \"approle\"\nrole_id = \"env:ROLE_ID\"\n\
             secret_id = \"env:SECRET_ID\"\n[encryption]\nkey = \"env:KEY\"\n[retention]\n{RETENTION}\n[staging]\n\
             unseal_keys = {shares:?}\ncanary = \"old/app\"\n[run]\nconnect_timeout = \"2s\"\nidle_timeout = \"3s\"\n\
             lock_file = {lock:?}\n[audit]\nfile = {audit:?}\n",
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

    /// The rights of one trial, whose tokens carry its number.
    pub fn login(&self, large: bool, seed: u64) -> Login {
        let vault = self.vault(large);
        let role_id = if large { &self.large().1 } else { &self.role_id }.clone();
        let body = json!({"metadata": json!({"trial": seed.to_string()}).to_string()});
        let made = vault.ok("POST", "auth/approle/role/fire/secret-id", Some(body));
        Login { role_id, secret_id: made["data"]["secret_id"].as_str().unwrap().to_owned(), trial: seed }
    }

    /// The remaining lifetimes of the tokens that the runs of a trial have left, in seconds.
    pub fn tokens(&self, large: bool, login: &Login) -> Vec<u64> {
        let vault = self.vault(large);
        let accessors = vault.ok("LIST", "auth/token/accessors", None);
        let accessors = accessors["data"]["keys"].as_array().unwrap().clone();
        let lookup = |accessor: &Value| {
            let body = json!({"accessor": accessor});
            let (status, answer) = vault.api("POST", "auth/token/lookup-accessor", Some(body));
            let ours = status == 200 && answer["data"]["meta"]["trial"] == login.trial.to_string();
            ours.then(|| answer["data"]["ttl"].as_u64().unwrap())
        };
        accessors.iter().filter_map(lookup).collect()
    }
}

/// What a trial logs in with.
pub struct Login {
    role_id: String,
    secret_id: String,
    trial: u64,
}

/// The AppRole of all trials: its role_id.
fn role(vault: &Vault) -> String {
    let read = r#"path "sys/storage/raft/configuration" { capabilities = ["read"] }"#;
    vault.policy("peers", read); // for a restore's dry run
    let (role_id, _) = vault.approle("fire", &["backup", "peers"]);
    let role = json!({"token_policies": ["backup", "peers"], "token_ttl": TOKEN_TTL, "token_max_ttl": TOKEN_TTL});
    vault.ok("POST", "auth/approle/role/fire", Some(role));
    role_id
}
