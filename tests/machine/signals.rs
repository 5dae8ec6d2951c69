//! Signals at the start of a run, and those of a terminal that closes.

use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use crate::support::site::SNAPSHOT;
use crate::support::tool::{Running, Tool, tool};
use rustix::process::Signal;
use std::time::Duration;

/// A backup that waits for Vault until it is stopped.
struct Waiting {
    place: Place,
    vault: FaultServer,
}

impl Waiting {
    fn new() -> Self {
        let place = Place::directory();
        let vault = FaultServer::proxy(&place.site.vault.address(), |call| match call.path == SNAPSHOT {
            true => Reply::hang(),
            false => Reply::forward(),
        });
        Self { place, vault }
    }

    fn tool(&self) -> Tool {
        self.place.tool().env("VAULT_ADDR", self.vault.address()).arg("backup")
    }

    /// Starts `tool` and waits until Vault is asked for the snapshot.
    fn start(&self, tool: Tool) -> Running {
        let asked = || self.vault.calls().iter().filter(|call| call.path == SNAPSHOT).count();
        let before = asked();
        let mut run = tool.start();
        run.wait_for("the snapshot", || (asked() > before).then_some(()));
        run
    }
}

#[test]
fn sighup_stops_a_run_as_sigterm_does() {
    let waiting = Waiting::new();
    let mut run = waiting.start(waiting.tool());
    // A shell repeats the kernel's SIGHUP: that must not end the cleanup.
    run.signal(Signal::HUP);
    run.signal(Signal::HUP);
    run.wait().fails(143, &["terminated (SIGHUP)"]).stdout_is("").leaves(&[]);
    waiting.place.assert_empty();
}

#[test]
fn sighup_under_nohup_and_sigint_in_the_background_stay_ignored() {
    let waiting = Waiting::new();
    for (name, ignored) in [("HUP", Signal::HUP), ("INT", Signal::INT)] {
        let mut run = waiting.start(waiting.tool().after(&format!("trap '' {name}")));
        run.signal(ignored);
        run.goes_on_for(Duration::from_millis(500));
        run.signal(Signal::TERM);
        run.wait().fails(143, &["terminated"]).leaves(&[]);
    }
    waiting.place.assert_empty();
}

/// Returns `true` if the process has a handler for `signal`.
fn handles(pid: u32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    caught & (1 << (signal.as_raw() - 1)) != 0
}

/// Before the handlers there is only the loader: then the signal itself ends the process.
#[test]
fn a_signal_in_the_first_milliseconds_has_its_exit_code_and_leaves_nothing() {
    let waiting = Waiting::new();
    let signals = [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 143)];
    let (mut seed, mut handled) = (0x5eed_u64, 0);
    for (signal, code) in signals.into_iter().cycle().take(200) {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut run = waiting.tool().start();
        std::thread::sleep(Duration::from_micros((seed >> 33) % 15_000));
        let ready = handles(run.pid(), signal);
        run.signal(signal);
        let output = run.wait();
        match output.status {
            Some(found) => assert_eq!(found, code, "{output:?}"),
            None => assert!(!ready, "ended by the signal although it has a handler: {output:?}"),
        }
        handled += usize::from(ready);
        output.leaves(&[]);
        waiting.place.assert_empty();
    }
    assert!(handled >= 50, "{handled} of 200 had handlers");
}

/// Without arguments for a Vault: the command line is wrong, and no signal is involved.
#[test]
fn a_closed_stdout_pipe_is_no_failure_and_a_full_disk_is_one() {
    let place = Place::directory();
    place.backup();
    place.tool().args(["list"]).after("exec > >(exec true); sleep 0.2").run().code(0).stderr_is("");
    for command in [&["list"][..], &["list", "--json"], &["keygen"]] {
        let output = place.tool().args(command).after("exec > /dev/full").run();
        output.fails(1, &["stdout: the result cannot be written", "No space left"]);
    }
    tool().arg("--help").after("exec > >(exec true); sleep 0.2").run().code(0);
}
