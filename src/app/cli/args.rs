//! The arguments of each command. Not here: the global options (`cli`).

use super::{FileArgs, LegacyArgs};
use crate::app::config::duration;
use crate::base::error::{Error, Result};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Kind of backup to take
    #[arg(long, value_enum, default_value_t)]
    pub kind: BackupKind,
    /// Verification after the upload
    #[arg(long, value_enum, default_value_t)]
    pub verify: VerifyMode,
    /// Prune afterwards, only if the backup was verified
    #[arg(long)]
    pub prune: bool,
    /// Print one JSON document on stdout
    #[arg(long)]
    pub json: bool,
}

/// Kind of backup to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BackupKind {
    /// Daily, and copied to monthly/ if this month has no good monthly backup
    #[default]
    Scheduled,
    /// Daily only
    Daily,
    /// Monthly only
    Monthly,
}

/// Verification of a backup after its upload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum VerifyMode {
    /// Read the backup back, compare size and SHA-256, and decrypt every segment
    #[default]
    Full,
    /// Compare size and checksum in the store with those of the sent bytes. Same as full if the
    /// store reports no checksum
    Head,
}

/// Arguments of `prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Print the plan and delete nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Print one JSON document on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `verify-restore`.
#[derive(Debug, Args)]
pub struct VerifyRestoreArgs {
    /// Backup in the store: latest, latest:monthly, an object, file name, URL or time (20261126)
    /// [default: the newest good one]
    pub object: Option<String>,
    /// Drill a random good backup
    #[arg(long, conflicts_with = "object")]
    pub random: bool,
    /// Restore into a temporary Vault that is started for this drill
    #[arg(long, conflicts_with = "offline")]
    pub ephemeral: bool,
    /// Decrypt the backup in memory with the unseal shares, without a Vault
    #[arg(long)]
    pub offline: bool,
    /// The keys that unseal it.
    #[command(flatten)]
    pub unseal: UnsealArgs,
    /// The legacy format.
    #[command(flatten)]
    pub legacy: LegacyArgs,
    /// Print one JSON document on stdout
    #[arg(long)]
    pub json: bool,
}

impl VerifyRestoreArgs {
    /// Refuses flags that this kind of drill ignores.
    ///
    /// # Errors
    /// `Usage`.
    pub fn check(&self) -> Result<()> {
        if self.offline || self.unseal == UnsealArgs::default() {
            return Ok(());
        }
        Err(Error::usage("--share and --seal-key need --offline")
            .hint("add --offline, or set staging.unseal_keys for a drill in a server"))
    }
}

/// Arguments of `decrypt`.
#[derive(Debug, Args)]
pub struct DecryptArgs {
    /// Backup in the store: latest, latest:monthly, an object, file name, URL or time (20261126);
    /// or ./FILE or /FILE for a local file, - for stdin
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub input: Option<String>,
    /// The local file.
    #[command(flatten)]
    pub file: FileArgs,
    /// Output file, - for stdout [default: the input's name with .snap, in the current directory]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Backup key: a file, env:NAME or credential:NAME [default: VAULT_BACKUP_KEY or the configured keys]
    #[arg(long, value_name = "REF")]
    pub key: Option<String>,
    /// Replace an existing file
    #[arg(long)]
    pub force: bool,
    /// Print one JSON document on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// Backup in the store: latest, latest:monthly, an object, file name, URL or time (20261126);
    /// or ./FILE or /FILE for a local file
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub input: Option<String>,
    /// The local file.
    #[command(flatten)]
    pub file: FileArgs,
    /// Address of the Vault server to restore into
    #[arg(long, value_name = "URL")]
    pub address: String,
    /// Confirm with the name of the target cluster, instead of a prompt
    #[arg(long, value_name = "CLUSTER_NAME")]
    pub confirm: Option<String>,
    /// Also restore into an older version, or into a cluster with other keys, such as the same cluster after a rekey (snapshot-force)
    #[arg(long)]
    pub force: bool,
    /// Also restore a backup that is not good: never verified, or with an invalid manifest
    #[arg(long)]
    pub unverified: bool,
    /// Make every check, but do not restore
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Print one JSON document on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Add the reasons: what a prune would do now, and why a backup is not good
    #[arg(long, short = 'l')]
    pub long: bool,
    /// Show only the newest N backups
    #[arg(long, value_name = "N")]
    pub last: Option<usize>,
    /// Show only backups of this kind
    #[arg(long, value_enum)]
    pub kind: Option<ListKind>,
    /// Print one JSON document on stdout
    #[arg(long)]
    pub json: bool,
}

/// Kind of backups to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListKind {
    /// Daily backups
    Daily,
    /// Monthly backups
    Monthly,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Maximum age of the newest good backup
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "26h")]
    pub max_age: Duration,
    /// Maximum age of the newest passed restore drill [default: 8d if staging is configured]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub max_drill_age: Option<Duration>,
    /// Print one line and exit with 0-3, as Nagios plugins do
    #[arg(long, conflicts_with = "json")]
    pub nagios: bool,
    /// Print one JSON document on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Backup in the store: latest, latest:monthly, an object, file name, URL or time (20261126);
    /// or ./FILE or /FILE for a local file, - for stdin
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub input: Option<String>,
    /// The local file.
    #[command(flatten)]
    pub file: FileArgs,
    /// Backup key: a file, env:NAME or credential:NAME [default: VAULT_BACKUP_KEY or the configured keys]
    #[arg(long, value_name = "REF")]
    pub key: Option<String>,
    /// The keys that unseal it.
    #[command(flatten)]
    pub unseal: UnsealArgs,
    /// Print one JSON document on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `recover`.
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// Path of the secret, with its mount: secret/app/db
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    pub path: Option<String>,
    /// List the paths of all secrets below PREFIX, without their values
    #[arg(long, value_name = "PREFIX")]
    pub list: Option<String>,
    /// Backup in the store: latest, latest:monthly, an object, file name, URL or time (20261126);
    /// or ./FILE or /FILE for a local file, encrypted or a plain snapshot
    #[arg(long, value_name = "BACKUP", required_unless_present = "file", conflicts_with = "file")]
    pub from: Option<String>,
    /// The local file.
    #[command(flatten)]
    pub file: FileArgs,
    /// Version of the secret [default: the current version]
    #[arg(long, value_name = "N", conflicts_with = "list")]
    pub version: Option<u64>,
    /// Write to a new file (mode 0600) instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Allow printing the secret on a terminal
    #[arg(long)]
    pub show: bool,
    /// Print one JSON document on stdout; without --output it has the secret
    #[arg(long)]
    pub json: bool,
    /// Backup key: a file, env:NAME or credential:NAME [default: VAULT_BACKUP_KEY or the configured keys]
    #[arg(long, value_name = "REF")]
    pub key: Option<String>,
    /// The keys that unseal it.
    #[command(flatten)]
    pub unseal: UnsealArgs,
}

/// The keys that unseal a snapshot offline.
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub struct UnsealArgs {
    /// Unseal share: env:NAME or file:PATH; NAMESPACE=REF for a sealable namespace; repeatable
    /// [default: staging.unseal_keys]
    #[arg(long = "share", value_name = "REF")]
    pub shares: Vec<String>,
    /// Key of OpenBao's seal "static": a file, env:NAME or credential:NAME [default: staging.seal_key]
    #[arg(long, value_name = "REF")]
    pub seal_key: Option<String>,
}

/// Arguments of `keygen`.
#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// Write the key to a new file (mode 0600) instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Derive the manifest key of an existing key (for hosts that only prune)
    #[arg(long, value_name = "REF")]
    pub manifest_key_of: Option<String>,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Also send a test to every notification target
    #[arg(long)]
    pub notify_test: bool,
    /// Print one JSON document on stdout
    #[arg(long)]
    pub json: bool,
}
