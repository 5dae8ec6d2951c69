//! What Vault, or something in front of it, sends instead of a whole snapshot.
//! The real Vault's own snapshot, damaged.

use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use crate::support::site::Site;
use crate::support::snapshot::{Synthetic, gzip};
use flate2::read::MultiGzDecoder;
use std::io::Read;

/// The members of what Vault sent.
fn members(snapshot: &[u8]) -> Synthetic {
    let mut archive = tar::Archive::new(MultiGzDecoder::new(snapshot));
    let mut members = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = match entry.path().unwrap().to_str().unwrap() {
            "meta.json" => "meta.json",
            "state.bin" => "state.bin",
            "SHA256SUMS" => "SHA256SUMS",
            "SHA256SUMS.sealed" => "SHA256SUMS.sealed",
            other => panic!("a snapshot with {other}"),
        };
        let mut data = Vec::new();
        entry.read_to_end(&mut data).unwrap();
        members.push((name, data));
    }
    Synthetic { members }
}

/// Where the member `name` begins in the tar, with its header.
fn offset(snapshot: &Synthetic, name: &str) -> usize {
    let before = snapshot.members.iter().take_while(|(member, _)| *member != name);
    before.map(|(_, data)| 512 + data.len().next_multiple_of(512)).sum()
}

/// What is sent, and what must be said of it.
fn damaged(real: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
    let whole = members(real);
    let tar = whole.tar();
    let cut = |size: usize| gzip(&tar[..size]);
    let end = offset(&whole, "");
    let changed = |name: &str, at: usize| {
        let mut changed = whole.clone();
        changed.member(name)[at] ^= 1;
        changed.bytes()
    };
    let with = |name: &'static str, data: &[u8]| {
        let mut more = whole.clone();
        more.members.push((name, data.to_vec()));
        more.bytes()
    };
    let mut no_seal = whole.clone();
    no_seal.member("SHA256SUMS.sealed").clear();
    vec![
        (Vec::new(), "the snapshot is empty: Vault sent nothing"),
        (b"<!DOCTYPE html><title>Sign in</title>".to_vec(), "not gzip but HTML"),
        (br#"{"errors":["no"]}"#.to_vec(), "not gzip but JSON"),
        // Cut: within gzip's header, anywhere, within its trailer; the tar before it was compressed.
        (real[..5].to_vec(), "truncated: it ends before meta.json"),
        (real[..real.len() / 2].to_vec(), "truncated: it ends "),
        (real[..real.len() - 3].to_vec(), "truncated: it ends in the gzip trailer"),
        (cut(offset(&whole, "state.bin") + 512 + 1000), "truncated: it ends 1000 bytes into state.bin"),
        (cut(offset(&whole, "SHA256SUMS")), "truncated: it ends before SHA256SUMS"),
        (
            cut(offset(&whole, "SHA256SUMS.sealed")),
            "it ends before SHA256SUMS.sealed; check that Vault can reach its seal",
        ),
        (cut(end), "it ends before the tar's end marker"),
        (cut(end + 512), "it ends in the tar's end marker"),
        (
            whole.clone().without("SHA256SUMS.sealed").bytes(),
            "SHA256SUMS.sealed is missing: Vault could not reach its seal",
        ),
        (no_seal.bytes(), "SHA256SUMS.sealed is empty"),
        (changed("state.bin", 5000), "state.bin is damaged: its SHA-256 differs from SHA256SUMS"),
        (changed("meta.json", 10), "meta.json"),
        (with("extra", b"x"), "contains an unexpected entry: 'extra'"),
        (with("state.bin", b"x"), "contains state.bin twice"),
        ([real, b"trailing"].concat(), "unexpected data after the end of the snapshot"),
        ([real, real].concat(), "unexpected data after the end of the snapshot's tar"),
    ]
}

#[test]
fn a_damaged_snapshot_is_never_stored() {
    let site = Site::shared();
    let cases = damaged(&site.vault.snapshot());
    // Both stores, side by side.
    std::thread::scope(|scope| {
        for place in Place::both() {
            let cases = &cases;
            scope.spawn(move || {
                for (body, says) in cases {
                    let vault = place.site.vault_sending(body.clone());
                    let output = place.tool().env("VAULT_ADDR", vault.address()).args(["backup", "--prune"]).run();
                    output.fails(5, &[says]).stdout_is("").leaves(&[]);
                    place.assert_empty();
                }
            });
        }
    });
}

#[test]
fn a_flipped_bit_on_the_way() {
    let place = Place::s3();
    let size = place.site.vault.snapshot().len();
    for at in [size / 3, size / 2, size - 6] {
        let vault = place.site.vault_with(move |_| Reply::forward().flip(at));
        place.tool().env("VAULT_ADDR", vault.address()).arg("backup").run().fails(5, &["the snapshot"]).leaves(&[]);
        place.assert_empty();
    }
}

#[test]
fn a_connection_that_breaks_or_stalls_is_vaults_failure() {
    for place in Place::both() {
        let run = |vault: &FaultServer, config: &str| {
            let tool = place.tool().env("VAULT_ADDR", vault.address());
            std::fs::write(tool.home().join("config.toml"), config).unwrap();
            tool.args(["backup", "--config", "config.toml"]).run()
        };
        let broken = place.site.vault_with(|_| Reply::forward().break_after(5000));
        run(&broken, "").fails(3, &[broken.address(), "snapshot, after 5000 bytes"]).leaves(&["config.toml"]);
        let stalled = place.site.vault_with(|_| Reply::forward().stall_after(5000));
        let output = run(&stalled, "[run]\nidle_timeout = \"1s\"\n");
        output.fails(3, &[stalled.address(), "nothing came for 1 s", "run.idle_timeout"]);
        let page = place.site.vault_with(|_| Reply::status(200).header("Content-Type", "text/html").body("<html>"));
        run(&page, "").fails(3, &[page.address(), "not a snapshot but text/html"]);
        place.assert_empty();
    }
}
