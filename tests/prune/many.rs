//! More objects than one response lists or one request deletes, and concurrent prunes.

use super::{BODY, World, ago, list, objects, with_manifests};
use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use crate::support::s3::S3;
use chrono::TimeDelta;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use vault_backup::formats::naming::{BackupName, BackupType};

const DUE: usize = 2_500;
const FOREIGN: usize = 500;

/// Content of the store, by expected result.
struct Crowd {
    due: Vec<BackupName>,
    stays: BTreeSet<String>,
}

/// Writes thirty recent good backups, `due` older ones, and `foreign` objects among them.
/// Every fifth of the old ones has a manifest.
fn crowd(world: &World, due: usize, foreign: usize) -> Crowd {
    let kept = world.good_ones(BackupType::Daily, 0..30);
    let old =
        |n: usize| BackupName::new(BackupType::Daily, ago(40) - TimeDelta::minutes(37) * i32::try_from(n).unwrap());
    let due: Vec<_> = (0..due).map(old).collect();
    let manifests = due.iter().step_by(5).map(|name| (name.manifest(), world.manifest(name, &world.key)));
    // In the same directories, with similar names.
    let foreign = (0..foreign).map(|n| match n % 5 {
        0 => format!("{}.bak", due[n].object()),
        1 => due[n].object().replace("daily/", "daily/of/"),
        2 => due[n].object().replace("vault-snapshot", "other-snapshot"),
        3 => due[n].object().replace(".enc", ".ENC"),
        _ => format!("daily/notes-{n}"),
    });
    let foreign: Vec<_> = foreign.collect();
    let bodies = due.iter().map(|name| name.object().to_owned()).chain(foreign.iter().cloned());
    world.place.put_many(bodies.map(|name| (name, BODY.to_vec())).chain(manifests).collect());
    Crowd { stays: with_manifests(&kept).into_iter().chain(foreign).collect(), due }
}

#[test]
fn thousands_of_objects_are_deleted_and_foreign_ones_kept() {
    let world = World::new(Place::s3());
    let crowd = crowd(&world, DUE, FOREIGN);
    let proxy = FaultServer::proxy(&world.place.site.s3.endpoint(), |_| Reply::forward());
    let output = world.tool().env("AWS_ENDPOINT_URL", proxy.address()).args(["prune", "--json"]).run();
    let result = output.ok().json();
    assert_eq!(list(&result["deleted"]), objects(&crowd.due));
    assert_eq!((result["kept"].as_u64(), result["freed_bytes"].as_u64()), (Some(30), Some(25_000)));
    assert_eq!(world.files(), crowd.stays);
    let calls = proxy.calls();
    let count =
        |method: &str, part: &str| calls.iter().filter(|c| c.method == method && c.query.contains(part)).count();
    // 3,560 names in pages of at most a thousand, and the empty monthly/.
    assert!(count("GET", "list-type=2") >= 5, "{}", count("GET", "list-type=2"));
    // Three times objects, then their manifests.
    assert_eq!(count("POST", "delete"), 6);
    // Only the thirty that protect others are read.
    let read = calls.iter().filter(|c| c.method == "GET" && c.path.ends_with(".manifest.json")).count();
    assert_eq!(read, 30);
}

#[test]
fn thousands_of_files_are_deleted() {
    let world = World::new(Place::directory());
    let crowd = crowd(&world, DUE, FOREIGN);
    let output = world.prune();
    assert_eq!(list(&output.ok().json()["deleted"]), objects(&crowd.due));
    assert_eq!(world.files(), crowd.stays);
}

/// On several hosts, which do not share a lock file.
#[test]
fn concurrent_prunes_do_not_fail() {
    for world in World::both() {
        let crowd = crowd(&world, 1_200, 100);
        let runs: Vec<_> = (0..3).map(|_| world.tool().args(["prune", "--json"]).start()).collect();
        let mut deleted = BTreeSet::new();
        for run in runs {
            let output = run.wait();
            let result = output.ok().json();
            deleted.extend(list(&result["deleted"]));
            assert!(result["failed"].as_array().unwrap().is_empty(), "{result}");
        }
        assert_eq!(deleted, objects(&crowd.due));
        assert_eq!(world.files(), crowd.stays);
    }
}

/// The server is killed after the first thousand objects were deleted, before their
/// manifests, and restarted with its data.
#[test]
fn a_second_prune_completes_after_a_server_crash() {
    let s3 = S3::start();
    s3.bucket("backups");
    let world = World::new(Place::directory());
    let crowd = crowd(&world, 1_200, 100);
    s3.put_many("backups", world.files().into_iter().map(|name| (name.clone(), world.place.get(&name))).collect());
    let (env, endpoint, s3) = (s3.env(), s3.endpoint(), Arc::new(Mutex::new(s3)));
    let prune = |endpoint: &str| {
        let tool = world.tool().envs(env.iter().map(|(key, value)| (key, value))).env("AWS_ENDPOINT_URL", endpoint);
        tool.args(["prune", "--json", "--store", "s3://backups"]).run()
    };
    let names = || s3.lock().unwrap().objects("backups").into_iter().collect::<BTreeSet<_>>();

    let (victim, deletes) = (s3.clone(), AtomicUsize::new(0));
    let proxy = FaultServer::proxy(&endpoint, move |call| {
        if call.method == "POST" && call.query.contains("delete") && deletes.fetch_add(1, Ordering::Relaxed) == 1 {
            victim.lock().unwrap().kill();
        }
        Reply::forward()
    });
    let output = prune(proxy.address());
    let result = output.code(8).json();
    assert!(output.stderr.lines().count() <= 4, "a line for each reason: {output:?}");
    assert_eq!(list(&result["deleted"]), objects(&crowd.due[..1_000]));
    let (gone, left) = crowd.due.split_at(1_000);
    let manifested = |of: &[BackupName]| of.iter().step_by(5).map(BackupName::manifest).collect::<BTreeSet<_>>();
    let failed: BTreeSet<_> = manifested(gone).into_iter().chain(objects(left)).collect();
    assert_eq!(list(&result["failed"]), failed);

    s3.lock().unwrap().restart();
    let mut expected: BTreeSet<_> = crowd.stays.iter().cloned().chain(failed).chain(manifested(left)).collect();
    assert_eq!(names(), expected, "manifests of backups that were not deleted are kept");
    let result = prune(&endpoint).ok().json();
    assert_eq!(list(&result["deleted"]), objects(left));
    let orphans = manifested(gone);
    expected = crowd.stays.iter().cloned().chain(orphans.iter().cloned()).collect();
    assert_eq!(names(), expected);
    orphans.iter().for_each(|name| s3.lock().unwrap().age("backups", name, Duration::from_hours(25)));
    assert_eq!(prune(&endpoint).ok().json()["orphans_deleted"], orphans.len());
    assert_eq!(names(), crowd.stays);
}
