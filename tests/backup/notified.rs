//! Notifications, audit log, metrics and pings of a run of the binary.

use super::text;
use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use crate::support::process::Port;
use crate::support::tool::{Output, Tool};
use clap::Parser;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use vault_backup::app::cli::Cli;
use vault_backup::app::context::Context;
use vault_backup::app::reporting;
use vault_backup::base::error::Kind;
use vault_backup::base::stop::Stop;
use vault_backup::services::notify::Operation;

/// Maximum time for the attempts to notify one endpoint.
const NOTIFICATION_TIMEOUT: Duration = Duration::from_secs(30);

/// Part of each notification URL, which must not be printed.
const PLANTED: &str = "planted-in-a-url";

/// All notification endpoints at one address, which responds with `status`.
struct Listeners {
    server: FaultServer,
    dir: tempfile::TempDir,
}

impl Listeners {
    fn start(status: u16) -> Self {
        Self { server: FaultServer::start(move |_| Reply::status(status)), dir: crate::support::process::temp_dir() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Configures `tool` to notify them, with its audit log in `audit`.
    fn listen(&self, tool: Tool, audit: &str) -> Tool {
        let url = format!("{}/{PLANTED}", self.server.address());
        let config = format!(
            "[audit]\nfile = {:?}\n[[notify]]\ntype = \"webhook\"\nurl = \"{url}/hook\"\n\
             [[notify]]\ntype = \"slack\"\nurl = \"env:SLACK\"\non = [\"failure\"]\n\
             [ping]\nurl = \"{url}/ping\"\n[metrics]\ntextfile = {:?}\n",
            self.path(audit),
            self.path("backup.prom"),
        );
        std::fs::write(tool.home().join("config.toml"), config).unwrap();
        tool.env("SLACK", format!("{url}/slack")).keeps([PLANTED]).args(["--config", "config.toml"])
    }

    /// The lines of the audit log.
    fn audited(&self) -> Vec<Value> {
        self.read("audit.log").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The messages sent to a path, in order.
    fn sent(&self, to: &str) -> Vec<Value> {
        let path = format!("/{PLANTED}/{to}");
        self.server.calls().iter().filter(|call| call.path == path).map(|call| call.json()).collect()
    }

    fn metric(&self, line: &str) -> bool {
        self.read("backup.prom").lines().any(|said| said.starts_with(line))
    }
}

fn backup(place: &Place, listeners: &Listeners, audit: &str, args: &[&str]) -> Output {
    let output = listeners.listen(place.tool(), audit).arg("backup").args(args).run();
    output.leaves(&["config.toml"]);
    output
}

#[test]
fn a_successful_backup_is_reported_to_all_channels() {
    let (place, listeners) = (Place::s3(), Listeners::start(204));
    let output = backup(&place, &listeners, "audit.log", &["--prune", "--json"]);
    let said = output.ok().json();

    let lines = listeners.audited();
    assert_eq!([&lines[0]["event"], &lines[1]["event"]], ["vault_backup_completed", "vault_backup_pruned"]);
    assert_eq!(lines.len(), 2);
    let details = &lines[0]["details"];
    for (key, result) in [
        ("backup_path", "object"),
        ("checksum", "sha256"),
        ("size_bytes", "size_bytes"),
        ("backup_type", "backup_type"),
    ] {
        assert_eq!(details[key], said[result], "{key}");
    }
    assert_eq!(listeners.path("audit.log").metadata().unwrap().permissions().mode() & 0o777, 0o640);

    let [message] = &listeners.sent("hook")[..] else { panic!("one message expected") };
    assert_eq!(message["type"], "vault_backup_success");
    assert_eq!(message["details"]["backup_path"], said["object"]);
    assert_eq!(message["store"], place.url());
    assert!(message["cluster"].is_string() && !text(&message["host"]).is_empty(), "{message}");
    assert!(text(&message["message"]).contains(text(&said["object"])), "{message}");
    assert!(listeners.sent("slack").is_empty(), "it is notified only of failures");
    assert_eq!(
        [listeners.sent("ping/start").len(), listeners.sent("ping").len(), listeners.sent("ping/fail").len()],
        [1, 1, 0]
    );
    assert!(listeners.metric("vault_backup_last_run_exit_code{operation=\"backup\"} 0"));
    assert!(listeners.metric("vault_backup_newest_good_backup_timestamp_seconds{type=\"daily\"}"));
}

#[test]
fn a_failed_backup_is_reported_to_all_channels() {
    let (place, listeners) = (Place::directory(), Listeners::start(204));
    let vault = place.site.vault_sending("<html>");
    let tool = place.tool().env("VAULT_ADDR", vault.address());
    let output = listeners.listen(tool, "audit.log").args(["backup", "--prune"]).run();
    output.fails(5, &["not gzip but HTML"]);
    let lines = listeners.audited();
    assert_eq!(lines.len(), 1);
    assert_eq!([&lines[0]["event"], &lines[0]["severity"]], ["vault_backup_failed", "critical"]);
    for to in ["hook", "slack"] {
        let [message] = &listeners.sent(to)[..] else { panic!("one message expected at {to}") };
        assert!(message.to_string().contains("not gzip but HTML"), "{message}");
    }
    assert_eq!(listeners.sent("hook")[0]["type"], "vault_backup_failure");
    assert_eq!(
        [listeners.sent("ping/start").len(), listeners.sent("ping").len(), listeners.sent("ping/fail").len()],
        [1, 0, 1]
    );
    assert!(listeners.metric("vault_backup_last_run_exit_code{operation=\"backup\"} 5"));
}

/// A run that was stopped is reported too.
#[test]
fn a_passed_deadline_is_reported() {
    let (place, listeners) = (Place::directory(), Listeners::start(204));
    let vault = place.site.vault_with(|_| Reply::hang());
    let tool = place.tool().env("VAULT_ADDR", vault.address());
    let output = listeners.listen(tool, "audit.log").args(["backup", "--deadline", "2s"]).run();
    output.fails(124, &["the deadline passed"]);
    assert_eq!(listeners.audited()[0]["event"], "vault_backup_failed");
    assert_eq!([listeners.sent("hook").len(), listeners.sent("ping/fail").len()], [1, 1]);
}

/// A bug is reported like any failure, but without the panic message.
#[tokio::test]
async fn a_panic_is_reported_without_its_message() {
    let (place, listeners) = (Place::directory(), Listeners::start(204));
    let tool = listeners.listen(place.tool(), "audit.log");
    let config = tool.home().join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap().replace("\"env:SLACK\"", "\"http://127.0.0.1:1/\"");
    std::fs::write(&config, text.replace("[\"failure\"]", "[\"success\"]")).unwrap();
    let cli = Cli::try_parse_from(["vault-backup", "--config", config.to_str().unwrap(), "backup"]).unwrap();
    let printed = vault_backup::app::output::Output::start(&cli.global, false);
    let context = Context::new(cli.global, printed, Stop::default());
    let work = async { panic!("{PLANTED}") };
    let error = reporting::run(&context, Operation::Backup, work).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unexpected);
    let (audited, sent) = (listeners.audited(), listeners.sent("hook"));
    assert_eq!((&audited[0]["event"], audited.len()), (&json!("vault_backup_failed"), 1));
    assert_eq!((&sent[0]["type"], sent.len()), (&json!("vault_backup_failure"), 1));
    assert_eq!([listeners.sent("ping/start").len(), listeners.sent("ping/fail").len()], [1, 1]);
    assert!(!format!("{error} {audited:?} {sent:?}").contains(PLANTED), "{error} {audited:?} {sent:?}");
}

/// The backup is made and stays good, but an operator should check.
#[test]
fn failed_notifications_give_exit_code_8_after_a_good_backup() {
    let (place, listeners) = (Place::directory(), Listeners::start(404));
    let output = backup(&place, &listeners, "no/such/directory/audit.log", &["--json"]);
    output.code(8);
    let stored = output.stderr.find("warning: completed with problems: ").unwrap();
    assert!(output.stderr[stored..].lines().next().unwrap().ends_with("stored and verified"), "{output:?}");
    assert!(stored < output.stderr.find("error: ").unwrap(), "the success comes first: {output:?}");
    let said = output.json();
    let problems = said["problems"].as_array().unwrap();
    for part in ["audit log", "webhook 1", "ping"] {
        let reported = |lines: &str| lines.contains(part);
        assert!(
            problems.iter().any(|problem| reported(text(problem))) && reported(&output.stderr),
            "no {part}: {output:?}"
        );
    }
    let stray = output.stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    assert_eq!(stray.map(|line| line["event"].clone()).collect::<Vec<_>>(), [json!("vault_backup_completed")]);
    place.tool().arg("status").run().ok();
}

/// One endpoint hangs, one closes the connection, one responds with 500, one does not exist, all
/// at the same time. The backup is not affected.
#[test]
fn hanging_and_failing_webhooks_do_not_block_each_other() {
    let place = Place::directory();
    let server = FaultServer::start(|call| match &call.path[1..] {
        "hangs" => Reply::hang(),
        "closes" => Reply::close(),
        "redirects" => Reply::status(302).header("Location", "/elsewhere"),
        _ => Reply::status(500),
    });
    let (url, away) = (server.address(), Port::reserve());
    let tool = place.tool();
    let hook = |url: &str| format!("[[notify]]\ntype = \"webhook\"\nurl = \"{url}\"\n");
    let hooks = ["hangs", "closes", "redirects"].map(|path| hook(&format!("{url}/{path}"))).concat();
    let config = format!("{hooks}{}[ping]\nurl = \"{url}/ping\"\n", hook(&format!("http://{}/", away.address())));
    std::fs::write(tool.home().join("config.toml"), config).unwrap();
    let begun = Instant::now();
    let output = tool.args(["--config", "config.toml", "backup", "--json"]).run();
    output.code(8);
    let took = begun.elapsed();
    assert!(took < NOTIFICATION_TIMEOUT * 2, "{took:?}");
    let said = output.json();
    let problems: Vec<_> = said["problems"].as_array().unwrap().iter().map(text).collect();
    let parts = ["ping", "webhook 1", "webhook 2", "webhook 3", "webhook 4", "ping"];
    assert!(
        problems.len() == parts.len() && parts.iter().zip(&problems).all(|(p, said)| said.starts_with(p)),
        "{said}"
    );
    assert!(server.calls().iter().all(|call| call.path != "/elsewhere"));
    place.tool().arg("status").run().ok();
}

/// Failed notifications never hide the failure itself.
#[test]
fn failed_notifications_do_not_hide_the_failure() {
    let (place, listeners) = (Place::directory(), Listeners::start(404));
    let vault = place.site.vault_sending("");
    let tool = place.tool().env("VAULT_ADDR", vault.address());
    let output = listeners.listen(tool, "no/such/directory/audit.log").arg("backup").run();
    output.code(5).stderr_contains("webhook 2");
    assert!(output.stderr.lines().last().unwrap().contains("the snapshot is empty"), "{output:?}");
    place.assert_empty();
}
