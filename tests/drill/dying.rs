//! A staging server that dies in the middle of a drill: in each phase of it.

use super::{LOGIN, drill, staging_at};
use crate::support::fault::{FaultServer, Reply};
use crate::support::production::Site;
use crate::support::vault::{SEALED, Vault};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A phase, the call that it dies at, the exit code, and whether the restore was sent by then.
type Phase = (&'static str, fn(&str, usize) -> bool, i32, bool);

/// The paths of calls, each with the number of restores that were sent before it.
const PHASES: [Phase; 5] = [
    ("before the restore", |path, _| path.ends_with("/auth/token/create"), 3, false),
    ("during the upload", |path, _| path.ends_with("/snapshot-force"), 3, false),
    ("after the restore", |_, restores| restores > 0, 6, true),
    ("while it is unsealed", |path, restores| restores > 0 && path.ends_with("/sys/unseal"), 6, true),
    ("while the canary is read", |path, _| path.ends_with("/smtp/data/test-tenant-id/admin"), 6, true),
];

/// A drill of `site` into a server that dies at `phase`, and what is left of both.
fn dies(site: &Site, &(phase, at, code, sent): &Phase) {
    let staging = Arc::new(Vault::builder().staging().start());
    let (victim, restores) = (staging.clone(), AtomicUsize::new(0));
    let proxy = FaultServer::proxy(&staging.address(), move |call| {
        if at(&call.path, restores.load(Ordering::SeqCst)) && victim.is_running() {
            victim.kill();
        }
        restores.fetch_add(usize::from(call.path.ends_with("/snapshot-force")), Ordering::SeqCst);
        Reply::forward()
    });
    let lines = format!("{LOGIN}wait = \"3s\"\n[run]\nidle_timeout = \"3s\"\nlock_file = {:?}\n", site.path("lock"));
    let tool = site.tool(&staging_at(proxy.address(), &lines)).arg("verify-restore");
    let output = tool.env("STAGING_TOKEN", staging.root_token()).run();
    assert_eq!(output.status, Some(code), "{phase}: {output:?}");
    output.stderr_contains(proxy.address());
    site.assert_clean(&output);
    assert!(!site.names().iter().any(|name| name.ends_with(".drill.json")), "{phase}: no record");
    assert!(!staging.is_running(), "{phase}");
    // Nothing of it is open, and the next drill works.
    staging.restart();
    staging.wait_for_health(&[SEALED]);
    if !sent {
        staging.unseal(staging.enough_shares());
    }
    drill(site, &staging, LOGIN).run().ok();
    assert_eq!(staging.health(), Some(SEALED), "{phase}");
}

#[test]
fn staging_that_dies_leaves_no_record_and_the_next_drill_works() {
    thread::scope(|scope| {
        for phase in &PHASES {
            scope.spawn(move || dies(&Site::new(), phase));
        }
    });
}
