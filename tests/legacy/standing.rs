//! A legacy backup is never good, with or without the permission to read it, and keeps what it
//! has: it is listed, drilled by name, and pruned by the rules of backups that are not good.

use super::{NAMES, REFUSED, configured, date};
use crate::support::production::{Site, seal_older};
use crate::support::tool::Tool;
use serde_json::{Value, json};

/// The permission for all names.
const LATE: &str = "2030-01-01";

fn entry(list: &Value, name: &str) -> Value {
    let entries = list["backups"].as_array().unwrap();
    entries.iter().find(|entry| entry["object"] == name).unwrap_or_else(|| panic!("no {name} in {list}")).clone()
}

#[test]
fn a_legacy_backup_is_listed_and_never_good() {
    let site = Site::new();
    let good = site.production.object.clone();
    let legacy = site.seal_older(&site.production.vault.snapshot());
    for encryption in ["", &date(LATE)] {
        let tool = |args: &[&str]| configured(&site, "http://127.0.0.1:1", encryption).args(args);
        let list = tool(&["list", "--json"]).run().ok().json();
        assert_eq!(entry(&list, &legacy)["standing"], "unverified");
        assert_eq!(entry(&list, &good)["standing"], "good");
        let status = tool(&["status", "--json", "--max-drill-age", "9000d"]).run();
        let status = status.code(9).json();
        assert_eq!((&status["daily"]["count"], &status["daily"]["good"]), (&json!(2), &json!(1)));
        assert_eq!(status["daily"]["newest_good"]["object"], json!(good));
        // The newest one by its name is never chosen by a short name.
        for name in ["latest", "latest:daily"] {
            let chosen = tool(&["inspect", name, "--json"]).run().ok().json();
            assert!(chosen["input"].as_str().unwrap().ends_with(&good), "{chosen}");
        }
        let short = legacy.rsplit('/').next().unwrap();
        tool(&["inspect", short, "--legacy"]).run().fails(5, &["is not good", &legacy]);
        let drilled = tool(&["verify-restore", "--offline", "--json"]).run();
        assert_eq!(drilled.ok().json()["backup_tested"], json!(good));
        // Anyone who can write can plant thousands of them: none protects or displaces another.
        let plan = tool(&["prune", "--dry-run", "--json"]).run().ok().json();
        assert!(!plan["deleted"].to_string().contains(&good), "{plan}");
        std::fs::remove_file(site.path("store").join(format!("{good}.drill.json"))).unwrap();
    }
}

#[test]
fn only_legacy_backups_are_no_fresh_backup() {
    let site = Site::new();
    let legacy = seal_older(&site.production.key, &site.production.vault.snapshot());
    for name in site.names() {
        std::fs::remove_file(site.path("store").join(name)).unwrap();
    }
    let newest = site.seal_older(&site.production.vault.snapshot());
    NAMES.iter().for_each(|name| site.put(name, &legacy));
    for encryption in ["", &date(LATE)] {
        let tool = |args: &[&str]| -> Tool { configured(&site, "http://127.0.0.1:1", encryption).args(args) };
        let status = tool(&["status", "--json", "--max-age", "9000d"]).run();
        assert_eq!(status.code(9).json()["daily"]["good"], 0);
        let list = tool(&["list", "--json"]).run().ok().json();
        for name in NAMES.iter().copied().chain([newest.as_str()]) {
            assert_eq!(entry(&list, name)["standing"], "unverified");
        }
        let before = site.names();
        tool(&["prune"]).run().code(0);
        assert_eq!(site.names(), before, "without good backups nothing is deleted");
        tool(&["inspect", "latest", "--legacy"]).run().fails(5, &["is good"]);
        // Without a good one, the newest is drilled all the same, which proves nothing to others.
        let output = tool(&["verify-restore", "--offline", "--legacy"]).run();
        output.code(0).stderr_contains(&newest).stderr_contains("no drill record was written");
    }
    // A drill of one by its name passes and leaves no record.
    let drill = |encryption: &str| {
        configured(&site, "http://127.0.0.1:1", encryption).args(["verify-restore", "--offline", NAMES[0]]).run()
    };
    drill("").fails(5, &[REFUSED]);
    drill(&date(LATE)).code(0).stderr_contains("no drill record was written because the backup has no manifest");
}
