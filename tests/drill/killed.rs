//! Drills that are ended by `kill -9`: their server ends too, and the next drill removes the
//! rest.

use super::ephemeral::{ephemeral, passed};
use super::moments::Moments;
use super::traces::{assert_gone, plaintext_in, processes, room};
use crate::support::process::temp_dir;
use crate::support::production::Site;
use crate::support::tool::Tool;
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};

/// Number of moments tried.
const MOMENTS: usize = 5;

fn directories(tmp: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(tmp).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// A drill that has its directory below `tmp`.
fn below(tmp: &Path, site: &Site) -> Tool {
    ephemeral(site, "").env("TMPDIR", tmp)
}

#[test]
fn kill_9_at_any_moment_ends_the_server_and_the_next_drill_cleans_up() {
    let site = Site::new();
    let tmp = temp_dir();
    let moments = Moments::of(|| passed(&below(tmp.path(), &site).run()));
    for moment in moments.spread(MOMENTS) {
        let mut run = below(tmp.path(), &site).start();
        moment.wait_in(&mut run);
        run.signal(Signal::KILL);
        let output = run.wait();
        site.assert_clean(&output);
        let left = directories(tmp.path());
        assert!(left.len() <= 1, "{moment}: the one before is removed: {left:?}");
        for directory in &left {
            assert_gone(directory);
            assert_eq!(plaintext_in(directory, &site), None, "{moment}");
        }
    }
    // Like a drill that was killed while its directory was empty.
    std::fs::create_dir(tmp.path().join("vault-backup-drill-empty")).unwrap();
    passed(&below(tmp.path(), &site).run());
    assert_eq!(directories(tmp.path()), [] as [PathBuf; 0]);
}

#[test]
fn a_server_without_its_guard_process_is_ended_by_the_next_drill() {
    let site = Site::new();
    let tmp = temp_dir();
    let mut run = below(tmp.path(), &site).start();
    let (directory, server) = run.wait_for("its server", || room(tmp.path()));
    let kill = |pid| kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    processes(&directory).into_iter().filter(|(pid, _)| *pid != server).for_each(|(pid, _)| kill(pid));
    run.signal(Signal::KILL);
    assert_eq!(run.wait().status, None);
    assert_eq!(room(tmp.path()), Some((directory.clone(), server)), "nothing ended it");
    let output = below(tmp.path(), &site).run();
    output.code(0).stderr_contains("a server left by a killed drill");
    site.assert_clean(&output);
    assert_gone(&directory);
    assert_eq!(directories(tmp.path()), [] as [PathBuf; 0]);
}
