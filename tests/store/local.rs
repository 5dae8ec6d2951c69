//! The `file://` store: permissions, symbolic links, names, foreign files.

use super::{Place, data, files, list, run, send};
use bytes::Bytes;
use chrono::Utc;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use vault_backup::base::error::Kind;
use vault_backup::services::store::s3::S3Settings;
use vault_backup::services::store::{self, Put, ReadAt};

const NAME: &str = "daily/2025-11-26/vault-snapshot-20251126-020000.enc";

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn the_first_upload_creates_a_missing_directory() {
    let dir = tempfile::tempdir().unwrap();
    let directory = dir.path().join("new/store");
    let location = format!("file://{}", directory.display()).parse().unwrap();
    let store = store::open(&location, S3Settings::default()).await.unwrap();
    let error = list(store.as_ref(), "").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Store);
    assert!(error.to_string().contains("no such directory; check that the volume is mounted"), "{error}");
    assert_eq!(store.head(NAME).await.unwrap(), None);
    store.probe_write("daily/").await.unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "a probe creates nothing");
    send(store.as_ref(), NAME, "run-1", &data(10)).await.unwrap();
    for path in [&directory, &directory.join("daily"), directory.join(NAME).parent().unwrap()] {
        assert_eq!(mode(path), 0o700, "{}", path.display());
    }
    assert_eq!(mode(&directory.join(NAME)), 0o600);
}

#[tokio::test]
async fn names_that_lead_out_of_the_directory_are_refused() {
    let place = Place::local();
    let store = place.store().await;
    for name in ["../x", "daily/../../x", "/etc/passwd", "daily//x", "./x", "", "daily/", "a\0b"] {
        assert_eq!(store.upload(name, run("run-1")).await.map(|_| ()).unwrap_err().kind(), Kind::Store, "{name:?}");
        assert_eq!(store.put(name, Bytes::new(), Put::Create).await.unwrap_err().kind(), Kind::Store, "{name:?}");
        assert!(store.head(name).await.is_err(), "{name:?}");
        assert!(store.delete(&[name.to_owned()]).await[0].is_err(), "{name:?}");
    }
    assert!(place.keys().is_empty());
}

#[tokio::test]
async fn symbolic_links_are_not_followed() {
    let place = Place::local();
    let Place::Local(dir) = &place else { unreachable!() };
    place.plant("outside/file", b"outside");
    place.plant("vault/daily/plain", b"12");
    symlink(dir.path().join("outside"), dir.path().join("vault/monthly")).unwrap();
    symlink(dir.path().join("outside/file"), dir.path().join("vault/daily/link")).unwrap();
    let store = place.store().await;
    let names: Vec<_> = list(store.as_ref(), "").await.unwrap().into_iter().map(|l| l.name).collect();
    assert_eq!(names, ["daily/plain"]);
    for name in ["monthly/file", "daily/link"] {
        let error = store.delete(&[name.to_owned()]).await.remove(0).unwrap_err();
        assert!(error.to_string().contains("is a symbolic link"), "{error}");
        assert!(store.get(name, ReadAt::default()).await.is_err());
        assert!(store.put(name, Bytes::new(), Put::Replace).await.is_err());
    }
    assert!(store.upload("monthly/new", run("run-1")).await.is_err());
    assert_eq!(std::fs::read(dir.path().join("outside/file")).unwrap(), b"outside");
}

#[tokio::test]
async fn only_our_empty_directories_are_removed_with_their_last_file() {
    let place = Place::local();
    let Place::Local(dir) = &place else { unreachable!() };
    let names = ["daily/2025-11-26/a", "daily/2025-11-27/a", "daily/2025-11-27/foreign", "other/2025/a", "daily/a"];
    for name in names {
        place.plant(&format!("vault/{name}"), b"");
    }
    let store = place.store().await;
    let doomed = ["daily/2025-11-26/a", "daily/2025-11-27/a", "other/2025/a", "daily/a"].map(str::to_owned);
    assert!(store.delete(&doomed).await.iter().all(Result::is_ok));
    assert_eq!(place.keys(), ["vault/daily/2025-11-27/foreign"]);
    let there = |name: &str| dir.path().join("vault").join(name).is_dir();
    assert_eq!(["daily", "daily/2025-11-26", "daily/2025-11-27", "other/2025"].map(there), [true, false, true, true]);
    // An aborted upload removes the directory that was created for it.
    store.upload(NAME, run("run-1")).await.unwrap().abort().await.unwrap();
    assert!(!there("daily/2025-11-26"));
}

#[tokio::test]
async fn temporary_files_of_a_crash_are_hidden_and_removed() {
    let place = Place::local();
    place.plant("vault/daily/2025-11-26/.tmp-0123456789abcdef.vault-snapshot-20251126-020000.enc", b"half");
    place.plant("vault/daily/2025-11-26/.tmp-foreign", b"foreign");
    let store = place.store().await;
    let names = async || list(store.as_ref(), "").await.unwrap().into_iter().map(|l| l.name).collect::<Vec<_>>();
    assert_eq!(names().await, ["daily/2025-11-26/.tmp-foreign"]);
    let soon = Utc::now() + chrono::TimeDelta::minutes(1);
    assert_eq!(store.abort_abandoned(soon, |name| name == NAME).await.unwrap(), [NAME]);
    assert_eq!(place.keys(), ["vault/daily/2025-11-26/.tmp-foreign"]);
}

#[tokio::test]
async fn a_file_in_place_of_the_directory_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let url = format!("file://{}/file", dir.path().display());
    let store = store::open(&url.parse().unwrap(), S3Settings::default()).await.unwrap();
    assert_eq!(list(store.as_ref(), "").await.unwrap_err().kind(), Kind::Store);
    assert_eq!(store.put(NAME, Bytes::new(), Put::Create).await.unwrap_err().kind(), Kind::Store);
    assert_eq!(store.probe_write("daily/").await.unwrap_err().kind(), Kind::Store);
    assert_eq!(files(dir.path()), ["file"]);
}

#[tokio::test]
async fn reading_a_version_is_refused() {
    let place = Place::local();
    place.plant("vault/x", b"12");
    let at = ReadAt { version: Some("1".to_owned()), first: None };
    assert!(place.store().await.get("x", at).await.is_err());
}

/// A concurrent prune or backup removes and creates directories during a listing.
#[tokio::test(flavor = "multi_thread")]
async fn directories_removed_during_a_listing_are_skipped() {
    let place = Place::local();
    place.plant("vault/daily/2025-11-26/stays", b"");
    let Place::Local(dir) = &place else { unreachable!() };
    let (daily, store) = (dir.path().join("vault/daily"), place.store().await);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                let directories = (1..=20).map(|day| daily.join(format!("2020-01-{day:02}")));
                directories.clone().for_each(|directory| std::fs::create_dir(directory).unwrap());
                directories.for_each(|directory| std::fs::remove_dir(directory).unwrap());
            }
        });
        let listed = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                for _ in 0..1_000 {
                    let names = list(store.as_ref(), "daily/").await?;
                    assert_eq!(names.len(), 1);
                }
                Ok::<_, vault_backup::base::error::Error>(())
            })
        });
        ended.store(true, Ordering::Relaxed);
        listed.unwrap();
    });
}
