//! `status`: the age of the backups, and anomalies.

use super::{BODY, World, ago};
use crate::support::place::Place;
use crate::support::tool::tool;
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use vault_backup::formats::crypto::Key;
use vault_backup::formats::manifest::VaultFacts;
use vault_backup::formats::naming::{BackupName, BackupType};

/// Writes a good backup, `days` old, of `size` bytes, with these details in its manifest.
fn detailed(world: &World, days: i64, size: usize, raft_index: u64, cluster: &str) -> BackupName {
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
fn status_reports_anomalies() {
    for world in World::both() {
        detailed(&world, 9, 10, 500, "a");
        detailed(&world, 8, 10, 1_000, "a");
        let sane = world.tool().args(["status", "--json", "--max-age", "9d"]).run();
        assert_eq!(anomalies(&sane.ok().json()), [""; 0]);

        let backwards = detailed(&world, 7, 10, 900, "a");
        let fell = detailed(&world, 6, 4, 1_100, "a");
        let changed = detailed(&world, 5, 10, 1, "b");
        // None four and three days ago.
        let loose = BackupName::new(BackupType::Daily, ago(2));
        world.write(loose.object(), BODY);
        let newest = detailed(&world, 0, 10, 2, "b");
        let ahead = BackupName::new(BackupType::Daily, Utc::now() + TimeDelta::days(2));
        world.write(ahead.object(), BODY);

        let status = world.tool().args(["status", "--json"]).run().ok().json();
        let said = anomalies(&status);
        let expected = [
            (&ahead, "is in the future".to_owned()),
            (&loose, "has no valid manifest".to_owned()),
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
        assert_eq!(
            status["daily"]["newest_good"]["object"],
            newest.object(),
            "a backup from the future is never the newest"
        );

        let text = world.tool().arg("status").run();
        assert_eq!(text.ok().text().matches("warning: ").count(), said.len());
        let nagios = world.tool().args(["status", "--nagios"]).run();
        nagios.code(1).stderr_is("").stdout_contains("VAULT-BACKUP WARNING - ").stdout_contains(&gap);
        assert_eq!(nagios.text().lines().count(), 1);
    }
}

#[test]
fn status_reports_the_age_of_backups_and_drills() {
    let world = World::new(Place::directory());
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
    status(&["--max-drill-age", "1d"]).code(9).stdout_contains("STALE: the newest restore drill is");

    let line = status(&["--nagios"]);
    line.ok().stdout_contains("VAULT-BACKUP OK - newest good daily backup ").stdout_contains("| age=");
    status(&["--nagios", "--max-age", "30m"]).code(2).stdout_contains("VAULT-BACKUP CRITICAL - the newest good backup");
    status(&["--nagios", "--store", "file:///no/such/directory"]).code(3).stdout_contains("VAULT-BACKUP UNKNOWN - ");
}

/// An empty prefix is perhaps a mistyped one.
#[test]
fn status_reports_an_empty_store_and_its_foreign_objects() {
    let world = World::new(Place::s3());
    let none = format!("no backups in {}; the first run of `backup` creates them", world.place.url());
    let text = world.tool().arg("status").run();
    text.code(9).stderr_is("").stdout_is(&format!("STALE: {none}\n"));
    world.tool().arg("list").run().ok().stdout_is(&format!("{none}\n"));

    world.write("daily/notes", b"mine");
    let foreign = format!("{none} (1 foreign object: is it the right place?)");
    let status = world.tool().args(["status", "--json"]).run().code(9).json();
    assert_eq!((&status["stale"], &status["daily"]["count"]), (&json!([foreign]), &json!(0)));
    world.tool().args(["status", "--nagios"]).run().code(2).stdout_contains(&format!("CRITICAL - {foreign}"));
}

#[test]
fn status_without_the_key_names_the_key_id_that_the_backups_need() {
    for world in World::both() {
        world.good_ones(BackupType::Daily, 0..3);
        let unnamed = world.good(BackupType::Daily, 4);
        let mut manifest: Value = serde_json::from_slice(&world.manifest(&unnamed, &world.key)).unwrap();
        manifest["key_id"] = json!("\u{1b}[31m forged");
        world.write(&unnamed.manifest(), manifest.to_string().as_bytes());
        let key_id = world.key.id();
        let other = Key::generate().unwrap().to_hex();
        let output = world.tool().env("VAULT_BACKUP_KEY", other.expose()).arg("status").run();
        output.code(9).stdout_contains("no good daily backup (0 good)").stdout_contains(&format!(
            "STALE: no good backup: 3 backups under key {key_id}, which is not configured; 1 backup under an unknown key\n"
        ));
        assert!(!output.text().contains('\u{1b}'));
        let keyless = tool().envs(world.place.site.s3.env()).env("VAULT_BACKUP_STORE", world.place.url());
        keyless.arg("status").run().code(9).stdout_contains(&format!("3 backups under key {key_id}, which is not"));
    }
}
