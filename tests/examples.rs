//! The examples do what they say, as far as one machine can tell.

mod policies;
mod roles;

use crate::support::process::temp_dir;
use crate::support::python::python;
use crate::support::tool::program;
use chrono::Utc;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vault_backup::app::config::{Config, Overrides};
use vault_backup::services::notify::metrics::{self, Figures};
use vault_backup::services::notify::{Event, Operation};
use vault_backup::services::vault::Auth;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

fn check(what: &str) -> String {
    python(&["tests/examples/check.py", what]).success()
}

#[test]
fn kubernetes_takes_the_cronjob_and_we_its_configuration() {
    let dir = temp_dir();
    let file = dir.path().join("config.toml");
    std::fs::write(&file, check("kubernetes")).unwrap();
    let config = Config::load(&Overrides { config: Some(file), ..Overrides::default() }, &|_| None).unwrap();
    assert!(matches!(config.vault().unwrap().auth, Some(Auth::Kubernetes { .. })));
    config.store().unwrap();
    assert!(config.encryption.key.is_some());
}

#[test]
fn alerts_are_on_metrics_that_are_written() {
    let names = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.filter(|word| word.starts_with("vault_backup_")).map(str::to_owned).collect()
    };
    let dir = temp_dir();
    let file = dir.path().join("x.prom");
    let now = Utc::now();
    let event = Event::done(Operation::Backup, now, Duration::from_secs(1), "m", Map::new(), &[]);
    let newest = Some((now, 1));
    let figures = Figures { newest_daily: newest, newest_monthly: newest, newest_drill: Some(now) };
    metrics::update(&file, &event, &figures).unwrap();
    let written = names(&std::fs::read_to_string(&file).unwrap());
    let used = names(&check("alerts"));
    assert!(used.len() >= 5 && used.is_subset(&written), "{used:?} {written:?}");
}

#[test]
fn roles_are_what_aws_knows_and_no_wider() {
    check("iam");
}

#[test]
fn the_bucket_is_made() {
    check("bucket");
}

/// The units with a program that is there, in a folder of their own.
fn units() -> (tempfile::TempDir, Vec<PathBuf>) {
    let dir = temp_dir();
    let units = std::fs::read_dir(path("examples/systemd")).unwrap().map(|entry| {
        let from = entry.unwrap().path();
        let to = dir.path().join(from.file_name().unwrap());
        let text = std::fs::read_to_string(from).unwrap();
        std::fs::write(&to, text.replace("/usr/local/bin/vault-backup", env!("CARGO_BIN_EXE_vault-backup"))).unwrap();
        to
    });
    let units: Vec<_> = units.collect();
    assert_eq!(units.len(), 4);
    (dir, units)
}

#[test]
fn systemd_takes_the_units() {
    let (_dir, units) = units();
    program("systemd-analyze").arg("verify").args(&units).run().ok();
    let services = units.iter().filter(|unit| unit.extension().is_some_and(|e| e == "service"));
    // 100 is a unit without any protection; what is left is the network.
    program("systemd-analyze").args(["security", "--offline=yes", "--threshold=15"]).args(services).run().code(0);
}

/// The jobs of crontab.example: five fields, and the command with `\%` as cron reads it.
fn jobs() -> Vec<(String, String)> {
    let text = read("crontab.example");
    let lines = text.lines().map(|line| line.trim_start_matches("# "));
    let jobs = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let command = line[line.find("  ").unwrap()..].trim();
        assert!(!command.replace("\\%", "").contains('%'), "cron ends a command at a bare %");
        (fields[..5].join(" "), command.replace("\\%", "%"))
    });
    jobs.collect()
}

#[test]
fn the_crontab_runs_at_its_times() {
    let jobs = jobs();
    let times: Vec<_> = jobs.iter().map(|(time, _)| time.as_str()).collect();
    assert_eq!(times, ["0 2 * * *", "0 4 * * 0", "0 8 * * *", "0 * * * *", "0 * * * *"]);
    assert!(read("crontab.example").lines().any(|line| line == "CRON_TZ=UTC"));

    // What Debian's cron runs every hour does something in one hour alone.
    let dir = temp_dir();
    let stub = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    stub("vault-backup", "echo \"$@\"");
    let system = std::env::var("PATH").unwrap();
    for (job, does) in [(3, "backup --prune\n"), (4, "verify-restore\n")] {
        for (now, expected) in [("2025-11-30T02:00Z", 3), ("2025-11-30T04:00Z", 4), ("2025-11-29T04:00Z", 0)] {
            stub("date", &format!("PATH='{system}' exec date -d {now} \"$@\""));
            let path = format!("{}:{system}", dir.path().display());
            let ran = program("sh").args(["-c", &jobs[job].1]).env("PATH", path).run();
            ran.ok().stdout_is(if expected == job { does } else { "" });
        }
    }
}

#[test]
fn the_image_is_small_and_not_root() {
    let text = read("examples/Dockerfile");
    let stages: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("FROM ")).collect();
    let rust: Value = toml::from_str(&read("Cargo.toml")).unwrap();
    let version = rust["package"]["rust-version"].as_str().unwrap();
    assert_eq!(stages, [format!("rust:{version}-alpine AS build"), "scratch".to_owned()]);
    let user = text.lines().find_map(|line| line.strip_prefix("USER ")).unwrap();
    let (uid, gid) = user.split_once(':').unwrap();
    assert!(uid.parse::<u32>().unwrap() > 0 && gid.parse::<u32>().unwrap() > 0);

    // What is copied out of the first stage is made there, and the program is ours.
    let (build, image) = text.split_once("FROM scratch").unwrap();
    let copied: Vec<Vec<_>> =
        image.lines().filter_map(|line| line.strip_prefix("COPY ")).map(|line| line.split(' ').collect()).collect();
    assert!(copied.len() == 3 && copied.iter().all(|words| words[0] == "--from=build"), "{copied:?}");
    let program = format!("/src/target/release/{}", rust["package"]["name"].as_str().unwrap());
    for made in ["/etc/ssl/certs/ca-certificates.crt", "/run-dir", &program] {
        assert!(copied.iter().any(|words| words.contains(&made)), "{made}");
    }
    for step in ["apk add --no-cache ca-certificates", "WORKDIR /src\n", "COPY . .\n", "cargo build --release --locked"]
    {
        assert!(build.contains(step), "{step}");
    }
    let lines: Vec<_> = image.lines().collect();
    assert!(lines.contains(&r#"ENTRYPOINT ["/usr/local/bin/vault-backup"]"#), "{lines:?}");
    assert!(copied.iter().any(|words| words.last() == Some(&"/usr/local/bin/vault-backup")));
    // The build's own output stays out of what is sent to it.
    assert!(read(".dockerignore").lines().any(|line| line == "target"));
}
