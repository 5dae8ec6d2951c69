//! `decrypt`: where the plaintext goes, and where it doesn't.

use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use crate::support::process::temp_dir;
use crate::support::snapshot::Synthetic;
use crate::support::tool;
use crate::support::tool::{Running, Tool, program};
use crate::support::vectors::{Vectors, plaintext};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

/// A small backup of each layout, its plaintext, and a file with its key.
struct Samples {
    dir: tempfile::TempDir,
}

const PLAIN_SIZE: usize = 300;

impl Samples {
    fn new() -> Self {
        let (vectors, dir) = (Vectors::load(), temp_dir());
        for (name, file) in [("small", "new.enc"), ("older-small", "old.enc")] {
            let good = vectors.good.iter().find(|good| good.name == name).expect(name);
            std::fs::write(dir.path().join(file), hex::decode(good.object.as_ref().unwrap()).unwrap()).unwrap();
        }
        let key = dir.path().join("key");
        std::fs::write(&key, &vectors.key).unwrap();
        std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600)).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// `decrypt INPUT --key …`, which must not read a configuration.
    fn decrypt(&self, input: &str) -> Tool {
        tool().env("VAULT_BACKUP_CONFIG", "/no/such/config").args(["decrypt", input, "--key", &self.path("key")])
    }
}

#[test]
fn files_and_stdin_need_no_configuration() {
    let samples = Samples::new();
    for name in ["new", "old"] {
        let input = samples.path(&format!("{name}.enc"));
        let output = samples.decrypt(&input).run();
        let file = format!("{name}.snap");
        output.ok().stdout_is("").leaves(&[&file]);
        assert_eq!(std::fs::read(output.home().join(&file)).unwrap(), plaintext(PLAIN_SIZE));
        assert_eq!(output.home().join(&file).metadata().unwrap().permissions().mode() & 0o777, 0o600);

        let output = samples.decrypt("-").arg("-o-").stdin(samples.bytes(&format!("{name}.enc"))).run();
        assert_eq!(output.ok().leaves(&[]).stdout, plaintext(PLAIN_SIZE));
    }
    let output = samples.decrypt("-").stdin(samples.bytes("new.enc")).run();
    output.fails(2, &["stdin has no name", "give -o FILE or -o -"]).leaves(&[]);
}

#[test]
fn what_exists_is_replaced_only_when_told_and_only_by_a_whole_one() {
    let samples = Samples::new();
    let (good, bad) = (samples.path("new.enc"), samples.path("bad.enc"));
    let mut cut = samples.bytes("new.enc");
    cut.truncate(cut.len() - 1);
    std::fs::write(&bad, cut).unwrap();
    let run = |input: &str, args: &[&str]| {
        let tool = samples.decrypt(input).args(args).args(["-o", "x"]);
        std::fs::write(tool.home().join("x"), "old").unwrap();
        tool.run()
    };
    let kept = run(&good, &[]);
    kept.fails(2, &["x exists", "--force"]).leaves(&["x"]);
    let damaged = run(&bad, &["--force"]);
    damaged.fails(5, &["bad.enc: ", "segment 0"]).leaves(&["x"]);
    for output in [kept, damaged] {
        assert_eq!(std::fs::read(output.home().join("x")).unwrap(), b"old");
    }
    let replaced = run(&good, &["--force"]);
    replaced.ok().leaves(&["x"]);
    assert_eq!(std::fs::read(replaced.home().join("x")).unwrap(), plaintext(PLAIN_SIZE));
}

#[test]
fn outputs_that_cannot_be_written() {
    let samples = Samples::new();
    let input = samples.path("new.enc");
    let to = |target: &str| samples.decrypt(&input).args(["-o", target]).run();
    to("no/such/folder/x").fails(2, &["no/such/folder/x: cannot be written"]).leaves(&[]);
    to(".").fails(2, &[". is a folder", "give -o FILE"]).leaves(&[]);
    to("/dev/full").fails(1, &["new.enc", "the output could not be written", "No space left"]).leaves(&[]);
    to("/dev/null").ok().leaves(&[]);
    // A reader that leaves early has not got a whole snapshot, and must not think so.
    let script = "\"$@\" 2>&1 >/dev/full; echo $?";
    let output = program("sh")
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_vault-backup"), "decrypt", &input])
        .args(["--key", &samples.path("key"), "-o", "-"])
        .run();
    output.ok().stdout_contains("the output could not be written").stdout_contains("\n1\n");
}

/// `script` runs it on a terminal.
#[test]
fn nothing_secret_goes_to_a_terminal() {
    let samples = Samples::new();
    let command = format!(
        "{} decrypt {} --key {} -o -",
        env!("CARGO_BIN_EXE_vault-backup"),
        samples.path("new.enc"),
        samples.path("key")
    );
    let output = program("script").args(["--quiet", "--return", "--command", &command, "/dev/null"]).run();
    output.code(2).stdout_contains("a snapshot is not for a terminal").stdout_contains("give -o FILE, or a pipe");
    assert!(!output.stdout.windows(32).any(|part| plaintext(PLAIN_SIZE).starts_with(part)));
}

#[test]
fn a_file_goes_before_an_object_of_that_name() {
    let place = Place::folder();
    let name = place.backup()["object"].as_str().unwrap().to_owned();
    let tool = place.tool().args(["decrypt", &name]);
    std::fs::create_dir_all(tool.home().join(&name).parent().unwrap()).unwrap();
    std::fs::write(tool.home().join(&name), "no backup").unwrap();
    tool.run().fails(5, &[&name, "truncated: 9 bytes are too few"]);
}

#[test]
fn stopped_on_the_way() {
    let place = Place::s3();
    let name = place.backup()["object"].as_str().unwrap().to_owned();
    let s3 = FaultServer::proxy(&place.site.s3.endpoint(), |call| {
        match call.method == "GET" && call.path.ends_with(".enc") {
            true => Reply::forward().stall_after(5000),
            false => Reply::forward(),
        }
    });
    let tool = || place.tool().env("AWS_ENDPOINT_URL", s3.address());
    for command in [["decrypt", &name], ["inspect", &name]] {
        let mut run = tool().args(command).start();
        let calls = s3.calls().len();
        run.wait_for("the download", || {
            s3.calls()[calls..].iter().any(|call| call.method == "GET" && call.path.ends_with(".enc")).then_some(())
        });
        run.signal(Signal::INT);
        run.wait().fails(130, &["interrupted"]).stdout_is("").leaves(&[]);
        tool().args(command).args(["--deadline", "1s"]).run().fails(124, &["the deadline passed"]).leaves(&[]);
    }
}

/// A shell that runs `decrypt`'s arguments with `redirection` of a named pipe `pipe`
/// in its `HOME`, whose other end is the test's.
fn with_pipe(samples: &Samples, redirection: &str, args: &[&str]) -> (Running, std::fs::File) {
    let script = format!("mkfifo pipe; exec \"$0\" \"$@\" {redirection}");
    let tool = program("sh").args(["-c", &script, env!("CARGO_BIN_EXE_vault-backup"), "decrypt", "--key"]);
    let tool = tool.arg(samples.path("key")).args(args);
    let pipe = tool.home().join("pipe");
    let mut run = tool.start();
    run.wait_for("the pipe", || pipe.exists().then_some(()));
    // Waits until the shell has opened its end.
    let end =
        std::fs::File::options().read(redirection.starts_with('>')).write(redirection.starts_with('<')).open(pipe);
    (run, end.unwrap())
}

#[test]
fn stopped_while_it_waits_for_its_input() {
    let samples = Samples::new();
    for (redirection, input) in [("< pipe", "-"), ("<> pipe", "pipe")] {
        let (mut run, mut pipe) = with_pipe(&samples, redirection, &[input, "-o", "x"]);
        pipe.write_all(&samples.bytes("new.enc")[..100]).unwrap();
        let home = run.home();
        let begun =
            || std::fs::read_dir(&home).unwrap().any(|e| e.unwrap().file_name().to_str().unwrap().starts_with(".tmp-"));
        run.wait_for("the output", || begun().then_some(()));
        run.signal(Signal::INT);
        run.wait().fails(130, &["interrupted"]).leaves(&["pipe"]);
    }
}

#[test]
fn stopped_while_nobody_takes_its_output() {
    let place = Place::folder();
    let name = place.backup_of(Synthetic::whole(&plaintext(1 << 20)).bytes());
    let samples = Samples::new();
    let file = samples.path("large.enc");
    std::fs::write(&file, place.get(&name)).unwrap();
    std::fs::write(samples.path("key"), &place.site.key).unwrap();
    let (mut run, mut pipe) = with_pipe(&samples, "> pipe", &[&file, "-o", "-"]);
    pipe.read_exact(&mut [0; 1]).unwrap();
    run.signal(Signal::TERM);
    run.wait().fails(143, &["terminated"]).leaves(&["pipe"]);
}
