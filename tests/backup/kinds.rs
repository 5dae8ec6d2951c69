//! Kinds of backups, their verification, and the prune afterwards.

use super::text;
use crate::support::fault::{FaultServer, Reply};
use crate::support::place::{Place, next_second};
use serde_json::{Value, json};

fn backup(place: &Place, args: &[&str]) -> Value {
    next_second();
    let output = place.tool().args(["backup", "--json"]).args(args).run();
    output.ok();
    output.json()
}

#[test]
fn each_month_gets_one_monthly_copy() {
    for place in Place::both() {
        let [first, second] = [backup(&place, &[]), backup(&place, &[])];
        assert_ne!(first["object"], second["object"]);
        let month = |said: &Value| text(&said["created_at"])[..7].to_owned();
        assert!(first["monthly_copy"].is_string(), "{first}");
        // Midnight at the end of a month may be between the two.
        assert_eq!(second["monthly_copy"].is_null(), month(&first) == month(&second), "{second}");
    }
}

/// A copy without a manifest does not count.
#[test]
fn a_monthly_copy_without_manifest_is_made_again() {
    let place = Place::directory();
    let first = backup(&place, &[]);
    let copy = text(&first["monthly_copy"]);
    place.put(&format!("{copy}.manifest.json"), b"{}");
    let second = backup(&place, &[]);
    assert!(second["monthly_copy"].is_string() && second["monthly_copy"] != *copy, "{second}");
}

#[test]
fn a_failed_monthly_copy_is_retried_by_the_next_run() {
    let place = Place::s3();
    let s3 = FaultServer::proxy(&place.site.s3.endpoint(), |call| match call.header("x-amz-copy-source") {
        "" => Reply::forward(),
        _ => Reply::status(403).body("<Error><Code>AccessDenied</Code></Error>"),
    });
    let output = place.tool().env("AWS_ENDPOINT_URL", s3.address()).args(["backup", "--json"]).run();
    output.fails(8, &["the monthly copy failed, the next run tries again", "denied: s3:"]).leaves(&[]);
    let said = output.json();
    assert_eq!(said["problems"].as_array().unwrap().len(), 1, "{said}");
    assert_eq!(place.names().len(), 2);
    place.tool().arg("status").run().ok().stdout_contains(text(&said["object"]));
    assert!(backup(&place, &[])["monthly_copy"].is_string());
}

#[test]
fn kind_selects_daily_or_monthly() {
    for place in Place::both() {
        for (kind, count) in [("daily", 2), ("monthly", 4)] {
            let said = backup(&place, &["--kind", kind]);
            assert_eq!(said["backup_type"], kind);
            assert!(text(&said["object"]).starts_with(&format!("{kind}/")), "{said}");
            assert!(said.get("monthly_copy").is_none(), "{said}");
            assert_eq!(place.names().len(), count);
        }
        // That month already has a good backup.
        let said = backup(&place, &[]);
        let same =
            place.names().iter().any(|name| name.starts_with(&format!("monthly/{}", &text(&said["created_at"])[..7])));
        assert!(same && place.names().len() <= 8, "{said}");
    }
}

#[test]
fn verify_head_does_not_read_the_object_back() {
    let place = Place::s3();
    for (mode, reads) in [("head", 0), ("full", 1)] {
        let s3 = FaultServer::proxy(&place.site.s3.endpoint(), |_| Reply::forward());
        next_second();
        let output = place
            .tool()
            .env("AWS_ENDPOINT_URL", s3.address())
            .args(["backup", "--kind", "daily", "--json", "--verify", mode])
            .run();
        output.ok();
        let said = output.json();
        assert_eq!(said["verification"], mode);
        let manifest = place.json(&format!("{}.manifest.json", text(&said["object"])));
        assert_eq!(manifest["verification"], mode);
        let read = s3.calls().iter().filter(|call| call.method == "GET" && call.path.ends_with(".enc")).count();
        assert_eq!(read, reads, "{mode}");
    }
    place.tool().arg("status").run().ok();
}

#[test]
fn backup_with_prune_deletes_old_backups() {
    for place in Place::both() {
        let old = "daily/2020-01-01/vault-snapshot-20200101-020000.enc";
        let older_service = "daily/2020-01-02/vault-snapshot-2020-01-02T02-00-00-000Z.enc";
        let foreign = ["daily/2020-01-01/notes.txt", "daily/vault-snapshot-20200101-020000.enc", "other/x"];
        for name in [old, older_service].iter().chain(&foreign) {
            place.put(name, b"x");
        }
        let config = "[retention]\ndaily_days = 1\n";
        let tool = place.tool();
        std::fs::write(tool.home().join("config.toml"), config).unwrap();
        let output = tool.args(["backup", "--kind", "daily", "--prune", "--json", "--config", "config.toml"]).run();
        output.ok();
        let said = output.json();
        let mut deleted: Vec<_> = said["pruned"]["deleted"].as_array().unwrap().iter().map(text).collect();
        deleted.sort_unstable();
        assert_eq!(deleted, [old, older_service]);
        assert_eq!(said["pruned"]["kept"], json!(1));
        let mut left: Vec<_> = place.names();
        left.retain(|name| !name.starts_with(text(&said["object"])));
        let mut expected = foreign.map(str::to_owned);
        expected.sort();
        assert_eq!(left, expected);
    }
}
