//! Buckets with versioning: a delete only hides an object, and overwritten versions remain.

use super::{World, list, objects};
use crate::support::place::Place;
use crate::support::tool::Output;
use serde_json::json;
use std::collections::BTreeSet;
use vault_backup::formats::naming::BackupType;

#[test]
fn prune_reports_backups_that_a_delete_marker_hides() {
    let world = World::new(Place::versioned());
    let daily = world.good_ones(BackupType::Daily, 0..33);
    let output = world.prune();
    let result = output.ok().json();
    assert_eq!(list(&result["deleted"]), objects(&daily[30..]));
    assert_eq!((&result["hidden"], &result["freed_bytes"]), (&json!(3), &json!(0)));
    let (versions, markers) = world.place.site.s3.versions(world.place.bucket());
    assert_eq!((versions.len(), markers.len()), (66, 6), "delete markers for three backups and their manifests");
    assert_eq!(world.files().len(), 60);
    assert_eq!(list(&world.prune().ok().json()["deleted"]), BTreeSet::new());

    world.good(BackupType::Daily, 34);
    let output = world.tool().args(["prune", "-v"]).run();
    output
        .code(0)
        .stderr_contains("1 backup deleted, 0 B freed; 1 of them only hidden by delete markers")
        .stderr_contains("lifecycle");
}

/// Decrypts the backup `name`; returns the output and the snapshot.
fn decrypt(place: &Place, name: &str) -> (Output, Vec<u8>) {
    let output = place.tool().args(["decrypt", name, "-o", "out.snap"]).run();
    output.code(0).stdout_is("").leaves(&["out.snap"]);
    let snapshot = std::fs::read(output.home().join("out.snap")).unwrap();
    (output, snapshot)
}

/// Runs `restore --dry-run`, which reads and checks everything.
fn restore_plan(place: &Place, name: &str) -> Output {
    let vault = &place.site.vault;
    let tool = place.tool().env("VAULT_TOKEN", vault.root_token());
    tool.args(["restore", name, "--address", &vault.address(), "--dry-run", "--json"]).run()
}

#[test]
fn an_overwritten_backup_is_read_from_the_older_version() {
    let place = Place::versioned();
    let said = place.backup();
    let (name, size) = (said["object"].as_str().unwrap(), said["size_bytes"].as_u64().unwrap());
    let (output, snapshot) = decrypt(&place, name);
    output.stderr_is("");
    let original = place.get(name);
    let mut flipped = original.clone();
    flipped[original.len() / 2] ^= 1;
    let instead = "the current version is not what its manifest names; reading version";

    // Another size; the same size and other bytes; both; then the right bytes again.
    for (versions, is_refused) in [(vec![&b"x"[..]], true), (vec![&flipped], false), (vec![&flipped, b"y"], true)] {
        versions.iter().for_each(|body| place.put(name, body));
        let (output, found) = decrypt(&place, name);
        output.stderr_contains(instead);
        assert!(found == snapshot, "not the backup that was made");
        let plan = restore_plan(&place, name);
        plan.code(0).stderr_contains(instead);
        assert_eq!(plan.json()["backup"], format!("{}/{name}", place.url()));
        let listed = place.tool().args(["list", "--json"]).run();
        let entry = &listed.code(0).json()["backups"][0];
        assert_eq!(entry["older_version"].is_string(), is_refused, "{entry}");
        if is_refused {
            listed.stderr_contains("the current version does not match its manifest; version ");
            assert!(entry["reason"].as_str().unwrap().contains(&format!("it names {size} bytes")), "{entry}");
        }
    }
    place.put(name, &original);
    let (output, found) = decrypt(&place, name);
    output.stderr_is("");
    assert!(found == snapshot);
}

/// Without the permission to list versions there is a warning, and the current version is read.
#[test]
fn without_permission_to_list_versions_the_current_one_is_read() {
    let place = Place::versioned();
    let said = place.backup();
    let name = said["object"].as_str().unwrap();
    place.put(name, b"x");
    let rights = place.may(&["s3:ListBucket", "s3:GetObject", "s3:GetObjectVersion"]);
    let tool = || place.tool().envs(rights.clone());
    tool().args(["list"]).run().ok().stdout_contains("refused");
    let output = tool().args(["decrypt", name]).run();
    output.code(5).stderr_contains("older versions could not be looked for").stderr_contains("s3:ListBucketVersions");
}

#[test]
fn a_deleted_backup_is_read_from_the_older_version() {
    let place = Place::versioned();
    let said = place.backup();
    let name = said["object"].as_str().unwrap();
    let (_, snapshot) = decrypt(&place, name);
    let (s3, bucket) = (&place.site.s3, place.bucket());
    s3.delete(bucket, &place.key(name));
    let (output, found) = decrypt(&place, name);
    output.stderr_contains("deleted; reading version");
    assert!(found == snapshot);
    restore_plan(&place, name).code(0).stderr_contains("deleted; reading version");
    // As prune does: then no manifest names the version.
    s3.delete(bucket, &place.key(&format!("{name}.manifest.json")));
    let output = place.tool().args(["decrypt", name]).run();
    output.fails(4, &["no such backup", "it was deleted, and the bucket still has it", "delete markers"]);
}
