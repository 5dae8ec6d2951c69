//! The monthly copy: only one that was read back gets a manifest.

use super::text;
use crate::support::fault::{Call, FaultServer, Reply};
use crate::support::place::{Place, next_second};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::block_in_place;

fn is_copy(call: &Call) -> bool {
    !call.header("x-amz-copy-source").is_empty()
}

/// Writes junk under the monthly name with the public metadata of the daily object, and of
/// its size.
fn plant(place: &Place, daily: &str) {
    let junk = vec![7; place.get(daily).len()];
    let metadata: BTreeMap<_, _> = place.metadata(daily);
    let monthly = monthly(daily);
    place.put(&monthly, &junk);
    place.set_metadata(&monthly, &metadata);
}

/// `daily/2025-11-26/x` → `monthly/2025-11/x`.
fn monthly(daily: &str) -> String {
    let (month, file) = (&daily["daily/".len()..][.."2025-11".len()], daily.rsplit('/').next().unwrap());
    format!("monthly/{month}/{file}")
}

fn source(call: &Call) -> String {
    call.header("x-amz-copy-source").split_once("/prod/").unwrap().1.to_owned()
}

/// The attacks and faults, by what the store does with the request for the copy.
fn reply(attack: &str, place: &Place, call: &Call) -> Reply {
    let done = || Reply::status(200).body("<CopyObjectResult><ETag>\"x\"</ETag></CopyObjectResult>");
    match attack {
        // The name is free when it is checked, and taken when the copy is made.
        "taken" => {
            plant(place, &source(call));
            Reply::forward()
        }
        "replaced" => {
            plant(place, &source(call));
            done()
        }
        "lost" => {
            plant(place, &source(call));
            Reply::status(500)
        }
        "nothing" => done(),
        _ => panic!("{attack}"),
    }
}

#[test]
fn a_junk_object_is_never_accepted_as_the_monthly_copy() {
    for (attack, says) in [
        ("taken", "already exists"),
        ("replaced", "copied, but not verified"),
        ("lost", "copied, but not verified"),
        ("nothing", "disappeared right after it was created"),
    ] {
        for mode in ["full", "head"] {
            let place = Arc::new(Place::s3());
            let planting = place.clone();
            let s3 = FaultServer::proxy(&place.site.s3.endpoint(), move |call| match is_copy(call) {
                true => block_in_place(|| reply(attack, &planting, call)),
                false => Reply::forward(),
            });
            let tool = place.tool().env("AWS_ENDPOINT_URL", s3.address());
            let output = tool.args(["backup", "--json", "--verify", mode]).run();
            // A server that ignores conditions on copies overwrites: that is the copy, and is good.
            if attack == "taken" && output.status == Some(0) {
                let copy = text(&output.json()["monthly_copy"]).to_owned();
                assert_eq!(place.get(&copy), place.get(text(&output.json()["object"])));
                continue;
            }
            output.code(8).stderr_contains("the monthly copy failed, the next run tries again");
            if attack != "taken" {
                output.stderr_contains(says);
            }
            let names = place.names();
            assert!(!names.iter().any(|name| name.starts_with("monthly/") && name.ends_with(".json")), "{names:?}");
            let status = place.tool().args(["status", "--json"]).run().ok().json();
            assert_eq!(
                (&status["daily"]["good"], &status["monthly"]["good"]),
                (&1.into(), &0.into()),
                "{attack} {mode}"
            );
            // The next run makes the copy.
            next_second();
            let again = place.tool().args(["backup", "--json"]).run().ok().json();
            assert_eq!(place.get(text(&again["monthly_copy"])), place.get(text(&again["object"])), "{attack} {mode}");
        }
    }
}

/// The name of the copy is public as soon as the backup is uploaded.
#[test]
fn junk_under_the_monthly_name_before_the_copy_is_a_conflict() {
    let place = Arc::new(Place::s3());
    let planting = place.clone();
    let s3 = FaultServer::proxy(&place.site.s3.endpoint(), move |call| {
        if call.method == "PUT" && call.path.contains("/daily/") && call.path.ends_with(".manifest.json") {
            let daily = call.path.split_once("/prod/").unwrap().1.trim_end_matches(".manifest.json").to_owned();
            block_in_place(|| plant(&planting, &daily));
        }
        Reply::forward()
    });
    let output = place.tool().env("AWS_ENDPOINT_URL", s3.address()).args(["backup", "--json"]).run();
    output.fails(8, &["the monthly copy failed", "already exists"]);
    assert!(!s3.calls().iter().any(is_copy), "nothing is copied over it");
    assert_eq!(place.names().len(), 3);
    let status = place.tool().args(["status", "--json"]).run().ok().json();
    assert_eq!(status["monthly"]["good"], 0, "{status}");
}

/// The read-back costs one download, also with `--verify head`.
#[test]
fn the_monthly_copy_is_read_back_in_every_mode() {
    for mode in ["full", "head"] {
        let place = Place::s3();
        let s3 = FaultServer::proxy(&place.site.s3.endpoint(), |_| Reply::forward());
        let tool = place.tool().env("AWS_ENDPOINT_URL", s3.address());
        let said = tool.args(["backup", "--json", "--verify", mode]).run().ok().json();
        let copy = text(&said["monthly_copy"]).to_owned();
        let reads = s3.calls().iter().filter(|call| call.method == "GET" && call.path.ends_with(&copy)).count();
        assert_eq!(reads, 1, "{mode}");
        assert_eq!(place.json(&format!("{copy}.manifest.json"))["verification"], "full");
        assert_eq!(place.json(&format!("{}.manifest.json", text(&said["object"])))["verification"], mode);
    }
}
