//! Runs that end early: an incomplete listing, a signal, a wrong clock.

use super::{BODY, World, ago, list, objects};
use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use crate::support::process::PATIENCE;
use chrono::TimeDelta;
use rustix::process::Signal;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use vault_backup::formats::naming::{BackupName, BackupType};

/// Returns thirty good backups, and `due` older ones: more than one request deletes.
fn world(due: i32) -> (World, Vec<BackupName>) {
    let world = World::new(Place::s3());
    world.good_ones(BackupType::Daily, 0..30);
    let due: Vec<_> =
        (0..due).map(|n| BackupName::new(BackupType::Daily, ago(40) - TimeDelta::minutes(37) * n)).collect();
    world.place.put_many(due.iter().map(|name| (name.object().to_owned(), BODY.to_vec())).collect());
    (world, due)
}

#[test]
fn a_truncated_listing_deletes_nothing() {
    let (world, _) = world(1_200);
    let before = world.files();
    let truncated = "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>";
    let unclear = "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>prod/daily/x</Key></Contents></ListBucketResult>";
    let no_end = "<ListBucketResult><IsTruncated>false</IsTruncated>";
    let unstated = "<ListBucketResult></ListBucketResult>";
    let denied = "<Error><Code>AccessDenied</Code></Error>";
    for (status, body, says) in [
        (200, truncated, "the listing is truncated"),
        (200, unclear, "the listing is invalid"),
        (200, no_end, "the response is truncated"),
        (200, unstated, "has no <IsTruncated>"),
        (200, "<html></html>", "not an S3 server"),
        (403, denied, "denied: s3:ListBucket"),
    ] {
        let pages = AtomicUsize::new(0);
        let proxy = FaultServer::proxy(&world.place.site.s3.endpoint(), move |call| {
            let is_page = call.query.contains("list-type=2") && !call.query.contains("max-keys=1");
            let is_later = is_page && pages.fetch_add(1, Ordering::Relaxed) >= 1;
            if is_later { Reply::status(status).body(body) } else { Reply::forward() }
        });
        let output = world.tool().env("AWS_ENDPOINT_URL", proxy.address()).args(["prune", "--json"]).run();
        output.fails(4, &[&world.place.url(), says]);
        assert!(proxy.calls().iter().all(|call| call.method == "GET"), "only read");
    }
    assert_eq!(world.files(), before);
}

/// Responses to ListMultipartUploads that do not show all uploads: none of them is aborted, and
/// the prune says so.
#[test]
fn a_truncated_listing_of_uploads_aborts_nothing() {
    let world = World::new(Place::s3());
    world.good(BackupType::Daily, 0);
    let ours = BackupName::new(BackupType::Daily, ago(3));
    let id = world.place.abandon_upload(ours.object());
    let (root, key) = ("ListMultipartUploadsResult", world.place.key(ours.object()));
    let upload = format!(
        "<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>2020-01-01T00:00:00Z</Initiated></Upload>"
    );
    for (body, says) in [
        (format!("<{root}><IsTruncated>false</IsTruncated>{upload}"), "the response is truncated"),
        (format!("<{root}>{upload}</{root}>"), "has no <IsTruncated>"),
        (format!("<{root}><IsTruncated>true</IsTruncated></{root}>"), "the listing is truncated"),
        (format!("<{root}><IsTruncated>false</IsTruncated><Upload><Key>{key}</Key></Upload></{root}>"), "no key or id"),
    ] {
        let proxy = FaultServer::proxy(&world.place.site.s3.endpoint(), move |call| {
            match call.method == "GET" && call.query.split('&').any(|pair| pair.starts_with("uploads")) {
                true => Reply::status(200).body(body.clone()),
                false => Reply::forward(),
            }
        });
        let output = world.tool().env("AWS_ENDPOINT_URL", proxy.address()).args(["prune", "-v"]).run();
        output.code(0).stderr_contains("abandoned uploads: cannot be aborted").stderr_contains(says);
        assert!(proxy.calls().iter().all(|call| call.method != "DELETE"), "{says}");
    }
}

/// Responses to DeleteObjects that end early or lack results: what is not confirmed counts as
/// not deleted, and its documents stay.
#[test]
fn a_truncated_result_of_a_deletion_confirms_nothing() {
    let world = World::new(Place::s3());
    let daily = world.good_ones(BackupType::Daily, 0..32);
    let before = world.files();
    for (body, says) in [
        ("<DeleteResult>", "the response is truncated"),
        ("", "the response is truncated"),
        ("<DeleteResult><Deleted><Key>prod/daily/", "the response is truncated"),
        ("<DeleteResult></DeleteResult>", "did not confirm"),
        ("<html></html>", "not an S3 server"),
    ] {
        let proxy = FaultServer::proxy(&world.place.site.s3.endpoint(), move |call| match call.method.as_str() {
            "POST" => Reply::status(200).body(body),
            _ => Reply::forward(),
        });
        let output = world.tool().env("AWS_ENDPOINT_URL", proxy.address()).args(["prune", "--json"]).run();
        let result = output.code(8).json();
        output.stderr_contains(says);
        assert!(list(&result["deleted"]).is_empty(), "{body}: {result}");
        assert_eq!(list(&result["failed"]), objects(&daily[30..]), "{body}: {result}");
        assert_eq!(world.files(), before, "{body}");
    }
}

/// The request in flight completes, so that its result is known; no other follows.
#[test]
fn sigterm_stops_prune_between_two_requests() {
    let (world, due) = world(1_200);
    let (go, gone) = mpsc::channel::<()>();
    let (arrived, gone) = (Arc::new(AtomicBool::new(false)), Mutex::new(gone));
    let seen = arrived.clone();
    let proxy = FaultServer::proxy(&world.place.site.s3.endpoint(), move |call| {
        if call.method == "POST" {
            seen.store(true, Ordering::Relaxed);
            let _ = gone.lock().unwrap().recv_timeout(PATIENCE);
        }
        Reply::forward()
    });
    let mut run = world.tool().env("AWS_ENDPOINT_URL", proxy.address()).args(["prune", "--json"]).start();
    run.wait_for("the first request", || arrived.load(Ordering::Relaxed).then_some(()));
    run.signal(Signal::TERM);
    go.send(()).unwrap();
    run.wait().fails(143, &["terminated"]);
    assert_eq!(proxy.calls().iter().filter(|call| call.method == "POST").count(), 1);
    let left = world.files();
    assert!(due[..1_000].iter().all(|name| !left.contains(name.object())));
    assert_eq!(list(&world.prune().ok().json()["deleted"]), objects(&due[1_000..]));
}

#[test]
fn sigint_stops_list_while_it_looks_up_versions() {
    let world = World::new(Place::versioned());
    let daily = world.good(BackupType::Daily, 0);
    world.write(daily.object(), b"of another size");
    let proxy = FaultServer::proxy(&world.place.site.s3.endpoint(), |call| match call.query.contains("versions") {
        true => Reply::hang(),
        false => Reply::forward(),
    });
    let mut run = world.tool().env("AWS_ENDPOINT_URL", proxy.address()).arg("list").start();
    run.wait_for("the request", || proxy.calls().iter().any(|call| call.query.contains("versions")).then_some(()));
    run.signal(Signal::INT);
    run.wait().fails(130, &["interrupted"]).stdout_is("");
}

/// Ages depend on the clock.
#[test]
fn a_wrong_clock_deletes_nothing() {
    let (world, _) = world(5);
    let before = world.files();
    let proxy = FaultServer::proxy(&world.place.site.s3.endpoint(), |call| match call.query.contains("max-keys=1") {
        true => Reply::status(200)
            .header("Date", "Wed, 26 Nov 2025 02:00:00 GMT")
            .body("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"),
        false => Reply::forward(),
    });
    let output = world.tool().env("AWS_ENDPOINT_URL", proxy.address()).arg("prune").run();
    output.fails(1, &["this machine's clock says 2", "the store's 2025-11-26T02:00:00Z", "NTP"]);
    assert_eq!(world.files(), before);
}
