//! The checks of `[staging]`: everything that a restore drill of the newest backup needs.

use super::{Findings, unless_stopped};
use crate::app::config::StagingMode;
use crate::app::context::Context;
use crate::base::error::Result;
use crate::formats::backup::Backup;
use crate::formats::manifest::{MacKey, Manifest};
use crate::formats::naming::BackupName;
use crate::formats::product::ServerVersion;
use crate::formats::share;
use crate::pipeline::drill::guard;
use crate::pipeline::drill::target::StagingTarget;
use crate::pipeline::object;
use crate::pipeline::offline;
use crate::pipeline::reader::{self, ByteSource};
use crate::pipeline::verified::ReadSpec;
use crate::services::staging;
use crate::services::store::Store;
use crate::services::vault::Auth;
use std::sync::Arc;
use url::Url;

/// Runs every check of staging. `newest` is the newest good backup with its store; without
/// one, the checks that need it are left out.
///
/// # Errors
/// The stop's reason.
pub(super) async fn check(
    context: &Context,
    findings: &mut Findings,
    newest: Option<(&dyn Store, Backup)>,
    keys: &[MacKey],
) -> Result<()> {
    let staging = &context.config()?.staging;
    if !staging.configured {
        findings.skip("staging", "not configured: the backups are never tested by a restore drill");
        return Ok(());
    }
    findings.keep("unseal keys", staging.shares(), |s| match s.len() {
        0 => "none configured".to_owned(),
        n => format!("{n} shares: {}", share::origins(s)),
    });
    let login = staging.login().and_then(Auth::read);
    findings.keep("staging login", login, |_| "can read the source's credentials".to_owned());
    let mut origin = ServerVersion::default();
    if let Some((store, backup)) = newest {
        unlock(context, findings, store, keys, &backup.name).await?;
        if let Some(Manifest { vault, .. }) = backup.status.manifest() {
            origin = ServerVersion::new(vault.product, vault.version.as_deref());
        }
    }
    if staging.mode == StagingMode::Ephemeral {
        let program = staging::locate(staging.vault_binary.as_deref(), &origin);
        findings.keep("staging", program, |program| format!("ephemeral, by {}", program.display()));
        return Ok(());
    }
    match &staging.address {
        Some(address) => {
            let checked = Box::pin(server(context, findings, address, &origin));
            unless_stopped(context, checked).await?
        }
        None => {
            findings.skip("staging", "no address: only ephemeral and offline drills");
            Ok(())
        }
    }
}

/// Decrypts the barrier keyring of the backup `name`, as an offline drill does.
async fn unlock(
    context: &Context,
    findings: &mut Findings,
    store: &dyn Store,
    keys: &[MacKey],
    name: &BackupName,
) -> Result<()> {
    let staging = &context.config()?.staging;
    if staging.unseal_keys.is_empty() && staging.seal_key.is_none() {
        findings.skip("unlock", format!("{name}: no unseal keys configured"));
        return Ok(());
    }
    let work = async {
        let unseal = Arc::new(context.unseal_keys(&crate::app::cli::UnsealArgs::default()).await?);
        let chosen = object::choose(store, name, &context.trust(keys.to_vec())).await?;
        let how = ReadSpec::of(&chosen, Some(Arc::new(context.keyring()?)), context.legacy(false));
        let source = ByteSource::Stream(chosen.download(store).await?.body);
        let unlock = move |reader| offline::unlock(reader, &how, &unseal);
        reader::read(source, &context.stop, &context.progress, unlock).await
    };
    let opened = unless_stopped(context, Box::pin(work)).await?.map_err(|e| e.context(name.object()));
    findings.keep("unlock", opened, |barrier| {
        let seal = barrier.seal();
        format!("{name}: unsealed, seal {}, {} of {} shares", seal.kind, seal.threshold, seal.shares)
    });
    Ok(())
}

/// Checks that a staging server is not production, can take the newest backup, and can be
/// sealed after a drill.
async fn server(context: &Context, findings: &mut Findings, address: &Url, origin: &ServerVersion) -> Result<()> {
    let config = context.config()?;
    let staging = &config.staging;
    findings.keep("guard", guard::addresses(address, &config.vault.settings.addresses, None).await, |()| {
        "staging is not one of production's addresses".to_owned()
    });
    let client = match context.staging_vault(address) {
        Ok(client) => client,
        Err(error) => {
            findings.keep("staging", Err::<(), _>(error), |()| String::new());
            return Ok(());
        }
    };
    let Some(node) = findings.keep("staging", client.node(address).await, |node| {
        let sealed = if node.seal.sealed { ", sealed, as after a drill" } else { "" };
        format!("{address}, {}{sealed}", node.server())
    }) else {
        return Ok(());
    };
    let theirs = node.server();
    let both = format!("backups are from {origin}, staging is {theirs}");
    findings.keep("versions", guard::server(origin, &theirs, false), |note| note.clone().unwrap_or(both));
    if staging.seal_after && !node.seal.sealed {
        let target = StagingTarget::new(client, address.clone(), staging.shares().unwrap_or_default(), staging.wait);
        findings
            .keep("sealing", target.sealable(&theirs, &node.seal).await, |()| "can be sealed after a drill".to_owned());
    }
    Ok(())
}
