use super::*;
use crate::services::notify::Operation;
use serde_json::{Map, Value};
use std::process::Command;
use std::thread;
use std::time::Duration;

fn event(operation: Operation, path: &str) -> Event {
    let details = Map::from_iter([("backup_path".to_owned(), Value::from(path))]);
    Event::done(operation, "2025-11-26T02:00:00Z".parse().unwrap(), Duration::from_secs(1), "m", details, &[])
}

fn backup(path: &str) -> Event {
    event(Operation::Backup, path)
}

struct Log {
    _dir: tempfile::TempDir,
    path: PathBuf,
    audit: Audit,
}

fn log() -> Log {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.log");
    Log { _dir: dir, audit: Audit::new(&path), path }
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn append_adds_lines_to_a_file_of_mode_0640() {
    let log = log();
    log.audit.check().unwrap();
    assert_eq!(text(&log.path), "");
    log.audit.append(&backup("a")).unwrap();
    log.audit.append(&event(Operation::Prune, "b")).unwrap();
    assert_eq!(
        text(&log.path),
        format!("{}\n{}\n", backup("a").audit_line(), event(Operation::Prune, "b").audit_line())
    );
    assert_eq!(std::fs::metadata(&log.path).unwrap().mode() & 0o777, 0o640);
}

#[test]
fn an_incomplete_last_line_is_ended_before_appending() {
    let log = log();
    for incomplete in ["{\"event\":\"x\"}\n{\"event\":\"vault_back", "{", "\n\n{\"a\":\"\u{fffd}"] {
        std::fs::write(&log.path, incomplete).unwrap();
        log.audit.append(&backup("a")).unwrap();
        log.audit.append(&backup("b")).unwrap();
        assert_eq!(
            text(&log.path),
            format!("{incomplete}\n{}\n{}\n", backup("a").audit_line(), backup("b").audit_line())
        );
    }
}

#[test]
fn logrotate_may_truncate_and_rename() {
    let log = log();
    let (copy, rotated) = (log.path.with_extension("copy"), log.path.with_extension("1"));
    log.audit.append(&backup("a")).unwrap();
    std::fs::copy(&log.path, &copy).unwrap();
    File::options().write(true).open(&log.path).unwrap().set_len(0).unwrap();
    log.audit.append(&backup("b")).unwrap();
    assert_eq!(text(&log.path), format!("{}\n", backup("b").audit_line()));
    std::fs::rename(&log.path, &rotated).unwrap();
    log.audit.append(&backup("c")).unwrap();
    assert_eq!(text(&rotated), format!("{}\n", backup("b").audit_line()));
    assert_eq!(text(&log.path), format!("{}\n", backup("c").audit_line()));
}

#[test]
fn a_file_renamed_during_the_wait_for_its_lock_gets_no_line() {
    let log = log();
    let rotated = log.path.with_extension("1");
    let locked = File::create(&log.path).unwrap();
    locked.lock().unwrap();
    let audit = log.audit.clone();
    let waiting = thread::spawn(move || audit.append(&backup("a")));
    let opened = || {
        let links =
            std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
        links.filter(|target| *target == log.path).count()
    };
    while opened() < 2 {
        assert!(!waiting.is_finished());
        thread::yield_now();
    }
    std::fs::rename(&log.path, &rotated).unwrap();
    drop(locked);
    waiting.join().unwrap().unwrap();
    assert_eq!(text(&rotated), "");
    assert_eq!(text(&log.path), format!("{}\n", backup("a").audit_line()));
}

/// Locks belong to open files, so threads act as processes; `flock` is another program
/// that uses the same lock.
#[test]
fn lines_of_concurrent_writers_do_not_mix() {
    let log = log();
    let long = "x".repeat(100_000);
    let mut others: Vec<_> = (0..3)
        .map(|_| {
            let line = "echo -n '{\"half\":' >>\"$0\"; echo '1}' >>\"$0\"";
            Command::new("flock").arg(&log.path).args(["sh", "-c", line]).arg(&log.path).spawn().unwrap()
        })
        .collect();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10).for_each(|_| log.audit.append(&backup(&long)).unwrap()));
        }
    });
    for other in &mut others {
        assert!(other.wait().unwrap().success());
    }
    let text = text(&log.path);
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 43);
    assert_eq!(lines.iter().filter(|line| line["half"] == 1).count(), 3);
}

#[test]
fn an_unwritable_file_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    for (path, why) in [
        (dir.path().join("missing/audit.log"), "No such file"),
        (dir.path().to_owned(), "it is a directory, not a regular file"),
        ("/dev/full".into(), "not a regular file"),
    ] {
        let audit = Audit::new(&path);
        for e in [audit.check().unwrap_err(), audit.append(&backup("a")).unwrap_err()] {
            assert_eq!(e.kind(), crate::base::error::Kind::Partial);
            assert!(e.to_string().contains(why) && e.to_string().contains(path.to_str().unwrap()), "{e}");
        }
    }
}
