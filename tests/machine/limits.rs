//! Machines without the files, threads, memory or random numbers that a run needs: an error of class 1
//! with one line, and never a panic, an abort or a signal.

use crate::support::place::Place;
use crate::support::tool::{Output, Tool};

/// Commands that use everything: servers, store, key and files.
fn commands(place: &Place, backup: &str) -> Vec<Tool> {
    let given: [&[&str]; 12] = [
        &["backup", "--kind", "daily"],
        &["prune", "--dry-run"],
        &["list"],
        &["status"],
        &["inspect", backup],
        &["decrypt", backup, "--output", "out"],
        &["verify-restore", "--offline"],
        &["verify-restore"],
        &["recover", "secret/app", "--from", backup],
        &["restore", backup, "--dry-run", "--address", "http://127.0.0.1:9"],
        &["doctor"],
        &["keygen"],
    ];
    given.iter().map(|args| place.tool().args(*args)).collect()
}

/// Asserts that a run ended by itself, with an exit code of the table and without a trace of a panic.
#[track_caller]
fn assert_orderly(limit: &str, output: &Output) {
    let code = output.status.unwrap_or_else(|| panic!("{limit}: ended by a signal: {output:?}"));
    assert!(matches!(code, 0..=9), "{limit}: {output:?}");
    for trace in ["panicked", "RUST_BACKTRACE", "internal error", "memory allocation of"] {
        assert!(!output.stderr.contains(trace), "{limit}: {output:?}");
    }
}

/// Asserts an error of class 1 with one line, and a hint.
#[track_caller]
fn assert_unusable(limit: &str, output: &Output, why: &str) {
    assert_orderly(limit, output);
    output.fails(1, &["vault-backup: error: ", why, "hint: "]).stdout_is("");
}

fn ulimit(limit: &str) -> String {
    format!("ulimit {limit}")
}

#[test]
fn too_few_open_files_are_an_error_of_class_1() {
    let (place, backup) = with_backup();
    for limit in ["-n 4", "-n 7", "-n 12", "-n 31"] {
        for tool in commands(&place, &backup) {
            assert_unusable(limit, &tool.after(&ulimit(limit)).run(), "the limit of open files is ");
        }
    }
    place.tool().arg("--help").after("ulimit -n 7").run().ok();
    for tool in commands(&place, &backup) {
        assert_orderly("-n 32", &tool.after("ulimit -n 32").run());
    }
}

#[test]
fn a_machine_without_random_numbers_or_threads_is_an_error_of_class_1() {
    let (place, backup) = with_backup();
    let getrandom = |error: &str| format!("inject=getrandom:error={error}");
    let faults = [
        (vec![getrandom("EAGAIN")], "no random numbers"),
        (vec![getrandom("EIO")], "no random numbers"),
        (
            vec!["inject=clone3:error=EAGAIN".to_owned(), "inject=clone:error=EAGAIN".to_owned()],
            "cannot start a thread",
        ),
        (vec!["inject=epoll_create1:error=EMFILE".to_owned()], "cannot start the asynchronous runtime"),
        (vec!["inject=socketpair:error=EMFILE".to_owned()], "cannot start the asynchronous runtime"),
    ];
    for (injected, why) in faults {
        let mut strace = vec!["-f", "-qq", "-o", "/dev/null"];
        injected.iter().for_each(|fault| strace.extend(["-e", fault]));
        for tool in commands(&place, &backup) {
            let output = tool.under("strace", &strace).run();
            output.code(1).stderr_contains(why).stdout_is("");
            assert!(output.stderr.lines().count() <= 2, "{output:?}");
        }
    }
    // Old kernels have no getrandom: the device serves instead.
    let strace = ["-f", "-qq", "-o", "/dev/null", "-e", "inject=getrandom:error=ENOSYS"];
    place.tool().arg("list").under("strace", &strace).run().ok();
}

#[test]
fn little_address_space_ends_no_command_by_a_signal() {
    let (place, backup) = with_backup();
    for kib in [196_608, 131_072, 98_304, 81_920] {
        for tool in commands(&place, &backup) {
            let output = tool.after(&format!("ulimit -v {kib}")).run();
            assert_orderly(&format!("{kib} KiB"), &output);
            crate::support::place::next_second();
        }
    }
}

#[test]
fn closed_standard_streams_and_a_limit_of_file_sizes_end_no_command_by_a_signal() {
    let (place, backup) = with_backup();
    for limit in ["ulimit -f 0", "exec <&- >&- 2>&-", "exec <&-", "exec 2>&-"] {
        for tool in commands(&place, &backup) {
            assert_orderly(limit, &tool.after(limit).run());
        }
    }
}

/// The pools of all threads together, and the stacks, fit: a whole backup works.
#[test]
fn a_backup_works_with_192_mib_of_address_space() {
    for place in Place::both() {
        place.tool().arg("backup").after("ulimit -v 196608").run().ok();
    }
}

fn with_backup() -> (Place, String) {
    let place = Place::s3();
    place.backup();
    let name = place.names().into_iter().find(|name| name.ends_with(".enc")).unwrap();
    (place, name)
}
