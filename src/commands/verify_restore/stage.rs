//! The staging Vault of a drill: prepares it before the restore and seals it afterwards.

use super::optional;
use crate::app::cli::VerifyRestoreArgs;
use crate::app::config::StagingMode;
use crate::app::context::Context;
use crate::base::error::{Error, Result};
use crate::base::secret::Secret;
use crate::formats::barrier::UnsealKeys;
use crate::formats::manifest::Manifest;
use crate::formats::product::ServerVersion;
use crate::formats::share;
use crate::pipeline::drill::canary::StoredCanary;
use crate::pipeline::drill::feed::Facts;
use crate::pipeline::drill::target::StagingTarget;
use crate::pipeline::drill::{Steps, guard};
use crate::pipeline::input::BackupSource;
use crate::pipeline::offline;
use crate::pipeline::verified::ReadSpec;
use crate::services::staging::{Ephemeral, StagingSettings};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Target of a drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// A configured staging server.
    Server,
    /// A Vault started for this drill.
    Ephemeral,
    /// None: the backup is decrypted in memory.
    Offline,
}

impl Mode {
    pub(super) fn of(args: &VerifyRestoreArgs, configured: StagingMode) -> Self {
        match configured {
            _ if args.offline => Mode::Offline,
            _ if args.ephemeral => Mode::Ephemeral,
            StagingMode::Ephemeral => Mode::Ephemeral,
            StagingMode::Server => Mode::Server,
        }
    }

    /// Returns its name in the drill record.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Mode::Server => "server",
            Mode::Ephemeral => "ephemeral",
            Mode::Offline => "offline",
        }
    }
}

/// Returns the lock file of drills. It is separate, so that a drill never blocks a backup.
pub(super) fn lock_file(context: &Context) -> Result<PathBuf> {
    let mut path = context.config()?.run.lock_file.clone().into_os_string();
    path.push(".drill");
    Ok(path.into())
}

/// Returns the name of staging in drill record, audit log and notifications.
pub(super) fn name(context: &Context, mode: Mode) -> String {
    let address = context.config().ok().and_then(|c| c.staging.address.as_ref().map(ToString::to_string));
    match mode {
        Mode::Server => address.unwrap_or_default(),
        Mode::Ephemeral => "ephemeral".to_owned(),
        Mode::Offline => "none".to_owned(),
    }
}

/// Unlocks the backup with the source's unseal keys, to read the canary from it while it is
/// restored. Reads only its beginning.
pub(super) async fn stored_canary(context: &Context, source: &BackupSource, steps: &mut Steps) -> Result<StoredCanary> {
    let staging = &context.config()?.staging;
    // The canary is in the root namespace.
    let keys = UnsealKeys { namespaces: BTreeMap::new(), ..context.staging_unseal_keys()? };
    if staging.unseal_keys.is_empty() && staging.seal_key.is_none() {
        return StoredCanary::of(None);
    }
    let unlock = move |reader, how: &ReadSpec| offline::unlock(reader, how, &keys);
    let unlocking = source.read("unlocking", &context.stop, &context.progress, unlock);
    StoredCanary::of(Some(steps.time("unlock", unlocking).await)).map_err(|e| source.about(e))
}

/// A staging Vault that takes the restore.
pub(super) struct StagingServer {
    pub(super) target: StagingTarget,
    seal_after: bool,
    /// A server of this drill, if any. Drop stops it and removes its directory.
    ephemeral: Option<Ephemeral>,
}

impl StagingServer {
    /// Finds or starts staging, without changing it.
    pub(super) async fn find(context: &Context, mode: Mode, origin: ServerVersion) -> Result<Self> {
        let config = context.config()?;
        let staging = &config.staging;
        if mode == Mode::Ephemeral {
            return Self::start(context, origin).await;
        }
        let address = staging.address()?.clone();
        staging.login()?;
        let leader = match config.vault.settings.addresses.is_empty() {
            true => None,
            // Production may be unreachable from here, or lost.
            false => context.vault_anonymous()?.leader().await.map(|node| node.address).ok(),
        };
        guard::addresses(&address, &config.vault.settings.addresses, leader.as_ref()).await?;
        let target = StagingTarget::new(context.staging_vault(&address)?, address, staging.shares()?, staging.wait);
        Ok(Self { target, seal_after: staging.seal_after, ephemeral: None })
    }

    async fn start(context: &Context, origin: ServerVersion) -> Result<Self> {
        let staging = &context.config()?.staging;
        staging.login()?;
        let shares = staging.shares()?;
        if shares.is_empty() && staging.vault_config.is_none() {
            return Err(
                Error::usage("an ephemeral drill needs the source's unseal keys").hint("set staging.unseal_keys")
            );
        }
        let settings =
            StagingSettings { binary: staging.vault_binary.clone(), origin, config: staging.vault_config.clone() };
        let server = Ephemeral::start(&settings).await?;
        let (client, address) = context.socket_vault(&server.socket())?;
        let target = StagingTarget::new(client, address, shares, staging.wait);
        Ok(Self { target, seal_after: false, ephemeral: Some(server) })
    }

    /// Runs the other guards and prepares staging for a restore. Returns a token that may
    /// restore. The data of staging is not changed.
    pub(super) async fn prepare(
        &self,
        context: &Context,
        facts: &Facts,
        manifest: Option<&Manifest>,
    ) -> Result<Secret> {
        match self.ephemeral {
            Some(_) => self.initialise(manifest).await,
            None => self.unseal(context, facts, manifest).await,
        }
    }

    async fn unseal(&self, context: &Context, facts: &Facts, manifest: Option<&Manifest>) -> Result<Secret> {
        let target = &self.target;
        let staging = target.client.node(&target.address).await?.server();
        if let Some(note) = guard::server(&facts.server(), &staging, false)? {
            tracing::info!("staging {}: {note}", target.address);
        }
        self.count_shares(manifest)?;
        let seal = target.unseal().await?;
        let token = optional(context.config()?.staging.token.as_ref())?;
        let administrator = target.administrator(token.as_ref()).await?;
        let peers = target.client.raft_configuration(&target.address, &administrator).await?;
        guard::peers(&target.address, &peers, &facts.meta.peers)?;
        if self.seal_after
            && let Err(refused) = target.sealable(&staging, &seal).await
        {
            // A sealed server reports this only after it is unsealed.
            if target.is_touched() {
                target.seal_with(&administrator).await;
            }
            return Err(refused);
        }
        if let Some(threshold) = manifest.and_then(|m| m.vault.seal_threshold)
            && threshold != seal.threshold
        {
            tracing::warn!(
                "staging {} was initialised with threshold {}, the backup's source has {threshold}: it may need a restart before it unseals",
                target.address,
                seal.threshold,
            );
        }
        Ok(administrator)
    }

    /// Initialises a server of this drill, which needs no guard. It gets as many shares as
    /// the source: a Vault keeps its old threshold until it is restarted.
    async fn initialise(&self, manifest: Option<&Manifest>) -> Result<Secret> {
        self.count_shares(manifest)?;
        let StagingTarget { client, address, shares, .. } = &self.target;
        let automatic = client.seal_status(address).await?.is_automatic();
        if shares.is_empty() && !automatic {
            return Err(Error::usage(
                "an ephemeral drill needs the source's unseal keys: its server has no automatic seal",
            )
            .hint("set staging.unseal_keys, or a seal stanza in staging.vault_config"));
        }
        let vault = manifest.map(|m| &m.vault);
        let number = |stated: Option<u64>| stated.filter(|_| !automatic).unwrap_or(shares.len().max(1) as u64);
        let (n, t) = (number(vault.and_then(|v| v.seal_shares)), number(vault.and_then(|v| v.seal_threshold)));
        let new = client.initialise(address, n, t, automatic).await?;
        if !new.shares.is_empty() && !automatic {
            client.unseal(address, &new.shares).await?;
        }
        self.target.active().await?;
        Ok(new.root_token)
    }

    /// Refuses shares that cannot unseal the backup's cluster according to its manifest.
    fn count_shares(&self, manifest: Option<&Manifest>) -> Result<()> {
        let vault = manifest.map(|m| &m.vault).filter(|v| v.seal_type.as_deref() == Some("shamir"));
        let Some((vault, threshold)) = vault.and_then(|v| Some((v, v.seal_threshold?))) else { return Ok(()) };
        if self.target.shares.is_empty() {
            return Ok(());
        }
        let name = vault.cluster_name.as_deref().or(vault.cluster_id.as_deref()).unwrap_or("(unknown name)");
        let total = vault.seal_shares.unwrap_or(threshold);
        share::check(&self.target.shares, threshold, total)
            .map_err(|e| e.context(format!("nothing was restored: staging.unseal_keys, of cluster {name}")))
    }

    /// Cleans up: seals a copy of production and revokes the tokens of the drill.
    pub(super) async fn end(&mut self) -> Result<()> {
        if let Some(server) = self.ephemeral.take() {
            drop(server);
            return Ok(());
        }
        self.target.revoke_tokens().await;
        match self.seal_after && self.target.is_touched() {
            true => self.target.seal().await,
            false => Ok(()),
        }
    }
}
