//! `recover`: one secret from a backup, without a Vault.

mod random;

use crate::support::production::{CANARY, PLANTED, Production, Site, seal_older};
use crate::support::tool::{Tool, program, tool};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// `recover` from `from` with key and shares by reference, and no configuration.
fn recover(production: &Production, from: &str) -> Tool {
    let flags = ["recover", "--from", from, "--key", "env:KEY", "--share", "env:SHARE2", "--share", "env:SHARE0"];
    let legacy: &[&str] = if from.ends_with("older.enc") { &["--legacy"] } else { &[] };
    production.armed(tool()).args(flags).args(legacy)
}

/// Writes the backup in each format into the site's directory; returns the paths.
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
fn recovers_from_every_format_without_a_configuration() {
    let site = Site::new();
    for from in forms(&site) {
        // Into a file: no other output may contain the secret.
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
            (vec!["smtp/nothing"], "smtp/nothing: there is no such secret"),
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
fn a_wrong_request_is_reported() {
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
        (shares(bare(&encrypted), &["env:SHARE0", "env:SHARE1"]), 2, "no key is configured"),
        (shares(bare(&encrypted).args(["--key", "env:POWERLESS"]), &["env:SHARE0"]), 2, "env:POWERLESS"),
        (shares(bare("no-such-file").args(key), &["env:SHARE0", "env:SHARE1"]), 2, "no-such-file"),
        (shares(bare("-").args(key), &["env:SHARE0", "env:SHARE1"]), 2, "stdin cannot be read twice"),
        (shares(bare(&encrypted).args(key), &["SHARE0"]), 2, "--share"),
    ] {
        tool.run().fails(code, &[part]).stdout_is("").leaves(&[]);
    }
    // An existing file is not replaced.
    let prepared = recover(&site.production, &plain).args([CANARY, "-o", "mine"]);
    std::fs::write(prepared.home().join("mine"), "mine").unwrap();
    let output = prepared.run();
    output.fails(2, &["mine: the secret was not written", "exists"]).leaves(&["mine"]);
    assert_eq!(std::fs::read(output.home().join("mine")).unwrap(), b"mine");

    let mut truncated = std::fs::read(&encrypted).unwrap();
    truncated.truncate(truncated.len() - 1);
    let from = site.file("truncated.enc", &truncated);
    recover(&site.production, &from).args([CANARY, "-o", "x"]).run().fails(5, &[&from]).leaves(&[]);
}

#[test]
fn the_audit_log_names_the_path_and_the_object() {
    let site = Site::new();
    let object = site.production.object.clone();
    let staging = "[staging]\nunseal_keys = [\"env:SHARE0\", \"env:SHARE1\"]\n";
    let run = |path: &str| site.tool(staging).args(["recover", path, "--from", &object, "-o", "secret"]).run();
    let output = run(CANARY);
    output.ok().leaves(&["secret"]);
    run("smtp/deleted").fails(6, &["was deleted"]);
    site.tool(staging).args(["recover", "--list", "smtp/", "--from", &object]).run().ok();
    let events = site.audit();
    let logged: Vec<_> = events.iter().map(|e| (&e["event"], &e["details"]["path"], &e["details"]["from"])).collect();
    let from = json!(object);
    assert_eq!(
        logged,
        [
            (&json!("vault_secret_recovered"), &json!(CANARY), &from),
            (&json!("vault_secret_recovery_failed"), &json!("smtp/deleted"), &from),
            (&json!("vault_secret_recovered"), &json!("smtp/"), &from),
        ]
    );
    assert!(!std::fs::read_to_string(site.path("audit.log")).unwrap().contains(PLANTED));
    // -v reports the version and its time.
    let output = site.tool(staging).args(["recover", CANARY, "--from", &object, "-v", "-o", "secret"]).run();
    output.code(0).stderr_contains(&format!("{CANARY}: version 1, written at 20")).stdout_is("");
}

#[test]
fn a_directory_of_secrets_is_reported_as_one() {
    let site = Site::new();
    let [encrypted, _, _] = forms(&site);
    for (path, secrets) in [("smtp/test-tenant-id", 1), ("smtp/test-tenant-id/", 1), ("smtp", 4), ("old/", 1)] {
        let what = format!("{encrypted}: {path}: it is not a secret but a directory of secrets ({secrets} in all)");
        let output = recover(&site.production, &encrypted).args([path, "-o", "x"]).run();
        output.fails(6, &[&what, &format!("hint: give `--list {path}` in place of the path")]).leaves(&[]);
    }
    for path in ["smtp/test", "no/such/mount", "smtp/nothing"] {
        let output = recover(&site.production, &encrypted).args([path, "-o", "x"]).run();
        output.fails(6, &[path, "vault-backup recover --list PREFIX"]).leaves(&[]);
        assert!(!output.stderr.contains("directory"), "{output:?}");
    }
}

/// The value is in the document only where it would be on stdout without `--json`.
#[test]
fn the_json_document_has_the_secret_only_without_output() {
    let site = Site::new();
    let staging = "[staging]\nunseal_keys = [\"env:SHARE0\", \"env:SHARE1\"]\n";
    let object = &site.production.object;
    let json = |args: &[&str]| site.tool(staging).args(["recover", "--from", "latest", "--json"]).args(args).run();
    let address = format!("{}/{object}", site.store());
    let found = json(&["smtp/versions", "--version", "3", "-o", "secret"]).ok().leaves(&["secret"]).json();
    assert_eq!((&found["path"], &found["version"]), (&json!("smtp/versions"), &json!(3)));
    assert_eq!((&found["from"], &found["output"]), (&json!(address), &json!("secret")));
    assert!(found["created_at"].is_string() && found.get("data").is_none(), "{found}");
    let found = json(&["--list", "smtp"]).ok().json();
    let names = found["secrets"].as_array().unwrap();
    let paths: Vec<_> = names.iter().map(|secret| secret["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["smtp/deleted", "smtp/destroyed", CANARY, "smtp/versions"]);
    let versions = &names[3]["versions"];
    assert_eq!((&names[3]["current_version"], &versions[3]["version"]), (&json!(4), &json!(4)));
    assert!(versions[0]["deleted_at"].is_string() && versions[1]["destroyed"] == true, "{versions}");
    assert_eq!(json(&["smtp/nothing"]).code(6).json()["error"]["class"], "drill");

    // To stdout, as without `--json`: not with the tool that fails if a secret is printed.
    let shares = site.production.vault.shares();
    let output = tool()
        .args(["recover", CANARY, "--json", "--from", &site.file("copy.enc", &site.get(object))])
        .args(["--key", "env:KEY", "--share", "env:SHARE0", "--share", "env:SHARE1"])
        .envs([("KEY", &site.production.key), ("SHARE0", &shares[0]), ("SHARE1", &shares[1])])
        .run();
    let found = output.ok().json();
    assert_eq!((&found["data"], &found["output"]), (&json!({"password": PLANTED}), &Value::Null));
    assert!(!std::fs::read_to_string(site.path("audit.log")).unwrap().contains(PLANTED));
    assert_eq!(site.audit()[0]["details"]["from"], json!(object), "the audit log has the object, not `latest`");
}

/// Runs its arguments on a new terminal, and prints the output.
const ON_A_TERMINAL: &str = "import os, pty, sys
status = pty.spawn(sys.argv[1:])
sys.exit(os.waitstatus_to_exitcode(status))";

#[test]
fn shows_the_secret_on_a_terminal_only_with_show() {
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
