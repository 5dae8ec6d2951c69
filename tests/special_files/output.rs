//! Outputs: `decrypt`, `recover` and `keygen` write to regular files only.

use super::{KINDS, Special, at_once};
use crate::support::production::{CANARY, PLANTED, Site};
use crate::support::tool::{Tool, tool};
use rustix::process::geteuid;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::Path;

/// Every command that writes to a file that was named, without `-o`.
fn writers(site: &Site) -> Vec<(&'static str, Tool)> {
    let object = site.production.object.as_str();
    let decrypt = |args: &[&str]| site.tool("").args(["decrypt", object]).args(args);
    let share = ["--share", "env:SHARE0", "--share", "env:SHARE1"];
    vec![
        ("decrypt", decrypt(&[])),
        ("decrypt", decrypt(&["--force"])),
        ("decrypt", decrypt(&["--json", "--force"])),
        ("recover", site.tool("").args(["recover", CANARY, "--from", object]).args(share)),
        ("keygen", tool().arg("keygen")),
        ("keygen", site.production.armed(tool()).args(["keygen", "--manifest-key-of", "env:KEY"])),
    ]
}

/// The name of `kind` in a message.
fn words(kind: &str) -> String {
    format!("out: it is a {kind}")
}

#[test]
fn only_a_regular_file_can_be_an_output() {
    let site = Site::new();
    for kind in KINDS {
        for (_, tool) in writers(&site) {
            let path = tool.home().join("out");
            let special = Special::at(&path, kind);
            let expected = if path.is_symlink() { words("symbolic link") } else { words(kind) };
            let output = at_once(tool.args(["-o", "out"]));
            output.fails(2, &[&expected, "hint: "]).leaves(&["out"]).never_says(PLANTED);
            special.assert_untouched();
        }
    }
    assert!(!site.names().iter().any(|name| name.contains(".tmp-")));
}

#[test]
fn no_output_goes_through_a_symbolic_link() {
    let site = Site::new();
    for there in [true, false] {
        for (_, tool) in writers(&site) {
            let target = tool.home().join("target");
            if there {
                std::fs::write(&target, "kept").unwrap();
            }
            symlink(&target, tool.home().join("out")).unwrap();
            let output = at_once(tool.args(["-o", "out"]));
            output.fails(2, &["out: it is a symbolic link", "hint: give the path that it leads to"]);
            output.leaves(if there { &["out", "target"] } else { &["out"] });
            assert!(!there || std::fs::read(output.home().join("target")).unwrap() == b"kept");
        }
    }
    // The pipe that is stdout, by its path.
    let output = at_once(site.tool("").args(["decrypt", &site.production.object, "--force", "-o", "/dev/stdout"]));
    output.fails(2, &["/dev/stdout: it is a symbolic link", "write to stdout"]).stdout_is("").leaves(&[]);
    let output = at_once(tool().args(["keygen", "-o", "/dev/null"]));
    output.fails(2, &["/dev/null: it is a device, not a regular file"]).stdout_is("");
}

/// The output's default name is checked too.
#[test]
fn a_fifo_with_the_default_name_gets_nothing() {
    let site = Site::new();
    let object = Path::new(&site.production.object).file_name().unwrap().to_str().unwrap();
    let name = object.replace(".enc", ".snap");
    for force in [&[][..], &["--force"]] {
        let tool = site.tool("").args(["decrypt", &site.production.object]).args(force);
        let special = Special::at(&tool.home().join(&name), "FIFO");
        at_once(tool).fails(2, &[&format!("{name}: it is a FIFO, not a regular file")]).leaves(&[&name]);
        special.assert_untouched();
    }
}

/// Its owner chose the place, and could have it open already.
#[test]
fn a_file_of_another_user_is_not_replaced() {
    if !geteuid().is_root() {
        return assert!(!Path::new("/etc/passwd").metadata().is_ok_and(|meta| meta.uid() == geteuid().as_raw()));
    }
    let site = Site::new();
    for (command, tool) in writers(&site) {
        let path = tool.home().join("out");
        std::fs::write(&path, "theirs").unwrap();
        chown(&path, Some(4711), Some(4711)).unwrap();
        let output = tool.args(["-o", "out"]).run();
        output.code(2).leaves(&["out"]).never_says(PLANTED).stderr_contains("out: ");
        if command != "decrypt" || !output.stderr.contains("belongs to another user") {
            output.stderr_contains("exists");
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"theirs");
        assert_eq!(path.metadata().unwrap().uid(), 4711);
    }
    let tool = site.tool("").args(["decrypt", &site.production.object, "--force", "-o", "out"]);
    let path = tool.home().join("out");
    std::fs::write(&path, "theirs").unwrap();
    chown(&path, Some(4711), Some(4711)).unwrap();
    tool.run().fails(2, &["out: the file belongs to another user", "hint: choose another path"]).leaves(&["out"]);
}
