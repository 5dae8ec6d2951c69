//! Drills that are ended from outside: whenever it happens, staging is left sealed if
//! it was found so or may hold production's data, and nothing else is left.

use super::{LOGIN, drill, staging_at};
use crate::support::fault::{FaultServer, Reply};
use crate::support::process::{PATIENCE, wait_for};
use crate::support::production::Site;
use crate::support::tool::{Output, Tool};
use crate::support::vault::{ACTIVE, SEALED, Vault};
use rustix::process::Signal;

/// How many moments of a drill are tried.
const MOMENTS: usize = 12;

/// Starts `tool`, and signals it once `proxy` has had more than `calls`.
fn ended_after(tool: Tool, proxy: &FaultServer, calls: usize, signal: Signal) -> Output {
    let mut run = tool.start();
    wait_for("the moment", PATIENCE, || (proxy.calls().len() > calls || !run.is_running()).then_some(()));
    run.signal(signal);
    run.wait()
}

#[test]
fn a_clone_is_sealed_again_at_whatever_moment() {
    let site = Site::new();
    let staging = Vault::start();
    drill(&site, &staging, LOGIN).run().ok();
    assert_eq!(staging.health(), Some(SEALED));
    let proxied = || {
        let proxy = FaultServer::proxy(&staging.address(), |_| Reply::forward());
        let tool = site.tool(&staging_at(proxy.address(), LOGIN)).arg("verify-restore");
        (tool.env("STAGING_TOKEN", staging.root_token()), proxy)
    };
    let (tool, proxy) = proxied();
    tool.run().ok();
    let all = proxy.calls().len();
    for moment in 0..MOMENTS {
        let (tool, proxy) = proxied();
        let (signal, code, word) = match moment % 2 {
            0 => (Signal::TERM, 143, "terminated"),
            _ => (Signal::INT, 130, "interrupted"),
        };
        let output = ended_after(tool, &proxy, all * moment / MOMENTS, signal);
        match output.status {
            Some(0) => output.ok(),
            _ => output.fails(code, &[word]),
        };
        site.assert_clean(&output);
        assert_eq!(staging.health(), Some(SEALED), "moment {moment}: {output:?}");
    }
    for seconds in ["1s", "2s"] {
        let output = drill(&site, &staging, LOGIN).args(["--deadline", seconds]).run();
        assert!(matches!(output.status, Some(0 | 124)), "{output:?}");
        site.assert_clean(&output);
        assert_eq!(staging.health(), Some(SEALED));
    }
    assert_eq!(site.names().len(), 3, "object, manifest, and the drill record of the first");
}

#[test]
fn a_restore_that_was_accepted_ends_sealed() {
    let site = Site::new();
    let staging = Vault::start();
    let proxy = FaultServer::proxy(&staging.address(), |_| Reply::forward());
    let tool = site.tool(&staging_at(proxy.address(), LOGIN)).arg("verify-restore").arg("--json");
    let mut run = tool.env("STAGING_TOKEN", staging.root_token()).start();
    // The first question after the restore was answered.
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
fn before_the_restore_staging_stays_as_it_was() {
    let site = Site::new();
    let staging = Vault::start();
    // The last step before the restore never ends.
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
fn one_drill_at_a_time_and_none_in_the_way_of_a_backup() {
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
    // Nothing is to be pruned: it just gets its own lock.
    tool().arg("prune").run().code(0);
    first.signal(Signal::KILL);
    assert_eq!(first.wait().status, None);
    tool().args(["verify-restore", "--offline"]).run().ok();
}
