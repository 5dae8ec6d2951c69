//! The lock: one run at a time, and the message for other runs.

use super::raced::Request;
use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use crate::support::process::temp_dir;
use crate::support::tool::Tool;
use rustix::process::Signal;
use std::path::Path;

/// `tool` with this lock file.
fn with_lock(tool: Tool, lock: &Path) -> Tool {
    std::fs::write(tool.home().join("lock.toml"), format!("[run]\nlock_file = {lock:?}\n")).unwrap();
    tool.args(["--config", "lock.toml"])
}

/// Niceness and scheduling policy of each thread of `pid`. Source: proc(5), `stat`.
fn scheduling(pid: u32) -> Vec<(String, String)> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let stats = threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap());
    let of = |stat: String| {
        let (_, after_name) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<_> = after_name.split(' ').collect();
        (fields[16].to_owned(), fields[38].to_owned())
    };
    stats.map(of).collect()
}

#[test]
fn a_second_run_is_refused_while_the_lock_is_held() {
    let (place, dir) = (Place::s3(), temp_dir());
    let lock = dir.path().join("lock");
    let s3 = FaultServer::proxy(&place.site.s3.endpoint(), |call| match Request::Names.is(call) {
        true => Reply::hang(),
        false => Reply::forward(),
    });
    let mut first = with_lock(place.tool(), &lock).env("AWS_ENDPOINT_URL", s3.address()).arg("backup").start();
    first.wait_for("its first request", || s3.calls().iter().any(|call| Request::Names.is(call)).then_some(()));

    let holder = format!("process {}", first.pid());
    for command in ["backup", "prune"] {
        let output = with_lock(place.tool(), &lock).arg(command).run();
        output.fails(7, &["another run", &holder, "holds the lock", lock.to_str().unwrap()]).leaves(&["lock.toml"]);
    }
    with_lock(place.tool(), &lock).arg("list").run().ok();

    let line = String::from_utf8(std::fs::read(format!("/proc/{}/cmdline", first.pid())).unwrap()).unwrap();
    assert!(line.contains("backup"), "{line}");
    for secret in [&place.site.token, &place.site.key, &place.site.s3.root().1] {
        assert!(!line.contains(secret.as_str()), "{line}");
    }

    // SCHED_BATCH is 3 (sched(7)): Vault has priority.
    let threads = scheduling(first.pid());
    assert!(threads.iter().all(|thread| *thread == ("19".to_owned(), "3".to_owned())), "{threads:?}");

    // The lock is released at the end of the run, in any case.
    first.signal(Signal::KILL);
    assert_eq!(first.wait().status, None);
    with_lock(place.tool(), &lock).arg("backup").run().ok();
}

#[test]
fn an_unusable_lock_file_is_reported() {
    let (place, dir) = (Place::directory(), temp_dir());
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
    for name in ["no/such/directory/lock", "link", "."] {
        let output = with_lock(place.tool(), &dir.path().join(name)).arg("backup").run();
        output.fails(2, &["lock file", "cannot be used", "set run.lock_file"]).leaves(&["lock.toml"]);
        place.assert_empty();
    }
}

/// Two clusters, two stores, one host, one hour.
#[test]
fn runs_with_two_stores_use_separate_locks() {
    let (place, other, run) = (Place::s3(), Place::directory(), temp_dir());
    let s3 = FaultServer::proxy(&place.site.s3.endpoint(), |call| match Request::Names.is(call) {
        true => Reply::hang(),
        false => Reply::forward(),
    });
    let tool = |place: &Place| place.tool().env("XDG_RUNTIME_DIR", run.path());
    let mut first = tool(&place).env("AWS_ENDPOINT_URL", s3.address()).arg("backup").start();
    first.wait_for("its first request", || s3.calls().iter().any(|call| Request::Names.is(call)).then_some(()));
    tool(&other).arg("backup").run().ok();
    for command in ["backup", "prune"] {
        let holder = format!("process {}", first.pid());
        tool(&place).arg(command).run().fails(7, &["another run", &holder, "/vault-backup-", ".lock"]);
    }
    let locks = std::fs::read_dir(run.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let locks: Vec<_> = locks.collect();
    assert_eq!(locks.len(), 2, "{locks:?}");
    let doctor = tool(&other).arg("doctor").run();
    assert!(locks.iter().any(|lock| doctor.text().contains(lock)), "{}", doctor.text());
}
