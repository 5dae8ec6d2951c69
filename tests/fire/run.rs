//! Runs a command with the fault of its plan.

use super::lab::{Lab, Login, faketime};
use super::plan::{Act, Fault, Peer, Plan, Spoil};
use super::room::Room;
use super::wire::WireProxy;
use crate::support::fault::{Call, FaultServer, Reply};
use crate::support::tool::Tool;
use rustix::process::Signal;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The end of a run.
pub struct Ended {
    /// The exit code; `None` after a signal that was not handled.
    pub code: Option<i32>,
    pub stderr: String,
    /// SHA-256 of each whole body that Vault has sent.
    pub sent: Vec<String>,
    /// `false` if the run ended before its fault.
    pub hit: bool,
}

/// The proxies between the binary and the servers.
struct Wires {
    vault: FaultServer,
    store: Option<FaultServer>,
    wire: Option<(Peer, WireProxy)>,
    hit: Arc<AtomicBool>,
}

/// Variable that marks the processes of a trial.
const MARK: &str = "FIRE_TRIAL";

fn mark(plan: &Plan) -> String {
    format!("{}-{}", std::process::id(), plan.seed)
}

/// The entry in the environment of each process of the trial.
pub fn marked(plan: &Plan) -> String {
    format!("{MARK}={}", mark(plan))
}

/// The environment that leads to the store of `room`.
pub fn store_env(room: &Room) -> Vec<(&'static str, String)> {
    vec![("VAULT_BACKUP_STORE", room.place.url())]
}

/// Runs the command of `plan`, with its fault.
pub fn with_fault(lab: &Lab, plan: &Plan, room: &Room, login: &Login<'_>) -> Ended {
    let wires = Wires::start(lab, plan);
    let mut env = store_env(room);
    env.extend(wires.store_address(lab).map(|address| ("AWS_ENDPOINT_URL", address)));
    let tool = lab.tool(&room.home(), &wires.vault_address(), &env, login);
    let tool =
        tool.env(MARK, mark(plan)).args(["--deadline", "60s"]).args(arguments(lab, plan, &wires.vault_address()));
    let mut ended = execute(plan, &room.home(), tool);
    ended.hit |= wires.was_hit();
    ended.sent = wires.vault.sent();
    ended
}

fn arguments(lab: &Lab, plan: &Plan, vault: &str) -> Vec<String> {
    let words: &[&str] = match plan.act {
        Act::Backup => &["backup", "--kind", "daily"],
        Act::Monthly => &["backup"],
        Act::BackupPrune => &["backup", "--kind", "daily", "--prune"],
        Act::Prune => &["prune"],
        Act::Drill => &["verify-restore", "--offline"],
        Act::Decrypt => &["decrypt", "latest", "-o", "out.snap"],
        Act::RestoreDryRun => {
            let name = lab.site.vault.ok("GET", "sys/health", None)["cluster_name"].as_str().unwrap().to_owned();
            let words = ["restore", "latest", "--dry-run", "--address", vault, "--confirm", &name];
            return words.map(str::to_owned).to_vec();
        }
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Starts the binary with what the fault needs, and waits for its end.
fn execute(plan: &Plan, home: &Path, tool: Tool) -> Ended {
    let time = home.with_file_name("time");
    let (tool, late) = match &plan.fault {
        Fault::Syscall { call, error, number, lasting } => (traced(tool, home, call, error, *number, *lasting), None),
        Fault::Clock { after, .. } => {
            std::fs::write(&time, "+0").unwrap();
            let tool = tool.envs(faketime()).env("FAKETIME_TIMESTAMP_FILE", &time).env("FAKETIME_NO_CACHE", "1");
            (tool, Some(*after))
        }
        Fault::Signal { after, .. } => (tool, Some(*after)),
        _ => (tool, None),
    };
    let mut running = tool.start();
    let mut hit = !matches!(plan.fault, Fault::Syscall { .. } | Fault::Exchange { .. } | Fault::Wire { .. });
    if let Some(after) = late {
        running.wait_for_main();
        std::thread::sleep(after);
        hit = running.is_running();
        match &plan.fault {
            Fault::Signal { number, .. } => running.signal(Signal::from_named_raw(*number).unwrap()),
            // Replaced in one step: the library may read it at any moment.
            Fault::Clock { seconds, .. } => {
                std::fs::write(time.with_extension("new"), format!("{seconds:+}")).unwrap();
                std::fs::rename(time.with_extension("new"), &time).unwrap();
            }
            _ => {}
        }
    }
    let output = running.wait();
    let trace = home.with_file_name("trace");
    hit |= std::fs::read_to_string(&trace).is_ok_and(|text| text.contains("(INJECTED)"));
    [time, trace].iter().for_each(|path| drop(std::fs::remove_file(path)));
    Ended { code: output.status, stderr: output.stderr.clone(), sent: Vec::new(), hit }
}

/// The same run under `strace`, which lets a system call fail.
fn traced(tool: Tool, home: &Path, call: &str, error: &str, number: usize, lasting: bool) -> Tool {
    let more = if lasting { "+" } else { "" };
    let inject = format!("inject={call}:error={error}:when={number}{more}");
    let trace = home.with_file_name("trace").display().to_string();
    tool.under("strace", &["-f", "-qq", "--seccomp-bpf", "-o", &trace, "-e", &format!("trace={call}"), "-e", &inject])
}

impl Wires {
    fn start(lab: &Lab, plan: &Plan) -> Self {
        let hit = Arc::new(AtomicBool::new(false));
        let vault = FaultServer::proxy(&lab.vault(plan.large).address(), handler(plan, Peer::Vault, &hit));
        let endpoint = lab.site.s3.endpoint();
        let spoils_store = matches!(plan.fault, Fault::Exchange { peer: Peer::Store, .. });
        let store = spoils_store.then(|| FaultServer::proxy(&endpoint, handler(plan, Peer::Store, &hit)));
        let wire = match plan.fault {
            Fault::Wire { peer, wire } => {
                let upstream = if peer == Peer::Vault { vault.address() } else { &endpoint };
                Some((peer, WireProxy::start(upstream, wire)))
            }
            _ => None,
        };
        Self { vault, store, wire, hit }
    }

    fn wire_address(&self, peer: Peer) -> Option<String> {
        self.wire.as_ref().filter(|(at, _)| *at == peer).map(|(_, proxy)| proxy.address.clone())
    }

    fn vault_address(&self) -> String {
        self.wire_address(Peer::Vault).unwrap_or_else(|| self.vault.address().to_owned())
    }

    fn store_address(&self, lab: &Lab) -> Option<String> {
        let spoilt = self.store.as_ref().map(|store| store.address().to_owned());
        Some(spoilt.or_else(|| self.wire_address(Peer::Store)).unwrap_or_else(|| lab.site.s3.endpoint()))
    }

    fn was_hit(&self) -> bool {
        self.hit.load(Ordering::Relaxed) || self.wire.as_ref().is_some_and(|(_, proxy)| proxy.was_hit())
    }
}

/// Decides on each call to `peer`.
fn handler(plan: &Plan, peer: Peer, hit: &Arc<AtomicBool>) -> impl Fn(&Call) -> Reply + Send + Sync + 'static {
    let fault = match plan.fault {
        Fault::Exchange { peer: at, number, spoil, lasting } if at == peer => Some((number, spoil, lasting)),
        _ => None,
    };
    let hit = hit.clone();
    move |call| match fault {
        Some((number, spoil, lasting)) if call.number == number || (lasting && call.number > number) => {
            hit.store(true, Ordering::Relaxed);
            spoilt(peer, call, spoil)
        }
        _ => Reply::forward(),
    }
}

fn spoilt(peer: Peer, call: &Call, spoil: Spoil) -> Reply {
    let writes = !matches!(call.method.as_str(), "GET" | "HEAD");
    match spoil {
        Spoil::Status(status) => refusal(peer, call, status),
        Spoil::Close => Reply::close(),
        Spoil::Lose => Reply::lose(),
        Spoil::Break(at) => Reply::forward().break_after(at),
        Spoil::End(at) => Reply::forward().end_after(at),
        Spoil::Stall(at) => Reply::forward().stall_after(at),
        Spoil::Delay(time) => Reply::forward().late(time),
        Spoil::Flip(at) => Reply::forward().flip(at),
        Spoil::Twice if call.body.is_empty() && writes && call.header("content-length") != "0" => {
            Reply::forward().late(Duration::from_millis(1))
        }
        Spoil::Twice => Reply::twice(),
        Spoil::Ignore if writes && peer == Peer::Store => {
            Reply::status(200).header("ETag", "\"d41d8cd98f00b204e9800998ecf8427e\"")
        }
        Spoil::Ignore if writes => Reply::status(204),
        Spoil::Ignore => Reply::forward(),
    }
}

fn refusal(peer: Peer, call: &Call, status: u16) -> Reply {
    let reply = Reply::status(status);
    match peer {
        Peer::Vault => reply.header("Content-Type", "application/json").body(r#"{"errors":["refused by the lab"]}"#),
        Peer::Store if call.method == "HEAD" => reply,
        Peer::Store => {
            let code = match status {
                400 => "InvalidRequest",
                403 => "AccessDenied",
                404 => "NoSuchKey",
                408 => "RequestTimeout",
                429 => "TooManyRequests",
                503 => "SlowDown",
                _ => "InternalError",
            };
            let body =
                format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>by the lab</Message></Error>");
            reply.header("Content-Type", "application/xml").body(body)
        }
    }
}
