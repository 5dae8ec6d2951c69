//! kill -9 in the middle of an upload: the next run on the same host aborts the upload at once.

use super::raced::{Request, large, through};
use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use crate::support::tool::Tool;
use rustix::process::Signal;
use std::path::Path;
use tempfile::{TempDir, tempdir};

/// A configuration whose lock file outlives the home directory of a run.
fn on_this_host(tool: Tool, host: &Path) -> Tool {
    let config = host.join("config.toml");
    std::fs::write(&config, format!("[run]\nlock_file = {:?}\n", host.join("lock"))).unwrap();
    tool.env("VAULT_BACKUP_CONFIG", config)
}

/// The unfinished uploads of other names than a backup's documents.
fn unfinished(place: &Place) -> Vec<String> {
    match place.is_s3() {
        true => place.site.s3.incomplete_uploads(place.bucket()),
        false => place.names().into_iter().filter(|name| name.contains("/.tmp-")).collect(),
    }
}

/// Kills a backup while it uploads. Returns its host.
fn killed(place: &Place) -> TempDir {
    let host = tempdir().unwrap();
    let snapshot = large();
    let vault =
        place.site.vault_with(move |_| Reply::status(200).body(snapshot.clone()).stall_after(snapshot.len() - 1));
    let tool = on_this_host(place.tool(), host.path()).env("VAULT_ADDR", vault.address());
    let mut run = tool.args(["backup", "--kind", "daily"]).start();
    run.wait_for("the upload", || (!unfinished(place).is_empty()).then_some(()));
    run.signal(Signal::KILL);
    assert_eq!(run.wait().status, None);
    assert_eq!(unfinished(place).len(), 1);
    let notes = std::fs::read_to_string(host.path().join("lock")).unwrap();
    assert!(notes.lines().nth(1).is_some_and(|note| note.contains(&place.url())), "{notes}");
    host
}

#[test]
fn the_next_backup_or_prune_aborts_the_upload_of_a_killed_run() {
    for args in [&["backup", "--kind", "daily"][..], &["prune"]] {
        for place in Place::both() {
            let host = killed(&place);
            // Another host may be making a backup of its own.
            let other = tempdir().unwrap();
            on_this_host(place.tool(), other.path()).args(args).run().ok();
            assert_eq!(unfinished(&place).len(), 1, "{args:?}");
            // A command that writes nothing keeps the note.
            on_this_host(place.tool(), host.path()).args(["list"]).run().code(0);

            let output = on_this_host(place.tool(), host.path()).args(args).arg("-v").run();
            output.code(0).stderr_contains("aborted the upload of a run that was killed");
            assert_eq!(unfinished(&place), [""; 0], "{args:?}");
            let lock = std::fs::read_to_string(host.path().join("lock")).unwrap();
            assert_eq!(lock.lines().count(), 1, "{lock}");
        }
    }
}

/// The answer to CreateMultipartUpload is lost, and the store lists no uploads in that run.
#[test]
fn the_next_run_aborts_an_upload_whose_id_was_lost() {
    let (place, host) = (Place::s3(), tempdir().unwrap());
    let s3 = FaultServer::proxy(&place.site.s3.endpoint(), |call| match call.method.as_str() {
        _ if Request::Begin.is(call) => Reply::lose(),
        "GET" if call.query.starts_with("uploads") || call.query.contains("&uploads") => Reply::status(403),
        _ => Reply::forward(),
    });
    let vault = place.site.vault_sending(large());
    let tool = on_this_host(through(&place, &s3), host.path()).env("VAULT_ADDR", vault.address());
    tool.run().fails(4, &[&place.url()]);
    assert!(!unfinished(&place).is_empty());
    on_this_host(place.tool(), host.path()).args(["backup", "--kind", "daily"]).run().ok();
    assert_eq!(unfinished(&place), [""; 0]);
}

#[test]
fn a_run_that_ends_in_order_leaves_no_note() {
    for place in Place::both() {
        let host = tempdir().unwrap();
        on_this_host(place.tool(), host.path()).arg("backup").run().ok();
        let vault = place.site.vault_sending(b"no snapshot".as_slice());
        let tool = on_this_host(place.tool(), host.path()).env("VAULT_ADDR", vault.address());
        assert_ne!(tool.arg("backup").run().status, Some(0));
        let lock = std::fs::read_to_string(host.path().join("lock")).unwrap();
        assert_eq!(lock.lines().count(), 1, "{lock}");
    }
}
