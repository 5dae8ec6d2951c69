//! Deletions that the store denies: exit 8 with a reason for each, and no document is
//! deleted before its object.

use super::{World, list, objects, with_manifests};
use crate::support::place::Place;
use crate::support::tool::Tool;
use std::collections::BTreeSet;
use vault_backup::formats::naming::BackupType;

/// Returns the tool with an account that has all permissions except to delete these keys.
fn denied(world: &World, keys: &[String]) -> Tool {
    let place = &world.place;
    let statements = [place.statement("Allow", &["s3:*"], &[]), place.statement("Deny", &["s3:DeleteObject"], keys)];
    world.tool().envs(place.account(&statements))
}

#[test]
fn denied_deletions_of_some_objects_are_reported_by_reason() {
    let world = World::new(Place::s3());
    let daily = world.good_ones(BackupType::Daily, 0..40);
    let kept = [&daily[32], &daily[36], &daily[39]];
    let keys = kept.map(|name| world.place.key(name.object()));
    let output = denied(&world, &keys).args(["prune", "--json"]).run();
    let first = format!("{}/{}: not deleted: denied: s3:DeleteObject", world.place.url(), kept[0]);
    let result = output.fails(8, &[&first, "(and 2 more for this reason)"]).json();
    assert_eq!(list(&result["failed"]), objects(kept));
    assert!(list(&result["failures"]).iter().all(|said| said.contains("denied: s3:DeleteObject")), "{result}");
    let gone = daily[30..].iter().filter(|name| !kept.contains(name));
    assert_eq!(list(&result["deleted"]), objects(gone));
    assert_eq!((result["kept"].as_u64(), result["problems"].as_array().unwrap().len()), (Some(33), 1));
    assert_eq!(world.files(), with_manifests(daily[..30].iter().chain(kept)), "with their manifests");

    // Once it is allowed, the rest is deleted.
    let output = world.prune();
    assert_eq!(list(&output.ok().json()["deleted"]), objects(kept));
    assert_eq!(world.files(), with_manifests(&daily[..30]));
}

#[test]
fn denied_deletions_of_all_objects_delete_nothing() {
    let world = World::new(Place::s3());
    world.good_ones(BackupType::Daily, 0..40);
    let before = world.files();
    let output = denied(&world, &[world.place.key("*")]).args(["prune", "--json"]).run();
    let result = output.fails(8, &["denied: s3:DeleteObject", "(and 9 more for this reason)"]).json();
    assert_eq!((list(&result["deleted"]).len(), list(&result["failed"]).len()), (0, 10));
    assert_eq!(world.files(), before);
}

/// The object is deleted, its manifest is not: it is an orphan from then on.
#[test]
fn a_denied_deletion_of_a_manifest_is_reported() {
    let world = World::new(Place::s3());
    let daily = world.good_ones(BackupType::Daily, 0..31);
    let output = denied(&world, &[world.place.key("*.manifest.json")]).args(["prune", "--json"]).run();
    let result = output.fails(8, &[&daily[30].manifest(), "denied: s3:DeleteObject"]).json();
    assert_eq!(list(&result["deleted"]), objects([&daily[30]]));
    assert_eq!(list(&result["failed"]), BTreeSet::from([daily[30].manifest()]));
}

/// The tool runs without root's right to override permissions.
#[test]
fn files_in_a_read_only_directory_are_reported() {
    let world = World::new(Place::directory());
    let daily = world.good_ones(BackupType::Daily, 0..40);
    let kept = [&daily[32], &daily[39]];
    let dirs = kept.map(|name| world.place.path().join(name.object()).parent().unwrap().to_owned());
    let set = |mode| {
        use std::os::unix::fs::PermissionsExt;
        dirs.iter().for_each(|dir| {
            std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode)).unwrap();
        });
    };
    set(0o500);
    let output = world.tool().without_override().args(["prune", "--json"]).run();
    set(0o700);
    let first = format!("{}/{}: not deleted: cannot be deleted", world.place.url(), kept[0]);
    let result = output.fails(8, &[&first, "Permission denied", "(and 1 more for this reason)"]).json();
    assert_eq!(list(&result["failed"]), objects(kept));
    assert_eq!(world.files(), with_manifests(daily[..30].iter().chain(kept)));
    let output = world.prune();
    assert_eq!(list(&output.ok().json()["deleted"]), objects(kept));
}
