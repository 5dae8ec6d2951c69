//! A store, or a proxy in front of it, that confirms writes and stores nothing, or something else.

use super::raced::Request;
use crate::support::fault::{Call, FaultServer, Reply};
use crate::support::place::Place;
use crate::support::production::Site;
use crate::support::s3::S3;
use crate::support::tool::Output;
use std::sync::Arc;
use tokio::task::block_in_place;

/// A backup through a proxy that answers each PUT of a document below `kind` with `reply`.
fn backup(place: &Arc<Place>, kind: &'static str, reply: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Output {
    let s3 = FaultServer::proxy(&place.site.s3.endpoint(), move |call| {
        match Request::Manifest.is(call) && call.path.contains(kind) {
            true => block_in_place(|| reply(call)),
            false => Reply::forward(),
        }
    });
    place.tool().env("AWS_ENDPOINT_URL", s3.address()).args(["backup", "--json"]).run()
}

fn key(call: &Call) -> &str {
    call.path.split_once("/prod/").unwrap().1
}

/// Returns the number of good backups by kind.
fn good(place: &Place) -> (u64, u64) {
    let status = place.tool().args(["status", "--json"]).run().json();
    (status["daily"]["good"].as_u64().unwrap(), status["monthly"]["good"].as_u64().unwrap())
}

#[test]
fn a_manifest_that_the_store_did_not_store_is_a_failure() {
    let place = Arc::new(Place::s3());
    let output = backup(&place, "/daily/", |_| Reply::status(200));
    output.fails(
        4,
        &[
            "uploaded and verified, but its manifest is not known to be stored",
            "the store confirmed the write, but has no such object",
        ],
    );
    assert_eq!(output.json()["error"]["class"], "store");
    assert_eq!(good(&place), (0, 0));

    let place = Arc::new(Place::s3());
    let output = backup(&place, "/monthly/", |_| Reply::status(200));
    output.fails(8, &["the monthly copy failed", "the store confirmed the write, but has no such object"]);
    assert_eq!(good(&place), (1, 0));
}

#[test]
fn a_manifest_that_the_store_changed_is_a_failure() {
    for (kind, code, count) in [("/daily/", 5, (0, 0)), ("/monthly/", 8, (1, 0))] {
        let place = Arc::new(Place::s3());
        let planting = place.clone();
        let output = backup(&place, kind, move |call| {
            let mut body = call.body.to_vec();
            body[20] ^= 1;
            planting.put(key(call), &body);
            Reply::status(200)
        });
        output.fails(code, &["the store returns other bytes than were written"]);
        assert_eq!(good(&place), count, "{kind}");
    }
}

/// The manifest is there although each response was an error: the backup is good, and the
/// run says so.
#[test]
fn a_manifest_that_is_stored_despite_an_error_counts() {
    for (kind, says) in [("/daily/", "the backup is good, but"), ("/monthly/", "the monthly copy is good, but")] {
        let place = Arc::new(Place::s3());
        let planting = place.clone();
        let output = backup(&place, kind, move |call| {
            planting.put(key(call), &call.body);
            Reply::status(403).body("<Error><Code>AccessDenied</Code></Error>")
        });
        output.fails(8, &[says, "the store reported an error"]);
        assert_eq!(output.json()["problems"].as_array().unwrap().len(), 1);
        assert_eq!(good(&place), (1, 1), "{kind}");
    }
}

#[test]
fn a_manifest_that_cannot_be_read_back_is_not_called_stored() {
    let place = Arc::new(Place::s3());
    let s3 = FaultServer::proxy(&place.site.s3.endpoint(), |call| {
        match call.method != "PUT" && call.path.ends_with(".manifest.json") {
            true => Reply::status(403).body("<Error><Code>AccessDenied</Code></Error>"),
            false => Reply::forward(),
        }
    });
    let output = place.tool().env("AWS_ENDPOINT_URL", s3.address()).args(["backup", "--kind", "daily"]).run();
    output.fails(4, &["its manifest is not known to be stored", "written, but cannot be read back", "denied"]);
}

/// An object that the store confirmed and did not store, in each mode.
#[test]
fn an_object_that_the_store_did_not_store_is_a_failure() {
    for mode in ["full", "head"] {
        let place = Place::s3();
        let s3 = FaultServer::proxy(&place.site.s3.endpoint(), |call| match Request::Put.is(call) {
            true => Reply::status(200).header("ETag", "\"x\""),
            false => Reply::forward(),
        });
        let tool = place.tool().env("AWS_ENDPOINT_URL", s3.address());
        let output = tool.args(["backup", "--kind", "daily", "--verify", mode]).run();
        output.fails(4, &["disappeared right after it was created"]);
        place.assert_empty();
    }
}

#[test]
fn a_drill_record_that_the_store_did_not_store_is_a_failure() {
    let (site, s3) = (Site::new(), S3::start());
    s3.bucket("backups");
    let names = site.names().into_iter().filter(|name| !name.ends_with(".drill.json"));
    s3.put_many("backups", names.map(|name| (name.clone(), site.get(&name))).collect());
    let proxy =
        FaultServer::proxy(&s3.endpoint(), |call| match call.method == "PUT" && call.path.ends_with(".drill.json") {
            true => Reply::status(200),
            false => Reply::forward(),
        });
    let object = site.production.object.clone();
    let staging = "[staging]\nunseal_keys = [\"env:SHARE0\", \"env:SHARE1\"]";
    let tool = site.tool_of(&[], staging).envs(s3.env()).env("AWS_ENDPOINT_URL", proxy.address());
    let output = tool.args(["verify-restore", "--offline", "--store", "s3://backups", &object]).run();
    output.fails(4, &[".drill.json: the store confirmed the write, but has no such object"]);
}
