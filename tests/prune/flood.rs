//! An attacker who writes thousands of forged backups: each command says so once.

use super::{BODY, World, list};
use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use chrono::{TimeDelta, Utc};
use vault_backup::formats::naming::{BackupName, BackupType};

const FORGED: i64 = 16_000;

#[test]
fn sixteen_thousand_forged_manifests_are_reported_once() {
    let world = World::new(Place::directory());
    world.good_ones(BackupType::Daily, 40..80);
    let now = Utc::now();
    let mut objects = Vec::new();
    for n in 0..FORGED {
        // Some in the future; the others newer than every good backup.
        let at = if n % 8 == 0 { now + TimeDelta::days(2) } else { now - TimeDelta::hours(2) };
        let name = BackupName::new(BackupType::Daily, at - TimeDelta::seconds(n));
        objects.push((name.object().to_owned(), BODY.to_vec()));
        objects.push((name.manifest(), if n % 2 == 0 { b"{}".to_vec() } else { vec![b'['; 1_000] }));
    }
    world.place.put_many(objects);
    for args in [&["prune"][..], &["status"], &["prune", "--dry-run"], &["list"], &["list", "--long"]] {
        let output = world.tool().args(args).run();
        assert!(output.stderr.lines().count() <= 2, "{args:?}: {}", output.stderr.lines().count());
        let lines = output.text().lines().count();
        assert!(lines <= 400, "{args:?}: {lines} lines");
    }
    let output = world.tool().arg("backup").run();
    output.code(0);
    assert!(output.stderr.lines().count() <= 2, "{output:?}");
    let status = world.tool().args(["status", "--json"]).run().json();
    assert_eq!(status["unverified"]["count"], FORGED);
    assert_eq!(status["unverified"]["first"].as_array().unwrap().len(), 100);
}

/// The response to DeleteObjects names every object, and none was deleted.
#[test]
fn a_deletion_that_the_store_only_confirmed_is_a_failure() {
    let world = World::new(Place::s3());
    world.good_ones(BackupType::Daily, 0..32);
    let before = world.files();
    let s3 = FaultServer::proxy(&world.place.site.s3.endpoint(), |call| {
        if call.method != "POST" || !call.query.contains("delete") {
            return Reply::forward();
        }
        let body = String::from_utf8_lossy(&call.body).into_owned();
        let keys = body.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
        let deleted: String = keys.map(|(key, _)| format!("<Deleted><Key>{key}</Key></Deleted>")).collect();
        Reply::status(200).body(format!("<DeleteResult>{deleted}</DeleteResult>"))
    });
    let output = world.tool().env("AWS_ENDPOINT_URL", s3.address()).args(["prune", "--json"]).run();
    let result = output.code(8).json();
    output.stderr_contains("the store confirmed the deletion, but still lists it");
    assert!(list(&result["deleted"]).is_empty() && result["freed_bytes"] == 0, "{result}");
    assert_eq!(list(&result["failed"]).len(), 4, "two backups and their manifests");
    assert_eq!(world.files(), before);
}
