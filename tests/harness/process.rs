//! Child processes and ports.

use crate::support::process::{PATIENCE, Port, Process, spawn, temp_dir, wait_for};
use rustix::process::Signal;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

fn sleeper(name: &str, log: &std::path::Path) -> Process {
    let mut command = Command::new("sh");
    command.args(["-c", "echo started; exec sleep 600"]);
    Process::start(name, command, log)
}

/// Returns `true` while the process runs: not if it has ended and is not yet awaited.
fn exists(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

#[test]
fn panic_kills_child_processes() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let failed = std::thread::spawn(move || {
        let dir = temp_dir();
        let mut process = sleeper("doomed", &dir.path().join("log"));
        process.wait_for("output", || Some(()));
        sender.send((process.pid(), dir.path().to_owned())).unwrap();
        panic!("a test that fails on purpose: what follows is its log");
    })
    .join();
    assert!(failed.is_err());
    let (pid, dir) = receiver.recv().unwrap();
    assert!(!exists(pid), "process {pid} is still there");
    assert!(!dir.exists(), "{} is still there", dir.display());
}

/// `PR_SET_PDEATHSIG` is about the thread that spawned: none of the harness's
/// children may hang on a test's.
#[test]
fn process_survives_the_thread_that_started_it() {
    let dir = temp_dir();
    let log = dir.path().join("log");
    let mut process = std::thread::spawn({
        let log = log.clone();
        move || sleeper("survivor", &log)
    })
    .join()
    .unwrap();
    wait_for("output", PATIENCE, || process.log().contains("started").then_some(()));
    assert!(process.is_running());
    process.stop();
    assert!(!process.is_running());
}

#[test]
fn process_dies_with_its_killed_parent() {
    const ROLE: &str = "VB_TEST_PARENT_TO_BE_KILLED";
    if let Some(dir) = std::env::var_os(ROLE) {
        let dir = std::path::PathBuf::from(dir);
        let mut process = sleeper("child", &dir.join("log"));
        std::fs::write(dir.join("pid.part"), process.pid().to_string()).unwrap();
        std::fs::rename(dir.join("pid.part"), dir.join("pid")).unwrap();
        process.wait(Duration::from_secs(600));
    }
    let dir = temp_dir();
    // This test again in a separate process, which is then killed.
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "harness::process::process_dies_with_its_killed_parent"]);
    command.env(ROLE, dir.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut parent = spawn(command).unwrap();
    let pid_file = dir.path().join("pid");
    let read = || std::fs::read_to_string(&pid_file).ok().and_then(|text| text.parse::<u32>().ok());
    let pid = wait_for("the child's pid", PATIENCE, read);
    assert!(exists(pid));
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_for("the child's end", PATIENCE, || (!exists(pid)).then_some(()));
}

#[test]
fn reserved_port_is_exclusive_and_reusable() {
    let port = Port::reserve();
    for _ in 0..2 {
        TcpListener::bind(port.address()).unwrap();
    }
    let other: Vec<_> = (0..200).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    assert!(other.iter().all(|l| l.local_addr().unwrap().port() != port.number()));
}

#[test]
fn signals_and_logs_reach_the_process() {
    let dir = temp_dir();
    let mut command = Command::new("sh");
    command.args(["-c", "trap 'echo terminated; exit 3' TERM; echo ready; while :; do sleep 0.02; done"]);
    let mut process = Process::start("trap", command, &dir.path().join("log"));
    wait_for("readiness", PATIENCE, || process.log().contains("ready").then_some(()));
    process.signal(Signal::TERM);
    assert_eq!(process.wait(PATIENCE).code(), Some(3));
    assert_eq!(process.log(), "ready\nterminated\n");
}
