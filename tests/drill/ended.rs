//! Drills that are stopped: at any moment, staging is left sealed if it was found sealed or may
//! have production's data, and nothing else is left.

use super::ephemeral::{ephemeral, passed};
use super::moments::{Moment, Moments};
use super::traces::assert_gone;
use super::{LOGIN, drill, staging_at};
use crate::support::fault::{FaultServer, Reply};
use crate::support::production::Site;
use crate::support::vault::{ACTIVE, SEALED, Vault};
use rustix::process::Signal;
use std::sync::Mutex;

/// Number of moments tried for each kind of drill. Two stagings share the first.
const SERVER: usize = 20;
const EPHEMERAL: usize = 20;
const OFFLINE: usize = 10;

/// Number of concurrent runs of one kind: they mostly wait.
const LANES: usize = 4;

/// The name of the drill record.
fn record(site: &Site) -> String {
    format!("{}.drill.json", site.production.object)
}

/// Calls `end` for each of `moments`, several at a time. `make` creates a separate site with
/// its configuration file for each lane.
fn in_lanes<T>(moments: Vec<Moment>, make: impl Fn() -> T + Sync, end: impl Fn(&T, &Moment) + Sync) {
    let moments = Mutex::new(moments.into_iter());
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                let lane = make();
                loop {
                    let Some(moment) = moments.lock().unwrap().next() else { break };
                    end(&lane, &moment);
                }
            });
        }
    });
}

#[test]
fn stop_at_any_moment_leaves_staging_sealed() {
    let first = clone();
    let moments = Moments::of(|| {
        drill(&first.0, &first.1, LOGIN).run().ok();
    });
    let first = Mutex::new(Some(first));
    let lane = || first.lock().unwrap().take().unwrap_or_else(clone);
    in_lanes(moments.spread(SERVER).collect(), lane, |(site, staging), moment| {
        let before = site.get(&record(site));
        let output = moment.end(drill(site, staging, LOGIN));
        site.assert_clean(&output);
        // A record is new if and only if the drill passed.
        assert_eq!(output.status == Some(0), site.get(&record(site)) != before, "{moment}: {output:?}");
        assert_eq!(staging.health(), Some(SEALED), "{moment}: {output:?}");
        assert_eq!(site.names().len(), 3, "object, manifest, and one drill record");
    });
}

/// A staging Vault that has been through a drill: a clone of production, sealed.
fn clone() -> (Site, Vault) {
    let (site, staging) = (Site::new(), Vault::builder().staging().start());
    drill(&site, &staging, LOGIN).run().ok();
    assert_eq!(staging.health(), Some(SEALED));
    (site, staging)
}

#[test]
fn stop_at_any_moment_removes_an_ephemeral_vault() {
    let site = Site::new();
    let moments = Moments::of(|| passed(&ephemeral(&site, "").run()));
    in_lanes(moments.spread(EPHEMERAL).collect(), Site::new, |site, moment| {
        let tool = ephemeral(site, "");
        let tmp = tool.tmp();
        let _ = std::fs::remove_file(site.path("store").join(record(site)));
        let output = moment.end(tool);
        site.assert_clean(&output);
        assert_eq!(output.status == Some(0), site.json(&record(site)).is_some(), "{moment}: {output:?}");
        assert_gone(&tmp);
    });
}

#[test]
fn stop_at_any_moment_of_an_offline_drill_leaves_nothing() {
    let site = Site::new();
    let tool = || site.tool_of(&[], &format!("[staging]\n{LOGIN}")).args(["verify-restore", "--offline"]);
    let moments = Moments::of(|| {
        tool().run().ok();
    });
    for moment in moments.spread(OFFLINE) {
        let _ = std::fs::remove_file(site.path("store").join(record(&site)));
        let output = moment.end(tool());
        site.assert_clean(&output);
        assert_eq!(output.status == Some(0), site.json(&record(&site)).is_some(), "{moment}: {output:?}");
    }
}

#[test]
fn stop_after_an_accepted_restore_seals_staging() {
    let site = Site::new();
    let staging = Vault::builder().staging().start();
    let proxy = FaultServer::proxy(&staging.address(), |_| Reply::forward());
    let tool = site.tool(&staging_at(proxy.address(), LOGIN)).arg("verify-restore").arg("--json");
    let mut run = tool.env("STAGING_TOKEN", staging.root_token()).start();
    // The first request after the restore was answered.
    let restored = || {
        let calls = proxy.calls();
        let at = calls.iter().position(|call| call.path.ends_with("/snapshot-force"))?;
        (calls.len() > at + 1).then_some(())
    };
    run.wait_for("the restore", restored);
    run.signal(Signal::TERM);
    let output = run.wait();
    output.fails(143, &["terminated"]);
    site.assert_clean(&output);
    assert_eq!(output.json()["backup_tested"], site.production.object);
    assert_eq!(staging.health(), Some(SEALED));
    drill(&site, &staging, LOGIN).run().ok();
}

#[test]
fn stop_before_the_restore_leaves_staging_unchanged() {
    let site = Site::new();
    let staging = Vault::builder().staging().start();
    // The last step before the restore hangs.
    let proxy = FaultServer::proxy(&staging.address(), |call| match call.path.as_str() {
        "/v1/auth/token/create" => Reply::hang(),
        _ => Reply::forward(),
    });
    for (signal, code) in [(Some(Signal::TERM), 143), (Some(Signal::INT), 130), (None, 124)] {
        let tool = site.tool(&staging_at(proxy.address(), LOGIN)).arg("verify-restore");
        let tool = tool.env("STAGING_TOKEN", staging.root_token());
        let before = proxy.calls().len();
        let asked = || proxy.calls()[before..].iter().any(|call| call.path.ends_with("/create")).then_some(());
        let output = match signal {
            None => tool.args(["--deadline", "3s"]).run(),
            Some(signal) => {
                let mut run = tool.start();
                run.wait_for("the last step before the restore", asked);
                run.signal(signal);
                run.wait()
            }
        };
        output.fails(code, &[]);
        site.assert_clean(&output);
        assert_eq!(staging.health(), Some(ACTIVE));
        assert!(staging.token_is_valid(staging.root_token()));
    }
}

#[test]
fn a_drill_blocks_other_drills_but_not_a_backup() {
    let site = Site::new();
    let staging = FaultServer::start(|_| Reply::hang());
    let run = format!("{LOGIN}[run]\nlock_file = {:?}\n", site.path("lock"));
    let tool = || site.tool(&staging_at(staging.address(), &run)).env("STAGING_TOKEN", "none");
    let mut first = tool().arg("verify-restore").start();
    first.wait_for("its first question", || staging.calls().pop());
    let holder = format!("process {}", first.pid());
    for mode in [&["verify-restore"][..], &["verify-restore", "--offline"]] {
        tool().args(mode).run().fails(7, &["another run", &holder, "lock.drill"]);
    }
    // There is nothing to prune: it only takes its lock.
    tool().arg("prune").run().code(0);
    first.signal(Signal::KILL);
    assert_eq!(first.wait().status, None);
    tool().args(["verify-restore", "--offline"]).run().ok();
}
