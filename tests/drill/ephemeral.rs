//! Drills into an ephemeral Vault: their result, isolation and prerequisites.

use super::LOGIN;
use super::traces::{assert_gone, plaintext_in, processes, room};
use crate::support::process::temp_dir;
use crate::support::production::{CANARY, Site};
use crate::support::tool::{Output, Tool, program};
use crate::support::vault::binary;
use rustix::process::Signal;
use serde_json::json;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// `[staging]` with the test Vault as its binary, and more `lines`.
pub(crate) fn staging(lines: &str) -> String {
    format!("[staging]\nvault_binary = {:?}\n{LOGIN}{lines}", binary())
}

/// An ephemeral drill of `site` without any other Vault.
pub(super) fn ephemeral(site: &Site, lines: &str) -> Tool {
    site.tool_of(&[], &staging(lines)).args(["verify-restore", "--ephemeral", "--json"])
}

/// Returns `true` if this machine can start a program without a network.
fn can_isolate() -> bool {
    program("unshare").args(["-rn", "ip", "link", "set", "lo", "up"]).run().status == Some(0)
}

/// Asserts that a drill passed, without output if it could be isolated.
#[track_caller]
pub(crate) fn passed(output: &Output) {
    match can_isolate() {
        true => output.ok(),
        false => output.code(0).stderr_contains("has this machine's network"),
    };
}

/// The network namespace of a process.
fn network(process: &str) -> String {
    std::fs::read_link(format!("/proc/{process}/ns/net")).unwrap().to_str().unwrap().to_owned()
}

/// Asserts that other users can read nothing in `directory`, which may disappear at any moment.
fn assert_private(directory: &Path) {
    let mode = |path: &Path| std::fs::symlink_metadata(path).map_or(0, |meta| meta.permissions().mode() & 0o7777);
    assert_eq!(mode(directory) & 0o7077, 0);
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        assert_eq!(mode(&entry.path()) & 0o077, 0, "{:?}", entry.path());
        if entry.path().is_dir() {
            assert_private(&entry.path());
        }
    }
}

#[test]
fn ephemeral_drill_passes_isolated_and_leaves_nothing() {
    let site = Site::new();
    let object = site.production.object.clone();
    // A configured staging server is not used; here it is production itself.
    let production = format!("address = {:?}\ntoken = \"env:ROOT\"\n", site.production.vault.address());
    let mut run = ephemeral(&site, &production).start();
    let tmp = run.tmp();
    let (directory, server) = run.wait_for("its server", || room(&tmp));
    if can_isolate() {
        assert_ne!(network(&server.to_string()), network("self"));
        let devices = std::fs::read_to_string(format!("/proc/{server}/net/dev")).unwrap();
        assert_eq!(devices.lines().filter(|line| line.contains(':')).count(), 1, "only lo: {devices}");
    }
    let mut looked = 0;
    while run.is_running() {
        looked += usize::from(directory.join("data/vault.db").exists());
        assert_eq!(plaintext_in(&directory, &site), None);
        assert_private(&directory);
    }
    assert!(looked > 1, "at the storage too");
    let output = run.wait();
    passed(&output);
    site.assert_clean(&output);
    assert_gone(&directory);

    let result = output.json();
    assert_eq!((&result["mode"], &result["staging_vault"]), (&json!("ephemeral"), &json!("ephemeral")));
    assert_eq!((&result["backup_tested"], &result["canary"]), (&json!(object), &json!(CANARY)));
    for step in ["pick", "peek", "prepare", "restore", "wait", "unseal", "canary"] {
        assert!(result["durations_ms"][step].is_u64(), "{step}: {result}");
    }
    let record = site.json(&format!("{object}.drill.json")).unwrap();
    for key in ["drilled_at", "mode", "staging_vault", "canary", "durations_ms"] {
        assert_eq!(record[key], result[key], "{key}");
    }
    let event = site.audit().pop().unwrap();
    assert_eq!(event["event"], "vault_backup_test_success");
    assert_eq!((&event["details"]["staging_vault"], &event["severity"]), (&json!("ephemeral"), &json!(null)));
}

#[test]
fn ephemeral_drill_warns_if_it_cannot_isolate_the_server() {
    let site = Site::new();
    let older = site.seal_older(&site.production.vault.snapshot());
    // Without unshare, ip and setpriv, and with a Vault under its other name.
    let path = temp_dir();
    symlink("/bin/sh", path.path().join("sh")).unwrap();
    symlink(binary(), path.path().join("bao")).unwrap();
    let configured = format!("[staging]\nmode = \"ephemeral\"\n{LOGIN}");
    let tool = site.tool_of(&[], &configured).args(["verify-restore", "--legacy", &older]).env("PATH", path.path());
    let mut run = tool.start();
    let tmp = run.tmp();
    let (directory, _) = run.wait_for("its server", || room(&tmp));
    let output = run.wait();
    output.code(0).stderr_contains("has this machine's network").stderr_contains("may act, for example revoke leases");
    output.stderr_contains("no drill record was written because the backup has no manifest");
    site.assert_clean(&output);
    assert_gone(&directory);
}

#[test]
fn ephemeral_drill_reports_missing_settings_and_programs() {
    let site = Site::new();
    let room = temp_dir();
    let at = |name: &str| room.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("data"), "no program").unwrap();
    std::fs::create_dir(at("directory")).unwrap();
    site.file("broken.hcl", b"seal \"no-such-seal\" {}");
    let with = |binary: &str| format!("[staging]\nvault_binary = {binary:?}\n{LOGIN}");
    let broken = staging(&format!("vault_config = {:?}\n", site.path("broken.hcl")));
    let missing = staging(&format!("vault_config = {:?}\n", at("missing.hcl")));
    let long = room.path().join("x".repeat(120));
    std::fs::create_dir(&long).unwrap();
    for (staging, env, parts) in [
        (with(&at("missing")), None, ["/missing: there is no such program", "path of a vault or bao program"]),
        (with(&at("directory")), None, ["/directory: there is no such program", "staging.vault_binary"]),
        (with(&at("data")), None, ["/data: there is no such program", "staging.vault_binary"]),
        (with("no-vault-of-this-name"), None, ["no-vault-of-this-name: there is no such program", ""]),
        (format!("[staging]\n{LOGIN}"), Some(("PATH", room.path())), ["neither vault nor bao is on PATH", "--offline"]),
        (with("false"), None, ["server: exit status: 1", "check that staging.vault_binary is a Vault"]),
        (missing, None, ["missing.hcl: cannot be read", "staging.vault_config"]),
        (
            staging(""),
            Some(("TMPDIR", &room.path().join("none"))),
            ["cannot create the directory of the restore drill", "set TMPDIR"],
        ),
        (staging(""), Some(("TMPDIR", &long)), ["path too long for a socket", "TMPDIR"]),
        (
            format!("[staging]\nvault_binary = {:?}\n{}", binary(), LOGIN.lines().nth(1).unwrap()),
            None,
            ["unseal keys", "staging.unseal_keys"],
        ),
    ] {
        let tool = site.tool_of(&[], &staging).args(["verify-restore", "--ephemeral"]).envs(env);
        let output = tool.run();
        output.fails(2, &parts);
        site.assert_clean(&output);
        assert_eq!(std::fs::read_dir(&long).unwrap().count(), 0);
    }
    // The server reports the reason, after the warning about the network.
    let output = site.tool_of(&[], &broken).args(["verify-restore", "--ephemeral"]).run();
    output.code(2).stderr_contains("no-such-seal").stderr_contains("staging.vault_config");
    site.assert_clean(&output);
}

#[test]
fn failed_ephemeral_drill_leaves_nothing() {
    let site = Site::new();
    let login = LOGIN.replace("SECRET_ID", "KEY");
    let missing = staging("canary = \"smtp/nothing\"\n");
    for (staging, parts) in [
        (&missing, ["the canary smtp/nothing is not in the restored Vault", "write it to production"]),
        (&staging("").replace(LOGIN, &login), ["logging in with the source's credentials", "invalid"]),
        (&staging("").replace(", \"env:SHARE1\"", ""), ["too few unseal key shares: 1 given", "nothing was restored"]),
    ] {
        let mut run = site.tool_of(&[], staging).args(["verify-restore", "--ephemeral"]).start();
        let tmp = run.tmp();
        let (directory, _) = run.wait_for("its server", || room(&tmp));
        let output = run.wait();
        output.code(6).stderr_contains(parts[0]).stderr_contains(parts[1]);
        site.assert_clean(&output);
        assert_gone(&directory);
    }
    // Damage in the last segment only.
    let object = &site.production.object;
    let mut bytes = site.get(object);
    *bytes.last_mut().unwrap() ^= 1;
    site.put(object, &bytes);
    let output = ephemeral(&site, "").arg(object).run();
    output.code(5).stderr_contains(object);
    site.assert_clean(&output);
    assert_eq!(site.names().len(), 2, "no drill record");
}

#[test]
fn stop_ends_the_wait_for_a_server_that_never_listens() {
    let site = Site::new();
    let script = site.file("vault", b"#!/bin/sh\nsleep 600\n");
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o700)).unwrap();
    let tool = || {
        let staging = format!("[staging]\nvault_binary = {script:?}\n{LOGIN}");
        site.tool_of(&[], &staging).args(["verify-restore", "--ephemeral"])
    };
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let mut run = tool().start();
        let tmp = run.tmp();
        let directory = run.wait_for("its directory", || {
            let directory = std::fs::read_dir(&tmp).unwrap().next()?.unwrap().path();
            processes(&directory).iter().any(|(_, line)| line.contains("600")).then_some(directory)
        });
        run.signal(signal);
        let output = run.wait();
        output.fails(code, &[]);
        site.assert_clean(&output);
        assert_gone(&directory);
    }
    let output = tool().args(["--deadline", "1s"]).run();
    output.fails(124, &["the deadline passed"]);
    site.assert_clean(&output);
}
