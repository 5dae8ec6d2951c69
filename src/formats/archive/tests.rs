mod sources;

use super::synthetic::{Synthetic, gzip, sha256};
use super::*;
use crate::base::error::Kind;

use std::io::{self, BufReader};

const STATE_SIZE: usize = 1500;

fn whole() -> Synthetic {
    Synthetic::whole(&(0..STATE_SIZE).map(|i| (i * i % 251) as u8).collect::<Vec<_>>())
}

/// The message of the one failure that `bytes` must have.
fn refused(bytes: &[u8]) -> String {
    let error = check(bytes).unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity, "{error}");
    error.to_string()
}

fn assert_says(bytes: &[u8], says: &str) {
    let message = refused(bytes);
    assert!(message.contains(says), "'{message}' does not contain '{says}'");
}

#[test]
fn a_complete_snapshot_passes() {
    let bytes = whole().bytes();
    for capacity in [1, 7, 100_000] {
        let snapshot = check(BufReader::with_capacity(capacity, &bytes[..])).unwrap();
        assert_eq!((snapshot.state_size, snapshot.plaintext_size), (STATE_SIZE as u64, bytes.len() as u64));
        let Meta { index, term, size, id, version, peers } = snapshot.meta;
        assert_eq!((index, term, size, id.as_str(), version), (37, 3, STATE_SIZE as u64, "bolt-snapshot", 1));
        assert_eq!(peers, [MetaPeer { id: "n1".into(), address: "127.0.0.1:8201".into() }]);
    }
}

#[test]
fn several_gzip_members_are_read_as_one_stream() {
    let tar = whole().tar();
    let bytes: Vec<u8> = tar.chunks(700).flat_map(gzip).collect();
    assert_eq!(check(&bytes[..]).unwrap().plaintext_size, bytes.len() as u64);
}

#[test]
fn data_that_is_not_a_snapshot_is_refused_and_named() {
    assert_says(b"", "the snapshot is empty: Vault sent nothing");
    assert_says(b"\n<!DOCTYPE html><title>502</title>", "not gzip but HTML");
    assert_says(br#"{"errors":["permission denied"]}"#, "not gzip but JSON");
    assert_says(b"PK\x03\x04", "not gzip but unknown data");
    assert_says(&[0x1f], "it ends before meta.json");
    assert_says(&[0x1f, 0x8c, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0], "gzip data is damaged before meta.json");
    assert_says(&gzip(b""), "it ends before meta.json");
    assert_says(&gzip(&[b'x'; 2000]), "tar is malformed before meta.json");
}

/// Returns the expected messages for a tar truncated to `size` bytes.
fn expected_of_truncated(snapshot: &Synthetic, size: usize) -> Vec<String> {
    let mut at = 0;
    for (name, data) in &snapshot.members {
        if size < at + 512 {
            return vec![format!("it ends before {name}")];
        }
        at += 512;
        if size < at + data.len() {
            return vec![format!("it ends {} bytes into {name}", size - at)];
        }
        at += data.len().next_multiple_of(512);
    }
    vec!["it ends before the tar's end marker".into(), "it ends in the tar's end marker".into()]
}

#[test]
fn every_truncation_of_the_tar_is_located() {
    let snapshot = whole();
    let tar = snapshot.tar();
    for size in 0..tar.len() {
        // A server error ends the gzip data cleanly; a broken connection does not.
        let clean = gzip(&tar[..size]);
        for bytes in [&clean[..], &clean[..clean.len() - 8]] {
            let message = refused(bytes);
            let expected = expected_of_truncated(&snapshot, size);
            assert!(expected.iter().any(|says| message.contains(says)), "{size}: '{message}', not {expected:?}");
        }
    }
}

#[test]
fn every_truncation_of_the_gzip_is_refused() {
    let bytes = whole().bytes();
    for size in 1..bytes.len() {
        assert_says(&bytes[..size], "truncated: it ends ");
    }
    assert_says(&bytes[..bytes.len() - 1], "it ends in the gzip trailer");
    assert_says(&bytes[..bytes.len() - 8], "it ends in the gzip trailer");
}

#[test]
fn every_changed_byte_is_refused() {
    let (tar, bytes) = (whole().tar(), whole().bytes());
    let mut harmless = 0;
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x10;
        let mut inflated = Vec::new();
        let end = MultiGzDecoder::new(&bytes[..]).read_to_end(&mut inflated);
        // Times in the gzip header, and deflate's several encodings of zeros.
        if end.is_ok() && inflated == tar {
            check(&bytes[..]).unwrap();
            harmless += 1;
        } else {
            refused(&bytes);
        }
    }
    assert!(harmless < 40, "{harmless} of {}", bytes.len());
}

#[test]
fn every_changed_byte_of_a_hashed_member_is_refused() {
    for (name, says) in [
        ("state.bin", "the snapshot's state.bin is damaged: its SHA-256 differs from SHA256SUMS"),
        ("meta.json", "meta.json"),
    ] {
        for at in 0..whole().member(name).len() {
            let mut snapshot = whole();
            snapshot.member(name)[at] ^= 1;
            assert_says(&snapshot.bytes(), says);
        }
    }
}

#[test]
fn missing_members_are_refused_and_named() {
    assert_says(&whole().without("meta.json").bytes(), "contains state.bin before meta.json");
    assert_says(&whole().without("state.bin").bytes(), "incomplete: state.bin is missing");
    assert_says(&whole().without("SHA256SUMS").bytes(), "incomplete: SHA256SUMS is missing");
    let no_seal = "SHA256SUMS.sealed is missing: Vault could not reach its seal";
    assert_says(&whole().without("SHA256SUMS.sealed").bytes(), no_seal);
    let mut empty = whole();
    empty.member("SHA256SUMS.sealed").clear();
    assert_says(&empty.bytes(), "SHA256SUMS.sealed is empty: Vault could not reach its seal");
    assert_says(&gzip(&[0; 1024]), "incomplete: meta.json is missing");
}

#[test]
fn additional_tar_entries_are_refused() {
    for (name, says) in [
        ("notes.txt", "an unexpected entry: 'notes.txt'"),
        ("SHA256SUMS", "contains SHA256SUMS twice"),
        ("state.bin", "contains state.bin twice"),
    ] {
        let mut snapshot = whole();
        snapshot.members.push((name, b"x".to_vec()));
        assert_says(&snapshot.bytes(), says);
    }
    let mut tar = whole().tar();
    tar[156] = b'2';
    let sum = tar[..148].iter().chain(&tar[156..512]).map(|&b| u32::from(b)).sum::<u32>() + 8 * 32;
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_says(&gzip(&tar), "an unexpected entry: 'meta.json'");
}

#[test]
fn trailing_data_is_refused() {
    let (tar, bytes) = (whole().tar(), whole().bytes());
    for tail in [&b"x"[..], &[0; 1], &[0; 20], b"a longer tail than a gzip header"] {
        assert_says(&[&bytes, tail].concat(), "unexpected data after the end of the snapshot");
    }
    for tail in [vec![0; 1], vec![0; 512], vec![1; 3], whole().tar()] {
        assert_says(&gzip(&[&tar[..], &tail].concat()), "unexpected data after the end of the snapshot's tar");
        assert_says(&[&bytes[..], &gzip(&tail)].concat(), "unexpected data after the end of the snapshot's tar");
    }
    let mut tar = tar;
    let end = tar.len();
    tar[end - 1] = 1;
    assert_says(&gzip(&tar), "unexpected data after the end of the snapshot's tar");
}

#[test]
fn sha256sums_must_list_both_members_and_nothing_else() {
    let state = sha256(whole().member("state.bin"));
    let meta = sha256(whole().member("meta.json"));
    for (sums, says) in [
        (format!("{state}  state.bin\n"), "does not list meta.json"),
        (format!("{meta}  meta.json\n"), "does not list state.bin"),
        (String::new(), "does not list meta.json"),
        (format!("{meta}  meta.json\n{state}  state.bin\n{state}  state.bin\n"), "duplicate entry 'state.bin'"),
        (format!("{meta}  meta.json\n{state}  state.bin\n{state}  other\n"), "unexpected or duplicate entry 'other'"),
        (format!("{state}  meta.json\n{meta}  state.bin\n"), "meta.json is damaged"),
        (format!("{meta} meta.json\n"), "a line is not"),
    ] {
        let mut snapshot = whole();
        *snapshot.member("SHA256SUMS") = sums.into_bytes();
        assert_says(&snapshot.bytes(), says);
    }
    let mut snapshot = whole();
    *snapshot.member("SHA256SUMS") = format!("{state}  state.bin\n{meta}  meta.json\n").into_bytes();
    check(&snapshot.bytes()[..]).unwrap();
    *snapshot.member("SHA256SUMS") = vec![0xff];
    assert_says(&snapshot.bytes(), "not UTF-8");
}

#[test]
fn memory_is_bounded_for_any_declared_size() {
    let mut snapshot = whole();
    snapshot.members.insert(0, ("meta.json", vec![b' '; 2 << 20]));
    assert_says(&snapshot.bytes(), "meta.json is too large: 2097152 bytes");
    // An extended header, which the tar reader would keep in memory whole.
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::XHeader);
    header.set_size(1 << 40);
    header.set_cksum();
    let tar = [header.as_bytes().as_slice(), &[b'a'; 1 << 20]].concat();
    assert_says(&gzip(&tar), "more than 65536 bytes between two members");
}

#[test]
fn sizes_beyond_octal_are_read_from_extended_headers() {
    let (snapshot, mut tar) = (whole(), tar::Builder::new(Vec::new()));
    for (name, data) in &snapshot.members {
        let mut header = tar::Header::new_ustar();
        header.set_size(if *name == "state.bin" { 0 } else { data.len() as u64 });
        if *name == "state.bin" {
            tar.append_pax_extensions([("size", data.len().to_string().as_bytes())]).unwrap();
        }
        tar.append_data(&mut header, name, &data[..]).unwrap();
    }
    check(&gzip(&tar.into_inner().unwrap())[..]).unwrap();
}

#[test]
fn check_with_passes_state_bin_to_the_callback() {
    let bytes = whole().bytes();
    let (_, state) = check_with(&bytes[..], |meta, state| {
        assert_eq!(meta.index, 37);
        let mut all = Vec::new();
        state.read_to_end(&mut all).map_err(|e| Error::from_io(e, Kind::Unexpected, "x"))?;
        Ok(all)
    })
    .unwrap();
    assert_eq!(&state, whole().member("state.bin"));
    let (snapshot, first) = check_with(&bytes[..], |_, state| {
        let mut first = [0; 3];
        state.read_exact(&mut first).map_err(|e| Error::from_io(e, Kind::Unexpected, "x"))?;
        Ok(first)
    })
    .unwrap();
    assert_eq!((&first[..], snapshot.state_size), (&state[..3], STATE_SIZE as u64));
}

#[test]
fn the_snapshots_error_takes_precedence_over_the_callbacks() {
    let fail = |_: &Meta, _: &mut dyn Read| -> Result<()> { Err(Error::drill("entry 3 does not open")) };
    assert_eq!(check_with(&whole().bytes()[..], fail).unwrap_err().kind(), Kind::Drill);
    let mut changed = whole();
    changed.member("state.bin")[9] ^= 1;
    assert_eq!(check_with(&changed.bytes()[..], fail).unwrap_err().kind(), Kind::Integrity);
    // A callback that takes an error for an end gets no result either.
    let truncated = gzip(&whole().tar()[..2000]);
    let swallow = |_: &Meta, state: &mut dyn Read| Ok(io::copy(state, &mut io::sink()).unwrap_or(0));
    let error = check_with(&truncated[..truncated.len() - 8], swallow).unwrap_err();
    assert!(error.to_string().contains("bytes into state.bin"), "{error}");
}
