//! `recover`: one secret back from a backup, without any Vault.

mod random;

use crate::support::production::{CANARY, PLANTED, Production, Site, seal_older};
use crate::support::tool::{Tool, program, tool};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// `recover` of `from` with key and shares by their references, and no configuration.
fn recover(production: &Production, from: &str) -> Tool {
    let flags = ["recover", "--from", from, "--key", "env:KEY", "--share", "env:SHARE2", "--share", "env:SHARE0"];
    production.armed(tool()).args(flags)
}

/// Writes the backup in each form that it may have into the site's folder: their paths.
fn forms(site: &Site) -> [String; 3] {
    let plain = site.production.vault.snapshot();
    let forms = [
        ("copy.enc", site.get(&site.production.object)),
        ("older.enc", seal_older(&site.production.key, &plain)),
        ("vault.snap", plain),
    ];
    forms.map(|(name, bytes)| site.file(name, &bytes))
}

fn password(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn from_every_form_without_a_configuration() {
    let site = Site::new();
    for from in forms(&site) {
        // What it prints is the secret itself: to a file here, so that nothing may say it.
        for (path, args, data) in [
            (CANARY, vec![], json!({"password": PLANTED})),
            ("old/canary", vec![], json!({"password": PLANTED})),
            ("smtp/versions", vec![], json!({"n": 4, "password": PLANTED})),
            ("smtp/versions", vec!["--version", "3"], json!({"n": 3, "password": PLANTED})),
        ] {
            let output = recover(&site.production, &from).args(["-o", "secret.json", path]).args(args).run();
            output.ok().stdout_is("").leaves(&["secret.json"]);
            assert_eq!(password(&output.home().join("secret.json")), data);
            let mode = output.home().join("secret.json").metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        for (args, why) in [
            (vec!["smtp/nothing"], "smtp/nothing"),
            (vec!["nowhere/x"], "nowhere/x"),
            (vec!["smtp/deleted"], "version 1 was deleted in this backup"),
            (vec!["smtp/destroyed"], "version 1 was destroyed"),
            (vec!["smtp/versions", "--version", "1"], "version 1 was deleted in this backup"),
            (vec!["smtp/versions", "--version", "2"], "version 2 was destroyed"),
            (vec!["smtp/versions", "--version", "9"], "9"),
        ] {
            let output = recover(&site.production, &from).args(["-o", "secret.json"]).args(args).run();
            output.fails(6, &[&from, why]).stdout_is("").leaves(&[]);
        }
        let output = recover(&site.production, &from).args(["--list", "smtp"]).run();
        let lines = output.ok().text();
        let lines: Vec<_> = lines.lines().collect();
        let [deleted, destroyed, canary, versions] = lines[..] else { panic!("{lines:?}") };
        assert!(deleted.starts_with("smtp/deleted  versions 1* (deleted 20"), "{deleted}");
        assert_eq!(destroyed, "smtp/destroyed  versions 1* (destroyed)");
        assert_eq!(canary, format!("{CANARY}  versions 1*"));
        assert!(versions.starts_with("smtp/versions  versions 1 (deleted "), "{versions}");
        assert!(versions.ends_with("), 2 (destroyed), 3, 4*"), "{versions}");
        recover(&site.production, &from).args(["--list", "old/"]).run().ok().stdout_is("old/canary\n");
    }
    site.production.assert_untouched();
}

#[test]
fn what_is_wrong_with_the_request() {
    let site = Site::new();
    let [encrypted, _, plain] = forms(&site);
    let bare = |from: &str| site.production.armed(tool()).args(["recover", CANARY, "--from", from]);
    let shares = |tool: Tool, names: &[&str]| names.iter().fold(tool, |tool, name| tool.args(["--share", name]));
    let key = ["--key", "env:KEY"];
    for (tool, code, part) in [
        (shares(bare(&encrypted).args(key), &["env:SHARE0"]), 6, "too few unseal key shares: 1 given"),
        (
            shares(bare(&encrypted).args(key), &["env:SHARE0", "env:SHARE0"]),
            6,
            "share 2 of 2 (env:SHARE0): duplicate of",
        ),
        (shares(bare(&encrypted).args(key), &["env:SHARE0", "env:KEY"]), 6, "share 2 of 2 (env:KEY): it has 32 bytes"),
        (shares(bare(&encrypted).args(key), &["env:SHARE0", "env:POWERLESS"]), 2, "share env:POWERLESS: malformed"),
        (shares(bare(&plain), &["env:SHARE1"]), 6, "too few unseal key shares: 1 given"),
        (bare(&encrypted).args(key), 2, "no unseal shares"),
        (shares(bare(&encrypted), &["env:SHARE0", "env:SHARE1"]), 2, "no key is at hand"),
        (shares(bare(&encrypted).args(["--key", "env:POWERLESS"]), &["env:SHARE0"]), 2, "env:POWERLESS"),
        (shares(bare("no-such-file").args(key), &["env:SHARE0", "env:SHARE1"]), 2, "no-such-file"),
        (shares(bare("-").args(key), &["env:SHARE0", "env:SHARE1"]), 2, "stdin cannot be read twice"),
        (shares(bare(&encrypted).args(key), &["SHARE0"]), 2, "--share"),
    ] {
        tool.run().fails(code, &[part]).stdout_is("").leaves(&[]);
    }
    // What is there stays what it is.
    let prepared = recover(&site.production, &plain).args([CANARY, "-o", "mine"]);
    std::fs::write(prepared.home().join("mine"), "mine").unwrap();
    let output = prepared.run();
    output.fails(2, &["mine: the secret was not written", "exists"]).leaves(&["mine"]);
    assert_eq!(std::fs::read(output.home().join("mine")).unwrap(), b"mine");

    let mut cut = std::fs::read(&encrypted).unwrap();
    cut.truncate(cut.len() - 1);
    let from = site.file("cut.enc", &cut);
    recover(&site.production, &from).args([CANARY, "-o", "x"]).run().fails(5, &[&from]).leaves(&[]);
}

#[test]
fn an_object_by_the_configuration_and_what_is_told_of_it() {
    let site = Site::new();
    let object = site.production.object.clone();
    let staging = "[staging]\nunseal_keys = [\"env:SHARE0\", \"env:SHARE1\"]\n";
    let run = |path: &str| site.tool(staging).args(["recover", path, "--from", &object, "-o", "secret"]).run();
    let output = run(CANARY);
    output.ok().leaves(&["secret"]);
    run("smtp/deleted").fails(6, &["was deleted"]);
    site.tool(staging).args(["recover", "--list", "smtp/", "--from", &object]).run().ok();
    let events = site.audit();
    let told: Vec<_> = events.iter().map(|e| (&e["event"], &e["details"]["path"], &e["details"]["from"])).collect();
    let from = json!(object);
    assert_eq!(
        told,
        [
            (&json!("vault_secret_recovered"), &json!(CANARY), &from),
            (&json!("vault_secret_recovery_failed"), &json!("smtp/deleted"), &from),
            (&json!("vault_secret_recovered"), &json!("smtp/"), &from),
        ]
    );
    assert!(!std::fs::read_to_string(site.path("audit.log")).unwrap().contains(PLANTED));
    // -v tells the version and its time, beside the data.
    let output = site.tool(staging).args(["recover", CANARY, "--from", &object, "-v", "-o", "secret"]).run();
    output.code(0).stderr_contains(&format!("{CANARY}: version 1, written at 20")).stdout_is("");
}

/// Runs its arguments on a terminal of their own, and prints what came there.
const ON_A_TERMINAL: &str = "import os, pty, sys
status = pty.spawn(sys.argv[1:])
sys.exit(os.waitstatus_to_exitcode(status))";

#[test]
fn a_terminal_sees_it_only_if_asked_to() {
    let site = Site::new();
    let [_, _, plain] = forms(&site);
    let binary = env!("CARGO_BIN_EXE_vault-backup");
    let flags = ["recover", CANARY, "--from", &plain, "--share", "env:SHARE0", "--share", "env:SHARE1"];
    let terminal = || program("python3").args(["-c", ON_A_TERMINAL, binary]).args(flags);
    let output = site.production.armed(terminal()).run();
    output.code(2).stdout_contains("the secret would be shown on this terminal").never_says(PLANTED);
    let shares = site.production.vault.shares();
    let output = terminal().arg("--show").env("SHARE0", &shares[0]).env("SHARE1", &shares[1]).run();
    output.code(0).stdout_contains(&json!({"password": PLANTED}).to_string());
}
