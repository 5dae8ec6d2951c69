//! docs/disaster-recovery.md: each way back, in a world where it is needed.

use super::markdown::{blocks, section};
use super::{project, read, shell};
use crate::support::process::{PATIENCE, temp_dir, wait_for};
use crate::support::s3::S3;
use crate::support::tool::{Output, Tool, tool};
use crate::support::vault::{STANDBY, Vault, binary};
use chrono::Utc;
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use tempfile::TempDir;

/// A cluster with a canary, and a backup of it in a bucket.
struct World {
    source: Vault,
    s3: S3,
    dir: TempDir,
}

const STORE: &str = "s3://backups/prod";

impl World {
    fn new() -> Self {
        let source = Vault::start();
        source.mount_kv("smtp", 2);
        source.put_secret("smtp", "test-tenant-id/admin", &canary());
        let s3 = S3::start();
        s3.bucket("backups");
        let world = Self { source, s3, dir: temp_dir() };
        tool().args(["keygen", "-o"]).arg(world.key()).run().code(0);
        world.with_store(tool()).args(["backup", "--kind", "daily"]).run().ok();
        // A backup made while following the runbook must not be of this same second.
        let made = Utc::now().timestamp();
        wait_for("the next second", PATIENCE, || (Utc::now().timestamp() > made).then_some(()));
        world
    }

    fn key(&self) -> PathBuf {
        self.dir.path().join("key")
    }

    fn with_store(&self, tool: Tool) -> Tool {
        tool.envs(self.s3.env())
            .env("VAULT_BACKUP_STORE", STORE)
            .env("VAULT_BACKUP_KEY", std::fs::read_to_string(self.key()).unwrap().trim())
            .env("VAULT_ADDR", self.source.address())
            .env("VAULT_TOKEN", self.source.root_token())
    }

    /// Types `blocks` after those that prepare and choose a backup, with the
    /// server to work on being `target`.
    fn follow(&self, target: &Vault, blocks: &[String]) -> Output {
        let script = [steps("What you need"), steps("Choosing a backup"), blocks.to_vec()].concat().concat();
        let shares = self.source.enough_shares();
        let shell = shell(&script)
            .envs(self.s3.env())
            .env("VAULT_BACKUP_STORE", STORE)
            .env("KEY", self.key())
            .env("SHARE1", &shares[0])
            .env("SHARE2", &shares[1])
            .env("SOURCE_TOKEN", self.source.root_token())
            .env("VAULT_ADDR", target.address())
            .env("VAULT_TOKEN", target.root_token());
        // The laptop's own Vault.
        symlink(binary(), shell.home().join("vault")).unwrap();
        let path = std::env::join_paths([shell.home()].into_iter().chain(std::env::split_paths(&super::path())));
        let shell = shell.env("PATH", path.unwrap());
        std::fs::copy(project("examples/decrypt.py"), shell.home().join("decrypt.py")).unwrap();
        shell.run()
    }

    /// Returns the canary of `node`, which has the source's data.
    fn canary_at(&self, node: &Vault) -> Option<Value> {
        node.get_secret_as(self.source.root_token(), "smtp", "test-tenant-id/admin")
    }
}

/// The runbook's blocks below a heading.
fn steps(title: &str) -> Vec<String> {
    let blocks = blocks(section(&read("docs/disaster-recovery.md"), title), "sh");
    assert!(!blocks.is_empty(), "nothing to run in {title:?}");
    blocks
}

fn canary() -> Value {
    json!({"password": "the one that was lost"})
}

#[test]
fn runbook_checks_a_backup() {
    let world = World::new();
    world.source.stop();
    world.follow(&world.source, &steps("Is this backup any good?")).code(0);
    let list = world.with_store(tool()).args(["list", "--json"]).run().ok().json();
    assert!(list["backups"][0]["drilled_at"].is_string(), "{list}");
    let record = world.s3.objects("backups").into_iter().find(|name| name.ends_with(".drill.json")).unwrap();
    let record: Value = serde_json::from_slice(&world.s3.get("backups", &record).unwrap()).unwrap();
    assert_eq!(record["mode"], "ephemeral", "the last one");
}

#[test]
fn runbook_recovers_one_secret() {
    let world = World::new();
    world.source.ok("DELETE", "smtp/metadata/test-tenant-id/admin", None);
    assert_eq!(world.canary_at(&world.source), None);
    world.follow(&world.source, &steps("One secret back")).code(0);
    assert_eq!(world.canary_at(&world.source), Some(canary()));
}

#[test]
fn runbook_restores_the_same_cluster() {
    let world = World::new();
    world.source.put_secret("smtp", "test-tenant-id/admin", &json!({"password": "a mistake"}));
    world.follow(&world.source, &steps("The same cluster, back to a backup")).code(0);
    assert_eq!(world.canary_at(&world.source), Some(canary()));
}

#[test]
fn runbook_restores_a_new_cluster() {
    let world = World::new();
    world.source.stop();
    let target = Vault::builder().uninitialised().start();
    world.follow(&target, &steps("A new cluster from a backup")).code(0);
    assert_eq!(world.canary_at(&target), Some(canary()));

    // Its last step, for each of the other servers.
    let mut second = Vault::builder().join(&[target.address()]).start();
    second.take_keys_of(&world.source);
    second.wait_for("joining", |v| (v.ok("GET", "sys/seal-status", None)["initialized"] == true).then_some(()));
    second.send_shares(world.source.enough_shares());
    second.wait_for_health(&[STANDBY]);
}

#[test]
fn runbook_recovers_secrets_without_vault() {
    let world = World::new();
    world.source.stop();
    let output = world.follow(&world.source, &steps("Secrets without any Vault"));
    output.code(0);
    let secret = std::fs::read(output.home().join("secret.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&secret).unwrap(), canary());
}

#[test]
fn runbook_restores_by_hand() {
    let world = World::new();
    let new_cluster = steps("A new cluster from a backup");
    let [initialise, _, unseal] = new_cluster.as_slice() else { panic!("{} steps", new_cluster.len()) };
    let target = Vault::builder().uninitialised().start();
    world.follow(&target, &[vec![initialise.clone()], steps("By hand"), vec![unseal.clone()]].concat()).code(0).code(0);
    assert_eq!(world.canary_at(&target), Some(canary()));
}

#[test]
fn runbook_decrypts_without_vault_backup() {
    let world = World::new();
    let output = world.follow(&world.source, &steps("Without vault-backup"));
    output.code(0);
    let target = Vault::start();
    target.take_over(&world.source, std::fs::read(output.home().join("vault.snap")).unwrap());
    assert_eq!(world.canary_at(&target), Some(canary()));
}
