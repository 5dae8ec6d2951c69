//! One trial: the run with the fault, the next run without one, and the judgement of both.

use super::judge::{self, After, Finding, Seen, Wrong};
use super::lab::{Lab, Login};
use super::plan::{Act, Plan};
use super::room::{Room, processes_with};
use super::run::{self, Ended};
use crate::support::fault::{FaultServer, Reply};
use crate::support::process::temp_dir;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// One of so many trials is checked by the decryptor in Python, which shares no code with the tool.
const BY_PYTHON: u64 = 10;

/// The result of a trial.
pub struct Result {
    pub plan: Plan,
    pub code: Option<i32>,
    /// `false` if the run ended before its fault.
    pub hit: bool,
    pub findings: Vec<Finding>,
}

/// Runs the trial of this seed.
pub fn run(lab: &Lab, seed: u64) -> Result {
    let plan = Plan::from_seed(seed);
    let judged = catch_unwind(AssertUnwindSafe(|| judged(lab, &plan)));
    let (code, hit, findings) = judged.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map_or("a panic of the lab", |text| text);
        (None, false, vec![(Wrong::ExitCode, text.to_owned())])
    });
    Result { plan, code, hit, findings }
}

fn judged(lab: &Lab, plan: &Plan) -> (Option<i32>, bool, Vec<Finding>) {
    let (room, login) = (Room::new(lab, plan), lab.login(plan.large, plan.seed));
    let first = run::with_fault(lab, plan, &room, &login);
    if std::env::var_os("FIRE_SEED").is_some() {
        eprintln!("{plan:?}\nhit: {}, exit {:?}\n{}", first.hit, first.code, first.stderr);
    }
    room.mend_disk();
    let decrypt = |object: &[u8]| match plan.seed % BY_PYTHON {
        0 => by_python(&lab.site.key, object),
        _ => lab.plaintext(object),
    };
    let seen = look(lab, &room, &login);
    let mut findings = judge::bad(lab, &seen, &first.sent, decrypt);
    findings.extend(judge::lost(lab, plan, &seen));
    let output = room.files().get("home/out.snap").cloned();
    if output.as_ref().is_some_and(|plain| !lab.sent.contains(&crate::support::snapshot::sha256(plain))) {
        findings.push((Wrong::BadLooksGood, "decrypt wrote what is not the snapshot".into()));
    }
    findings.extend(judge::exit(lab, plan, &first, &seen, output.is_some()));

    room.age_orphans();
    let mut next = next_run(lab, plan, &room, &login);
    let seen = look(lab, &room, &login);
    next.sent.extend(first.sent.clone());
    findings.extend(judge::bad(lab, &seen, &next.sent, decrypt));
    findings.extend(judge::lost(lab, &Plan { act: Act::BackupPrune, ..plan.clone() }, &seen));
    let after = After {
        next: &next,
        seen: &seen,
        uploads: room.uploads(),
        files: room.files(),
        processes: processes_with(&run::marked(plan)),
        tokens: login.tokens(),
    };
    findings.extend(judge::after(lab, plan, &first, &after));
    (first.code, first.hit, findings)
}

/// A backup with a prune and without a fault.
fn next_run(lab: &Lab, plan: &Plan, room: &Room, login: &Login<'_>) -> Ended {
    let vault = FaultServer::proxy(&lab.vault(plan.large).address(), |_| Reply::forward());
    let tool = lab.tool(&room.home(), vault.address(), &run::store_env(room), login);
    let output = tool.args(["backup", "--kind", "daily", "--prune"]).run();
    Ended { code: output.status, stderr: output.stderr.clone(), sent: vault.sent(), hit: true }
}

/// Looks at the store without a fault.
fn look(lab: &Lab, room: &Room, login: &Login<'_>) -> Seen {
    let tool = lab.tool(&room.home(), &lab.site.vault.address(), &run::store_env(room), login);
    let output = tool.args(["list", "--json"]).run();
    let listed = output.code(0).json();
    let good = listed["backups"].as_array().unwrap().iter().filter(|backup| backup["standing"] == "good");
    let good = good.map(|backup| backup["object"].as_str().unwrap().to_owned()).collect();
    Seen { objects: room.objects(), good }
}

/// Decrypts `object` with examples/decrypt.py.
fn by_python(key: &str, object: &[u8]) -> Option<Vec<u8>> {
    let dir = temp_dir();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("key"), key).unwrap();
    std::fs::write(path("object"), object).unwrap();
    let _ = crate::support::python::python(&["examples/decrypt.py", &path("key"), &path("object"), &path("plain")]);
    std::fs::read(path("plain")).ok()
}
