//! The checks of `doctor`, except for those of `[staging]`.

use super::{Findings, unless_stopped};
use crate::app::context::Context;
use crate::app::output::duration;
use crate::app::reporting;
use crate::base::error::{Error, Result};
use crate::base::lock::Lock;
use crate::formats::backup::Backup;
use crate::formats::manifest::{KeyEnd, MacKey, rfc3339};
use crate::pipeline::catalog::Catalog;
use crate::pipeline::{clock, source};
use crate::services::store::{Location, ReadAt, Store};
use crate::services::vault::{Client, Node, Session};
use futures_util::StreamExt;
use std::path::PathBuf;
use std::time::Duration;

/// The only path that a backup's token needs.
const SNAPSHOT: &str = "sys/storage/raft/snapshot";

/// Number of bytes to read from the newest backup to check the right to read.
const FIRST_BYTES: u64 = 64;

/// TTL of a token above which `doctor` warns.
const LONGEST_TTL: Duration = Duration::from_hours(24);

pub(super) fn configuration(context: &Context, findings: &mut Findings) -> Result<()> {
    let config = context.config()?;
    let file =
        config.file.as_ref().map_or("no file, only flags and environment".to_owned(), |f| f.display().to_string());
    findings.fine("configuration", file);
    findings.keep("lock", Lock::take(&config.run.lock_file).map(drop), |()| config.run.lock_file.display().to_string());
    Ok(())
}

/// Returns the keys to verify manifests with.
pub(super) fn keys(context: &Context, findings: &mut Findings) -> Vec<MacKey> {
    let keyring = findings.keep("key", context.random_keyring(), |keyring| {
        let without = keyring.mac_keys().iter().filter(|key| key.end == KeyEnd::AtRotation).count();
        let without = if without == 0 { String::new() } else { format!(", {without} of them without `until`") };
        format!("id {}, and {} old keys{without}", keyring.primary().id(), keyring.iter().count() - 1)
    });
    keyring.map(|keyring| keyring.mac_keys()).unwrap_or_default()
}

pub(super) async fn vault(context: &Context, findings: &mut Findings) -> Result<()> {
    let Some(client) = findings.keep("vault", context.vault(), addresses) else { return Ok(()) };
    if client.addresses().iter().any(|a| a.scheme() == "http") {
        findings.warn("vault", "plain http: the token and the snapshot are sent unencrypted; use https");
    }
    let leader = unless_stopped(context, client.leader()).await?;
    let node = findings.keep("leader", leader, |node| {
        format!("{}, {}, cluster {}", node.address, node.server(), node.cluster_id().unwrap_or("unknown"))
    });
    let Some(node) = node else { return Ok(()) };
    if node.seal.storage_type.as_deref() != Some("raft") {
        let storage = node.seal.storage_type.as_deref().unwrap_or("unknown");
        let error = Error::vault(format!("{}: the storage is {storage}, not raft", node.address));
        findings.keep("storage", Err::<(), _>(error), |()| String::new());
    }
    expected_cluster(context, findings, &node);
    let auth = match context.vault_auth() {
        Ok(auth) => context.stop.guard_token(async { Ok(client.login(&node, &auth).await) }).await?,
        Err(error) => Err(error),
    };
    let how = |s: &Session| {
        if s.obtained() { "got a token for this run".to_owned() } else { "with the given token".to_owned() }
    };
    let Some(session) = findings.keep("login", auth, how) else { return Ok(()) };
    long_lived(&session, findings);
    let checked = unless_stopped(context, rights(&client, &node, &session, findings)).await;
    if let Err(error) = source::revoke(&client, &node.address, session).await {
        findings.warn("revocation", error.to_string());
    }
    checked
}

/// Warns of a token that outlives a run by days: if the response to a login is lost, no run knows the
/// token, and it stays valid until its TTL ends.
fn long_lived(session: &Session, findings: &mut Findings) {
    let Some(ttl) = session.ttl().filter(|ttl| ttl.is_zero() || *ttl > LONGEST_TTL) else { return };
    let ttl = if ttl.is_zero() { "never expires".to_owned() } else { format!("has a TTL of {}", duration(ttl)) };
    let what = format!("the token {ttl}: a token whose login was interrupted stays valid that long");
    findings.warn("login", format!("{what}; set token_ttl and token_max_ttl of the role to the duration of a run"));
}

fn addresses(client: &Client) -> String {
    client.addresses().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn expected_cluster(context: &Context, findings: &mut Findings, node: &Node) {
    if let Some(expected) = context.config().ok().and_then(|c| c.vault.cluster_id.clone()) {
        findings.keep("cluster", source::expect_cluster(node, Some(&expected)), |()| expected.clone());
    }
}

/// Checks for the right to read the snapshot, and for rights that a backup does not need.
async fn rights(client: &Client, node: &Node, session: &Session, findings: &mut Findings) {
    let asked = client.capabilities_self(&node.address, session.token(), &[SNAPSHOT]).await;
    let readable = |all: &Vec<String>| all.iter().any(|c| matches!(c.as_str(), "read" | "root" | "sudo"));
    let may_read = asked.as_ref().is_ok_and(|all| all.get(SNAPSHOT).is_some_and(readable));
    if let (false, Some(advice)) = (may_read, client.login_outside_root()) {
        let what = format!("{}: only a token of the root namespace may take a snapshot", node.address);
        findings.keep("capabilities", Err::<(), _>(Error::vault(what).hint(advice)), |()| String::new());
        return;
    }
    let Some(capabilities) = findings.keep("capabilities", asked, |c| format!("{SNAPSHOT}: {}", join(c.get(SNAPSHOT))))
    else {
        return;
    };
    let may = |right: &str| capabilities.get(SNAPSHOT).is_some_and(|all| all.iter().any(|c| c == right));
    if may("root") || may("sudo") || may("update") {
        findings.warn("capabilities", "more than a backup needs: use a policy with only read on the snapshot path");
    } else if !may("read") {
        let error = Error::vault(format!("{}: the token may not read {SNAPSHOT}", node.address))
            .hint(format!("give it: path \"{SNAPSHOT}\" {{ capabilities = [\"read\"] }}"));
        findings.keep("capabilities", Err::<(), _>(error), |()| String::new());
    }
}

fn join(rights: Option<&Vec<String>>) -> String {
    rights.map(|all| all.join(", ")).filter(|all| !all.is_empty()).unwrap_or_else(|| "none".to_owned())
}

/// Returns the newest good backup, if any.
pub(super) async fn store(
    context: &Context,
    findings: &mut Findings,
    store: &dyn Store,
    keys: &[MacKey],
) -> Option<Backup> {
    match clock::check(store).await.transpose() {
        None => findings.skip("clock", "the store has no clock"),
        Some(difference) => {
            findings.keep("clock", difference, |off| format!("differs from the store's by {} s", off.num_seconds()));
        }
    }
    findings.keep("write", store.probe_write("daily/").await, |()| "started and aborted an upload".to_owned());
    if let Some(directory) = missing_directory(context) {
        let directory = directory.display();
        let text = format!("{directory} does not exist; the first backup creates it; is the volume mounted?");
        findings.warn("list", text);
        return None;
    }
    let listed = Catalog::read(store).await;
    let mut catalog = findings.keep("list", listed, |c| format!("{} backups", c.backups.len()))?;
    newest(context, store, findings, &mut catalog, keys).await
}

fn missing_directory(context: &Context) -> Option<PathBuf> {
    match &context.config().ok()?.store().ok()?.location {
        Location::Local(directory) if !directory.exists() => Some(directory.clone()),
        _ => None,
    }
}

async fn newest(
    context: &Context,
    store: &dyn Store,
    findings: &mut Findings,
    catalog: &mut Catalog,
    keys: &[MacKey],
) -> Option<Backup> {
    let Some(backup) = catalog.backups.first() else {
        findings.skip("read", "no backup yet");
        return None;
    };
    findings
        .keep("read", first_bytes(store, backup.name.object()).await, |n| format!("{}: {n} bytes read", backup.name));
    match catalog.newest_good(store, &context.trust(keys.to_vec()), context.started, None).await {
        Ok(Some(backup)) => {
            findings.fine("newest good", format!("{} of {}", backup.name, rfc3339(backup.name.created_at())));
            Some(backup.clone())
        }
        Ok(None) => {
            findings.warn("newest good", "no good backup under the configured keys");
            None
        }
        Err(error) => findings.keep("newest good", Err(error), |_| String::new()),
    }
}

async fn first_bytes(store: &dyn Store, object: &str) -> Result<usize> {
    let mut body = store.get(object, ReadAt { version: None, first: Some(FIRST_BYTES) }).await?.body;
    let mut read = 0;
    while let Some(chunk) = body.next().await {
        read += chunk?.len();
    }
    Ok(read)
}

pub(super) async fn channels(context: &Context, findings: &mut Findings, test: bool) {
    let Ok(config) = context.config() else { return };
    match &config.audit {
        Some(path) => {
            let check = crate::services::notify::audit::Audit::new(path).check();
            findings.keep("audit log", check, |()| path.display().to_string());
        }
        None => findings.skip("audit log", "not configured"),
    }
    let count = config.notify.notify.len() + usize::from(config.notify.ping.is_some());
    if count == 0 {
        findings.warn("notifications", "none configured: failures are reported only by cron mail");
    } else if test {
        let failed = reporting::test_channels(context, config).await;
        for problem in &failed {
            findings.keep("notifications", Err::<(), _>(Error::partial(problem)), |()| String::new());
        }
        if failed.is_empty() {
            findings.fine("notifications", format!("{count} received a test"));
        }
    } else {
        findings.skip("notifications", format!("{count} configured; --notify-test sends a test"));
    }
}
