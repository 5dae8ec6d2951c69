//! `decrypt`: its output, its JSON document, and everything that ends it early.

use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use crate::support::process::temp_dir;
use crate::support::site::key_id;
use crate::support::snapshot::{Synthetic, sha256};
use crate::support::tool::{Running, Tool, program, tool};
use crate::support::vectors::{Vectors, plaintext};
use rustix::process::Signal;
use serde_json::json;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

/// A small backup of each format, and a file with its key.
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

    /// `decrypt INPUT --key …` with a configuration file that does not exist.
    fn decrypt(&self, input: &str) -> Tool {
        let legacy: &[&str] = if input.ends_with("old.enc") { &["--legacy"] } else { &[] };
        let tool = tool().env("VAULT_BACKUP_CONFIG", "/no/such/config");
        tool.args(["decrypt", input, "--key", &self.path("key")]).args(legacy)
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

        let stdin = samples.decrypt("-").arg("-o-").stdin(samples.bytes(&format!("{name}.enc")));
        let output = if name == "old" { stdin.arg("--legacy").run() } else { stdin.run() };
        assert_eq!(output.ok().leaves(&[]).stdout, plaintext(PLAIN_SIZE));
    }
    let output = samples.decrypt("-").stdin(samples.bytes("new.enc")).run();
    output.fails(2, &["stdin has no name", "give -o FILE or -o -"]).leaves(&[]);
}

#[test]
fn the_json_document_describes_backup_and_snapshot() {
    let samples = Samples::new();
    for name in ["new", "old"] {
        let (input, object) = (samples.path(&format!("{name}.enc")), samples.bytes(&format!("{name}.enc")));
        let output = samples.decrypt(&input).args(["--json", "-o", "x.snap"]).run();
        let found = output.ok().leaves(&["x.snap"]).json();
        assert_eq!((&found["input"], &found["output"]), (&json!(input), &json!("x.snap")));
        assert_eq!((&found["size_bytes"], &found["sha256"]), (&json!(object.len()), &json!(sha256(&object))));
        let plain = plaintext(PLAIN_SIZE);
        assert_eq!(found["plaintext_size_bytes"], PLAIN_SIZE);
        assert_eq!(found["plaintext_sha256"], sha256(&plain));
        let key_id = (name == "new").then(|| key_id(&Vectors::load().key));
        assert_eq!((&found["key_id"], found["object"].is_null()), (&json!(key_id), true));
    }
    let both = samples.decrypt(&samples.path("new.enc")).args(["--json", "-o", "-"]).run();
    both.fails(2, &["--json and -o - both write to stdout", "give -o FILE"]);
    assert_eq!(both.json()["error"]["class"], "usage");

    let place = Place::directory();
    let backup = place.backup();
    let name = backup["object"].as_str().unwrap();
    let found = place.tool().args(["decrypt", name, "--json", "-o", "x.snap"]).run().ok().json();
    for key in ["object", "size_bytes", "sha256", "plaintext_size_bytes", "key_id", "created_at"] {
        assert_eq!(found[key], backup[key], "{key}");
    }
    assert_eq!(found["vault"]["version"], backup["vault"]["version"]);
}

#[test]
fn without_a_key_the_error_names_the_key_that_is_needed() {
    let samples = Samples::new();
    let key_id = key_id(&Vectors::load().key);
    let named = format!("no key is configured, and the backup is encrypted with key {key_id}");
    let decrypt = |input: &str| tool().args(["decrypt", input]);
    let file = samples.path("new.enc");
    let hint = "hint: give --key, or set encryption.key or VAULT_BACKUP_KEY";
    decrypt(&file).run().fails(2, &[&file, &named, hint]).leaves(&[]);
    decrypt("-").arg("-ox").stdin(samples.bytes("new.enc")).run().fails(2, &["stdin: ", &named]).leaves(&[]);
    decrypt(&samples.path("old.enc")).run().fails(5, &["the backup has no header", "--legacy"]);
    decrypt(&samples.path("old.enc"))
        .arg("--legacy")
        .run()
        .fails(2, &["the backup has no header that names its key", hint]);
    let place = Place::directory();
    let name = place.backup()["object"].as_str().unwrap().to_owned();
    let output = place.tool().env("VAULT_BACKUP_KEY", "").args(["decrypt", &name]).run();
    output.fails(2, &[&format!("{}/{name}: no key is configured", place.url()), &place.site.key_id()]).leaves(&[]);
}

#[test]
fn an_existing_file_is_replaced_only_with_force_and_only_by_a_complete_snapshot() {
    let samples = Samples::new();
    let (good, bad) = (samples.path("new.enc"), samples.path("bad.enc"));
    let mut truncated = samples.bytes("new.enc");
    truncated.truncate(truncated.len() - 1);
    std::fs::write(&bad, truncated).unwrap();
    let run = |input: &str, args: &[&str]| {
        let tool = samples.decrypt(input).args(args).args(["-o", "x"]);
        std::fs::write(tool.home().join("x"), "old").unwrap();
        tool.run()
    };
    let kept = run(&good, &[]);
    kept.fails(2, &["x: the file exists", "--force"]).leaves(&["x"]);
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
fn an_output_that_cannot_be_written_is_reported() {
    let samples = Samples::new();
    let input = samples.path("new.enc");
    let to = |target: &str| samples.decrypt(&input).args(["-o", target]).run();
    to("no/such/directory/x").fails(2, &["no/such/directory/x: cannot be written"]).leaves(&[]);
    to(".").fails(2, &[".: it is a directory", "give -o FILE"]).leaves(&[]);
    // A full device must not look like a complete snapshot.
    let script = "\"$@\" 2>&1 >/dev/full; echo $?";
    let output = program("sh")
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_vault-backup"), "decrypt", &input])
        .args(["--key", &samples.path("key"), "-o", "-"])
        .run();
    output.ok().stdout_contains("the output could not be written").stdout_contains("\n1\n");
}

/// `script` runs it on a terminal.
#[test]
fn refuses_to_print_the_snapshot_on_a_terminal() {
    let samples = Samples::new();
    let command = format!(
        "{} decrypt {} --key {} -o -",
        env!("CARGO_BIN_EXE_vault-backup"),
        samples.path("new.enc"),
        samples.path("key")
    );
    let output = program("script").args(["--quiet", "--return", "--command", &command, "/dev/null"]).run();
    output
        .code(2)
        .stdout_contains("a snapshot cannot be shown on a terminal")
        .stdout_contains("give -o FILE, or a pipe");
    assert!(!output.stdout.windows(32).any(|part| plaintext(PLAIN_SIZE).starts_with(part)));
}

#[test]
fn sigint_and_deadline_abort_a_stalled_download() {
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

/// A shell that runs `decrypt` with `redirection` of the named pipe `pipe` in its `HOME`.
/// The test has the other end.
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
fn sigint_aborts_while_the_input_pipe_is_empty() {
    let samples = Samples::new();
    let (mut run, mut pipe) = with_pipe(&samples, "< pipe", &["-", "-o", "x"]);
    pipe.write_all(&samples.bytes("new.enc")[..100]).unwrap();
    let home = run.home();
    let begun =
        || std::fs::read_dir(&home).unwrap().any(|e| e.unwrap().file_name().to_str().unwrap().starts_with(".tmp-"));
    run.wait_for("the output", || begun().then_some(()));
    run.signal(Signal::INT);
    run.wait().fails(130, &["interrupted"]).leaves(&["pipe"]);
}

#[test]
fn sigterm_aborts_while_the_output_pipe_is_full() {
    let place = Place::directory();
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
