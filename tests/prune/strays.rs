//! Orphans: documents without their object, unfinished uploads.

use super::{World, ago};
use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use serde_json::json;
use std::time::Duration;
use vault_backup::formats::naming::{BackupName, BackupType};

const TWO_DAYS: Duration = Duration::from_hours(48);
const NEARLY_A_DAY: Duration = Duration::from_hours(23);

#[test]
fn orphaned_documents_are_deleted_after_a_day() {
    for world in World::both() {
        let daily = world.good(BackupType::Daily, 0);
        let gone = [3, 4].map(|day| BackupName::new(BackupType::Daily, ago(day)));
        let orphans = gone.each_ref().map(|name| [name.manifest(), name.drill_record()]).concat();
        orphans.iter().for_each(|name| world.write(name, b"{}"));
        // Foreign objects of the same age.
        let others = ["daily/2020-01-01/notes.manifest.json".to_owned(), format!("{}.bak", gone[0].manifest())];
        others.iter().for_each(|name| world.write(name, b"{}"));
        let old = [&orphans[0], &orphans[3]];
        old.into_iter().chain(&others).for_each(|name| world.place.age(name, TWO_DAYS));
        [&orphans[1], &orphans[2]].into_iter().for_each(|name| world.place.age(name, NEARLY_A_DAY));
        world.place.age(&daily.manifest(), TWO_DAYS);

        let output = world.prune();
        assert_eq!(output.ok().json()["orphans_deleted"], 2);
        let mut left = [orphans[1].clone(), orphans[2].clone(), daily.object().to_owned(), daily.manifest()].to_vec();
        left.extend(others);
        assert_eq!(world.files(), left.into_iter().collect(), "younger ones may belong to a running backup");
    }
}

/// Returns the names of two of our uploads and a foreign one.
fn names() -> [String; 3] {
    let ours = |day| BackupName::new(BackupType::Daily, ago(day)).object().to_owned();
    [ours(3), "daily/2020-01-01/foreign".to_owned(), ours(2)]
}

#[test]
fn abandoned_uploads_are_aborted_after_a_day() {
    let world = World::new(Place::s3());
    world.good(BackupType::Daily, 0);
    let (place, names) = (&world.place, names());
    let ids = names.each_ref().map(|name| place.abandon_upload(name));
    ids[..2].iter().for_each(|id| place.site.s3.age(place.bucket(), id, TWO_DAYS));
    place.site.s3.age(place.bucket(), &ids[2], NEARLY_A_DAY);
    let output = world.prune();
    assert_eq!(output.ok().json()["uploads_aborted"], json!([names[0]]));
    let mut left = place.site.s3.incomplete_uploads(place.bucket());
    left.sort();
    let mut expected = [&names[1], &names[2]].map(|name| place.key(name));
    expected.sort();
    assert_eq!(left, expected);
}

/// Also without a prune. A younger upload may be that of a running backup of another host.
#[test]
fn a_backup_aborts_abandoned_uploads_after_a_day() {
    for (age, left) in [(TWO_DAYS, 1), (NEARLY_A_DAY, 3)] {
        let world = World::new(Place::s3());
        let (place, names) = (&world.place, names());
        let ids = names.each_ref().map(|name| place.abandon_upload(name));
        ids.iter().for_each(|id| place.site.s3.age(place.bucket(), id, age));
        world.tool().args(["backup", "--kind", "daily"]).run().ok();
        let uploads = place.site.s3.incomplete_uploads(place.bucket());
        assert_eq!(uploads.len(), left, "{uploads:?}");
        assert!(uploads.contains(&place.key(&names[1])), "foreign: {uploads:?}");
    }
}

/// The upload of a killed run, whose id was lost, and a store that does not list uploads.
#[test]
fn a_store_that_cannot_list_uploads_does_not_fail_a_backup() {
    let world = World::new(Place::s3());
    let s3 = FaultServer::proxy(&world.place.site.s3.endpoint(), |call| {
        match call.method == "GET" && call.query.split('&').any(|pair| pair.starts_with("uploads")) {
            true => Reply::status(403).body("<Error><Code>AccessDenied</Code></Error>"),
            false => Reply::forward(),
        }
    });
    let tool = world.tool().env("AWS_ENDPOINT_URL", s3.address());
    let output = tool.args(["backup", "--kind", "daily", "-v"]).run();
    output
        .code(0)
        .stderr_contains("abandoned uploads: cannot be aborted")
        .stderr_contains("ListBucketMultipartUploads");
}

#[test]
fn abandoned_files_are_deleted_after_a_day() {
    let world = World::new(Place::directory());
    let daily = world.good(BackupType::Daily, 0);
    let names = names();
    let parts = names.each_ref().map(|name| {
        let (dir, base) = name.rsplit_once('/').unwrap();
        format!("{dir}/.tmp-0123456789abcdef.{base}")
    });
    parts.iter().for_each(|part| world.write(part, b"half"));
    parts[..2].iter().for_each(|part| world.place.age(part, TWO_DAYS));
    world.place.age(&parts[2], NEARLY_A_DAY);
    let output = world.prune();
    assert_eq!(output.ok().json()["uploads_aborted"], json!([names[0]]));
    let left = [parts[1].clone(), parts[2].clone(), daily.object().to_owned(), daily.manifest()];
    assert_eq!(world.files(), left.into());
}
