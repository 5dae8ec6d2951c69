//! One real Vault (or OpenBao) on Raft storage: its process, its API, its seal.
//! Calls block until done, and panic on failure. What is put into it: `operate`.

mod builder;
mod operate;
mod server;

pub use builder::Builder;
pub use server::{Server, binary, expect_server, product};

use crate::support::http::{client, exchange, json};
use crate::support::process::{PATIENCE, Port, Process, wait_for};
use crate::support::tls::Ca;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use tempfile::TempDir;

/// `sys/health` of a node that serves requests as the leader.
pub const ACTIVE: u16 = 200;
/// `sys/health` of a node that follows a leader.
pub const STANDBY: u16 = 429;
/// `sys/health` of a node without keys.
pub const UNINITIALISED: u16 = 501;
/// `sys/health` of a sealed node.
pub const SEALED: u16 = 503;

/// A node. Its process and its data are gone when this is dropped.
pub struct Vault {
    process: Mutex<Process>,
    server: Server,
    dir: TempDir,
    /// Of the API and of the cluster.
    ports: [Port; 2],
    unix: bool,
    node_id: String,
    ca: Option<Arc<Ca>>,
    http: reqwest::Client,
    shares: Vec<String>,
    threshold: usize,
    root_token: String,
}

impl Vault {
    /// Starts a node: initialised with 3 shares of which 2 unseal it, unsealed, active.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// A node with other settings.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The API's URL, such as `https://127.0.0.1:4711`.
    pub fn address(&self) -> String {
        builder::address(&self.ports, self.ca.is_some())
    }

    /// The API's Unix socket, for a node built with [`Builder::listener_unix`].
    pub fn socket(&self) -> Option<PathBuf> {
        self.unix.then(|| builder::socket(self.dir.path()))
    }

    /// The certificate authority, for a node with TLS.
    pub fn ca(&self) -> Option<&Ca> {
        self.ca.as_deref()
    }

    /// The CA certificate's path, for a node with TLS.
    ///
    /// # Panics
    /// Without TLS.
    pub fn ca_cert(&self) -> PathBuf {
        self.ca().expect("a node with TLS").path()
    }

    /// The Raft node id.
    pub fn node_id(&self) -> &str {
        &self.node_id
    }

    /// The root token that initialising gave; empty before.
    pub fn root_token(&self) -> &str {
        &self.root_token
    }

    /// All unseal key shares, base64; none before initialising.
    pub fn shares(&self) -> &[String] {
        &self.shares
    }

    /// Just as many shares as unseal it.
    pub fn enough_shares(&self) -> &[String] {
        &self.shares[..self.threshold.min(self.shares.len())]
    }

    /// The node's own directory: configuration, data, log.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process().pid()
    }

    /// Returns the server's log so far.
    pub fn log(&self) -> String {
        self.process().log()
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap()
    }

    /// Polls `probe` until it gives a value; panics if the process ends before.
    pub fn wait_for<T>(&self, what: &str, mut probe: impl FnMut(&Self) -> Option<T>) -> T {
        wait_for(&format!("{what} of {}", self.node_id), PATIENCE, || {
            let value = probe(self);
            assert!(value.is_some() || self.process().is_running(), "{} ended before {what}", self.node_id);
            value
        })
    }
}

/// The API.
impl Vault {
    /// One request, `path` being what follows `/v1/`; `None` if no whole answer
    /// came. An empty `token` sends none.
    pub fn try_api(&self, token: &str, method: &str, path: &str, body: Option<Vec<u8>>) -> Option<(u16, Vec<u8>)> {
        let token = (!token.is_empty()).then_some(token);
        exchange(&self.http, method, &format!("{}/v1/{path}", self.address()), token, body)
    }

    /// One request with `token`: status and body, `null` where that is no JSON.
    pub fn api_as(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let body = body.map(|value| value.to_string().into_bytes());
        let answer = self.try_api(token, method, path, body);
        let (status, bytes) = answer.unwrap_or_else(|| panic!("no answer to {method} {path} from {}", self.node_id));
        (status, json(&bytes))
    }

    /// One request with the root token.
    pub fn api(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.api_as(&self.root_token, method, path, body)
    }

    /// One request with the root token that must succeed: its answer.
    pub fn ok(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.api(method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// [`Vault::ok`] in the namespace `namespace`; the root's if it is empty.
    pub fn ok_in(&self, namespace: &str, method: &str, path: &str, body: Option<Value>) -> Value {
        let path = if namespace.is_empty() { path.to_owned() } else { format!("{namespace}/{path}") };
        self.ok(method, &path, body)
    }

    /// The status of `sys/health`; `None` while nothing answers.
    pub fn health(&self) -> Option<u16> {
        self.try_api("", "GET", "sys/health", None).map(|(status, _)| status)
    }

    /// Waits until `sys/health` answers with one of `statuses`.
    pub fn wait_for_health(&self, statuses: &[u16]) {
        self.wait_for(&format!("health {statuses:?}"), |node| node.health().filter(|s| statuses.contains(s)));
    }
}

/// The seal.
impl Vault {
    /// Initialises a node built with [`Builder::uninitialised`]. It is sealed then.
    pub fn initialise(&mut self, shares: usize, threshold: usize) {
        let body = json!({"secret_shares": shares, "secret_threshold": threshold});
        let answer = self.ok("PUT", "sys/init", Some(body));
        self.shares = answer["keys_base64"].as_array().unwrap().iter().map(text).collect();
        self.threshold = threshold;
        self.root_token = text(&answer["root_token"]);
    }

    /// Initialises a node with an automatic seal, which unseals it. Its one share is a
    /// recovery key: without the seal's own key it opens nothing.
    pub fn initialise_automatic(&mut self) {
        let answer = self.ok("PUT", "sys/init", Some(json!({"recovery_shares": 1, "recovery_threshold": 1})));
        self.shares = answer["recovery_keys_base64"].as_array().unwrap().iter().map(text).collect();
        self.threshold = 1;
        self.root_token = text(&answer["root_token"]);
        self.wait_for_health(&[ACTIVE]);
    }

    /// Takes over the shares and the root token of `other`: they are one cluster.
    pub fn take_keys_of(&mut self, other: &Self) {
        self.shares = other.shares.clone();
        self.threshold = other.threshold;
        self.root_token.clone_from(&other.root_token);
    }

    /// Unseals it with `shares` (base64 or hex) and waits until it leads. For a
    /// node that will follow another: [`Vault::send_shares`].
    pub fn unseal(&self, shares: &[String]) {
        self.send_shares(shares);
        self.wait_for_health(&[ACTIVE]);
    }

    /// Hands in `shares` until no more are wanted. It may still be sealed then.
    pub fn send_shares(&self, shares: &[String]) {
        self.ok("PUT", "sys/unseal", Some(json!({"reset": true})));
        for share in shares {
            if self.ok("PUT", "sys/unseal", Some(json!({"key": share})))["sealed"] == false {
                break;
            }
        }
    }

    /// Seals it.
    pub fn seal(&self) {
        self.ok("PUT", "sys/seal", None);
        self.wait_for_health(&[SEALED]);
    }
}

/// The process.
impl Vault {
    /// Returns `true` while the process runs.
    pub fn is_running(&self) -> bool {
        self.process().is_running()
    }

    /// Ends it in good order.
    pub fn stop(&self) {
        self.process().stop();
    }

    /// Ends it at once.
    pub fn kill(&self) {
        self.process().kill();
    }

    /// Halts it, so that connections to it hang.
    pub fn pause(&self) {
        self.process().signal(Signal::STOP);
    }

    /// Ends a [`Vault::pause`].
    pub fn resume(&self) {
        self.process().signal(Signal::CONT);
    }

    /// Stops it, if it runs, and starts it with the same data and address. It
    /// is sealed then.
    pub fn restart(&self) {
        self.stop();
        *self.process() = builder::run(self.server, self.dir.path(), &self.node_id);
        self.wait_for("an answer", Self::health);
    }
}

/// A JSON string's text.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}
