//! examples/logrotate by logrotate itself: the audit log goes on, and no line is lost.

use crate::support::place::{Place, next_second};
use crate::support::process::temp_dir;
use chrono::Utc;
use flate2::read::GzDecoder;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use vault_backup::services::notify::audit::Audit;
use vault_backup::services::notify::{Event, Operation};

/// A directory with an audit log, and the example for it.
struct Rotated {
    dir: TempDir,
}

impl Rotated {
    /// The example, for root, with `more` added.
    fn new(more: &str) -> Self {
        let dir = temp_dir();
        let example = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/logrotate")).unwrap();
        let log = dir.path().join("audit.log");
        let here = example.replace("/var/log/vault-backup/audit.log", log.to_str().unwrap());
        let here = here.replace("vault-backup vault-backup", "root root").replace("}\n", &format!("    {more}\n}}\n"));
        assert!(
            here.contains(log.to_str().unwrap()) && here.contains("su root root") && here.contains("create 0640 root")
        );
        fs::write(dir.path().join("logrotate.conf"), here).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A month passes.
    fn rotate(&self) {
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
        let mut command = Command::new("logrotate");
        command
            .env("PATH", path)
            .arg("--force")
            .arg("--state")
            .arg(self.path("state"))
            .arg(self.path("logrotate.conf"));
        let output = command.output().expect("logrotate: tests/servers/programs.sh says what to install");
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }

    /// The lines of the log and of what it was rotated to, by file.
    fn lines(&self) -> BTreeMap<String, Vec<Value>> {
        let names =
            fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let logs = names.filter(|name| name.starts_with("audit.log"));
        let read = |name: String| {
            let (mut text, file) = (String::new(), File::open(self.path(&name)).unwrap());
            match name.ends_with(".gz") {
                true => GzDecoder::new(file).read_to_string(&mut text).unwrap(),
                false => { &file }.read_to_string(&mut text).unwrap(),
            };
            assert!(text.is_empty() || text.ends_with('\n'), "{name} ends torn");
            (
                name,
                text.lines()
                    .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line:?}")))
                    .collect(),
            )
        };
        logs.map(read).collect()
    }

    fn counts(&self) -> Vec<(String, usize)> {
        self.lines().into_iter().map(|(name, lines)| (name, lines.len())).collect()
    }
}

#[test]
fn audit_log_continues_after_rotation() {
    let place = Place::directory();
    for more in ["", "copytruncate"] {
        let log = Rotated::new(more);
        let run = || {
            next_second();
            let tool = place.tool();
            let config = format!("[audit]\nfile = {:?}\n", log.path("audit.log"));
            fs::write(tool.home().join("config.toml"), config).unwrap();
            tool.args(["--config", "config.toml", "backup", "--kind", "daily"]).run().ok();
        };
        (0..3).for_each(|_| {
            run();
            log.rotate();
        });
        run();
        let expected = [("audit.log", 1), ("audit.log.1", 1), ("audit.log.2.gz", 1), ("audit.log.3.gz", 1)];
        assert_eq!(log.counts(), expected.map(|(name, lines)| (name.to_owned(), lines)), "{more}");
        assert_eq!(fs::metadata(log.path("audit.log")).unwrap().permissions().mode() & 0o777, 0o640, "{more}");
    }
}

/// Ends the writer, also when the test fails: the scope waits for it.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// With renaming. With copytruncate, lines that come between copy and truncation are lost.
#[test]
fn rotation_by_rename_loses_no_line() {
    let log = Rotated::new("");
    let audit = Audit::new(log.path("audit.log"));
    let enough = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut number = 0;
            while !enough.load(Ordering::SeqCst) {
                let details = Map::from_iter([("number".to_owned(), json!(number))]);
                audit.append(&Event::done(Operation::Backup, Utc::now(), Duration::ZERO, "m", details, &[])).unwrap();
                number += 1;
            }
            number
        });
        let stop = Stop(&enough);
        (0..8).for_each(|_| log.rotate());
        drop(stop);
        writer.join().unwrap()
    });
    let all = log.lines().into_values().flatten().map(|line| line["details"]["number"].as_u64().unwrap());
    let mut all: Vec<_> = all.collect();
    all.sort_unstable();
    assert!(written > 8 && all == (0..written).collect::<Vec<_>>(), "{written} written, {} there", all.len());
}
