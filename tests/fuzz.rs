//! Runs the bodies of the fuzz targets on generated input, and on good input with a few
//! edited bytes, which gets further than noise.

mod bodies;

use crate::support::snapshot::Synthetic;
use crate::support::vectors::Vectors;
use proptest::prelude::*;
use proptest::sample::Index;
use std::sync::LazyLock;

/// Good input for each target. Names and documents are also used for each other.
static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let vectors = Vectors::load();
    let good = || vectors.good.iter();
    let mut seeds: Vec<_> = good().filter_map(|good| hex::decode(good.object.as_ref()?).ok()).collect();
    seeds.extend(good().filter_map(|good| Some(good.header.as_ref()?.clone().into_bytes())));
    let snapshot = Synthetic::whole(b"state of a small Vault");
    seeds.extend([snapshot.bytes(), snapshot.tar()]);
    seeds.extend(
        [
            "daily/2025-11-26/vault-snapshot-20251126-020000.enc",
            "monthly/2025-11/vault-snapshot-20251126-020000.enc.manifest.json",
            "daily/2025-11-26/vault-snapshot-2025-11-26T02-00-00-000Z.enc.drill.json",
            r#"{"schema":1,"object":"o","size_bytes":9007199254740991,"key_id":"é","vault":{},"mac":"00"}"#,
        ]
        .map(|text| text.as_bytes().to_vec()),
    );
    assert!(seeds.len() > 20, "seeds were lost");
    seeds
});

fn edited() -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<Index>(), any::<u8>()), 0..8);
    (any::<Index>(), edits, any::<Index>(), any::<bool>()).prop_map(|(seed, edits, length, whole)| {
        let mut data = seed.get(&SEEDS).clone();
        for (at, byte) in edits {
            let at = at.index(data.len());
            data[at] = byte;
        }
        if !whole {
            data.truncate(length.index(data.len() + 1));
        }
        data
    })
}

fn input() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![3 => edited(), 1 => prop::collection::vec(any::<u8>(), 0..1000)]
}

proptest! {
    #[test]
    fn open(data in input()) {
        bodies::open(&data);
    }

    #[test]
    fn archive(data in input()) {
        bodies::archive(&data);
    }

    #[test]
    fn header(data in input()) {
        bodies::header(&data);
    }

    #[test]
    fn manifest(data in input()) {
        bodies::manifest(&data);
    }

    #[test]
    fn naming(data in input()) {
        bodies::naming(&data);
    }
}

#[test]
fn every_seed_is_accepted() {
    for data in SEEDS.iter() {
        bodies::open(data);
        bodies::archive(data);
        bodies::header(data);
        bodies::manifest(data);
        bodies::naming(data);
    }
}
