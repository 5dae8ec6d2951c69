//! Running a program, and the assertions about it.

use crate::support::process::{PATIENCE, wait_for};
use crate::support::tool;
use crate::support::tool::{Output, Tool, program};
use rustix::process::Signal;
use serde_json::json;
use std::panic::{AssertUnwindSafe, catch_unwind};

fn sh(script: &str) -> Tool {
    program("sh").args(["-c", script])
}

/// Returns `true` if `assertion` fails.
fn refuses<'a, T>(output: &'a Output, assertion: impl FnOnce(&'a Output) -> T) -> bool {
    catch_unwind(AssertUnwindSafe(|| assertion(output))).is_err()
}

#[test]
fn environment_is_clean_and_separate() {
    let output = sh("env | cut -d= -f1 | sort | tr '\\n' ' '; pwd; cat").env("A", "1").stdin("in").run();
    let (vars, rest) = output.text().split_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert_eq!(vars, "A HOME PATH PWD TMPDIR XDG_RUNTIME_DIR ");
    assert!(rest.ends_with("/home\nin"), "{rest}");
    output.ok().leaves(&[]);
}

#[test]
fn written_files_are_visible() {
    let dir = crate::support::process::temp_dir();
    let prepared = sh("touch \"$HOME/new\"; cat \"$HOME/old\"; pwd").cwd(dir.path()).arg("zero");
    std::fs::write(prepared.home().join("old"), "{\"a\":\n").unwrap();
    let output = prepared.run();
    output.ok().leaves(&["new", "old"]).stdout_contains(&dir.path().display().to_string());
    assert!(output.home().join("new").is_file());
    assert!(refuses(&output, |o| o.leaves(&["new"])));
    assert!(refuses(&output, |o| o.json()));
    assert_eq!(sh("echo '{\"a\": 1}'").run().json(), json!({"a": 1}));
    assert!(refuses(&sh("touch $TMPDIR/x").run(), |o| o.leaves(&[])));
}

#[test]
fn assertions_fail_on_false_statements() {
    let failed = sh("echo out; echo 'no such key' >&2; exit 5").run();
    failed.fails(5, &["such", "key"]).stdout_is("out\n").stderr_is("no such key\n").never_says("s3cret");
    assert!(refuses(&failed, |o| o.fails(4, &[])));
    assert!(refuses(&failed, |o| o.fails(5, &["other"])));
    assert!(refuses(&failed, |o| o.never_says("key")));
    assert!(refuses(&failed, |o| o.ok()));
    assert!(refuses(&sh("echo one >&2; echo two >&2; exit 1").run(), |o| o.fails(1, &[])));
    assert!(refuses(&sh("echo warning >&2").run(), |o| o.ok()));
    assert!(format!("{failed:?}").contains("no such key"));
}

#[test]
fn signals_reach_the_tool() {
    let mut run = sh("trap 'exit 143' TERM; echo ready >&2; while :; do sleep 0.02; done").start();
    wait_for("readiness", PATIENCE, || run.stderr().contains("ready").then_some(()));
    run.wait_for("its output", || Some(()));
    run.signal(Signal::TERM);
    assert!(run.pid() > 1);
    run.wait().code(143);
}

#[test]
fn binary_exists() {
    tool().arg("--version").run().ok();
}
