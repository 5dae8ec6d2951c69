//! An attacker who knows the names of the next backups and takes them: never the end of backups.

use super::raced::{Request, first, made_by, run, through};
use super::text;
use crate::support::fault::{Call, FaultServer, Reply};
use crate::support::place::Place;
use crate::support::production::seal;
use crate::support::tool::Output;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use std::ops::Range;
use std::sync::Arc;
use tokio::task::block_in_place;
use vault_backup::formats::crypto::{Header, SourceServer};
use vault_backup::formats::naming::{BackupName, BackupType};

const OTHERS: &[u8] = b"another program's";

/// The names of the seconds from now on.
fn names(kind: BackupType, seconds: Range<i64>) -> Vec<BackupName> {
    let now = Utc::now();
    seconds.map(|ahead| BackupName::new(kind, now + TimeDelta::seconds(ahead))).collect()
}

/// Takes the names of the seconds around now, each with `suffix`.
fn take(place: &Place, kind: BackupType, seconds: Range<i64>, suffix: &str) -> Vec<String> {
    let taken: Vec<_> = names(kind, seconds).iter().map(|name| format!("{}{suffix}", name.object())).collect();
    place.put_many(taken.iter().map(|name| (name.clone(), OTHERS.to_vec())).collect());
    taken
}

fn at(name: &str) -> DateTime<Utc> {
    BackupName::parse(name).unwrap().created_at()
}

/// Asserts a good backup and one warning that names `foreign`; its name.
#[track_caller]
fn succeeds(place: &Place, output: &Output, foreign: &str) -> String {
    output.code(0).leaves(&[]);
    let lines: Vec<_> = output.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{output:?}");
    assert!(lines[0].contains("warning: ") && lines[0].contains(&format!("{}/{foreign}", place.url())), "{output:?}");
    let name = text(&output.json()["object"]).to_owned();
    let inspected = place.tool().args(["inspect", &name, "--json"]).run();
    assert_eq!(inspected.ok().json()["standing"], "good");
    name
}

#[test]
fn a_taken_name_moves_to_the_next_free_second() {
    for place in Place::both() {
        let others = take(&place, BackupType::Daily, -1..4, "");
        let output = place.tool().args(["backup", "--kind", "daily", "--json"]).run();
        let foreign = text(&output.json()["foreign_object"]).to_owned();
        assert!(others.contains(&foreign), "{foreign}");
        let name = succeeds(&place, &output, &foreign);
        assert!(name > *others.last().unwrap(), "{name} after {others:?}");
        assert!(others.iter().all(|other| place.get(other) == OTHERS));
        // Name, header, manifest and metadata agree on the time.
        let time = at(&name).to_rfc3339_opts(SecondsFormat::Secs, true);
        assert_eq!(text(&output.json()["created_at"]), time);
        assert_eq!(place.json(&format!("{name}.manifest.json"))["created_at"], time);
        let inspected = place.tool().args(["inspect", &name, "--json"]).run();
        assert_eq!(inspected.ok().json()["header"]["created_at"], time, "{}", inspected.text());

        // `status` and `list` report the foreign objects.
        let status = place.tool().args(["status", "--json"]).run().ok().json();
        assert_eq!(
            (&status["unverified"]["count"], status["unverified"]["first"].as_array().unwrap().len()),
            (&5.into(), 5)
        );
        let newest = others.last().unwrap();
        let said = format!("warning: {newest} and 4 more have no valid manifest");
        place.tool().arg("status").run().ok().stdout_contains(&said).stdout_contains("this tool did not make them");
        place.tool().arg("list").run().ok().stdout_contains("5 unverified");
    }
}

#[test]
fn hundreds_of_taken_names_are_skipped_with_one_warning() {
    let place = Place::directory();
    let others = take(&place, BackupType::Daily, -1..600, "");
    let output = place.tool().args(["backup", "--kind", "daily", "--json"]).run();
    let foreign = text(&output.json()["foreign_object"]).to_owned();
    let name = succeeds(&place, &output, &foreign);
    assert_eq!(at(&name), at(others.last().unwrap()) + TimeDelta::seconds(1));
    assert!(output.stderr.contains(" more)"), "{output:?}");
}

#[test]
fn an_hour_of_taken_names_is_a_failure_of_the_store() {
    let place = Place::directory();
    let others = take(&place, BackupType::Daily, -1..3_700, "");
    let output = place.tool().args(["backup", "--kind", "daily"]).run();
    output.fails(4, &["the name is taken, like every name of the next hour", "find out which program"]).leaves(&[]);
    assert_eq!(place.names().len(), others.len());
}

/// A manifest, a drill record or a monthly object alone takes the name, too.
#[test]
fn a_name_is_free_only_if_nothing_has_any_part_of_it() {
    for (kind, suffix) in [
        (BackupType::Daily, ".manifest.json"),
        (BackupType::Daily, ".drill.json"),
        (BackupType::Monthly, ""),
        (BackupType::Monthly, ".manifest.json"),
    ] {
        for place in Place::both() {
            let others = take(&place, kind, -1..8, suffix);
            let output = place.tool().args(["backup", "--json"]).run();
            let foreign = text(&output.json()["foreign_object"]).to_owned();
            assert!(others.contains(&foreign), "{foreign}");
            let name = succeeds(&place, &output, &foreign);
            let last = others.last().unwrap().strip_suffix(suffix).unwrap();
            assert!(at(&name) > at(last), "{name} after {last}");
            let orphans = if suffix.is_empty() { 0 } else { 9 };
            let status = place.tool().args(["status", "--json"]).run().ok().json();
            assert_eq!(status["orphans"]["count"], orphans, "{status}");
            let said = "and 8 more manifests and drill records have no backup";
            assert_eq!(place.tool().arg("status").run().text().contains(said), orphans > 0);
        }
    }
}

/// In a directory, anything can take a name.
#[test]
fn a_directory_pipe_or_link_does_not_stop_the_backup() {
    let place = Place::directory();
    for (n, name) in names(BackupType::Daily, -1..9).iter().enumerate() {
        let path = place.path().join(name.object());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match n % 3 {
            0 => std::fs::create_dir(&path).unwrap(),
            1 => assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success()),
            _ => std::os::unix::fs::symlink("/etc/passwd", &path).unwrap(),
        }
    }
    let output = place.tool().args(["backup", "--kind", "daily", "--json"]).run();
    let foreign = text(&output.json()["foreign_object"]).to_owned();
    succeeds(&place, &output, &foreign);
}

/// A backup of this name that another run has just made.
fn genuine(place: &Place, name: &BackupName) -> Vec<u8> {
    let (key_id, created_at) = (place.site.key_id(), name.created_at());
    let header = Header { key_id, created_at, vault: SourceServer::default(), tool: "test/1".into() };
    seal(&place.site.key, b"a snapshot", &header)
}

#[test]
fn a_name_that_another_run_of_ours_took_causes_no_warning() {
    for place in Place::both() {
        for name in names(BackupType::Daily, -1..4) {
            place.put(name.object(), &genuine(&place, &name));
        }
        let output = place.tool().args(["backup", "--kind", "daily", "--json"]).run();
        output.ok();
        assert!(output.json().get("foreign_object").is_none());
    }
}

fn name_of(call: &Call) -> String {
    call.path.split_once("/prod/").unwrap().1.to_owned()
}

/// A foreign object appears just before the request that creates ours: it is never
/// overwritten, and the backup is made under another name.
#[test]
fn a_name_that_is_taken_during_the_run_is_given_up() {
    for request in [Request::Put, Request::Complete] {
        let place = Arc::new(Place::s3());
        let planting = place.clone();
        let output = run(&place, request, move |call| {
            block_in_place(|| planting.put(&name_of(call), OTHERS));
            Reply::forward()
        });
        let foreign = text(&output.json()["foreign_object"]).to_owned();
        let name = succeeds(&place, &output, &foreign);
        output.stderr_contains("already exists: this tool did not make it");
        assert_eq!(place.get(&foreign), OTHERS, "{request:?}");
        assert_eq!(place.names(), [foreign, name.clone(), format!("{name}.manifest.json")], "{request:?}");
        assert_eq!(place.site.s3.incomplete_uploads(place.bucket()), [""; 0], "{request:?}");
    }
}

#[test]
fn a_manifest_that_appears_first_moves_the_backup_to_another_name() {
    let place = Arc::new(Place::s3());
    let planting = place.clone();
    let output = run(&place, Request::Manifest, move |call| {
        block_in_place(|| planting.put(&name_of(call), b"{}"));
        Reply::forward()
    });
    let foreign = text(&output.json()["foreign_object"]).to_owned();
    assert!(foreign.ends_with(".manifest.json"), "{foreign}");
    succeeds(&place, &output, &foreign);
    assert_eq!(place.names().len(), 4);
    place.tool().arg("status").run().ok().stdout_contains("1 good").stdout_contains("has no valid manifest");
}

/// The attacker wins each time: that is not the harmless conflict with another run.
#[test]
fn a_run_whose_names_are_all_taken_fails_loudly() {
    let place = Arc::new(Place::s3());
    let planting = place.clone();
    let s3 = FaultServer::proxy(&place.site.s3.endpoint(), move |call| {
        if Request::Put.is(call) {
            block_in_place(|| planting.put(&name_of(call), OTHERS));
        }
        Reply::forward()
    });
    let output = through(&place, &s3).run();
    output.code(4).stderr_contains("3 names were taken meanwhile").stderr_contains("already exists");
    assert_eq!(output.json()["error"]["class"], "store");
    assert_eq!(place.names().len(), 3);
}

/// Two runs of ours in the same second: one of them is enough.
#[test]
fn a_backup_that_another_run_of_ours_made_is_a_conflict() {
    for request in [Request::Put, Request::Complete] {
        let place = Arc::new(Place::s3());
        let planting = place.clone();
        let (vault, s3) = (
            made_by(&place, request),
            first(&place, request, move |call| {
                let name = BackupName::parse(&name_of(call)).unwrap();
                block_in_place(|| planting.put(name.object(), &genuine(&planting, &name)));
                Reply::forward()
            }),
        );
        let tool = through(&place, &s3);
        let output = match vault {
            Some(vault) => tool.env("VAULT_ADDR", vault.address()).run(),
            None => tool.run(),
        };
        output.fails(7, &[&place.url(), "already exists", "another run made this backup"]).leaves(&[]);
        assert_eq!(place.names().len(), 1, "{request:?}");
        assert_eq!(place.site.s3.incomplete_uploads(place.bucket()), [""; 0], "{request:?}");
    }
}
