//! An attacker who can write to the bucket, and has no key.

use super::{BODY, World, ago, list};
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use vault_backup::formats::crypto::Key;
use vault_backup::formats::manifest::VaultFacts;
use vault_backup::formats::naming::{BackupName, BackupType};

fn stranger() -> Key {
    Key::generate().unwrap()
}

/// Returns manifests that an attacker can write for any name: none of them may count.
fn forged(world: &World, name: &BackupName, genuine: &BackupName) -> [Vec<u8>; 7] {
    let edit = |change: fn(&mut Value)| {
        let mut document: Value = serde_json::from_slice(&world.manifest(genuine, &world.key)).unwrap();
        change(&mut document);
        document.to_string().into_bytes()
    };
    let object = name.object().to_owned();
    let mut renamed: Value = serde_json::from_slice(&world.manifest(genuine, &world.key)).unwrap();
    renamed["object"] = json!(object);
    let mut other_cluster = world.manifest_of(name);
    other_cluster.vault = VaultFacts { cluster_id: Some("another".into()), ..VaultFacts::default() };
    [
        world.manifest(name, &stranger()),
        other_cluster.to_bytes(&stranger().mac_key()).unwrap(),
        world.manifest(genuine, &world.key),
        renamed.to_string().into_bytes(),
        edit(|document| document["mac"] = json!("00".repeat(32))),
        b"{\"schema\":1}".to_vec(),
        vec![b'['; 200_000],
    ]
}

/// Many newer backups, none of them good.
#[test]
fn forged_backups_do_not_displace_good_ones() {
    for world in World::both() {
        let good = world.good_ones(BackupType::Daily, 60..90);
        let monthly = world.good_ones(BackupType::Monthly, (15..27).map(|month| month * 31));
        let names = (0..42)
            .map(|day| BackupName::new(BackupType::Daily, ago(day)))
            .chain((0..14).map(|month| BackupName::new(BackupType::Monthly, ago(month * 31))));
        let mut planted = Vec::new();
        for (n, name) in names.enumerate() {
            let documents = forged(&world, &name, if n % 2 == 0 { &good[0] } else { &monthly[0] });
            planted.push((name.object().to_owned(), BODY.to_vec()));
            planted.push((name.manifest(), documents[n % documents.len()].clone()));
        }
        // A genuine manifest next to an object of another size.
        let swapped = BackupName::new(BackupType::Daily, Utc::now() - TimeDelta::minutes(1));
        planted.push((swapped.object().to_owned(), b"of another size".to_vec()));
        planted.push((swapped.manifest(), world.manifest(&swapped, &world.key)));
        // Genuine except for its time.
        let future = BackupName::new(BackupType::Daily, Utc::now() + TimeDelta::days(400));
        planted.push((future.object().to_owned(), BODY.to_vec()));
        planted.push((future.manifest(), world.manifest(&future, &world.key)));
        world.place.put_many(planted);

        let output = world.prune();
        let deleted = list(&output.code(0).json()["deleted"]);
        output
            .stderr_contains("its name is in the future")
            .stderr_contains("invalid manifest, so the backup does not count: ");
        for name in good.iter().chain(&monthly).chain([&future]) {
            assert!(!deleted.contains(name.object()), "{name} was deleted");
        }
        let left = world.files();
        for name in good.iter().chain(&monthly) {
            assert!(left.contains(name.object()) && left.contains(&name.manifest()), "{name}");
        }
        let status = world.tool().args(["status", "--json"]).run().code(9).json();
        assert_eq!(status["daily"]["newest_good"]["object"], good[0].object(), "{status}");
        assert_eq!(status["monthly"]["newest_good"]["object"], monthly[0].object());
        let listed = world.tool().args(["list", "--json"]).run().code(0).json();
        let counted = listed["backups"].as_array().unwrap().iter().filter(|one| one["standing"] == "good").count();
        assert_eq!(counted, good.len() + monthly.len() + 1, "and the one from the future");
    }
}

/// Good backups, old enough to delete, copied with their manifests to newer names.
#[test]
fn old_backups_renamed_to_today_do_not_count_as_new() {
    for world in World::both() {
        let good = world.good_ones(BackupType::Daily, 40..70);
        let renamed: Vec<_> = (0..30).map(|day| BackupName::new(BackupType::Daily, ago(day))).collect();
        let copies = renamed.iter().zip(&good).flat_map(|(to, from)| {
            [(to.object().to_owned(), BODY.to_vec()), (to.manifest(), world.manifest(from, &world.key))]
        });
        world.place.put_many(copies.collect());
        let output = world.prune();
        assert_eq!(list(&output.code(0).json()["deleted"]).len(), 0);
        output.stderr_contains(&format!("it is another object's: {}", good[0]));
        assert!(good.iter().all(|name| world.files().contains(name.object())));
        world.tool().args(["status", "--max-age", "30d"]).run().code(9).stdout_contains("STALE");
    }
}

/// A forged record does not count, and does not displace a genuine one.
#[test]
fn forged_drill_records_do_not_count() {
    for world in World::both() {
        let daily = world.good_ones(BackupType::Daily, 0..60);
        let genuine = &daily[50];
        world.write(&genuine.drill_record(), &world.drill_record(genuine, &world.key));
        let other = |name: &BackupName| {
            let record = world.drill_record(name, &world.key);
            let text = String::from_utf8(record).unwrap();
            // Of an object that was replaced.
            text.replace(&"00".repeat(32), &"11".repeat(32)).into_bytes()
        };
        for (n, name) in daily[..49].iter().enumerate() {
            let record = match n % 4 {
                0 => world.drill_record(name, &stranger()),
                1 => world.drill_record(genuine, &world.key),
                2 => other(name),
                _ => b"{}".to_vec(),
            };
            world.write(&name.drill_record(), &record);
        }
        let status = world.tool().args(["status", "--max-drill-age", "10d", "--json"]).run().code(9).json();
        assert_eq!(status["newest_drill"]["object"], genuine.object(), "{status}");
        let output = world.prune();
        let deleted = list(&output.code(0).json()["deleted"]);
        assert_eq!(deleted.len(), 29);
        assert!(!deleted.contains(genuine.object()), "the newest that passed a drill");
    }
}
