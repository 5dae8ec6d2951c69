//! `status` and `list`: how fresh the backups are, what looks odd, what is there.

use super::{BODY, World, ago};
use crate::support::place::Place;
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use vault_backup::formats::manifest::VaultFacts;
use vault_backup::formats::naming::{BackupName, BackupType};

/// A good backup `days` old, of `size` bytes, with these facts.
fn with_facts(world: &World, days: i64, size: usize, raft_index: u64, cluster: &str) -> BackupName {
    let name = BackupName::new(BackupType::Daily, ago(days));
    let mut manifest = world.manifest_of(&name);
    manifest.size_bytes = size as u64;
    manifest.vault =
        VaultFacts { raft_index: Some(raft_index), cluster_id: Some(cluster.to_owned()), ..VaultFacts::default() };
    world.write(name.object(), &BODY.repeat(2)[..size]);
    world.write(&name.manifest(), &manifest.to_bytes(&world.key.mac_key()).unwrap());
    name
}

fn anomalies(status: &Value) -> Vec<String> {
    status["anomalies"].as_array().unwrap().iter().map(|said| said.as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_looks_odd_is_said() {
    for world in World::both() {
        with_facts(&world, 9, 10, 500, "a");
        with_facts(&world, 8, 10, 1_000, "a");
        let sane = world.tool().args(["status", "--json", "--max-age", "9d"]).run();
        assert_eq!(anomalies(&sane.ok().json()), [""; 0]);

        let backwards = with_facts(&world, 7, 10, 900, "a");
        let fell = with_facts(&world, 6, 4, 1_100, "a");
        let changed = with_facts(&world, 5, 10, 1, "b");
        // Four and three days ago there is none.
        let loose = BackupName::new(BackupType::Daily, ago(2));
        world.write(loose.object(), BODY);
        let newest = with_facts(&world, 0, 10, 2, "b");
        let ahead = BackupName::new(BackupType::Daily, Utc::now() + TimeDelta::days(2));
        world.write(ahead.object(), BODY);

        let status = world.tool().args(["status", "--json"]).run().ok().json();
        let said = anomalies(&status);
        let expected = [
            (&ahead, "lies in the future".to_owned()),
            (&loose, "has no manifest that holds".to_owned()),
            (&changed, format!("is of cluster b, {fell} was of a")),
            (&fell, format!("has 4 bytes, less than half of the 10 bytes of {backwards}")),
            (&backwards, "has raft index 900, below the 1000 of".to_owned()),
        ];
        for (name, what) in &expected {
            assert!(said.iter().any(|one| one.contains(name.object()) && one.contains(what)), "{what}: {said:#?}");
        }
        let (from, to) = (ago(4).format("%Y-%m-%d"), ago(1).format("%Y-%m-%d"));
        let gap = format!("no good daily backup from {from} to {to}");
        assert!(said.contains(&gap), "{gap}: {said:#?}");
        assert_eq!(said.len(), expected.len() + 1, "{said:#?}");
        assert_eq!(status["daily"]["newest_good"]["object"], newest.object(), "the one from the future is not it");

        let text = world.tool().arg("status").run();
        assert_eq!(text.ok().text().matches("odd: ").count(), said.len());
        let nagios = world.tool().args(["status", "--nagios"]).run();
        nagios.code(1).stderr_is("").stdout_contains("VAULT-BACKUP WARNING - ").stdout_contains(&gap);
        assert_eq!(nagios.text().lines().count(), 1);
    }
}

#[test]
fn status_says_how_fresh_they_are() {
    let world = World::new(Place::folder());
    let daily = world.good_ones(BackupType::Daily, 0..3);
    let monthly = world.good(BackupType::Monthly, 0);
    world.write(&daily[2].drill_record(), &world.drill_record(&daily[2], &world.key));
    let status = |args: &[&str]| world.tool().arg("status").args(args).run();

    let said = status(&["--json", "--max-drill-age", "3d"]).ok().json();
    assert_eq!((&said["fresh"], &said["stale"], &said["anomalies"]), (&json!(true), &json!([]), &json!([])));
    assert_eq!((&said["daily"]["good"], &said["daily"]["count"]), (&json!(3), &json!(3)));
    assert_eq!(said["monthly"]["newest_good"]["object"], monthly.object());
    assert_eq!(said["newest_drill"]["object"], daily[2].object());
    assert_eq!(said["size_bytes"], 4 * BODY.len());
    let age = said["daily"]["newest_good"]["age_seconds"].as_i64().unwrap();
    assert!((3_600..7_200).contains(&age), "{age}");

    status(&[]).ok().stdout_contains("(3 good)").stdout_contains("4 backups");
    let stale = status(&["--json", "--max-age", "30m", "--max-drill-age", "2d"]);
    let said = stale.code(9).stderr_is("").json();
    assert_eq!((&said["fresh"], said["stale"].as_array().unwrap().len()), (&json!(false), 2), "{said}");
    status(&["--max-drill-age", "1d"]).code(9).stdout_contains("STALE: the newest passed drill is");

    let line = status(&["--nagios"]);
    line.ok().stdout_contains("VAULT-BACKUP OK - newest good daily backup ").stdout_contains("| age=");
    status(&["--nagios", "--max-age", "30m"]).code(2).stdout_contains("VAULT-BACKUP CRITICAL - the newest good backup");
    status(&["--nagios", "--store", "file:///no/such/folder"]).code(3).stdout_contains("VAULT-BACKUP UNKNOWN - ");
}

#[test]
fn list_says_what_is_known_of_each() {
    for world in World::both() {
        let daily = world.good_ones(BackupType::Daily, 0..32);
        world.write(&daily[3].drill_record(), &world.drill_record(&daily[3], &world.key));
        world.write(&daily[4].manifest(), b"{}");
        let loose = BackupName::new(BackupType::Daily, ago(50));
        world.write(loose.object(), BODY);
        world.write("daily/notes", b"mine");
        let output = world.tool().arg("list").run();
        let text = output.ok().text();
        let row = |name: &BackupName| -> Vec<String> {
            let line = text.lines().find(|line| line.starts_with(name.object())).unwrap_or_else(|| panic!("{text}"));
            line.split("  ").map(|cell| cell.trim().to_owned()).filter(|cell| !cell.is_empty()).collect()
        };
        let drilled = daily[3].created_at().format("%Y-%m-%d").to_string();
        assert!(text.starts_with("NAME"), "{text}");
        assert_eq!(row(&daily[0])[2..], ["10 B", "good", "-", "keep: newest good daily backup"]);
        assert_eq!(row(&daily[3])[1..], ["3 d", "10 B", "good", &drilled, "keep: within 30 days"]);
        assert_eq!(row(&daily[4])[3], "refused");
        assert_eq!(row(&daily[30])[5], "keep: one of the 30 newest good daily backups");
        assert_eq!(
            row(&loose)[3..],
            ["unverified", "-", "delete: unverified, older than 30 days, and 30 newer good daily backups remain"]
        );
        let document = world.tool().args(["list", "--json"]).run().ok().json();
        let listed = document["backups"].as_array().unwrap();
        assert_eq!(listed.len(), 33);
        assert_eq!((&listed[0]["object"], &listed[0]["standing"]), (&json!(daily[0].object()), &json!("good")));
        assert_eq!((&listed[32]["object"], &listed[32]["delete"]), (&json!(loose.object()), &json!(true)));
        assert!(listed[4]["reason"].as_str().unwrap().contains("malformed"), "{}", listed[4]);
        assert_eq!(document["foreign_objects"], 1);
    }
}
