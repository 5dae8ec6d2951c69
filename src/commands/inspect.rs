//! `inspect`: shows the details of one backup, and with a key verifies every byte.

mod contents;

use crate::app::cli::InspectArgs;
use crate::app::context::Context;
use crate::app::output;
use crate::app::output::lines::Lines;
use crate::base::error::{Error, Result};
use crate::base::text::value;
use crate::commands::CommandResult;
use crate::formats::backup::BackupStatus;
use crate::formats::barrier::UnsealKeys;
use crate::formats::crypto::{Header, Keyring};
use crate::formats::manifest::{Manifest, rfc3339};
use crate::pipeline::offline;
use crate::pipeline::verified::{self, ReadSpec};
use contents::Contents;
use serde_json::{Value, json};
use std::io::Read;
use std::sync::Arc;

/// The details of a backup.
struct InspectReport {
    header: Option<Header>,
    /// The result of the full check; `None` without a key.
    checked: Option<InspectCheck>,
}

/// The result of the full check. Even if state.bin is intact, a later server may have written
/// its entries in an unknown form.
type InspectCheck = offline::CheckedSnapshot<Result<Contents>>;

/// Shows header, manifest and meta.json. With a key it decrypts every segment and checks the
/// archive; without one it shows only the header and the manifest.
///
/// # Errors
/// `Integrity` for a damaged backup, `Drill` if the given shares do not open it.
pub(crate) async fn run(context: &Context, args: &InspectArgs) -> Result<CommandResult> {
    let keyring = context.keyring_if_any(args.key.as_deref())?;
    let asked = !args.unseal.shares.is_empty() || args.unseal.seal_key.is_some();
    let keys = if asked { Some(context.unseal_keys(&args.unseal).await?) } else { None };
    let mac_keys = keyring.as_ref().map(Keyring::mac_keys).unwrap_or_default();
    let trust = context.trust(mac_keys);
    let input = context.input(args.input.as_deref(), &args.file, &trust).await?;
    let keyring = keyring.map(Arc::new);
    let source = context.open(&input, &trust, keyring, args.file.legacy.allowed).await?.or_plain();
    let inspect = move |reader: Box<dyn Read + Send>, how: &ReadSpec| look(reader, how, keys.as_ref());
    let found = source.read("inspecting", &context.stop, &context.progress, inspect).await?;
    trust.warn_of_header(&source.label, found.header.as_ref());
    let status = source.chosen().map(|c| &c.status);
    Ok(CommandResult::document(document(&source.label, &found, status)).with_text(text(&source.label, &found, status)))
}

/// Checks everything that can be checked with the keys.
fn look(reader: Box<dyn Read + Send>, how: &ReadSpec, keys: Option<&UnsealKeys>) -> Result<InspectReport> {
    if how.keyring.is_some() {
        return check(reader, how, keys);
    }
    let (first, reader) = verified::with_first_bytes(reader)?;
    if how.is_plain(&first) {
        return check(Box::new(reader), how, keys);
    }
    if keys.is_some() {
        return Err(Error::usage("--share and --seal-key: the backup is encrypted, and no key is configured")
            .hint("give --key, or set encryption.key or VAULT_BACKUP_KEY"));
    }
    Ok(InspectReport { header: how.read_header(reader)?, checked: None })
}

fn check(reader: Box<dyn Read + Send>, how: &ReadSpec, keys: Option<&UnsealKeys>) -> Result<InspectReport> {
    let checked = offline::read(reader, how, |state| match Contents::read(state, keys) {
        // With unseal keys, the request was for the contents too.
        Err(error) if keys.is_some() => Err(error),
        contents => Ok(contents),
    })?;
    Ok(InspectReport { header: checked.header.clone(), checked: Some(checked) })
}

fn document(label: &str, found: &InspectReport, status: Option<&BackupStatus>) -> Value {
    let header = found.header.as_ref();
    let checked = found.checked.as_ref().map(|c| {
        let (snapshot, contents) = &c.result;
        let meta = &snapshot.meta;
        json!({
            "size_bytes": c.object.size,
            "sha256": hex::encode(c.object.sha256),
            "plaintext_size_bytes": snapshot.plaintext_size,
            "state_size_bytes": snapshot.state_size,
            "raft_index": meta.index,
            "raft_term": meta.term,
            "snapshot_id": meta.id,
            "raft_peers": meta.peers.iter().map(|p| json!({ "id": p.id, "address": p.address })).collect::<Vec<_>>(),
            "contents": contents.as_ref().ok().map(Contents::document),
        })
    });
    json!({
        "input": label,
        "layout": layout(found),
        "header": header,
        "standing": status.map(BackupStatus::word),
        "manifest": status.and_then(BackupStatus::authentic),
        "checked": checked,
    })
}

fn layout(found: &InspectReport) -> &'static str {
    match (&found.header, &found.checked) {
        (Some(_), _) => "format-1",
        (None, Some(checked)) if checked.plain => "snapshot",
        (None, _) => "older",
    }
}

/// Returns one line for each detail. Without a key, those of the header and the manifest are below
/// a line that says so.
fn text(label: &str, found: &InspectReport, status: Option<&BackupStatus>) -> Lines {
    let mut text = Lines::from(value(label));
    let indent = if found.checked.is_some() { "  " } else { "    " };
    if found.checked.is_none() {
        text.line("  checked         no: give --key to verify every byte");
        text.line("  not authenticated (no key): anyone who can write the file can forge the following");
    }
    let mut row = |name: &str, said: String| {
        let _ = writeln!(text, "{indent}{name:<16}{}", value(&said));
    };
    match &found.header {
        Some(header) => {
            row("layout", "format 1".into());
            row("created at", rfc3339(header.created_at));
            row("key id", header.key_id.clone());
            row("tool", header.tool.clone());
            let vault = &header.vault;
            let parts = [&vault.cluster_name, &vault.cluster_id].map(|v| v.clone().unwrap_or("?".into()));
            row("vault", format!("{}, cluster {} ({})", vault.server(), parts[0], parts[1]));
        }
        None if layout(found) == "snapshot" => row("layout", "plain snapshot, not encrypted".into()),
        None => row("layout", "legacy format, or not a backup: give --key to tell".into()),
    }
    if let Some(status) = status {
        row("manifest", status.word().into());
        if let Some(manifest) = status.authentic() {
            manifest_rows(manifest, &mut row);
        }
    }
    if let Some(checked) = &found.checked {
        checked_rows(checked, &mut row);
    }
    match found.checked.as_ref().map(|checked| &checked.result.1) {
        Some(Ok(contents)) => text.append(&contents.table()),
        Some(Err(error)) => {
            text.line("");
            text.line(format!("contents unknown: {error}"));
        }
        None => {}
    }
    text
}

fn manifest_rows(manifest: &Manifest, row: &mut impl FnMut(&str, String)) {
    let vault = &manifest.vault;
    if let (Some(seal), Some(t), Some(n)) = (&vault.seal_type, vault.seal_threshold, vault.seal_shares) {
        row("seal", format!("{seal}, {t} of {n} shares"));
    }
    row("run id", manifest.run_id.clone().unwrap_or_default());
}

fn checked_rows(checked: &InspectCheck, row: &mut impl FnMut(&str, String)) {
    let (InspectCheck { object, .. }, (snapshot, _)) = (checked, &checked.result);
    let meta = &snapshot.meta;
    row("size", format!("{} ({} bytes)", output::bytes(object.size), object.size));
    row("sha256", hex::encode(object.sha256));
    row("raft", format!("index {}, term {}, state {}", meta.index, meta.term, output::bytes(snapshot.state_size)));
    for peer in &meta.peers {
        row("raft peer", format!("{} at {}", peer.id, peer.address));
    }
    row("checked", "every segment and every hash: this is a complete snapshot".into());
}
