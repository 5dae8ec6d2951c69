//! Runs that are ended by SIGINT, SIGTERM or a deadline, at every step that can block.

use super::raced::{Request, begins_late, large};
use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use crate::support::site::SNAPSHOT;
use crate::support::tool::{Output, Tool};
use rustix::process::Signal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The cause that ends a run, with its exit code.
#[derive(Clone, Copy, Debug)]
enum End {
    Interrupt,
    Terminate,
    Deadline,
}

impl End {
    const ALL: [Self; 3] = [Self::Interrupt, Self::Terminate, Self::Deadline];

    /// All causes in turn: the cleanup does not depend on the cause.
    fn in_turn() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().cycle()
    }

    fn code(self) -> i32 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
            Self::Deadline => 124,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Interrupt => "interrupted",
            Self::Terminate => "terminated",
            Self::Deadline => "the deadline passed",
        }
    }
}

/// A store, and a Vault that the tool logs in to, so that there is a token to revoke.
struct Scene {
    place: Arc<Place>,
    vault: FaultServer,
    s3: FaultServer,
}

impl Scene {
    fn tool(&self) -> Tool {
        let tool = self.place.tool();
        let config = "[vault.auth]\nmethod = \"userpass\"\nusername = \"backup\"\npassword = \"env:PW\"\n\
                      [run]\npart_size = \"5MiB\"\n";
        std::fs::write(tool.home().join("config.toml"), config).unwrap();
        tool.env("VAULT_TOKEN", "")
            .env("PW", &self.place.site.password)
            .env("VAULT_ADDR", self.vault.address())
            .env("AWS_ENDPOINT_URL", self.s3.address())
            .args(["--config", "config.toml", "backup"])
    }

    /// Runs the tool until `waits` is true, and then ends it. On a slow machine, a deadline may
    /// pass earlier.
    fn ended(&self, end: End, waits: impl Fn(&Self) -> bool) -> Output {
        let mut run = match end {
            End::Deadline => self.tool().args(["--deadline", "3s"]).start(),
            _ => self.tool().start(),
        };
        match end {
            End::Deadline => return run.wait(),
            End::Interrupt | End::Terminate => run.wait_for("the moment", || waits(self).then_some(())),
        }
        run.signal(if matches!(end, End::Interrupt) { Signal::INT } else { Signal::TERM });
        run.wait()
    }

    /// Incomplete multipart uploads.
    fn uploads(&self) -> Vec<String> {
        self.place.site.s3.incomplete_uploads(self.place.bucket())
    }

    /// Asserts that nothing is left of the run: no object, no upload, no valid token.
    #[track_caller]
    fn assert_nothing_left(&self, output: &Output) {
        output.leaves(&["config.toml"]);
        self.place.assert_empty();
        assert!(self.is_revoked());
    }

    /// Returns `true` if every token of the run is invalid.
    fn is_revoked(&self) -> bool {
        let calls = self.vault.calls();
        let mut tokens = calls.iter().map(|call| call.header("x-vault-token")).filter(|token| !token.is_empty());
        tokens.all(|token| !self.place.site.vault.token_is_valid(token))
    }
}

fn called(server: &FaultServer, request: Request) -> bool {
    server.calls().iter().any(|call| request.is(call))
}

fn hangs_at(place: &Place, request: Request) -> FaultServer {
    FaultServer::proxy(&place.site.s3.endpoint(), move |call| match request.is(call) {
        true => Reply::hang(),
        false => Reply::forward(),
    })
}

fn plain(place: &Place) -> FaultServer {
    FaultServer::proxy(&place.site.s3.endpoint(), |_| Reply::forward())
}

#[test]
fn stop_during_a_vault_request_aborts_the_upload_and_revokes_the_token() {
    let snapshot = large();
    // A login without response; a snapshot that does not start; one that stalls before and
    // after the start of an upload.
    let login = "/v1/auth/userpass/login/backup";
    let moments = [(login, 0), (SNAPSHOT, 0), (SNAPSHOT, 1000), (SNAPSHOT, snapshot.len() - 1)];
    for ((at, sent), end) in moments.into_iter().zip(End::in_turn()) {
        let place = Arc::new(Place::s3());
        let body = snapshot.clone();
        let vault = FaultServer::proxy(&place.site.vault.address(), move |call| match (call.path == at, sent) {
            (false, _) => Reply::forward(),
            (true, 0) => Reply::hang(),
            (true, sent) => Reply::status(200).body(body.clone()).stall_after(sent),
        });
        let scene = Scene { s3: plain(&place), place, vault };
        let output = scene.ended(end, |scene| match sent > 1000 {
            true => called(&scene.s3, Request::Part),
            false => scene.vault.calls().iter().any(|call| call.path == at),
        });
        output.fails(end.code(), &[end.word()]).stdout_is("");
        scene.assert_nothing_left(&output);
    }
}

#[test]
fn stop_during_a_store_request_leaves_nothing() {
    let snapshot = large();
    for (request, end) in [Request::Names, Request::Part].into_iter().zip(End::in_turn()) {
        let place = Arc::new(Place::s3());
        let scene = Scene { s3: hangs_at(&place, request), vault: place.site.vault_sending(snapshot.clone()), place };
        let output = scene.ended(end, |scene| called(&scene.s3, request));
        output.fails(end.code(), &[end.word()]);
        scene.assert_nothing_left(&output);
    }
}

/// A store that never responds does not block the end of a run.
#[test]
fn sigterm_ends_a_run_whose_store_never_responds() {
    let place = Arc::new(Place::s3());
    let scene = Scene { s3: hangs_at(&place, Request::Begin), vault: place.site.vault_sending(large()), place };
    let output = scene.ended(End::Terminate, |scene| called(&scene.s3, Request::Begin));
    output.code(143).stderr_contains("terminated").stderr_contains("an incomplete upload may be left there");
    scene.assert_nothing_left(&output);
}

/// The store has started the upload, but responds only after the signal.
#[test]
fn sigterm_while_a_multipart_upload_starts_aborts_it() {
    let place = Arc::new(Place::s3());
    let signalled = Arc::new(AtomicBool::new(false));
    let s3 = begins_late(&place, &signalled);
    let scene = Scene { vault: place.site.vault_sending(large()), place, s3 };
    let mut run = scene.tool().start();
    run.wait_for("the upload", || (!scene.uploads().is_empty()).then_some(()));
    run.signal(Signal::TERM);
    // Revoking the token is the last but one step of the cleanup.
    run.wait_for("the revocation", || scene.is_revoked().then_some(()));
    // It must wait for the upload that it started.
    run.goes_on_for(Duration::from_millis(500));
    signalled.store(true, Ordering::SeqCst);
    let output = run.wait();
    output.fails(143, &["terminated"]);
    scene.assert_nothing_left(&output);
}

/// Without a response, the result of the last request is unknown.
#[test]
fn stop_while_the_upload_completes_reports_a_possible_object() {
    for (request, end) in [(Request::Put, End::Interrupt), (Request::Complete, End::Terminate)] {
        let place = Arc::new(Place::s3());
        let body = if request == Request::Put { place.site.vault.snapshot().into() } else { large() };
        let scene = Scene { s3: hangs_at(&place, request), vault: place.site.vault_sending(body), place };
        let output = scene.ended(end, |scene| called(&scene.s3, request));
        output.fails(end.code(), &["the upload was being completed: the object may exist, unverified", end.word()]);
        scene.assert_nothing_left(&output);
    }
}

/// The object is complete by then and stays: `backup` never deletes.
#[test]
fn stop_during_the_read_back_names_the_unverified_object() {
    for end in [End::Interrupt, End::Terminate] {
        let place = Arc::new(Place::s3());
        let vault = FaultServer::proxy(&place.site.vault.address(), |_| Reply::forward());
        let scene = Scene { s3: hangs_at(&place, Request::ReadBack), vault, place };
        let output = scene.ended(end, |scene| called(&scene.s3, Request::ReadBack));
        let names = scene.place.names();
        assert_eq!(names.len(), 1, "{names:?}");
        let address = format!("{}/{}: uploaded, but not verified", scene.place.url(), names[0]);
        output.fails(end.code(), &[&address, end.word()]).leaves(&["config.toml"]);
        assert!(scene.is_revoked());
        scene.place.tool().args(["decrypt", &names[0]]).run().ok();
    }
}

#[test]
fn a_second_signal_ends_the_run_at_once() {
    let place = Arc::new(Place::s3());
    // The cleanup gets no response either.
    let s3 =
        FaultServer::proxy(&place.site.s3.endpoint(), |call| match Request::Part.is(call) || call.method == "DELETE" {
            true => Reply::hang(),
            false => Reply::forward(),
        });
    let scene = Scene { vault: place.site.vault_sending(large()), place, s3 };
    let mut run = scene.tool().start();
    run.wait_for("a part", || called(&scene.s3, Request::Part).then_some(()));
    run.signal(Signal::TERM);
    run.wait_for("cleaning up", || scene.s3.calls().iter().any(|call| call.method == "DELETE").then_some(()));
    run.signal(Signal::INT);
    run.wait().code(130).stdout_is("");
}

#[test]
fn stop_during_a_backup_to_a_local_directory_leaves_nothing() {
    let snapshot = large();
    for end in End::ALL {
        let place = Arc::new(Place::directory());
        let body = snapshot.clone();
        let sent = body.len() / 2;
        let vault = place.site.vault_with(move |_| Reply::status(200).body(body.clone()).stall_after(sent));
        let scene = Scene { s3: plain(&place), place, vault };
        let output = scene.ended(end, |scene| !scene.place.names().is_empty());
        output.fails(end.code(), &[end.word()]);
        scene.assert_nothing_left(&output);
    }
}

/// Read-only commands too: a monitoring system may run them.
#[test]
fn run_deadline_ends_every_command() {
    let place = Place::s3();
    let s3 = FaultServer::start(|_| Reply::hang());
    let name = "daily/2025-11-26/vault-snapshot-20251126-020000.enc";
    for command in ["list", "status", "inspect", "decrypt", "prune", "doctor"] {
        let tool = place.tool().env("AWS_ENDPOINT_URL", s3.address());
        std::fs::write(tool.home().join("config.toml"), "[run]\ndeadline = \"1s\"\n").unwrap();
        let object = ["inspect", "decrypt"].contains(&command).then_some(name);
        let output = tool.args(["--config", "config.toml", command]).args(object).run();
        output.fails(124, &["the deadline passed"]).leaves(&["config.toml"]);
    }
}

/// The flag replaces the configured deadline, also by none at all.
#[test]
fn deadline_none_switches_the_deadline_off() {
    let place = Place::directory();
    let vault = place.site.vault_with(|_| Reply::hang());
    let tool = place.tool().env("VAULT_ADDR", vault.address());
    let config = "[run]\ndeadline = \"1s\"\nidle_timeout = \"2s\"\nretries = 0\n";
    std::fs::write(tool.home().join("config.toml"), config).unwrap();
    let output = tool.args(["backup", "--config", "config.toml", "--deadline", "none"]).run();
    output.fails(3, &["no data for 2 s"]);
}

#[test]
fn run_deadline_ends_a_backup() {
    let place = Place::directory();
    let vault = place.site.vault_with(|_| Reply::hang());
    let tool = place.tool().env("VAULT_ADDR", vault.address());
    std::fs::write(tool.home().join("config.toml"), "[run]\ndeadline = \"1s\"\n").unwrap();
    let output = tool.args(["backup", "--json", "--config", "config.toml"]).run();
    output.fails(124, &["the deadline passed"]).leaves(&["config.toml"]);
    assert_eq!(output.json()["error"]["class"], "deadline");
    place.assert_empty();
}
