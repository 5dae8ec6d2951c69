//! A staging server that crashes in each phase of a drill.

use super::{LOGIN, drill, staging_at};
use crate::support::fault::{FaultServer, Reply};
use crate::support::production::Site;
use crate::support::vault::{ACTIVE, SEALED, Vault};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A phase, the request at which the server crashes (its path and the number of earlier
/// restores), and the exit code.
type Phase = (&'static str, fn(&str, usize) -> bool, i32);

const PHASES: [Phase; 5] = [
    ("before the restore", |path, _| path.ends_with("/auth/token/create"), 3),
    ("during the upload", |path, _| path.ends_with("/snapshot-force"), 3),
    ("after the restore", |_, restores| restores > 0, 6),
    ("while it is unsealed", |path, restores| restores > 0 && path.ends_with("/sys/unseal"), 6),
    ("while the canary is read", |path, _| path.ends_with("/smtp/data/test-tenant-id/admin"), 6),
];

/// Runs a drill of `site` into a server that crashes at `phase`, and checks the state of both.
fn dies(site: &Site, &(phase, at, code): &Phase) {
    let staging = Arc::new(Vault::builder().staging().start());
    let (victim, restores) = (staging.clone(), AtomicUsize::new(0));
    let proxy = FaultServer::proxy(&staging.address(), move |call| {
        if at(&call.path, restores.load(Ordering::SeqCst)) && victim.is_running() {
            victim.kill();
        }
        restores.fetch_add(usize::from(call.path.ends_with("/snapshot-force")), Ordering::SeqCst);
        Reply::forward()
    });
    let lines = format!("{LOGIN}wait = \"20s\"\n[run]\nidle_timeout = \"3s\"\nlock_file = {:?}\n", site.path("lock"));
    let tool = site.tool(&staging_at(proxy.address(), &lines)).arg("verify-restore");
    let output = tool.env("STAGING_TOKEN", staging.root_token()).run();
    assert_eq!(output.status, Some(code), "{phase}: {output:?}");
    output.stderr_contains(proxy.address());
    site.assert_clean(&output);
    assert!(!site.names().iter().any(|name| name.ends_with(".drill.json")), "{phase}: no record");
    assert!(!staging.is_running(), "{phase}");
    // It is sealed, and the next drill works.
    staging.restart();
    staging.wait_for_health(&[SEALED]);
    open_with_own_shares(&staging);
    drill(site, &staging, LOGIN).run().ok();
    assert_eq!(staging.health(), Some(SEALED), "{phase}");
}

/// Unseals `staging` if it still has its old state: it may have crashed before the restore was
/// applied.
fn open_with_own_shares(staging: &Vault) {
    for share in staging.enough_shares() {
        staging.api_as("", "PUT", "sys/unseal", Some(json!({"key": share})));
    }
    let status = staging.api_as("", "GET", "sys/seal-status", None).1;
    match status["sealed"] == true {
        true => drop(staging.ok("PUT", "sys/unseal", Some(json!({"reset": true})))),
        false => staging.wait_for_health(&[ACTIVE]),
    }
}

#[test]
fn staging_crash_leaves_no_record_and_the_next_drill_passes() {
    thread::scope(|scope| {
        for phase in &PHASES {
            scope.spawn(move || dies(&Site::new(), phase));
        }
    });
}
