//! Another cluster's backups in the same store, under the same key.

use super::{BODY, World, ago, list, objects};
use crate::support::tool::Tool;
use serde_json::json;
use vault_backup::formats::manifest::{Manifest, VaultFacts};
use vault_backup::formats::naming::{BackupName, BackupType};

/// Writes backups of `cluster`, `days` old.
fn of_cluster(world: &World, cluster: &str, days: impl IntoIterator<Item = i64>) -> Vec<BackupName> {
    let vault = VaultFacts { cluster_id: Some(cluster.into()), ..VaultFacts::default() };
    let names: Vec<_> = days.into_iter().map(|day| BackupName::new(BackupType::Daily, ago(day))).collect();
    let files = |name: &BackupName| {
        let manifest = Manifest { vault: vault.clone(), ..world.manifest_of(name) };
        let bytes = manifest.to_bytes(&world.key.mac_key()).unwrap();
        [(name.object().to_owned(), BODY.to_vec()), (name.manifest(), bytes)]
    };
    world.place.put_many(names.iter().flat_map(files).collect());
    names
}

fn ours(world: &World) -> Tool {
    let tool = world.tool();
    let config = tool.tmp().join("config.toml");
    std::fs::write(&config, "[vault]\ncluster_id = \"ours\"\n").unwrap();
    tool.arg("--config").arg(config)
}

#[test]
fn another_clusters_backups_are_neither_counted_nor_deleted() {
    for world in World::both() {
        let own = of_cluster(&world, "ours", (0..70).step_by(2));
        let other = of_cluster(&world, "theirs", (1..80).step_by(2));
        // One without a cluster id counts as this cluster's.
        let unnamed = world.good(BackupType::Daily, 72);
        let record = world.drill_record(&other[0], &world.key);
        world.write(&other[0].drill_record(), &record);

        let dry = ours(&world).args(["prune", "--dry-run"]).run();
        dry.code(0).stdout_contains("\n  of another cluster:\n");
        let deleted = list(&ours(&world).args(["prune", "--json"]).run().code(0).json()["deleted"]);
        // 35 of this cluster, of which at least 30 are kept: none of the other's counted.
        let due: Vec<_> = own[30..].iter().chain([&unnamed]).cloned().collect();
        assert_eq!(deleted, objects(&due));

        let status = ours(&world).args(["status", "--json"]).run().json();
        assert_eq!(status["daily"]["newest_good"]["object"], own[0].object());
        assert_eq!([&status["daily"]["good"], &status["other_cluster"]], [&json!(30), &json!(other.len())]);
        assert_eq!(status["newest_drill"], json!(null), "a drill of another cluster does not count");
    }
}

/// Without `vault.cluster_id` every good backup counts, and may be deleted.
#[test]
fn without_a_configured_cluster_all_backups_count() {
    let world = World::both().into_iter().next().unwrap();
    of_cluster(&world, "ours", (0..70).step_by(2));
    let other = of_cluster(&world, "theirs", (1..80).step_by(2));
    let deleted = list(&world.prune().code(0).json()["deleted"]);
    assert!(other.iter().any(|name| deleted.contains(name.object())));
}
