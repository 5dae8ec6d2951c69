//! Object Lock: locked backups are kept and reported; new objects get locked.

use super::{World, list, objects};
use crate::support::place::Place;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use vault_backup::formats::manifest::rfc3339;
use vault_backup::formats::naming::{BackupName, BackupType};

/// Writes forty good daily backups to a bucket with Object Lock: two are retained, and one
/// has a legal hold. Returns them, and the expected report of each that is locked and due.
fn locked(world: &World) -> (Vec<BackupName>, BTreeMap<String, String>) {
    let daily = world.good_ones(BackupType::Daily, 0..40);
    let (s3, bucket) = (&world.place.site.s3, world.place.bucket());
    let until = Utc::now() + TimeDelta::days(7);
    let key = |n: usize| world.place.key(daily[n].object());
    for n in [31, 35] {
        s3.retain(bucket, &key(n), until);
    }
    s3.legal_hold(bucket, &key(38));
    s3.retain(bucket, &key(2), until);
    let say = |n: usize, what: &str| (daily[n].object().to_owned(), what.to_owned());
    let retained = format!("locked until {}", rfc3339(until));
    let report = [say(31, &retained), say(35, &retained), say(38, "locked by a legal hold")];
    (daily, report.into())
}

fn reported(result: &Value) -> BTreeMap<String, String> {
    let report = |one: &Value| match (&one["until"], &one["legal_hold"]) {
        (Value::String(until), Value::Bool(false)) => format!("locked until {until}"),
        (Value::Null, Value::Bool(true)) => "locked by a legal hold".to_owned(),
        other => panic!("{other:?}"),
    };
    let locked = result["locked"].as_array().unwrap().iter();
    locked.map(|one| (one["object"].as_str().unwrap().to_owned(), report(one))).collect()
}

#[test]
fn locked_backups_are_skipped_and_reported() {
    let world = World::new(Place::locked());
    let (daily, report) = locked(&world);
    let output = world.prune();
    let result = output.ok().json();
    assert_eq!(reported(&result), report);
    let gone = daily[30..].iter().filter(|name| !report.contains_key(name.object()));
    assert_eq!(list(&result["deleted"]), objects(gone));
    assert_eq!((&result["hidden"], &result["freed_bytes"]), (&json!(7), &json!(0)), "delete markers hide them");
    let left = world.files();
    for name in daily[..30].iter().chain(daily.iter().filter(|name| report.contains_key(name.object()))) {
        assert!(left.contains(name.object()) && left.contains(&name.manifest()), "{name}");
    }
    assert_eq!(left.len(), 66);

    let output = world.tool().args(["prune", "-v"]).run();
    output.code(0).stdout_is("");
    for (name, locked) in &report {
        output.stderr_contains(&format!("{}/{name}: due, but {locked}", world.place.url()));
    }
    output.stderr_contains("0 backups deleted, 0 B freed; 3 due, but locked");
    assert_eq!(world.files(), left);
}

/// Without permission to read the bucket's configuration, each object is checked, with a warning.
#[test]
fn without_permission_to_read_the_lock_configuration_each_object_is_checked() {
    let world = World::new(Place::locked());
    let (_, report) = locked(&world);
    let tool = world.tool().envs(world.place.may(&[
        "s3:ListBucket",
        "s3:ListBucketMultipartUploads",
        "s3:GetObject",
        "s3:GetObjectRetention",
        "s3:GetObjectLegalHold",
        "s3:DeleteObject",
    ]));
    let output = tool.args(["prune", "--json"]).run();
    output.code(0).stderr_contains("denied: s3:GetBucketObjectLockConfiguration");
    assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
    assert_eq!(reported(&output.json()), report);
}

/// In a bucket without Object Lock the missing permission changes nothing.
#[test]
fn without_permission_and_without_object_lock_prune_deletes() {
    let world = World::new(Place::s3());
    let daily = world.good_ones(BackupType::Daily, 0..35);
    let tool = world.tool().envs(world.place.may(&["s3:ListBucket", "s3:GetObject", "s3:DeleteObject"]));
    let output = tool.args(["prune", "--json"]).run();
    output.code(0).stderr_contains("Object Lock is checked for each backup to delete");
    assert_eq!(list(&output.json()["deleted"]), objects(&daily[30..]));
}

/// The object, its manifest, the monthly copy and its manifest, each with the mode and time of its kind.
#[test]
fn new_objects_are_locked() {
    let place = Place::locked();
    let tool = place.tool();
    let config = format!(
        "[store]\nurl = {:?}\nobject_lock_daily = \"governance:10d\"\nobject_lock_monthly = \"compliance:100d\"\n",
        place.url()
    );
    std::fs::write(tool.home().join("config.toml"), config).unwrap();
    let output = tool.args(["backup", "--json", "--config", "config.toml"]).run();
    let said = output.ok().json();
    assert!(said["monthly_copy"].is_string(), "{said}");
    let names = place.names();
    assert_eq!(names.len(), 4, "{names:?}");
    for name in names {
        let (mode, until) = place.site.s3.retention(place.bucket(), &place.key(&name)).expect(&name);
        let (expected, days) = if name.starts_with("daily/") { ("GOVERNANCE", 10) } else { ("COMPLIANCE", 100) };
        assert_eq!(mode, expected, "{name}");
        near(until, Utc::now() + TimeDelta::days(days), &name);
    }
}

fn near(time: DateTime<Utc>, expected: DateTime<Utc>, name: &str) {
    assert!((time - expected).abs() < TimeDelta::minutes(10), "{name}: {time}");
}
