//! The rules of retention, with the binary.

use super::{World, ago, list, objects, with_manifests};
use crate::support::place::Place;
use crate::support::tool::tool;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use vault_backup::formats::naming::BackupType;

#[test]
fn old_backups_are_deleted_with_their_manifests_and_nothing_else() {
    for world in World::both() {
        let daily = world.good_ones(BackupType::Daily, 0..40);
        let monthly = world.good(BackupType::Monthly, 500);
        let foreign = ["daily/README", "notes/daily/x.enc", "daily/2020-01-01/vault-snapshot-20200101-000000.enc.bak"];
        foreign.iter().for_each(|name| world.write(name, b"mine"));

        let before = world.files();
        world
            .tool()
            .args(["prune", "--dry-run"])
            .run()
            .ok()
            .stdout_contains(
                "remove 10, 100B\n  older than 30 days, and 30 newer good daily backups remain:\n    daily/",
            )
            .stdout_contains("keep 31, 310B\n  newest good daily backup:\n    daily/");
        let plan = world.tool().args(["prune", "--dry-run", "--json"]).run().ok().json();
        assert_eq!((&plan["dry_run"], &plan["proven"]), (&json!(true), &json!(true)));
        let due = plan["plan"].as_array().unwrap().iter().filter(|one| one["delete"] == true);
        let reasons: BTreeMap<_, _> =
            due.map(|one| (one["object"].as_str().unwrap(), one["reason"].as_str().unwrap())).collect();
        assert_eq!((plan["plan"].as_array().unwrap().len(), reasons.len()), (41, 10));
        let reason = "delete: older than 30 days, and 30 newer good daily backups remain";
        assert_eq!(reasons[daily[30].object()], reason);
        assert_eq!(world.files(), before, "a dry run changes nothing");

        let output = world.prune();
        let result = output.ok().json();
        assert_eq!(list(&result["deleted"]), objects(&daily[30..]));
        assert_eq!((&result["freed_bytes"], &result["hidden"]), (&100.into(), &0.into()), "{result}");
        let left = world.files();
        let kept = with_manifests(daily[..30].iter().chain([&monthly]));
        assert_eq!(left, kept.into_iter().chain(foreign.map(str::to_owned)).collect::<BTreeSet<_>>());

        let again = world.prune().ok().json();
        assert_eq!(again["deleted"].as_array().unwrap().len(), 0, "pruning twice deletes nothing more");
        assert_eq!(world.files(), left);
    }
}

/// Links to the outside, in place of a backup, of a manifest and of a directory.
#[test]
fn symbolic_links_are_not_followed() {
    let world = World::new(Place::directory());
    let daily = world.good_ones(BackupType::Daily, 0..40);
    let store = world.place.path();
    let outside = crate::support::process::temp_dir();
    let precious = outside.path().join("vault-snapshot-20200102-000000.enc");
    std::fs::write(&precious, b"precious").unwrap();
    let link = std::os::unix::fs::symlink::<std::path::PathBuf, std::path::PathBuf>;
    let dir = store.join("daily/2020-01-03");
    std::fs::create_dir(&dir).unwrap();
    let to_file = dir.join("vault-snapshot-20200103-000000.enc");
    link(precious.clone(), to_file.clone()).unwrap();
    let to_dir = store.join("daily/2020-01-02");
    link(outside.path().to_owned(), to_dir.clone()).unwrap();
    let manifest = store.join(daily[39].manifest());
    std::fs::remove_file(&manifest).unwrap();
    link(precious.clone(), manifest.clone()).unwrap();

    let output = world.prune();
    output.code(0).stderr_contains("skipped (and 1 more): it is a symbolic link, not a regular file");
    assert_eq!(list(&output.json()["deleted"]), objects(&daily[30..]));
    assert_eq!(std::fs::read(&precious).unwrap(), b"precious");
    for kept in [to_file, to_dir, manifest] {
        assert!(kept.is_symlink(), "{}", kept.display());
    }
}

#[test]
fn prune_stops_deleting_if_backups_stop() {
    let world = World::new(Place::directory());
    world.good_ones(BackupType::Daily, 100..130);
    let before = world.files();
    assert_eq!(world.prune().code(0).json()["deleted"].as_array().unwrap().len(), 0);
    assert_eq!(world.files(), before);
    world.tool().args(["status"]).run().code(9).stdout_contains("STALE: the newest good backup is");
    world.tool().args(["status", "--nagios"]).run().code(2).stdout_contains("VAULT-BACKUP CRITICAL");
}

#[test]
fn without_a_key_nothing_is_deleted() {
    let world = World::new(Place::directory());
    world.good_ones(BackupType::Daily, 0..40);
    let before = world.files();
    let keyless = || tool().env("VAULT_BACKUP_STORE", world.place.url());
    keyless().args(["prune"]).run().fails(2, &["no key to verify", "manifest_key"]);
    keyless().args(["prune", "--dry-run"]).run().code(0).stdout_contains("remove 10, 100B\n");
    assert_eq!(world.files(), before);
}

#[test]
fn prune_needs_only_the_manifest_key() {
    let world = World::new(Place::directory());
    world.good_ones(BackupType::Daily, 0..40);
    let mac = hex::encode(world.key.mac_key().manifest.as_slice());
    let run = tool().env("VAULT_BACKUP_STORE", world.place.url()).env("MANIFEST_KEY", mac);
    std::fs::write(run.home().join("config.toml"), "[encryption]\nmanifest_key = \"env:MANIFEST_KEY\"\n").unwrap();
    let output = run.args(["prune", "--json", "--config", "config.toml"]).run();
    assert_eq!(output.ok().json()["deleted"].as_array().unwrap().len(), 10);
}

/// The newest backup that passed a drill is kept at any age.
#[test]
fn the_newest_drilled_backup_is_kept() {
    for world in World::both() {
        let daily = world.good_ones(BackupType::Daily, 0..60);
        for name in [&daily[45], &daily[50]] {
            world.write(&name.drill_record(), &world.drill_record(name, &world.key));
        }
        let output = world.prune();
        let gone = objects(daily[30..].iter().filter(|name| **name != daily[45]));
        assert_eq!(list(&output.ok().json()["deleted"]), gone);
        let left = world.files();
        assert!(left.contains(&daily[45].drill_record()) && !left.contains(&daily[50].drill_record()));
        assert!(daily[45].created_at() < ago(44));
    }
}
