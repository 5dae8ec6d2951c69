//! The judgement of a trial, by what is really there after the run with the fault, and after
//! the next run without one.

use super::lab::{Lab, TOKEN_TTL};
use super::plan::{Act, Fault, Peer, Plan, Spoil};
use super::run::Ended;
use crate::support::snapshot::sha256;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The kinds of failure, which are the columns of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// A backup that `list` calls good is not what the server sent.
    BadLooksGood,
    /// A good backup that the rules keep is gone.
    GoodLost,
    /// The exit code does not fit what is there, or the fault.
    ExitCode,
    /// Something of ours is left after the next run.
    Leftover,
}

/// A failure, in words.
pub type Finding = (Wrong, String);

/// The state of the store: all objects, and the names that `list` calls good.
pub struct Seen {
    pub objects: BTreeMap<String, Vec<u8>>,
    pub good: BTreeSet<String>,
}

impl Seen {
    fn is_new(&self, lab: &Lab, name: &str) -> bool {
        self.good.contains(name) && !lab.earlier.iter().any(|earlier| earlier.object == name)
    }

    /// Good backups of `kind` that are not among the earlier ones.
    fn new_good<'a>(&'a self, lab: &'a Lab, kind: &'a str) -> impl Iterator<Item = &'a String> {
        self.good.iter().filter(move |name| name.starts_with(kind) && self.is_new(lab, name))
    }

    /// `true` if each earlier backup that a prune must delete is gone.
    fn is_pruned(&self, lab: &Lab) -> bool {
        lab.earlier.iter().filter(|earlier| earlier.deletable).all(|e| !self.objects.contains_key(&e.object))
    }
}

/// Good backups that are not what the server sent; `decrypt` opens an object.
pub fn bad(lab: &Lab, seen: &Seen, sent: &[String], decrypt: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Vec<Finding> {
    let judge = |name: &String| {
        let manifest: Value = serde_json::from_slice(&seen.objects[&format!("{name}.manifest.json")]).unwrap();
        let Some(plain) = decrypt(&seen.objects[name]) else {
            return Some(format!("{name} does not decrypt"));
        };
        let hash = sha256(&plain);
        if manifest["plaintext_sha256"] != hash {
            return Some(format!("{name} is not what its manifest says"));
        }
        (!lab.sent.contains(&hash) && !sent.contains(&hash)).then(|| format!("{name} was never sent by the server"))
    };
    seen.good.iter().filter_map(judge).map(|text| (Wrong::BadLooksGood, text)).collect()
}

/// Earlier backups that the rules keep, and that are no longer good.
pub fn lost(lab: &Lab, plan: &Plan, seen: &Seen) -> Vec<Finding> {
    let kept = lab.earlier.iter().filter(|earlier| plan.earlier && !(earlier.deletable && plan.act.prunes()));
    kept.filter(|e| !seen.good.contains(&e.object)).map(|e| (Wrong::GoodLost, e.object.clone())).collect()
}

/// The judgement of the exit code of the run with the fault.
pub fn exit(lab: &Lab, plan: &Plan, ended: &Ended, seen: &Seen, has_output: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut wrong = |text: String| {
        let last = ended.stderr.lines().last().unwrap_or_default();
        findings.push((Wrong::ExitCode, format!("exit {:?}: {text}: {last}", ended.code)));
    };
    if ["panicked at", "RUST_BACKTRACE", "stack backtrace"].iter().any(|text| ended.stderr.contains(text)) {
        wrong("a panic".into());
    }
    match ended.code {
        Some(0) => {
            if let Some(missing) = missing(lab, plan, seen, has_output) {
                wrong(format!("success, but {missing}"));
            }
        }
        Some(8) if plan.act.makes_backup() && seen.new_good(lab, "daily/").next().is_none() => {
            wrong("done in part, but there is no good new backup".into());
        }
        code if !ended.hit => wrong(format!("{code:?} without a fault")),
        Some(127) if ended.stderr.contains("error while loading shared libraries") => {}
        code if !fits(plan, code) => wrong("this code does not fit the fault".into()),
        Some(1..=6) if is_whole(lab, plan, seen, has_output) && !may_be_unsure(plan) => {
            wrong("a failure, but all is done".into());
        }
        _ => {}
    }
    findings
}

/// What a run that has succeeded has not done, if anything.
fn missing(lab: &Lab, plan: &Plan, seen: &Seen, has_output: bool) -> Option<&'static str> {
    // A store that says that something is gone, or deleted, is believed.
    let is_lied_to = matches!(
        plan.fault,
        Fault::Exchange {
            peer: Peer::Store,
            spoil: Spoil::Status(404) | Spoil::Ignore | Spoil::End(_) | Spoil::Flip(_),
            ..
        }
    );
    let daily = || seen.new_good(lab, "daily/").next().is_none();
    let monthly = || seen.new_good(lab, "monthly/").next().is_none();
    let unpruned = plan.act.prunes() && plan.earlier && !is_lied_to && !seen.is_pruned(lab);
    match plan.act {
        Act::Backup | Act::Monthly | Act::BackupPrune if daily() => Some("there is no good new backup"),
        Act::Monthly if monthly() => Some("there is no good monthly copy"),
        Act::BackupPrune | Act::Prune if unpruned => Some("old backups are there"),
        Act::Drill if !has_drill_record(seen) => Some("there is no drill record"),
        Act::Decrypt if !has_output => Some("there is no plaintext"),
        _ => None,
    }
}

fn has_drill_record(seen: &Seen) -> bool {
    seen.objects.keys().any(|name| name.ends_with(".drill.json"))
}

/// `true` if all that the run was for is done.
fn is_whole(lab: &Lab, plan: &Plan, seen: &Seen, has_output: bool) -> bool {
    let checkable = plan.act != Act::RestoreDryRun && (plan.act != Act::Prune || plan.earlier);
    let is_pruned = !(plan.act.prunes() && plan.earlier) || seen.is_pruned(lab);
    checkable && is_pruned && missing(lab, plan, seen, has_output).is_none()
}

/// `true` if a run may fail although all is done: it cannot know, or it is not yet durable.
fn may_be_unsure(plan: &Plan) -> bool {
    plan.fault.is_lasting() || matches!(plan.fault, Fault::Syscall { .. } | Fault::Clock { .. })
}

/// `true` if a failure with this code fits the fault.
fn fits(plan: &Plan, code: Option<i32>) -> bool {
    let partial = plan.act.makes_backup() || matches!(plan.act, Act::Prune | Act::Drill);
    let Some(code) = code else { return matches!(plan.fault, Fault::Signal { number: libc::SIGKILL, .. }) };
    if code == 8 {
        return partial;
    }
    let allowed: &[i32] = match &plan.fault {
        // With a few bytes from each connection it goes on until its deadline.
        Fault::Exchange { spoil: Spoil::Break(_) | Spoil::Stall(_), lasting: true, .. } if code == 124 => return true,
        // It may be the runtime's write to its own eventfd, which Linux never refuses. Without it no task is woken.
        Fault::Syscall { call: "write", .. } if code == 124 => return true,
        Fault::None => &[],
        Fault::Exchange {
            peer: Peer::Store,
            spoil: Spoil::Status(408 | 429 | 500..) | Spoil::Delay(_),
            lasting: false,
            ..
        } => &[],
        Fault::Exchange { spoil: Spoil::Delay(_) | Spoil::Twice, .. }
        | Fault::Wire { wire: super::plan::Wire::Dribble, .. } => &[],
        Fault::Exchange { peer: Peer::Vault, .. } | Fault::Wire { peer: Peer::Vault, .. } => &[3, 5],
        Fault::Exchange { peer: Peer::Store, .. } | Fault::Wire { peer: Peer::Store, .. } => &[4, 5],
        Fault::Signal { number: libc::SIGTERM, .. } => &[143],
        Fault::Signal { number: libc::SIGINT, .. } => &[130],
        Fault::Signal { .. } => &[129, 143],
        Fault::Syscall { call: "mmap" | "clone3" | "getrandom", .. } => &[1, 2, 3, 4, 5],
        Fault::Syscall { .. } => &[1, 2, 3, 4, 5],
        Fault::Disk => &[4],
        Fault::Clock { .. } => &[1, 3, 4],
    };
    allowed.contains(&code)
}

/// What is left after the next run.
pub struct After<'a> {
    pub next: &'a Ended,
    pub seen: &'a Seen,
    pub uploads: Vec<String>,
    /// Files in the directories of the runs.
    pub files: BTreeMap<String, Vec<u8>>,
    pub processes: Vec<String>,
    /// Lifetimes of the tokens.
    pub tokens: Vec<u64>,
}

/// The judgement of the next run, and of what is left after it.
pub fn after(lab: &Lab, plan: &Plan, first: &Ended, after: &After<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let next = after.next;
    // A backup with a name in the future makes the newest one suspicious.
    let is_ahead = matches!(plan.fault, Fault::Clock { seconds, .. } if seconds > 0);
    if next.code != Some(0) && !(is_ahead && next.code == Some(8)) {
        findings.push((Wrong::ExitCode, format!("the next run: exit {:?}: {}", next.code, next.stderr.trim())));
    } else if after.seen.new_good(lab, "daily/").next().is_none() {
        findings.push((Wrong::ExitCode, "the next run: no good backup".into()));
    }
    let mut left = |text: String| findings.push((Wrong::Leftover, text));
    after.uploads.iter().for_each(|name| left(format!("unfinished upload of {name}")));
    after.processes.iter().for_each(|line| left(format!("process {line}")));
    strays(after.seen).into_iter().for_each(&mut left);
    for (name, bytes) in &after.files {
        let expected = ["home/config.toml", "home/lock", "home/lock.drill", "home/audit.log"].contains(&name.as_str());
        let output = name == "home/out.snap" && first.code == Some(0);
        match (expected || output, bytes.starts_with(&[0x1f, 0x8b])) {
            (true, _) => {}
            (false, true) => left(format!("plaintext in {name}")),
            (false, false) => left(format!("file {name}")),
        }
    }
    let (may_leave, lifetime) = (usize::from(leaves_token(plan, first)) * 2, TOKEN_TTL);
    if after.tokens.len() > may_leave || after.tokens.iter().any(|ttl| *ttl > lifetime) {
        left(format!("tokens with lifetimes {:?}", after.tokens));
    }
    findings
}

/// `true` if the run could not revoke a token: it was killed, or Vault's answer did not come.
fn leaves_token(plan: &Plan, first: &Ended) -> bool {
    let vault = matches!(plan.fault, Fault::Exchange { peer: Peer::Vault, .. } | Fault::Wire { peer: Peer::Vault, .. });
    first.code.is_none() || vault || matches!(plan.fault, Fault::Syscall { .. })
}

/// Names in the store that no other run can use.
fn strays(seen: &Seen) -> Vec<String> {
    let stray = |name: &&String| {
        let (object, _) = name.split_once(".enc").unwrap_or((name, ""));
        let of = format!("{object}.enc");
        let is_ours =
            **name == of || [".manifest.json", ".drill.json"].iter().any(|end| **name == format!("{of}{end}"));
        !is_ours || !seen.objects.contains_key(&of)
    };
    seen.objects.keys().filter(stray).map(|name| format!("{name} without its object")).collect()
}
