//! A leader change in the middle of a backup: the run starts again, once.

use super::raced::Request;
use super::text;
use crate::support::cluster::Cluster;
use crate::support::fault::{Call, FaultServer, Reply};
use crate::support::place::Place;
use crate::support::site::SNAPSHOT;
use crate::support::tool::Tool;
use crate::support::vault::Vault;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::task::block_in_place;

const LOGIN: &str = "/v1/auth/userpass/login/backup";

/// The steps of a backup, each the first request of its kind.
#[derive(Clone, Copy, Debug)]
enum Moment {
    Search,
    Login,
    Snapshot,
    Store(Request),
    /// A part after the first.
    LaterPart(usize),
}

const MOMENTS: [Moment; 10] = [
    Moment::Search,
    Moment::Login,
    Moment::Snapshot,
    Moment::Store(Request::Begin),
    Moment::Store(Request::Part),
    Moment::LaterPart(2),
    Moment::LaterPart(3),
    Moment::Store(Request::Complete),
    Moment::Store(Request::ReadBack),
    Moment::Store(Request::Manifest),
];

impl Moment {
    fn is(self, call: &Call) -> bool {
        match self {
            Self::Search => call.path == "/v1/sys/health",
            Self::Login => call.path == LOGIN,
            Self::Snapshot => call.path == SNAPSHOT,
            Self::Store(request) => request.is(call),
            Self::LaterPart(number) => Request::Part.is(call) && call.query.contains(&format!("partNumber={number}")),
        }
    }
}

/// The tool, which logs in through `addresses`.
fn tool(place: &Place, addresses: &[String], run: &str) -> Tool {
    let tool = place.tool().env("VAULT_TOKEN", "").env("VAULT_ADDR", "").env("PW", "planted-pw");
    let config = format!(
        "[vault]\naddresses = {addresses:?}\n[vault.auth]\nmethod = \"userpass\"\nusername = \"backup\"\n\
         password = \"env:PW\"\n[run]\npart_size = \"5MiB\"\n{run}"
    );
    std::fs::write(tool.home().join("config.toml"), config).unwrap();
    tool.keeps(["planted-pw"]).args(["--config", "config.toml", "backup", "--kind", "daily", "--json"])
}

fn user(vault: &Vault) {
    vault.snapshot_policy("backup");
    vault.enable_auth("userpass");
    let user = json!({"password": "planted-pw", "token_policies": "backup"});
    vault.ok("POST", "auth/userpass/users/backup", Some(user));
}

#[test]
fn a_leader_change_at_any_of_ten_steps_is_retried() {
    let cluster = Arc::new(Cluster::start(3));
    user(cluster.leader());
    // Too large for a single PUT: a multipart upload.
    cluster.leader().fill(36 << 20);
    for (number, moment) in MOMENTS.into_iter().enumerate() {
        let place = Place::s3();
        let leader = cluster.leader();
        let changed = Arc::new(AtomicBool::new(false));
        let lose = {
            let (cluster, changed, id) = (cluster.clone(), changed.clone(), leader.node_id().to_owned());
            move |call: &Call| {
                if moment.is(call) && !changed.swap(true, Ordering::SeqCst) {
                    let leader = cluster.nodes().iter().find(|node| node.node_id() == id).unwrap();
                    block_in_place(|| if number % 2 == 0 { leader.kill() } else { leader.step_down() });
                }
                Reply::forward()
            }
        };
        let vault = FaultServer::proxy(&leader.address(), lose.clone());
        let s3 = FaultServer::proxy(&place.site.s3.endpoint(), lose);
        let addresses: Vec<_> = [vault.address().to_owned()].into_iter().chain(cluster.addresses()).collect();
        let output = tool(&place, &addresses, "").env("AWS_ENDPOINT_URL", s3.address()).run();
        assert!(changed.load(Ordering::SeqCst), "{moment:?} did not come: {output:?}");
        output.code(0).leaves(&["config.toml"]);
        let name = text(&output.json()["object"]).to_owned();
        assert!(output.json()["attempts"].as_u64().is_some_and(|n| (1..=2).contains(&n)), "{moment:?}: {output:?}");
        assert_eq!(place.names(), [name.clone(), format!("{name}.manifest.json")], "{moment:?}");
        assert_eq!(place.site.s3.incomplete_uploads(place.bucket()), [""; 0], "{moment:?}");
        place.tool().args(["inspect", &name]).run().ok().stdout_contains("good");
        cluster.revive();
    }
}

/// A server that truncates the first `times` snapshots, and the number of snapshot requests.
fn truncating(place: &Place, times: usize, spoil: fn(Reply) -> Reply) -> (FaultServer, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let vault = place.site.vault_with(move |_| match count.fetch_add(1, Ordering::SeqCst) < times {
        true => spoil(Reply::forward()),
        false => Reply::forward(),
    });
    (vault, asked)
}

/// A broken connection and a cleanly ended short stream are both retried.
#[test]
fn a_truncated_snapshot_is_retried() {
    let spoils: [fn(Reply) -> Reply; 2] = [|reply| reply.end_after(3000), |reply| reply.break_after(3000)];
    for (spoil, code) in spoils.into_iter().zip([5, 3]) {
        for (retries, times, attempts) in [(1, 1, 2), (2, 2, 3), (0, 1, 1), (1, 2, 2)] {
            let place = Place::s3();
            let (vault, asked) = truncating(&place, times, spoil);
            let tool = place.tool().env("VAULT_ADDR", vault.address());
            let audit = tool.home().join("audit.log");
            let config = format!("[run]\nretries = {retries}\n[audit]\nfile = {audit:?}\n");
            std::fs::write(tool.home().join("config.toml"), config).unwrap();
            let output = tool.args(["--config", "config.toml", "backup", "--kind", "daily", "--json"]).run();
            assert_eq!(asked.load(Ordering::SeqCst), attempts, "{output:?}");
            let line: serde_json::Value =
                serde_json::from_str(&std::fs::read_to_string(output.home().join("audit.log")).unwrap()).unwrap();
            assert!(line.to_string().contains(&format!("\"attempts\":{attempts}")), "{line}");
            assert_eq!(place.site.s3.incomplete_uploads(place.bucket()), [""; 0]);
            if attempts > times {
                output.ok();
                assert_eq!(output.json()["attempts"], attempts);
                assert_eq!(place.names().len(), 2);
                continue;
            }
            output.code(code);
            let after = if attempts > 1 { "attempt 2, after: " } else { "snapshot" };
            output.stderr_contains(after);
            place.assert_empty();
        }
    }
}

/// An error that a second attempt cannot change is not retried.
#[test]
fn a_refused_request_is_not_retried() {
    let replies: [(fn() -> Reply, i32); 3] = [
        (|| Reply::json(403, &json!({"errors": ["permission denied"]})), 3),
        (|| Reply::status(200).body("<html>"), 5),
        (|| Reply::status(200).header("Content-Type", "text/html").body("<html>"), 3),
    ];
    for (reply, code) in replies {
        let place = Place::directory();
        let vault = place.site.vault_with(move |_| reply());
        let output = place.tool().env("VAULT_ADDR", vault.address()).arg("backup").run();
        assert!(!output.stderr.contains("attempt"), "{output:?}");
        output.code(code);
        assert_eq!(vault.calls().iter().filter(|call| call.path == SNAPSHOT).count(), 1);
        place.assert_empty();
    }
}
