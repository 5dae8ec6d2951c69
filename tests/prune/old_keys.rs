//! An attacker with an old key who can write to the bucket. Old keys end: at their `until`, or
//! at the first backup under the current key.

use super::{BODY, World, ago, list, objects};
use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use crate::support::tool::Tool;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use vault_backup::formats::crypto::Key;
use vault_backup::formats::manifest::Manifest;
use vault_backup::formats::naming::{BackupName, BackupType};

const AFTER: &str = "under an old key after its end";

/// A store with an old key. The current one is the world's.
struct Rotated {
    world: World,
    old: Key,
}

impl Rotated {
    fn new(place: Place) -> Self {
        Self { world: World::new(place), old: Key::generate().unwrap() }
    }

    /// The tool with the old key, which ends at `until` if that is given.
    fn tool(&self, until: Option<DateTime<Utc>>) -> Tool {
        let tool = self.world.tool().env("OLD_KEY", self.old.to_hex().expose());
        let entry = match until {
            None => "\"env:OLD_KEY\"".to_owned(),
            Some(until) => format!("{{ key = \"env:OLD_KEY\", until = \"{}\" }}", until.format("%Y-%m-%d")),
        };
        std::fs::write(tool.home().join("config.toml"), format!("[encryption]\nold_keys = [{entry}]\n")).unwrap();
        tool.args(["--config", "config.toml"])
    }

    /// Writes a backup of that time under the old key, whose manifest names `key_id`.
    fn old_at(&self, at: DateTime<Utc>, key_id: &str) -> BackupName {
        let name = BackupName::new(BackupType::Daily, at);
        let manifest = Manifest { key_id: key_id.to_owned(), ..self.world.manifest_of(&name) };
        self.world.write(name.object(), BODY);
        self.world.write(&name.manifest(), &manifest.to_bytes(&self.old.mac_key()).unwrap());
        name
    }

    /// Writes backups under the old key, `days` old.
    fn old_ones(&self, days: impl IntoIterator<Item = i64>) -> Vec<BackupName> {
        days.into_iter().map(|day| self.old_at(ago(day), self.old.id())).collect()
    }

    fn record(&self, name: &BackupName, key: &Key, at: DateTime<Utc>) {
        let record = self.world.drill_record(&BackupName::new(BackupType::Daily, at), key);
        let mut record: Value = serde_json::from_slice(&record).unwrap();
        let record = vault_backup::formats::manifest::DrillRecord {
            object: name.object().into(),
            ..serde_json::from_value(record.take()).unwrap()
        };
        self.world.write(&name.drill_record(), &record.to_bytes(&key.mac_key()).unwrap());
    }
}

/// Returns the entry of `name` in the output of `list --json`.
fn entry<'a>(listing: &'a Value, name: &BackupName) -> &'a Value {
    listing["backups"].as_array().unwrap().iter().find(|entry| entry["object"] == name.object()).unwrap()
}

#[test]
fn a_new_backup_under_an_old_key_is_not_good() {
    for place in Place::both() {
        let rotated = Rotated::new(place);
        let genuine = rotated.old_ones([10, 9, 8]);
        let current = rotated.world.good_ones(BackupType::Daily, [6, 5, 2]);
        let minute = |m| Utc::now() - TimeDelta::minutes(m);
        let forged = [
            rotated.old_at(minute(1), rotated.old.id()),
            rotated.old_at(ago(4), rotated.old.id()),
            rotated.old_at(current[0].created_at(), rotated.old.id()).clone(),
        ];
        let posing = rotated.old_at(minute(2), rotated.world.key.id());
        // It replaced a genuine one.
        let current = &current[1..];
        for until in [None, Some(ago(7))] {
            let listing = rotated.tool(until).args(["list", "--json"]).run().ok().json();
            for name in &forged[..if until.is_none() { 2 } else { 3 }] {
                let entry = entry(&listing, name);
                assert_eq!(entry["standing"], "refused", "{entry}");
                assert!(entry["reason"].as_str().unwrap().contains(AFTER), "{entry}");
            }
            assert_eq!(entry(&listing, &posing)["reason"], "it names another key than the one that signed it");
            for name in genuine.iter().chain(current) {
                assert_eq!(entry(&listing, name)["standing"], "good", "{name}");
            }
            rotated.tool(until).args(["list", "--long"]).run().ok().stdout_contains(AFTER);
            let status = rotated.tool(until).args(["status", "--max-age", "26h", "--json"]).run();
            assert_eq!(status.code(9).json()["daily"]["newest_good"]["object"], current[1].object());
            rotated.tool(until).args(["inspect", "latest"]).run().code(5).stderr_contains(current[1].object());
            let vault = rotated.world.place.site.vault.address();
            let restore = ["restore", forged[0].object(), "--address", &vault, "--confirm", "x"];
            rotated.tool(until).args(restore).run().fails(5, &[forged[0].object(), AFTER, "--unverified"]);
            let decrypt = rotated.tool(until).args(["decrypt", forged[0].object()]).run();
            decrypt.code(5).stderr_contains(AFTER).stderr_contains("does not start with VLTBKUP1");
        }
    }
}

#[test]
fn an_old_key_counts_until_there_is_a_backup_under_the_current_one() {
    let rotated = Rotated::new(Place::directory());
    let old = rotated.old_ones([2, 1, 0]);
    let newest = |until| {
        let status = rotated.tool(until).args(["status", "--json"]).run().json();
        status["daily"]["newest_good"]["object"].clone()
    };
    assert_eq!(newest(None), old[2].object());
    assert_eq!(newest(Some(ago(-2))), old[2].object());
    // The configured end holds before the first backup under the current key, and after it.
    assert_eq!(newest(Some(ago(1))), old[0].object());
    let current = rotated.world.good(BackupType::Daily, 1);
    assert_eq!(newest(None), current.object());
    assert_eq!(newest(Some(ago(-2))), old[2].object());
}

#[test]
fn backups_under_an_old_key_do_not_displace_good_ones() {
    for until in [None, Some(ago(60))] {
        let rotated = Rotated::new(Place::directory());
        let current = rotated.world.good_ones(BackupType::Daily, (0..8).map(|week| 7 * week));
        let old = rotated.old_ones((9..12).map(|week| 7 * week));
        let forged: Vec<_> = (0..40)
            .map(|n| rotated.old_at(Utc::now() - TimeDelta::hours(n) - TimeDelta::minutes(7), rotated.old.id()))
            .collect();
        let output = rotated.tool(until).args(["prune", "--json"]).run();
        assert_eq!(list(&output.code(0).json()["deleted"]).len(), 0, "{output:?}");
        let left = rotated.world.files();
        assert!(objects(current.iter().chain(&old).chain(&forged)).is_subset(&left));
        // Genuine ones of the same number do.
        rotated.world.good_ones(BackupType::Daily, 1..30);
        let deleted = rotated.tool(until).args(["prune", "--json"]).run().json()["deleted"].clone();
        assert!(objects(&old).is_subset(&list(&deleted)), "{deleted}");
    }
}

#[test]
fn a_drill_record_under_an_old_key_counts_only_before_its_end() {
    for until in [None, Some(ago(7))] {
        let rotated = Rotated::new(Place::directory());
        let old = rotated.old_ones([12, 10]);
        let current = rotated.world.good_ones(BackupType::Daily, [6, 0]);
        let drill = |rotated: &Rotated| {
            let listing = rotated.tool(until).args(["list", "--json"]).run().json();
            let status = rotated.tool(until).args(["status", "--max-drill-age", "30d", "--json"]).run();
            (listing, status.json()["newest_drill"].clone())
        };
        // Of a backup under the current key, and of an old one but too late.
        rotated.record(&current[1], &rotated.old, Utc::now());
        rotated.record(&current[0], &rotated.old, ago(9));
        rotated.record(&old[1], &rotated.old, ago(1));
        let (listing, newest) = drill(&rotated);
        assert_eq!(newest, Value::Null, "{listing}");
        assert!(current.iter().chain(&old).all(|name| entry(&listing, name)["drilled_at"].is_null()), "{listing}");
        rotated.tool(until).args(["list", "--long"]).run().ok().stdout_contains("drill record: under an old key");

        rotated.record(&old[1], &rotated.old, ago(9));
        assert_eq!(drill(&rotated).1["object"], old[1].object());
        rotated.record(&old[0], &rotated.world.key, ago(3));
        assert_eq!(drill(&rotated).1["object"], old[0].object());
    }
}

/// The number of requests for manifests and for listings during `args`, which end with `code`.
fn requests(rotated: &Rotated, args: &[&str], code: i32) -> (usize, usize) {
    let proxy = FaultServer::proxy(&rotated.world.place.site.s3.endpoint(), |_| Reply::forward());
    rotated.tool(None).env("AWS_ENDPOINT_URL", proxy.address()).args(args).run().code(code);
    let calls = proxy.calls();
    let count =
        |wanted: &dyn Fn(&crate::support::fault::Call) -> bool| calls.iter().filter(|call| wanted(call)).count();
    (
        count(&|call| call.method == "GET" && call.path.ends_with(".manifest.json")),
        count(&|call| call.query.contains("list-type=2") && !call.query.contains("max-keys=1")),
    )
}

#[test]
fn older_manifests_are_read_only_for_backups_under_an_old_key() {
    let rotated = Rotated::new(Place::s3());
    rotated.old_ones(40..80);
    rotated.world.good_ones(BackupType::Daily, 0..30);
    // `daily/` and `monthly/` are one listing.
    assert_eq!(requests(&rotated, &["inspect", "latest"], 5), (2, 2), "it is read again when it is chosen");
    // After the deletions it lists the store once more.
    assert_eq!(requests(&rotated, &["prune", "--json"], 0), (30, 4));
    let newest = rotated.old_at(Utc::now(), rotated.old.id());
    let (manifests, listings) = requests(&rotated, &["inspect", "latest"], 5);
    assert!((3..=20).contains(&manifests) && listings == 2, "{manifests} {listings}");
    let (manifests, listings) = requests(&rotated, &["inspect", newest.object()], 5);
    assert!((2..=20).contains(&manifests) && listings == 2, "{manifests} {listings}");
}

#[test]
fn a_manifest_key_next_to_another_backup_key_is_an_old_one() {
    let rotated = Rotated::new(Place::directory());
    let current = rotated.world.good(BackupType::Daily, 3);
    rotated.old_ones([0]);
    let tool = rotated.world.tool().env("MANIFEST_KEY", rotated.old.manifest_key_to_hex().expose());
    std::fs::write(tool.home().join("config.toml"), "[encryption]\nmanifest_key = \"env:MANIFEST_KEY\"\n").unwrap();
    let status = tool.args(["status", "--json", "--config", "config.toml"]).run().json();
    assert_eq!(status["daily"]["newest_good"]["object"], json!(current.object()));
}
