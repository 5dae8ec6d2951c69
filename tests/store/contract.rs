//! The contract suite of the stores.

use super::{MIB, PREFIX, Place, data, list, read, run, send, sha256, soon, write};
use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use std::collections::BTreeMap;
use vault_backup::base::error::Kind;
use vault_backup::services::store::{CHECKSUM, Locking, Put, ReadAt};

const NAME: &str = "daily/2025-11-26/vault-snapshot-20251126-020000.enc";

/// Runs each test of the contract for each store.
macro_rules! contract {
    ($($name:ident)*) => {
        mod s3 {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::Place::s3()).await;
            })*
        }

        mod local {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::Place::local()).await;
            })*
        }
    };
}

contract! {
    an_upload_of_any_size_is_read_back
    an_object_is_not_visible_before_its_upload_is_complete
    a_wrong_size_is_refused
    a_taken_name_is_a_conflict
    an_abort_leaves_nothing
    a_dropped_upload_leaves_nothing
    put_creates_and_replaces_small_objects
    get_reads_the_first_bytes
    a_missing_object_is_reported
    listings_are_complete_and_limited_to_the_prefix
    delete_returns_one_result_per_name
    copy_copies_data_and_metadata
    a_copy_never_overwrites
    a_changed_source_is_not_copied
    a_write_probe_creates_nothing
    only_our_old_uploads_are_aborted
    stores_without_versioning_and_object_lock
}

async fn an_upload_of_any_size_is_read_back(place: Place) {
    let store = place.store().await;
    let sizes = [0, 1, 5 * MIB, 32 * MIB, 32 * MIB + 1, 40 * MIB, 43 * MIB + 12_345];
    for (number, size) in sizes.into_iter().enumerate() {
        let (name, data) = (format!("{NAME}.{number}"), data(size));
        let head = send(store.as_ref(), &name, "run-1", &data).await.unwrap();
        assert_eq!(head.size, size as u64);
        assert!((Utc::now() - head.modified.unwrap()).abs() < TimeDelta::minutes(5));
        let (again, bytes) = read(store.as_ref(), &name, ReadAt::default()).await.unwrap();
        assert!(bytes == data, "{size} bytes are not what was written");
        assert_eq!(again, head);
        assert_eq!(store.head(&name).await.unwrap(), Some(head.clone()));
        if place.is_s3() {
            let mut metadata = run("run-1");
            if size <= 32 * MIB {
                metadata.insert(CHECKSUM.to_owned(), hex::encode(sha256(&data)));
            }
            assert_eq!(head.metadata, metadata);
        }
    }
    assert!(place.leftovers().is_empty());
}

async fn an_object_is_not_visible_before_its_upload_is_complete(place: Place) {
    let (store, data) = (place.store().await, data(40 * MIB));
    let mut upload = store.upload(NAME, run("run-1")).await.unwrap();
    write(upload.as_mut(), &data).await.unwrap();
    assert_eq!(store.head(NAME).await.unwrap(), None);
    assert_eq!(list(store.as_ref(), "").await.unwrap(), []);
    upload.complete(sha256(&data), data.len() as u64).await.unwrap();
    assert_eq!(place.keys(), [format!("{PREFIX}/{NAME}")]);
}

async fn a_wrong_size_is_refused(place: Place) {
    let store = place.store().await;
    for size in [10, 40 * MIB] {
        let data = data(size);
        let mut upload = store.upload(NAME, run("run-1")).await.unwrap();
        write(upload.as_mut(), &data).await.unwrap();
        let error = upload.complete(sha256(&data), size as u64 + 1).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity, "{error}");
        store.finish_cleanup().await;
        assert_eq!((place.keys(), place.leftovers()), (vec![], vec![]));
    }
}

async fn a_taken_name_is_a_conflict(place: Place) {
    let (store, first) = (place.store().await, data(100));
    send(store.as_ref(), NAME, "run-1", &first).await.unwrap();
    for size in [10, 40 * MIB] {
        let error = send(store.as_ref(), NAME, "run-2", &data(size)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict, "{error}");
        assert!(error.to_string().starts_with(&store.locate(NAME)), "{error}");
        assert!(error.to_string().contains("already exists"), "{error}");
        assert_eq!(read(store.as_ref(), NAME, ReadAt::default()).await.unwrap().1, first);
        assert!(place.leftovers().is_empty());
    }
}

async fn an_abort_leaves_nothing(place: Place) {
    let store = place.store().await;
    for size in [0, 10, 40 * MIB] {
        let mut upload = store.upload(NAME, run("run-1")).await.unwrap();
        write(upload.as_mut(), &data(size)).await.unwrap();
        upload.abort().await.unwrap();
        assert_eq!((place.keys(), place.leftovers()), (vec![], vec![]));
    }
}

async fn a_dropped_upload_leaves_nothing(place: Place) {
    let store = place.store().await;
    for size in [0, 10, 40 * MIB] {
        let mut upload = store.upload(NAME, run("run-1")).await.unwrap();
        write(upload.as_mut(), &data(size)).await.unwrap();
        drop(upload);
        soon(store.finish_cleanup()).await;
        assert_eq!((place.keys(), place.leftovers()), (vec![], vec![]));
    }
}

async fn put_creates_and_replaces_small_objects(place: Place) {
    let (store, name) = (place.store().await, format!("{NAME}.manifest.json"));
    let put = async |body: &'static str, how| store.put(&name, Bytes::from_static(body.as_bytes()), how).await;
    put("one", Put::Create).await.unwrap();
    put("one", Put::Create).await.expect("the same bytes: a response may have been lost");
    for other in ["two", "longer"] {
        assert_eq!(put(other, Put::Create).await.unwrap_err().kind(), Kind::Conflict);
    }
    assert_eq!(read(store.as_ref(), &name, ReadAt::default()).await.unwrap().1, b"one");
    put("three", Put::Replace).await.unwrap();
    assert_eq!(read(store.as_ref(), &name, ReadAt::default()).await.unwrap().1, b"three");
    store.put("other", Bytes::new(), Put::Replace).await.unwrap();
    assert_eq!(store.head("other").await.unwrap().unwrap().size, 0);
    assert!(place.leftovers().is_empty());
}

async fn get_reads_the_first_bytes(place: Place) {
    let (store, whole) = (place.store().await, data(2 * MIB + 5));
    send(store.as_ref(), NAME, "run-1", &whole).await.unwrap();
    for first in [0, 1, 4096, MIB + 1, 2 * MIB + 5, 9 * MIB] {
        let (head, bytes) =
            read(store.as_ref(), NAME, ReadAt { first: Some(first as u64), version: None }).await.unwrap();
        assert_eq!(head.size, whole.len() as u64);
        assert!(bytes == whole[..first.min(whole.len())], "the first {first} bytes");
    }
    send(store.as_ref(), "empty", "run-1", &data(0)).await.unwrap();
    let (head, bytes) = read(store.as_ref(), "empty", ReadAt { first: Some(8), version: None }).await.unwrap();
    assert_eq!((head.size, bytes.len()), (0, 0));
}

async fn a_missing_object_is_reported(place: Place) {
    let store = place.store().await;
    assert_eq!(store.head(NAME).await.unwrap(), None);
    for first in [None, Some(0), Some(10)] {
        let error = store.get(NAME, ReadAt { first, version: None }).await.map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), Kind::Store);
        assert!(error.to_string().contains("no such object"), "{error}");
        assert!(error.to_string().starts_with(&store.locate(NAME)), "{error}");
    }
    assert_eq!(list(store.as_ref(), "daily/").await.unwrap(), []);
}

async fn listings_are_complete_and_limited_to_the_prefix(place: Place) {
    let store = place.store().await;
    let mut expected = BTreeMap::new();
    for number in 0..1_050 {
        let name = format!("daily/2025-11-26/{number:04}");
        place.plant(&format!("{PREFIX}/{name}"), b"12");
        expected.insert(name, 2);
    }
    for special in ["daily/2025-11-27/a b+c%20d&e=f'g(h)", "daily/2025-11-27/ü€😀", "daily/2025-11-27/<&>\"", "daily/x"]
    {
        place.plant(&format!("{PREFIX}/{special}"), b"123");
        expected.insert(special.to_owned(), 3);
    }
    for foreign in ["vaultier/daily/2025-11-26/x", "vault2", "daily/2025-11-26/x"] {
        place.plant(foreign, b"foreign");
    }
    let listed = async |prefix: &str| -> Vec<_> {
        list(store.as_ref(), prefix).await.unwrap().into_iter().map(|l| (l.name, l.size)).collect()
    };
    assert_eq!(listed("").await, expected.clone().into_iter().collect::<Vec<_>>());
    for prefix in ["daily/", "daily/2025-11-26", "daily/2025-11-27/", "daily/2025-11-26/01", "monthly/", "x"] {
        let below = expected.iter().filter(|(name, _)| name.starts_with(prefix));
        let below: Vec<_> = below.map(|(name, size)| (name.clone(), *size)).collect();
        assert_eq!(listed(prefix).await, below, "{prefix}");
    }
}

async fn delete_returns_one_result_per_name(place: Place) {
    let store = place.store().await;
    let names: Vec<_> = (0..1_050).map(|number| format!("daily/2025-11-26/{number:04}")).collect();
    for name in &names {
        place.plant(&format!("{PREFIX}/{name}"), b"");
    }
    place.plant(&format!("{PREFIX}/daily/2025-11-26/foreign"), b"");
    place.plant("vaultier/daily/2025-11-26/0001", b"");
    let mut all = names.clone();
    all.insert(500, "daily/2025-11-26/not-there".to_owned());
    all.insert(0, "monthly/2025-11/not-there".to_owned());
    let results = store.delete(&all).await;
    assert_eq!(results.len(), all.len());
    assert!(results.iter().all(Result::is_ok), "{:?}", results.into_iter().find(Result::is_err));
    assert_eq!(place.keys(), ["vault/daily/2025-11-26/foreign", "vaultier/daily/2025-11-26/0001"]);
    assert!(store.delete(&[]).await.is_empty());
}

async fn copy_copies_data_and_metadata(place: Place) {
    let store = place.store().await;
    for (number, size) in [0, 100, 40 * MIB].into_iter().enumerate() {
        let (from, to) = (format!("daily/2025-11-0{number}/a b+ü"), format!("monthly/2025-0{number}/a b+ü"));
        let data = data(size);
        let head = send(store.as_ref(), &from, "run-1", &data).await.unwrap();
        let copy = store.copy(&from, &head, &to).await.unwrap();
        assert_eq!((copy.size, &copy.metadata), (head.size, &head.metadata));
        assert!(read(store.as_ref(), &to, ReadAt::default()).await.unwrap().1 == data);
        assert_eq!(store.head(&to).await.unwrap(), Some(copy));
        assert_eq!(store.head(&from).await.unwrap(), Some(head));
    }
}

async fn a_copy_never_overwrites(place: Place) {
    let (store, whole) = (place.store().await, data(100));
    let head = send(store.as_ref(), NAME, "run-1", &whole).await.unwrap();
    send(store.as_ref(), "monthly/other", "run-0", &data(99)).await.unwrap();
    let error = store.copy(NAME, &head, "monthly/other").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
    assert_eq!(read(store.as_ref(), "monthly/other", ReadAt::default()).await.unwrap().1, data(99));
    // Run ID and size are public, so they do not make it this run's.
    send(store.as_ref(), "monthly/same", "run-1", &Bytes::from_static(&[0; 100])).await.unwrap();
    let error = store.copy(NAME, &head, "monthly/same").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
}

async fn a_changed_source_is_not_copied(place: Place) {
    let store = place.store().await;
    let head = send(store.as_ref(), NAME, "run-1", &data(100)).await.unwrap();
    place.plant(&format!("{PREFIX}/{NAME}"), &[7; 100]);
    let error = store.copy(NAME, &head, "monthly/x").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Store, "{error}");
    assert_eq!(store.head("monthly/x").await.unwrap(), None);
}

async fn a_write_probe_creates_nothing(place: Place) {
    let store = place.store().await;
    store.probe_write("daily/").await.unwrap();
    store.finish_cleanup().await;
    assert_eq!((place.keys(), place.leftovers()), (vec![], vec![]));
}

async fn only_our_old_uploads_are_aborted(place: Place) {
    let (store, part) = (place.store().await, data(33 * MIB));
    let mut uploads = Vec::new();
    for name in [NAME, "daily/2025-11-26/foreign"] {
        let mut upload = store.upload(name, run("run-1")).await.unwrap();
        write(upload.as_mut(), &part).await.unwrap();
        uploads.push(upload);
    }
    let ours = |name: &str| name == NAME;
    let young = Utc::now() - TimeDelta::days(1);
    assert!(store.abort_abandoned(young, ours).await.unwrap().is_empty());
    assert_eq!(place.leftovers().len(), 2);
    let old = Utc::now() + TimeDelta::minutes(1);
    assert_eq!(store.abort_abandoned(old, ours).await.unwrap(), [NAME]);
    assert_eq!(place.leftovers().len(), 1);
    assert!(place.leftovers()[0].ends_with("foreign"));
}

async fn stores_without_versioning_and_object_lock(place: Place) {
    let store = place.store().await;
    send(store.as_ref(), NAME, "run-1", &data(10)).await.unwrap();
    assert_eq!(store.object_lock().await.unwrap(), Locking::Off);
    assert_eq!(store.versions(NAME).await.unwrap(), []);
    match store.clock().await.unwrap() {
        Some(clock) => assert!((Utc::now() - clock).abs() < TimeDelta::minutes(5)),
        None => assert!(!place.is_s3()),
    }
}
