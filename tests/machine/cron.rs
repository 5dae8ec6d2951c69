//! Debian's cron runs crontab.example: the entries in the system log, and the mails.

use crate::support::place::Place;
use crate::support::process::{Port, Process, temp_dir, wait_for};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// A job that always fails.
const FAILS: &str = "vault-backup backup --config unreachable.toml";

/// Up to a minute passes before cron starts its first job.
const TWO_MINUTES: Duration = Duration::from_secs(120);

/// A machine on which only cron is real: see cron.sh.
struct Machine {
    cron: Process,
    log: UnixDatagram,
    logged: String,
    room: TempDir,
}

impl Machine {
    /// Starts cron with `crontab` for a user whose `HOME` has `files`.
    fn start(crontab: &str, files: &[(&str, String)]) -> Self {
        assert!(rustix::process::geteuid().is_root(), "only root can start cron: run this test as root");
        let room = temp_dir();
        for directory in ["bin", "home", "home/.aws", "log", "mail"] {
            fs::create_dir(room.path().join(directory)).unwrap();
        }
        for (name, text) in files {
            let file = room.path().join("home").join(name);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        }
        fs::write(room.path().join("crontab"), crontab).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_vault-backup"), room.path().join("bin/vault-backup")).unwrap();
        let log = UnixDatagram::bind(room.path().join("log/socket")).unwrap();
        log.set_nonblocking(true).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machine/cron.sh");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]).arg(script).arg(room.path());
        let cron = Process::start("cron", command, &room.path().join("cron.log"));
        Self { cron, log, logged: String::new(), room }
    }

    /// Waits until `jobs` jobs have ended, and returns the lines of the system log.
    fn after(&mut self, jobs: usize) -> Vec<String> {
        let name = "the end of cron's jobs";
        wait_for(name, TWO_MINUTES, || {
            let mut line = [0; 4096];
            while let Ok(length) = self.log.recv(&mut line) {
                self.logged += String::from_utf8_lossy(&line[..length]).trim_end_matches('\0').trim_end();
                self.logged.push('\n');
            }
            assert!(self.cron.is_running(), "cron ended: {} {}", self.cron.log(), self.logged);
            (self.logged.matches(") END (").count() >= jobs).then_some(())
        });
        self.logged.lines().map(str::to_owned).collect()
    }

    /// Returns the mails so far.
    fn mails(&self) -> Vec<String> {
        let files = fs::read_dir(self.room.path().join("mail")).unwrap().map(|entry| entry.unwrap().path());
        files.map(|file| fs::read_to_string(file).unwrap()).collect()
    }
}

/// Returns crontab.example with a backup every minute.
fn every_minute() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("crontab.example");
    let example = fs::read_to_string(path).unwrap();
    let often = example.replace("\n0 2 * * *  ", "\n* * * * *  ");
    assert_eq!(often.lines().zip(example.lines()).filter(|(a, b)| a != b).count(), 1);
    often
}

#[test]
fn cron_mails_failures_only() {
    let place = Place::s3();
    let (site, away) = (&place.site, Port::reserve());
    let (access, secret) = site.s3.root();
    let config = |vault: &str, run: &str| {
        format!(
            "[vault]\naddresses = [{vault:?}]\n[vault.auth]\ntoken = \"file:/run/home/token\"\n\
             [store]\nurl = {:?}\nendpoint = {:?}\nregion = \"us-east-1\"\n\
             [encryption]\nkey = \"/run/home/key\"\n{run}",
            place.url(),
            site.s3.endpoint(),
        )
    };
    let unreachable = format!("http://{}", away.address());
    let files = [
        ("config.toml", config(&site.vault.address(), "")),
        ("unreachable.toml", config(&unreachable, "[run]\nlock_file = \"/run/home/lock\"\n")),
        ("token", site.token.clone()),
        ("key", site.key.clone()),
        (".aws/credentials", format!("[default]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n")),
    ];
    let crontab =
        format!("HOME=/run/home\nVAULT_BACKUP_CONFIG=/run/home/config.toml\n{}* * * * *  {FAILS}\n", every_minute());
    let mut machine = Machine::start(&crontab, &files);
    let log = machine.after(2);
    let said = |parts: &[&str]| log.iter().any(|line| parts.iter().all(|part| line.contains(part)));
    for job in ["vault-backup backup --prune)", &format!("{FAILS})")] {
        assert!(said(&["CMD", job]) && said(&["END", job]), "{job}: {log:#?}");
    }

    // The successful job prints nothing, and its backup is in the store.
    let names = place.names();
    assert!(names.iter().any(|name| name.starts_with("daily/") && name.ends_with(".manifest.json")), "{names:?}");
    let mails = machine.mails();
    let [mail] = &mails[..] else { panic!("one mail expected: {mails:#?}") };

    // The failed job is one mail, with the error and at most a hint, and the log has its exit code.
    let (head, body) = mail.split_once("\n\n").unwrap();
    assert!(head.contains("To: vault-admins@example.com") && head.contains(FAILS), "{mail}");
    assert!(body.starts_with("vault-backup: error: ") && body.contains(&unreachable), "{mail}");
    let hint = body.lines().nth(1).is_none_or(|line| line.starts_with("hint: "));
    assert!(hint && body.lines().count() <= 2, "{mail}");
    let failures: Vec<_> = log.iter().filter(|line| line.contains("failed with exit status")).collect();
    assert!(failures.len() == 1 && failures[0].contains("exit status 3"), "{log:#?}");
    for hidden in [&site.token, &site.key, &secret] {
        assert!(!mail.contains(hidden) && !machine.logged.contains(hidden), "{mail} {log:#?}");
    }
}
