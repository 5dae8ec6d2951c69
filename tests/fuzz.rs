//! Runs the bodies of the fuzz targets on generated input, and on good input with a few
//! edited bytes, which gets further than noise.

mod bodies;

use crate::support::snapshot::{Synthetic, sha256};
use crate::support::vectors::Vectors;
use bodies::TARGETS;
use proptest::prelude::*;
use proptest::sample::Index;
use std::path::Path;
use std::sync::LazyLock;

const MANIFEST: &str = r#"{"backup_type":"daily","created_at":"1970-01-01T00:00:00Z","key_id":"k","object":"daily/1970-01-01/vault-snapshot-19700101-000000.enc","plaintext_sha256":"00","run_id":"r","sha256":"00","size_bytes":1,"vault":{"product":"openbao","raft_index":3},"verification":"full","tool":"vault-backup/0"}"#;
const DRILL_RECORD: &str = r#"{"canary":"a/b","drilled_at":"1970-01-01T00:00:00Z","durations_ms":{"read":1},"mode":"offline","object":"daily/1970-01-01/vault-snapshot-19700101-000000.enc","sha256":"00","tool":"vault-backup/0"}"#;
const META: &str = r#"{"Version":1,"ID":"bolt-snapshot","Index":37,"Term":3,"Configuration":{"Servers":[{"ID":"n1","Address":"127.0.0.1:8201"}]},"Size":5}"#;

/// Good input for each target. Names and documents are also used for each other.
static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let vectors = Vectors::load();
    let good = || vectors.good.iter();
    let mut seeds: Vec<_> = good().filter_map(|good| hex::decode(good.object.as_ref()?).ok()).collect();
    seeds.extend(good().filter_map(|good| Some(good.header.as_ref()?.clone().into_bytes())));
    let snapshot = Synthetic::whole(b"state of a small Vault");
    seeds.extend([snapshot.bytes(), snapshot.tar(), bodies::barrier::good_state()]);
    seeds.extend(
        [
            "daily/2025-11-26/vault-snapshot-20251126-020000.enc",
            "monthly/2025-11/vault-snapshot-20251126-020000.enc.manifest.json",
            "daily/2025-11-26/vault-snapshot-2025-11-26T02-00-00-000Z.enc.drill.json",
            r#"{"schema":1,"object":"o","size_bytes":9007199254740991,"key_id":"é","vault":{},"mac":"00"}"#,
            MANIFEST,
            DRILL_RECORD,
            META,
            bodies::barrier::KEYRING,
            bodies::barrier::MOUNTS,
            r#"{"type":"shamir","secret_shares":3,"secret_threshold":2}"#,
            r#"{"id":"n","path":"team/","custom_metadata":{}}"#,
            "\u{a}\u{1}a\u{12}\u{6}\u{8}\u{1}\u{12}\u{2}\u{a}\u{0}\u{18}\u{1}",
            "0101010101010101010101010101010101010101010101010101010101010101\nAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB",
            "1.21.4\n2.7.2+ent\nv2.6.0-rc1",
            "Vault v1.21.4 (abc), built 2026-01-01T00:00:00Z\n",
            "OpenBao v2.7.2 (abc)\n",
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
    fn generated_input_violates_no_property(data in input()) {
        TARGETS.iter().for_each(|(_, body)| body(&data));
    }
}

#[test]
fn every_seed_passes_every_target() {
    for data in SEEDS.iter() {
        TARGETS.iter().for_each(|(_, body)| body(data));
    }
}

/// `UPDATE_CORPUS=1` adds the seeds to the corpus.
#[test]
fn corpus_of_every_target_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut directories: Vec<_> =
        std::fs::read_dir(&corpus).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    directories.sort();
    assert!(directories.iter().eq(TARGETS.iter().map(|(name, _)| name)), "{directories:?}");
    let mut size = 0;
    for (name, body) in TARGETS {
        let directory = corpus.join(name);
        if std::env::var_os("UPDATE_CORPUS").is_some() {
            for seed in SEEDS.iter().filter(|seed| suits(name, seed)) {
                std::fs::write(directory.join(&sha256(seed)[..16]), seed).unwrap();
            }
        }
        let files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).collect();
        assert!(files.len() > 1, "{name} has no corpus");
        for file in files {
            let data = std::fs::read(file).unwrap();
            size += data.len();
            body(&data);
        }
    }
    assert!(size < 1_000_000, "the corpus has {size} bytes");
}

/// Returns `true` for a seed that gets further than the first bytes of a target.
fn suits(target: &str, seed: &[u8]) -> bool {
    let text = std::str::from_utf8(seed).is_ok();
    match target {
        "archive" => seed.starts_with(&[0x1f, 0x8b]) || seed.windows(5).any(|bytes| bytes == b"ustar"),
        "open" => seed.starts_with(b"VLTBKUP1"),
        "header" => seed.starts_with(b"VLTBKUP1") || seed.starts_with(b"{"),
        "barrier_entries" => !text,
        "manifest" | "signed" | "meta" | "barrier_keyring" | "barrier_namespaces" | "barrier_seal" => {
            seed.starts_with(b"{")
        }
        "barrier_secrets" => seed.len() < 100,
        _ => text,
    }
}
