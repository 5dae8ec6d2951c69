//! The servers and the configuration of the tests of `doctor`.

use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use crate::support::process::temp_dir;
use crate::support::tool::{Output, Tool};
use crate::support::vault::Vault;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// A complete and correct configuration, of which a test changes a part.
pub(super) struct Setup {
    pub(super) place: Place,
    /// Production and staging, with TLS, and the receiver of notifications.
    pub(super) vault: Vault,
    pub(super) staging: Vault,
    pub(super) listener: FaultServer,
    /// Role that may take snapshots.
    pub(super) role: (String, String),
    /// Token that may not take snapshots.
    powerless: String,
    dir: TempDir,
}

impl Setup {
    pub(super) fn start() -> Self {
        let vault = Vault::builder().tls(true).start();
        vault.snapshot_policy("backup");
        let role = vault.approle("backup", &["backup"]);
        let made = vault.ok("POST", "auth/token/create", Some(json!({"policies": ["default"]})));
        let powerless = made["auth"]["client_token"].as_str().unwrap().to_owned();
        let staging = Vault::builder().staging().tls_by(Arc::new(crate::support::tls::Ca::new())).start();
        let setup = Self {
            place: Place::s3(),
            vault,
            staging,
            listener: FaultServer::start(|call| Reply::status(if call.path.contains("refuse") { 404 } else { 204 })),
            role,
            powerless,
            dir: temp_dir(),
        };
        fs::write(setup.path("key"), &setup.place.site.key).unwrap();
        setup.key_mode(0o600);
        setup
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn key_mode(&self, mode: u32) {
        fs::set_permissions(self.path("key"), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(super) fn config(&self) -> String {
        let (vault, staging, receiver) = (self.vault.address(), self.staging.address(), self.listener.address());
        format!(
            "[vault]\naddresses = [{vault:?}]\nca_cert = {:?}\n\
             [vault.auth]\nmethod = \"approle\"\nrole_id = \"{}\"\nsecret_id = \"env:SECRET_ID\"\n\
             [store]\nurl = {:?}\n[encryption]\nkey = {:?}\n\
             [staging]\naddress = {staging:?}\nca_cert = {:?}\ntoken = \"env:STAGING\"\nunseal_keys = [\"env:SHARE\", \"env:SHARE1\"]\n\
             auth = {{ method = \"token\", token = \"env:STAGING\" }}\n\
             [audit]\nfile = {:?}\n[[notify]]\ntype = \"webhook\"\nurl = \"{receiver}/hook\"\n[ping]\nurl = \"{receiver}/ping\"\n",
            self.vault.ca_cert(),
            self.role.0,
            self.place.url(),
            self.path("key"),
            self.staging.ca_cert(),
            self.path("audit.log"),
        )
    }

    /// Returns the tool with the configuration after `changes`, pairs of old and new text.
    pub(super) fn tool(&self, changes: &[(&str, &str)]) -> Tool {
        let change = |text: String, (from, to): &(&str, &str)| {
            assert!(text.contains(from), "{from} is not in {text}");
            text.replace(from, to)
        };
        let file = self.path("config.toml");
        fs::write(&file, changes.iter().fold(self.config(), change)).unwrap();
        let tool = self.place.tool().env("VAULT_ADDR", "").env("VAULT_TOKEN", "").env("VAULT_BACKUP_KEY", "");
        tool.env("VAULT_BACKUP_STORE", "")
            .env("SECRET_ID", &self.role.1)
            .env("ROOT", self.vault.root_token())
            .env("POWERLESS", &self.powerless)
            .env("STAGING", self.staging.root_token())
            .env("SHARE", &self.vault.shares()[0])
            .env("SHARE1", &self.vault.shares()[1])
            .keeps([&self.role.1, self.staging.root_token(), &self.vault.shares()[0]])
            .arg("--config")
            .arg(file)
    }

    pub(super) fn doctor(&self, changes: &[(&str, &str)]) -> Output {
        let output = self.tool(changes).args(["doctor", "--json", "--notify-test"]).run();
        output.stderr_is("").leaves(&[]);
        output
    }
}

/// Returns the states and messages of `check`.
pub(super) fn found(output: &Output, check: &str) -> Vec<(String, String)> {
    let said = output.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = said["checks"].as_array().unwrap().iter().filter(|one| one["check"] == check);
    all.map(|one| (text(&one["state"]), text(&one["message"]))).collect()
}

#[track_caller]
pub(super) fn assert_found(output: &Output, check: &str, state: &str, says: &str) {
    let all = found(output, check);
    assert!(all.iter().any(|(is, said)| is == state && said.contains(says)), "{check} {state} {says}: {output:?}");
}

/// Returns the checks that are not `ok`.
pub(super) fn not_ok(output: &Output) -> Vec<String> {
    let said = output.json();
    let all = said["checks"].as_array().unwrap().iter().filter(|one| one["state"] != "ok");
    all.map(|one| one["check"].as_str().unwrap().to_owned()).collect()
}
