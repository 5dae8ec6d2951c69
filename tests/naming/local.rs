//! Local files that have the name of a backup in the store: never read in its place.

use super::{COPY, EVENING, MORNING, Shelf};
use crate::support::process::temp_dir;
use crate::support::tool::{Tool, tool};
use rustix::fs::{CWD, Mode, mkfifoat};
use serde_json::json;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Names of backups in the store that can be paths too.
const NAMES: [&str; 7] = [
    MORNING,
    COPY,
    "vault-snapshot-20251001-020000.enc",
    "latest",
    "latest:daily",
    "20251101-02",
    "2025-11-01T22:00:00Z",
];

/// The commands that read a backup from the store or from a file. None of them may get as far
/// as its own work.
const COMMANDS: [&[&str]; 4] = [
    &["decrypt", "-o", "out.snap"],
    &["inspect"],
    &["recover", "a/b", "--share", "env:VAULT_BACKUP_KEY", "-o", "secret", "--from"],
    &["restore", "--address", "http://127.0.0.1:1", "--confirm", "x", "--force", "--unverified"],
];

/// Puts something of this kind at `path`. `file` is another good backup under the same key.
fn plant(kind: &str, path: &Path, file: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    match kind {
        "file" => drop(std::fs::copy(file, path).unwrap()),
        "directory" => std::fs::create_dir(path).unwrap(),
        "FIFO" => mkfifoat(CWD, path, Mode::RWXU).unwrap(),
        "link" => symlink(file, path).unwrap(),
        _ => symlink("/no/such/file", path).unwrap(),
    }
}

/// `command` with a token and the store, in its own directory.
fn command(shelf: &Shelf, command: &[&str]) -> Tool {
    shelf.tool().env("VAULT_TOKEN", "x").args(command)
}

#[test]
fn a_name_that_is_also_a_local_path_is_refused() {
    let shelf = Shelf::new();
    let root = format!("{}/", shelf.url());
    let file = shelf.dir.path().join(EVENING);
    for name in NAMES {
        for kind in ["file", "directory", "FIFO", "link", "dangling link"] {
            for args in COMMANDS {
                let tool = command(&shelf, args).arg(name);
                plant(kind, &tool.home().join(name), &file);
                let output = tool.run();
                let hint =
                    format!("hint: write ./{name} or --file {name} for the file, or {root}{name} for the backup");
                output.fails(2, &[&format!("{name}: it is both a local file and a name in the store"), &hint]);
                output.stdout_is("").leaves(&[name.split('/').next().unwrap()]);
            }
        }
    }
}

#[test]
fn the_url_of_a_backup_reads_the_store_and_a_path_the_file() {
    let shelf = Shelf::new();
    let file = shelf.dir.path().join(EVENING);
    for name in [MORNING, "latest"] {
        let inspect = |args: &[&str]| {
            let tool = command(&shelf, &["inspect", "--json"]).args(args);
            plant("file", &tool.home().join(name), &file);
            let home = tool.home().to_str().unwrap().to_owned();
            (tool, home)
        };
        let url = format!("{}/{name}", shelf.url());
        let (tool, _) = inspect(&[&url]);
        let stored = tool.run().ok().json();
        let expected = if name == "latest" { EVENING } else { MORNING };
        assert_eq!(stored["input"], format!("{}/{expected}", shelf.url()));
        let local = format!("./{name}");
        for args in [&[local.as_str()][..], &["--file", name], &["--file", &local]] {
            let (tool, _) = inspect(args);
            let output = tool.run();
            assert_eq!(output.ok().json()["input"], *args.last().unwrap(), "{output:?}");
            assert_eq!(output.json()["standing"], json!(null), "a file has no manifest: {output:?}");
        }
        let (tool, home) = inspect(&[]);
        let absolute = format!("{home}/{name}");
        assert_eq!(tool.arg(&absolute).run().ok().json()["input"], absolute);
    }
    // The same for the other commands: what comes after the check of the input fails.
    let path = file.to_str().unwrap();
    let read = format!("{path}: ");
    for (args, code) in [(COMMANDS[2], 5), (COMMANDS[3], 3)] {
        let by_flag = args.iter().filter(|arg| **arg != "--from").copied().collect::<Vec<_>>();
        for output in [command(&shelf, args).arg(path).run(), command(&shelf, &by_flag).args(["--file", path]).run()] {
            output.code(code).leaves(&[]);
            assert!(code == 3 || output.stderr.contains(&read), "{output:?}");
        }
    }
    let output = command(&shelf, &["decrypt", "--file", path, "-o", "out.snap"]).run();
    output.ok().leaves(&["out.snap"]);
}

#[test]
fn file_and_name_together_are_a_usage_error() {
    let shelf = Shelf::new();
    let path = shelf.dir.path().join(EVENING);
    for args in COMMANDS {
        let output = command(&shelf, args).args([EVENING, "--file"]).arg(&path).run();
        output.code(2).stderr_contains("--file <PATH>").stderr_contains("cannot be used with").leaves(&[]);
        let args: Vec<_> = args.iter().filter(|arg| **arg != "--from").copied().collect();
        command(&shelf, &args).run().code(2).stderr_contains("required").leaves(&[]);
    }
}

/// A drill takes no file, so it reads the store, whatever is in the directory.
#[test]
fn a_restore_drill_never_reads_a_local_file() {
    let shelf = Shelf::new();
    let drill = ["verify-restore", "--offline", "--share", "env:VAULT_BACKUP_KEY", "-v"];
    for (name, object) in [(MORNING, MORNING), ("latest", EVENING), ("20251101-02", MORNING)] {
        let tool = command(&shelf, &drill).arg(name);
        plant("FIFO", &tool.home().join(name), Path::new(""));
        let output = tool.run();
        output.code(5).stderr_contains(&format!("{}/{object}", shelf.url()));
    }
    for path in ["./latest", "/latest", "-"] {
        let output = command(&shelf, &drill).arg(path).run();
        output.code(4).stderr_contains(&format!("{path}: no such backup in {}/", shelf.url()));
    }
    let output = command(&shelf, &drill).args(["--file", "x"]).run();
    output.code(2).stderr_contains("unexpected argument '--file'");
}

#[test]
fn a_bare_file_name_without_a_store_says_what_to_write() {
    for name in [MORNING, "latest", "copy.enc", "a/b.enc"] {
        for args in COMMANDS {
            let missing =
                tool().env("VAULT_BACKUP_KEY", "6b1f".repeat(16)).env("VAULT_TOKEN", "x").args(args).arg(name);
            let output = missing.run();
            output.fails(2, &[&format!("{name}: no such file, and no store is configured"), "hint: set store.url"]);
            let there = tool().env("VAULT_BACKUP_KEY", "6b1f".repeat(16)).env("VAULT_TOKEN", "x").args(args).arg(name);
            plant("directory", &there.home().join(name), Path::new(""));
            let hint = format!("hint: write ./{name} or --file {name} for the local file");
            let output = there.run();
            output
                .fails(2, &[&format!("{name}: it is a local file, but a path needs ./ or / at its beginning"), &hint]);
        }
    }
    // With a store, a name that cannot be one of a backup.
    let (shelf, dir) = (Shelf::new(), temp_dir());
    std::fs::write(dir.path().join("copy.enc"), "x").unwrap();
    let output = command(&shelf, &["inspect", "copy.enc"]).cwd(dir.path()).run();
    output
        .fails(2, &["copy.enc: it is a local file, but a path needs ./", "hint: write ./copy.enc or --file copy.enc"]);
}
