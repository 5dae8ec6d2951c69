//! A store in a directory with something else in the place of a backup, its manifest or its
//! restore drill record.

use super::{KINDS, Special, at_once};
use crate::support::production::{CANARY, Site};
use crate::support::tool::Tool;
use std::os::unix::fs::symlink;
use std::path::Path;

const STAGING: &str = "[staging]\nunseal_keys = [\"env:SHARE0\", \"env:SHARE1\"]\n";

/// Kinds with which a name can be taken.
fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.into_iter().chain(["lonely FIFO", "link"])
}

fn take(path: &Path, kind: &str) -> Option<Special> {
    if path.exists() {
        std::fs::rename(path, path.with_extension("moved")).unwrap();
    }
    if kind != "link" {
        return Some(Special::at(path, kind));
    }
    symlink(path.with_extension("moved"), path).unwrap();
    None
}

fn give_back(path: &Path, special: Option<Special>) {
    if let Some(special) = special {
        special.assert_untouched();
    }
    let removed = if path.symlink_metadata().unwrap().is_dir() { std::fs::remove_dir } else { std::fs::remove_file };
    removed(path).unwrap();
    if path.with_extension("moved").exists() {
        std::fs::rename(path.with_extension("moved"), path).unwrap();
    }
}

/// The commands that read the store, and by name the one backup.
fn readers(site: &Site) -> Vec<(&'static str, Tool)> {
    let object = site.production.object.as_str();
    let address = site.production.vault.address();
    let tool = |args: &[&str]| site.tool(STAGING).args(args);
    let token = site.production.vault.root_token();
    vec![
        ("list", tool(&["list", "--json"])),
        ("status", tool(&["status", "--json", "--max-age", "9000d"])),
        ("prune", tool(&["prune", "--json"])),
        ("doctor", tool(&["doctor"])),
        ("decrypt", tool(&["decrypt", object, "-o", "out.snap"])),
        ("inspect", tool(&["inspect", object])),
        ("inspect latest", tool(&["inspect", "latest"])),
        ("recover", tool(&["recover", CANARY, "--from", object, "-o", "secret"])),
        ("verify-restore", tool(&["verify-restore", "--offline", object])),
        ("restore", tool(&["restore", object, "--address", &address, "--dry-run"]).env("VAULT_TOKEN", token)),
        ("complete-backups", tool(&["complete-backups"])),
    ]
}

#[test]
fn an_object_that_is_no_regular_file_is_no_backup() {
    let site = Site::new();
    let path = site.path("store").join(&site.production.object);
    for kind in kinds() {
        let special = take(&path, kind);
        for (command, tool) in readers(&site) {
            let output = at_once(tool.env("VAULT_TOKEN", site.production.vault.root_token()));
            match command {
                "list" => assert_eq!(output.code(0).json()["backups"].as_array().unwrap().len(), 0),
                "status" => assert_eq!(output.code(9).json()["daily"]["count"], 0),
                "prune" | "doctor" | "complete-backups" => {}
                _ => drop(output.code(4).stdout_is("").leaves(&[])),
            }
        }
        give_back(&path, special);
    }
    site.tool(STAGING).args(["verify-restore", "--offline"]).run().ok();
}

#[test]
fn a_manifest_that_is_no_regular_file_is_none() {
    let site = Site::new();
    let path = site.path("store").join(format!("{}.manifest.json", site.production.object));
    for kind in kinds() {
        let special = take(&path, kind);
        for (command, tool) in readers(&site) {
            let output = at_once(tool.env("VAULT_TOKEN", site.production.vault.root_token()));
            match command {
                "list" => assert_eq!(output.code(0).json()["backups"][0]["standing"], "unverified"),
                "status" => assert_eq!(output.code(9).json()["daily"]["good"], 0),
                "restore" | "inspect latest" => assert!([2, 4, 5].contains(&output.status.unwrap()), "{output:?}"),
                _ => {}
            }
        }
        give_back(&path, special);
    }
    site.tool(STAGING).args(["verify-restore", "--offline"]).run().ok();
}

#[test]
fn a_drill_record_that_is_no_regular_file_is_none() {
    let site = Site::new();
    site.tool(STAGING).args(["verify-restore", "--offline"]).run().ok();
    let path = site.path("store").join(format!("{}.drill.json", site.production.object));
    for kind in kinds() {
        let special = take(&path, kind);
        for (command, tool) in readers(&site).into_iter().filter(|(command, _)| *command != "verify-restore") {
            let output = at_once(tool.env("VAULT_TOKEN", site.production.vault.root_token()));
            if command == "status" {
                output.code(9);
                let document = output.json();
                assert!(document["newest_drill"].is_null(), "{document}");
                assert_eq!(document["daily"]["good"], 1);
            }
        }
        give_back(&path, special);
    }
    site.tool(STAGING).args(["status", "--max-age", "9000d"]).run().ok();
}

/// One line for each command, however many there are.
#[test]
fn commands_that_list_the_store_warn_once_of_what_they_skip() {
    let site = Site::new();
    for day in 10..30 {
        let name = format!("daily/2025-11-{day}/vault-snapshot-202511{day}-020000.enc");
        site.put(&name, b"x");
        std::fs::remove_file(site.path("store").join(&name)).unwrap();
        drop(Special::at(&site.path("store").join(&name), "FIFO"));
    }
    let warning = format!(
        "warning: {}/daily/2025-11-10/vault-snapshot-20251110-020000.enc: skipped (and 19 more): it is a FIFO, not a \
         regular file",
        site.store()
    );
    for args in [&["list"][..], &["status", "--max-drill-age", "9000d"], &["prune"], &["prune", "--dry-run"]] {
        let output = at_once(site.tool("").args(args));
        assert_eq!(output.stderr.matches("skipped").count(), 1, "{output:?}");
        output.stderr_contains(&warning);
    }
}
