//! docs/disaster-recovery.md: each way back, in a world where it is needed.

use super::markdown::{blocks, section};
use super::{project, read, shell};
use crate::support::tool::{Output, Tool, tool};
use crate::support::vault::Vault;
use serde_json::{Value, json};
use std::path::PathBuf;
use tempfile::TempDir;

/// A cluster with a canary, and a backup of it.
struct World {
    source: Vault,
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        let source = Vault::start();
        source.mount_kv("smtp", 2);
        source.put_secret("smtp", "test-tenant-id/admin", &canary());
        let dir = tempfile::tempdir().unwrap();
        let world = Self { source, dir };
        std::fs::create_dir(world.path("store")).unwrap();
        tool().args(["keygen", "-o"]).arg(world.key()).run().code(0);
        world.with_store(tool()).args(["backup", "--kind", "daily"]).run().ok();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn key(&self) -> PathBuf {
        self.path("key")
    }

    fn with_store(&self, tool: Tool) -> Tool {
        tool.env("VAULT_BACKUP_STORE", self.store())
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
            .env("VAULT_BACKUP_STORE", self.store())
            .env("KEY", self.key())
            .env("SHARE1", &shares[0])
            .env("SHARE2", &shares[1])
            .env("VAULT_ADDR", target.address())
            .env("VAULT_TOKEN", target.root_token());
        std::fs::copy(project("examples/decrypt.py"), shell.home().join("decrypt.py")).unwrap();
        let output = shell.run();
        output.code(0);
        output
    }

    fn store(&self) -> String {
        format!("file://{}", self.path("store").display())
    }

    /// What `node`, holding the source's data, has for the canary.
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
fn by_hand() {
    let world = World::new();
    let new_cluster = steps("A new cluster from a backup");
    let [initialise, _, unseal] = new_cluster.as_slice() else { panic!("{} steps", new_cluster.len()) };
    let target = Vault::builder().uninitialised().start();
    world.follow(&target, &[vec![initialise.clone()], steps("By hand"), vec![unseal.clone()]].concat()).code(0);
    assert_eq!(world.canary_at(&target), Some(canary()));
}

#[test]
fn without_vault_backup() {
    let world = World::new();
    let output = world.follow(&world.source, &steps("Without vault-backup"));
    let target = Vault::start();
    target.take_over(&world.source, std::fs::read(output.home().join("vault.snap")).unwrap());
    assert_eq!(world.canary_at(&target), Some(canary()));
}
