//! examples/iam on a real server: each role does its work with its policy, on a bucket
//! with versions and Object Lock, and not without any one action of it.

use super::read;
use crate::support::place::Place;
use crate::support::production::Production;
use crate::support::tool::{Output, Tool, tool};
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use std::time::Duration;
use vault_backup::formats::naming::{BackupName, BackupType};

/// The role's statements, without those on the KMS key, which the server does not know.
fn policy(role: &str) -> Vec<Value> {
    let policy: Value = serde_json::from_str(&read(&format!("examples/iam/{role}.json"))).unwrap();
    let mut statements = policy["Statement"].as_array().unwrap().clone();
    statements.retain(|statement| statement["Sid"] != "Key");
    statements
}

fn actions(statements: &[Value]) -> Vec<String> {
    let all = statements.iter().flat_map(|statement| statement["Action"].as_array().unwrap());
    all.map(|action| action.as_str().unwrap().to_owned()).collect()
}

fn without(statements: &[Value], action: &str) -> Vec<Value> {
    let mut statements = statements.to_vec();
    for statement in &mut statements {
        statement["Action"].as_array_mut().unwrap().retain(|one| one != action);
    }
    statements.retain(|statement| statement["Action"] != json!([]));
    statements
}

/// Asserts that `works` in a new bucket with the role's statements, and doesn't without any
/// one action, but those that the server does not ask for.
fn tried(role: &str, not_asked_for: &[&str], works: impl Fn(&Place, &[Value]) -> Result<(), String>) {
    let statements = policy(role);
    works(&Place::locked(), &statements).unwrap();
    for action in actions(&statements) {
        let end = works(&Place::locked(), &without(&statements, &action));
        assert_eq!(end.is_ok(), not_asked_for.contains(&action.as_str()), "{role} without {action}: {end:?}");
    }
}

/// Runs it; an error if it fails, or if it says anything but `warning`.
fn run(tool: Tool, warning: &str) -> Result<Value, String> {
    checked(&tool.run(), warning).map(|output| output.json())
}

fn checked<'a>(output: &'a Output, warning: &str) -> Result<&'a Output, String> {
    let as_expected = match warning {
        "" => output.stderr.is_empty(),
        warning => output.stderr.lines().count() == 1 && output.stderr.contains(warning),
    };
    if output.status == Some(0) && as_expected { Ok(output) } else { Err(format!("{output:?}")) }
}

fn ensure(is_met: bool, what: &str) -> Result<(), String> {
    if is_met { Ok(()) } else { Err(what.to_owned()) }
}

/// `tool` with a configuration file that has these lines and locks what is written.
fn configured(tool: Tool, place: &Place, lines: &str) -> Tool {
    let locks = "object_lock_daily = \"governance:10d\"\nobject_lock_monthly = \"governance:100d\"\n";
    let text = format!("[store]\nurl = {:?}\n{locks}{lines}", place.url());
    std::fs::write(tool.home().join("config.toml"), text).unwrap();
    tool.args(["--config", "config.toml"])
}

fn is_locked(place: &Place, name: &str) -> bool {
    place.site.s3.retention(place.bucket(), &place.key(name)).is_some()
}

#[test]
fn backup_role_can_only_back_up() {
    tried("backup", &[], |place, statements| {
        let abandoned = BackupName::new(BackupType::Daily, Utc::now() - TimeDelta::days(7));
        let id = place.abandon_upload(abandoned.object());
        place.site.s3.age(place.bucket(), &id, Duration::from_hours(48));
        let role = place.account(statements);
        let tool = || configured(place.tool().envs(role.clone()), place, "");
        let said = run(tool().args(["backup", "--json"]), "")?;
        ensure(place.site.s3.incomplete_uploads(place.bucket()).is_empty(), "an abandoned upload is left")?;
        ensure(said["monthly_copy"].is_string(), "no monthly copy")?;
        ensure(place.names().len() == 4 && place.names().iter().all(|name| is_locked(place, name)), "not locked")?;
        // Begins an upload and aborts it, as a run that fails does.
        let root = place.site.vault.root_token();
        run(tool().env("VAULT_TOKEN", root).args(["doctor", "--json"]), "")?;
        run(tool().args(["list", "--json"]), "")?;
        run(tool().args(["status", "--json"]), "").map(drop)
    });
    let place = Place::locked();
    let role = place.account(&policy("backup"));
    let said = place.backup();
    let old = "daily/2020-01-01/vault-snapshot-20200101-020000.enc";
    place.put(old, b"x");
    let pruned = configured(place.tool().envs(role), &place, PRUNED_SOON).arg("prune").run();
    pruned.code(8).stderr_contains("denied: s3:DeleteObject");
    assert!(place.names().contains(&old.to_owned()) && said["object"].is_string());
}

const PRUNED_SOON: &str = "[retention]\ndaily_days = 1\nkeep_daily = 1\n";

#[test]
fn prune_role_can_only_prune() {
    // The server also shows the lock of an object to every reader.
    tried("prune", &["s3:GetObjectRetention", "s3:GetObjectLegalHold"], |place, statements| {
        let name = |days| BackupName::new(BackupType::Daily, Utc::now() - TimeDelta::days(days));
        let (free, locked, abandoned) = (name(5), name(6), name(7));
        place.backup();
        for old in [&free, &locked] {
            place.put(old.object(), b"x");
        }
        place.site.s3.retain(place.bucket(), &place.key(locked.object()), Utc::now() + TimeDelta::days(1));
        let id = place.abandon_upload(abandoned.object());
        place.site.s3.age(place.bucket(), &id, Duration::from_hours(48));
        let role = place.account(statements);
        let tool = configured(place.tool().envs(role), place, PRUNED_SOON);
        let said = run(tool.args(["prune", "--json"]), "")?;
        ensure(said["deleted"] == json!([free.object()]), "it did not delete what is due")?;
        ensure(said["locked"][0]["object"] == locked.object(), "it did not see the lock")?;
        ensure(said["uploads_aborted"] == json!([abandoned.object()]), "it did not abort")
    });
    let place = Place::locked();
    let role = place.account(&policy("prune"));
    place.tool().envs(role).arg("backup").run().fails(4, &["denied: s3:PutObject"]);
    place.assert_empty();
}

/// The newest backup was overwritten: the drill reads the version below.
#[test]
fn drill_role_can_only_drill() {
    let production = Production::shared();
    let site = production.site();
    let object = production.object.clone();
    let staging = "[encryption]\nkey = \"env:KEY\"\n[staging]\nunseal_keys = [\"env:SHARE0\", \"env:SHARE1\"]\n";
    let armed = |place: &Place| production.armed(configured(tool().envs(place.site.s3.env()), place, staging));
    let fill = |place: &Place| site.names().iter().for_each(|name| place.put(name, &site.get(name)));
    tried("drill", &[], |place, statements| {
        fill(place);
        let mut flipped = site.get(&object);
        *flipped.last_mut().unwrap() ^= 1;
        place.put(&object, &flipped);
        let role = place.account(statements);
        let tool = armed(place).envs(role).args(["verify-restore", "--offline", "--json"]);
        let said = run(tool, "reading version")?;
        ensure(said["backup_tested"] == object, "another backup")?;
        ensure(is_locked(place, &format!("{object}.drill.json")), "the record is not locked")
    });
    let place = Place::locked();
    fill(&place);
    let role = place.account(&policy("drill"));
    let before = place.names();
    let backup = place.tool().envs(role.clone()).args(["backup", "--kind", "daily"]).run();
    backup.fails(4, &["denied: s3:PutObject"]);
    let tool = configured(place.tool().envs(role), &place, PRUNED_SOON);
    tool.arg("prune").run().code(0);
    assert_eq!(place.names(), before);
}

#[test]
fn restore_role_can_only_restore() {
    tried("restore", &[], |place, statements| {
        let said = place.backup();
        let name = said["object"].as_str().unwrap();
        place.put(name, b"x");
        let role = place.account(statements);
        let tool = || place.tool().envs(role.clone());
        run(tool().args(["inspect", name, "--json"]), "reading version")?;
        checked(&tool().args(["decrypt", name]).run(), "reading version")?;
        run(tool().args(["list", "--json"]), "may be")?;
        let vault = &place.site.vault;
        let restore = tool().env("VAULT_TOKEN", vault.root_token());
        let plan = restore.args(["restore", name, "--address", &vault.address(), "--dry-run", "--json"]);
        run(plan, "reading version").map(drop)
    });
    let place = Place::locked();
    let role = place.account(&policy("restore"));
    place.tool().envs(role.clone()).arg("backup").run().fails(4, &["denied: s3:PutObject"]);
    place.assert_empty();
}
