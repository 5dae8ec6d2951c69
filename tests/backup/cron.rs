//! Output of a run: nothing under cron, log lines on request.

use crate::support::place::{Place, next_second};
use crate::support::tool::{Output, Tool, program};
use serde_json::Value;

/// Runs like cron: no terminal, a minimal environment, all settings in one file.
fn by_cron(place: &Place) -> Tool {
    let site = &place.site;
    let tool = crate::support::tool().env("PATH", "/usr/bin:/bin").envs(place.site.s3.env());
    let home = tool.home();
    let private = |name: &str, text: &str| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(home.join(name), text).unwrap();
        std::fs::set_permissions(home.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
        home.join(name)
    };
    let config = format!(
        "[vault]\naddresses = [{:?}]\n[vault.auth]\ntoken = \"file:{}\"\n[store]\nurl = {:?}\n[encryption]\nkey = {:?}\n",
        site.vault.address(),
        private("token", &format!("{}\n", site.token)).display(),
        place.url(),
        private("key", &format!("{}\n", site.key)),
    );
    let config = private("config.toml", &config);
    tool.keeps([&site.token, &site.key]).arg("--config").arg(config)
}

const FILES: [&str; 3] = ["config.toml", "key", "token"];

#[test]
fn a_successful_run_prints_nothing_under_cron() {
    for place in Place::both() {
        for args in [&["backup", "--prune"][..], &["prune"], &["backup", "-q"]] {
            next_second();
            by_cron(&place).args(args).run().ok().stdout_is("").leaves(&FILES);
        }
        assert_eq!(place.names().iter().filter(|name| name.starts_with("daily/") && name.ends_with(".enc")).count(), 2);
    }
}

#[test]
fn a_failure_is_one_line_under_cron() {
    let place = Place::s3();
    for quiet in [&[][..], &["-q"]] {
        let output = by_cron(&place).args(["backup", "--store", "s3://no-such-bucket/x"]).args(quiet).run();
        output.fails(4, &["vault-backup: error: s3://no-such-bucket/x", "no such bucket"]);
        output.stdout_is("").leaves(&FILES);
    }
}

fn lines(output: &Output) -> Vec<&str> {
    output.stderr.lines().collect()
}

#[test]
fn verbose_and_json_logs_print_progress_lines() {
    let place = Place::directory();
    let run = |flags: &[&str]| {
        next_second();
        let output = place.tool().args(["backup", "--kind", "daily"]).args(flags).run();
        output.code(0).stdout_is("").leaves(&[]);
        output
    };
    let [logged, detailed] = [run(&["-v"]), run(&["-vv"])];
    for line in lines(&logged) {
        assert!(line.starts_with("vault-backup: info: "), "{line}");
    }
    assert!(lines(&logged).len() > 1, "{logged:?}");
    assert!(lines(&detailed).iter().any(|line| line.starts_with("vault-backup: debug: ")), "{detailed:?}");

    let output = run(&["-vv", "--log-format", "json"]);
    for line in lines(&output) {
        let entry: Value = serde_json::from_str(line).unwrap();
        assert!(["info", "debug"].contains(&entry["level"].as_str().unwrap()), "{line}");
        chrono::DateTime::parse_from_rfc3339(entry["timestamp"].as_str().unwrap()).unwrap();
        assert!(!entry["message"].as_str().unwrap().is_empty());
    }
    assert!(lines(&output).len() > 1, "{output:?}");
}

/// `script` runs it on a terminal.
#[test]
fn a_terminal_shows_progress_and_a_closing_line() {
    let place = Place::directory();
    let on_terminal = |args: &str| {
        next_second();
        let command = format!("{} backup {args}", env!("CARGO_BIN_EXE_vault-backup"));
        let site = &place.site;
        let output = program("script")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .env("VAULT_ADDR", site.vault.address())
            .env("VAULT_TOKEN", &site.token)
            .env("VAULT_BACKUP_KEY", &site.key)
            .env("VAULT_BACKUP_STORE", place.url())
            .env("TERM", "xterm")
            .keeps([&site.token, &site.key])
            .run();
        output.code(0);
        output.text()
    };
    let said = on_terminal("--kind daily");
    let last = said.trim_end().lines().last().unwrap();
    assert!(last.contains(&place.url()) && last.ends_with(", stored and verified"), "{said:?}");
    assert_eq!(on_terminal("--kind daily --quiet"), "");
}

#[test]
fn failures_are_json_documents_with_json() {
    let place = Place::directory();
    let vault = place.site.vault_sending("");
    let output =
        place.tool().env("VAULT_ADDR", vault.address()).args(["backup", "--json", "--log-format", "json"]).run();
    output.fails(5, &["the snapshot is empty"]).leaves(&[]);
    let (said, logged) = (output.json(), serde_json::from_str::<Value>(&output.stderr).unwrap());
    assert_eq!([&said["error"]["exit_code"], &said["error"]["class"]], [&Value::from(5), &Value::from("integrity")]);
    assert_eq!([&logged["message"], &logged["level"]], [&said["error"]["message"], &Value::from("error")]);
}
