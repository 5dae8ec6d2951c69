//! `inspect`: what a backup says of itself; with a key, whether all of it is true and
//! what is in it.

mod contents;

use crate::archive::{self, Snapshot};
use crate::cli::InspectArgs;
use crate::commands::Done;
use crate::context::Context;
use crate::envelope::{self, Header, Keyring};
use crate::error::{Error, Result};
use crate::manifest::{Manifest, rfc3339};
use crate::naming::BackupName;
use crate::output;
use crate::pipeline::catalog::Standing;
use crate::pipeline::hashing::{Fingerprint, Hashing};
use crate::pipeline::inbound;
use crate::pipeline::input::{Input, Opened};
use crate::pipeline::object::Chosen;
use crate::secret::Secret;
use contents::Contents;
use serde_json::{Value, json};
use std::fmt::Write;
use std::io::Read;

/// What was found.
struct Found {
    header: Option<Header>,
    /// The full check; absent without a key.
    checked: Option<Checked>,
}

struct Checked {
    snapshot: Snapshot,
    object: Fingerprint,
    /// state.bin is whole, its hashes say so; but a later Vault may write its entries in
    /// a form that is not known.
    contents: Result<Contents>,
}

/// Shows header, manifest and meta.json. With a key every segment is opened and
/// the archive checked; without one only what can be read in clear is shown.
///
/// # Errors
/// `Integrity` for whatever is wrong with the backup, `Drill` if given shares do not
/// open it.
pub async fn run(context: &Context, args: &InspectArgs) -> Result<Done> {
    let keyring = context.keyring_if_any(args.key.as_deref())?;
    if keyring.is_none() && !args.shares.is_empty() {
        return Err(Error::usage("--share: without the key nothing can be opened").hint("give --key too"));
    }
    let shares = if args.shares.is_empty() { None } else { Some(context.shares(&args.shares).await?) };
    let mac_keys = keyring.as_ref().map(Keyring::mac_keys).unwrap_or_default();
    let input = Input::of(&args.input);
    let Opened { source, size, layouts, label, chosen } = context.open(&input, &context.trust(mac_keys)).await?;
    context.progress.stage("inspecting", size);
    let name = chosen.as_ref().map(|c| c.name.clone());
    let found = inbound::read(source, &context.stop, &context.progress, move |reader| match keyring {
        Some(keyring) => check(reader, &keyring, layouts, name.as_ref(), shares.as_deref()),
        None => Ok(Found { header: Header::peek(reader)?, checked: None }),
    })
    .await
    .map_err(|e| if e.kind().is_stop() { e } else { e.context(&label) })?;
    hold_against(&found, chosen.as_ref())?;
    context.trust(Vec::new()).warn_of_cluster(&label, found.header.as_ref());
    let standing = chosen.map(|c| c.standing);
    Ok(Done::document(document(&label, &found, standing.as_ref())).with_text(text(&label, &found, standing.as_ref())))
}

fn check(
    reader: Box<dyn Read + Send>,
    keyring: &Keyring,
    layouts: envelope::Layouts,
    name: Option<&BackupName>,
    shares: Option<&[Secret]>,
) -> Result<Found> {
    let mut hashing = Hashing::new(reader);
    let (header, (snapshot, contents)) = {
        let mut opened = envelope::open(&mut hashing, keyring, layouts)?;
        let header = opened.header().cloned();
        if let (Some(header), Some(name)) = (&header, name) {
            header.check_name(name)?;
        }
        let count = |state: &mut dyn Read| match Contents::read(state, shares) {
            // With shares more was asked for than whether it is whole.
            Err(error) if shares.is_some() => Err(error),
            contents => Ok(contents),
        };
        (header, archive::check_with(&mut opened, |_, state| count(state))?)
    };
    Ok(Found { header, checked: Some(Checked { snapshot, object: hashing.finish(), contents }) })
}

/// What was read must be what an authentic manifest and the object's metadata name.
fn hold_against(found: &Found, chosen: Option<&Chosen>) -> Result<()> {
    let (Some(checked), Some(chosen)) = (&found.checked, chosen) else { return Ok(()) };
    chosen.named().check(&hex::encode(checked.object.sha256)).map_err(|e| e.context(&chosen.address))
}

fn document(label: &str, found: &Found, standing: Option<&Standing>) -> Value {
    let header = found.header.as_ref();
    let checked = found.checked.as_ref().map(|c| {
        let meta = &c.snapshot.meta;
        json!({
            "size_bytes": c.object.size,
            "sha256": hex::encode(c.object.sha256),
            "plaintext_size_bytes": c.snapshot.plaintext_size,
            "state_size_bytes": c.snapshot.state_size,
            "raft_index": meta.index,
            "raft_term": meta.term,
            "snapshot_id": meta.id,
            "raft_peers": meta.peers.iter().map(|p| json!({ "id": p.id, "address": p.address })).collect::<Vec<_>>(),
            "contents": c.contents.as_ref().ok().map(Contents::document),
        })
    });
    json!({
        "input": label,
        "layout": if header.is_some() { "format-1" } else { "older" },
        "header": header,
        "standing": standing.map(Standing::word),
        "manifest": standing.and_then(Standing::authentic),
        "checked": checked,
    })
}

fn text(label: &str, found: &Found, standing: Option<&Standing>) -> String {
    let mut text = format!("{label}\n");
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<16}{value}");
    };
    match &found.header {
        Some(header) => {
            row("layout", "format 1".into());
            row("created at", rfc3339(header.created_at));
            row("key id", header.key_id.clone());
            row("made by", header.tool.clone());
            let vault = &header.vault;
            let parts = [&vault.cluster_name, &vault.cluster_id].map(|v| v.clone().unwrap_or("?".into()));
            row("vault", format!("{}, cluster {} ({})", vault.server(), parts[0], parts[1]));
        }
        None => row("layout", "older service's, or not a backup: only a key can tell".into()),
    }
    if let Some(standing) = standing {
        row("manifest", standing.word().into());
        if let Some(manifest) = standing.authentic() {
            manifest_rows(manifest, &mut row);
        }
    }
    match &found.checked {
        Some(checked) => checked_rows(checked, &mut row),
        None => row("checked", "no: give --key to check every byte".into()),
    }
    match found.checked.as_ref().map(|checked| &checked.contents) {
        Some(Ok(contents)) => text += &contents.table(),
        Some(Err(error)) => text += &format!("\nwhat it holds cannot be told: {error}\n"),
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

fn checked_rows(checked: &Checked, row: &mut impl FnMut(&str, String)) {
    let Checked { snapshot, object, .. } = checked;
    let meta = &snapshot.meta;
    row("size", format!("{} ({} bytes)", output::bytes(object.size), object.size));
    row("sha256", hex::encode(object.sha256));
    row("raft", format!("index {}, term {}, state {}", meta.index, meta.term, output::bytes(snapshot.state_size)));
    for peer in &meta.peers {
        row("raft peer", format!("{} at {}", peer.id, peer.address));
    }
    row("checked", "every segment, every hash: this is a whole snapshot".into());
}
