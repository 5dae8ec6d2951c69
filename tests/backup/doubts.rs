//! `backup --prune` prunes after a backup that is verified and does not look doubtful, and after no other.

use super::text;
use crate::support::place::{Place, next_second};
use crate::support::tool::Tool;
use chrono::Utc;
use vault_backup::base::secret::Secret;
use vault_backup::formats::crypto::Key;
use vault_backup::formats::manifest::{Manifest, VaultFacts, rfc3339};
use vault_backup::formats::naming::{BackupName, BackupType};

/// Due by the configuration of [`pruning`].
const OLD: &str = "daily/2020-01-01/vault-snapshot-20200101-020000.enc";

fn pruning(place: &Place) -> Tool {
    let tool = place.tool();
    std::fs::write(tool.home().join("config.toml"), "[retention]\ndaily_days = 1\nkeep_daily = 1\n").unwrap();
    tool.args(["--config", "config.toml"])
}

/// Made a second ago, of `size` bytes, with these facts: what the next is compared with.
fn earlier(place: &Place, size: usize, vault: VaultFacts) -> BackupName {
    let key = Key::from_hex(&Secret::new(&place.site.key)).unwrap();
    let name = BackupName::new(BackupType::Daily, Utc::now());
    let manifest = Manifest {
        object: name.object().into(),
        size_bytes: size as u64,
        sha256: "00".repeat(32),
        plaintext_size_bytes: None,
        plaintext_sha256: None,
        created_at: rfc3339(name.created_at()),
        backup_type: name.backup_type(),
        key_id: key.id().into(),
        run_id: None,
        vault,
        verification: None,
        tool: None,
    };
    place.put(name.object(), &vec![0; size]);
    place.put(&name.manifest(), &manifest.to_bytes(&key.mac_key()).unwrap());
    next_second();
    name
}

#[test]
fn a_doubtful_backup_is_warned_of_and_prunes_nothing() {
    std::thread::scope(|scope| {
        for place in Place::both() {
            scope.spawn(move || doubtful(&place));
        }
    });
}

fn doubtful(place: &Place) {
    let cluster = |id: &str| VaultFacts { cluster_id: Some(id.into()), ..VaultFacts::default() };
    let own = cluster(&place.site.vault.cluster_id());
    let index = VaultFacts { raft_index: Some(1 << 50), ..own.clone() };
    place.put(OLD, b"x");
    for (size, facts, says) in [
        (10, index, "has raft index"),
        (10_000_000, own, "less than half of the 10000000 bytes"),
        (10, cluster("another"), "was of another"),
    ] {
        next_second();
        let before = earlier(place, size, facts);
        let output = pruning(place).args(["backup", "--kind", "daily", "--prune", "--json"]).run();
        let said = output.code(8).json();
        output.stderr_contains("warning: ").stderr_contains(says).stderr_contains(before.object());
        output.stderr_contains("prune skipped: the new backup looks suspicious").stderr_contains("vault-backup prune");
        assert!(said["object"].is_string() && said["pruned"].is_null(), "{said}");
        assert!(place.names().contains(&OLD.to_owned()));
    }
    // Without --prune it is a warning, and the backup is as good as any.
    next_second();
    let before = earlier(place, 10, cluster("another"));
    let output = place.tool().args(["backup", "--kind", "daily"]).run();
    output.code(0).stderr_contains("was of another").stderr_contains(before.object());
    // Once somebody has looked, a prune is a prune.
    let pruned = pruning(place).args(["prune", "--json"]).run();
    assert_eq!(text(&pruned.ok().json()["deleted"][0]), OLD);
}

#[test]
fn a_backup_that_failed_prunes_nothing() {
    for place in Place::both() {
        place.put(OLD, b"x");
        earlier(&place, 10, VaultFacts::default());
        let before = place.names();
        let vault = place.site.vault_sending("no snapshot");
        let tool = pruning(&place).env("VAULT_ADDR", vault.address());
        tool.args(["backup", "--prune"]).run().fails(5, &[]).leaves(&["config.toml"]);
        assert_eq!(place.names(), before);
    }
}
