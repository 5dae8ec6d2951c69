//! Inputs: backups, keys, configurations and all other files that are read by their path.

use super::{KINDS, Special, at_once};
use crate::support::place::Place;
use crate::support::production::{CANARY, Site};
use crate::support::tool::{program, tool};
use serde_json::json;
use std::os::unix::fs::{PermissionsExt, symlink};

#[test]
fn only_a_regular_file_is_read_as_a_backup() {
    let site = Site::new();
    let address = site.production.vault.address();
    let commands: [&[&str]; 4] = [
        &["decrypt", "-o", "out.snap"],
        &["inspect"],
        &["recover", CANARY, "-o", "secret", "--share", "env:SHARE0", "--share", "env:SHARE1"],
        &["restore", "--address", &address, "--confirm", "x", "--force"],
    ];
    for kind in KINDS.into_iter().chain(["lonely FIFO"]) {
        for args in commands {
            for link in [false, true] {
                let tool = site.tool("").args(args).args(["--file", if link { "link" } else { "in.enc" }]);
                let special = Special::at(&tool.home().join("in.enc"), kind);
                symlink("in.enc", tool.home().join("link")).unwrap();
                let output = at_once(tool.env("VAULT_TOKEN", site.production.vault.root_token()));
                let name = if link { "link: " } else { "in.enc: " };
                let kind = kind.trim_start_matches("lonely ");
                output.fails(2, &[name, &format!("it is a {kind}"), "hint: "]).stdout_is("");
                output.leaves(&["in.enc", "link"]);
                special.assert_untouched();
            }
        }
    }
    // A link to a regular file is that file.
    let tool = site.tool("").args(["inspect", "--json", "./link"]);
    let file = site.file("copy.enc", &site.get(&site.production.object));
    symlink(&file, tool.home().join("link")).unwrap();
    assert_eq!(tool.run().ok().json()["input"], json!("./link"));
}

/// The keys of the configuration that name a file, and a command that reads or writes it.
const FILES: [(&str, &[&str]); 13] = [
    ("[encryption]\nkey = PATH", &["decrypt", "latest"]),
    ("[encryption]\nold_keys = [PATH]", &["backup"]),
    ("[encryption]\nmanifest_key = PATH", &["status"]),
    ("[vault.auth]\nmethod = \"userpass\"\nusername = \"x\"\npassword = PATH", &["backup"]),
    ("[vault]\nca_cert = PATH", &["backup"]),
    ("[vault]\nca_path = DIRECTORY", &["backup"]),
    ("[vault]\nclient_cert = PATH\nclient_key = PATH", &["backup"]),
    ("[staging]\nunseal_keys = [PATH]", &["verify-restore", "--offline"]),
    ("[staging]\nseal_key = PATH", &["verify-restore", "--offline"]),
    ("[run]\nlock_file = PATH", &["backup"]),
    ("[run]\nlock_file = PATH", &["prune"]),
    ("[audit]\nfile = PATH", &["backup"]),
    ("[metrics]\ntextfile = PATH", &["backup"]),
];

/// Whatever comes of the run, it does not wait, and the next one gets the lock.
#[test]
fn no_file_of_the_configuration_is_waited_for() {
    let place = Place::directory();
    place.backup();
    for (text, args) in FILES {
        for kind in KINDS.into_iter().chain(["lonely FIFO"]) {
            let tool = place.tool().args(["--config", "config.toml"]).args(args);
            let tool = if text.contains("\nkey =") || text.contains("manifest_key") {
                tool.env("VAULT_BACKUP_KEY", "")
            } else {
                tool
            };
            std::fs::create_dir(tool.home().join("ca.d")).unwrap();
            let path = tool.home().join("ca.d/special.pem");
            let special = Special::at(&path, kind);
            let text = text
                .replace("PATH", &format!("{:?}", format!("file:{}", path.display())))
                .replace("DIRECTORY", &format!("{:?}", tool.home().join("ca.d")));
            let of_path = ["ca_", "client_", "lock_file", "[audit]", "textfile"];
            let text = if of_path.iter().any(|key| text.contains(key)) { text.replace("file:", "") } else { text };
            std::fs::write(tool.home().join("config.toml"), &text).unwrap();
            let output = at_once(tool);
            // A directory of certificates may hold anything.
            let word = match text.contains("ca_path") {
                true => "no PEM certificate in it".to_owned(),
                false => format!("it is a {}", kind.trim_start_matches("lonely ")),
            };
            assert_ne!(output.status, Some(0), "{text}: {output:?}");
            output.stderr_contains(&word);
            special.assert_untouched();
        }
    }
    place.tool().arg("prune").run().ok();
}

#[test]
fn no_configuration_or_key_is_waited_for() {
    for kind in KINDS.into_iter().chain(["lonely FIFO"]) {
        let word = format!("it is a {}, not a regular file", kind.trim_start_matches("lonely "));
        for (args, variable) in [
            (&["--config", "special", "list"][..], None),
            (&["list"], Some("VAULT_BACKUP_CONFIG")),
            (&["doctor"], Some("VAULT_BACKUP_CONFIG")),
            (&["decrypt", "./x.enc", "--key", "special"], None),
            (&["inspect", "./x.enc", "--key", "file:special"], None),
            (&["keygen", "--manifest-key-of", "special"], None),
        ] {
            let tool = tool().args(args);
            let path = tool.home().join("special");
            let special = Special::at(&path, kind);
            let tool = match variable {
                Some(variable) => tool.env(variable, &path),
                None => tool,
            };
            at_once(tool).fails(2, &["special: ", &word]).stdout_is("");
            special.assert_untouched();
        }
    }
}

/// What a shell passes for `<(command)`: a pipe that is open already.
#[test]
fn a_pipe_of_the_shell_is_read_as_key_and_configuration() {
    let site = Site::new();
    let file = site.file("copy.enc", &site.get(&site.production.object));
    let key = site.file("key", site.production.key.as_bytes());
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = site.file("pipe.toml", format!("[encryption]\nkey = {key:?}\n").as_bytes());
    let binary = env!("CARGO_BIN_EXE_vault-backup");
    let run = |script: &str| at_once(program("bash").args(["-c", script, binary, &file, &key, &config]));
    run("exec \"$0\" decrypt \"$1\" --key <(cat \"$2\") -o out.snap").ok().leaves(&["out.snap"]);
    run("exec \"$0\" --config <(cat \"$3\") decrypt \"$1\" -o out.snap").ok().leaves(&["out.snap"]);
    run("cat \"$2\" | \"$0\" decrypt \"$1\" --key /dev/stdin -o out.snap").ok().leaves(&["out.snap"]);
    run("cat \"$1\" | \"$0\" decrypt - --key \"$2\" -o out.snap").ok().leaves(&["out.snap"]);
    // A FIFO by its own path was not inherited.
    let output = run("mkfifo pipe; (cat \"$2\" >pipe & echo $! >pid); \"$0\" decrypt \"$1\" --key pipe -o out.snap; \
                      end=$?; kill $(cat pid); rm pipe pid; exit $end");
    output.code(2).stderr_contains("pipe: it is a FIFO, not a regular file");
}

/// The SDK would wait for them, deaf to signals.
#[test]
fn a_special_file_as_aws_configuration_is_not_used() {
    let place = Place::s3();
    place.backup();
    for (file, kind) in [(".aws/credentials", "FIFO"), (".aws/config", "FIFO"), (".aws/config", "directory")] {
        let tool = place.tool().arg("list");
        std::fs::create_dir(tool.home().join(".aws")).unwrap();
        let special = Special::at(&tool.home().join(file), kind);
        let output = at_once(tool);
        output.code(0).stderr_contains(&format!("{file}: not used: it is a {kind}, not a regular file"));
        special.assert_untouched();
    }
}
