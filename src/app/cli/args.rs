//! What each command takes. Not here: what all of them take (`cli`).

use crate::app::config::duration;
use crate::base::error::{Error, Result};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// `backup`
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Which backup to make
    #[arg(long, value_enum, default_value_t)]
    pub kind: BackupKind,
    /// How to verify it after the upload
    #[arg(long, value_enum, default_value_t)]
    pub verify: VerifyMode,
    /// Prune afterwards, if and only if the backup was verified
    #[arg(long)]
    pub prune: bool,
    /// Print one JSON document on stdout
    #[arg(long)]
    pub json: bool,
}

/// Which backup to make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BackupKind {
    /// Daily; copied to monthly/ if this month has no good one yet
    #[default]
    Scheduled,
    /// Daily only
    Daily,
    /// Monthly only
    Monthly,
}

/// How to verify a backup after its upload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum VerifyMode {
    /// Read it back, compare size and SHA-256, open every segment with the key
    #[default]
    Full,
    /// Compare size and the store's checksum
    Head,
}

/// `prune`
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Print the plan and delete nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Print one JSON document on stdout
    #[arg(long)]
    pub json: bool,
}

/// `verify-restore`
#[derive(Debug, Args)]
pub struct VerifyRestoreArgs {
    /// The backup to restore [default: the newest good one]
    pub object: Option<String>,
    /// Restore into a Vault started for this drill and thrown away
    #[arg(long, conflicts_with = "offline")]
    pub ephemeral: bool,
    /// Open the backup in memory with the unseal shares, without a Vault
    #[arg(long)]
    pub offline: bool,
    /// The keys that open it.
    #[command(flatten)]
    pub unseal: UnsealArgs,
    /// Print one JSON document on stdout
    #[arg(long)]
    pub json: bool,
}

impl VerifyRestoreArgs {
    /// Refuses flags that this kind of drill would ignore.
    ///
    /// # Errors
    /// `Usage`.
    pub fn check(&self) -> Result<()> {
        if self.offline || self.unseal == UnsealArgs::default() {
            return Ok(());
        }
        Err(Error::usage("--share and --seal-key are for --offline")
            .hint("add --offline, or set staging.unseal_keys for a drill in a server"))
    }
}

/// `decrypt`
#[derive(Debug, Args)]
pub struct DecryptArgs {
    /// A file; - for stdin; else the name of an object in the store
    pub input: String,
    /// Where to write [default: the name with .snap, in this folder]; - for stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The key: a file, env:NAME or credential:NAME [default: the configured keys]
    #[arg(long, value_name = "REF")]
    pub key: Option<String>,
    /// Replace an existing file
    #[arg(long)]
    pub force: bool,
}

/// `restore`
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// A file, or the name of an object in the store
    pub input: String,
    /// The Vault server to restore into
    #[arg(long, value_name = "URL")]
    pub address: String,
    /// The target cluster's name, as a confirmation
    #[arg(long, value_name = "CLUSTER_NAME")]
    pub confirm: Option<String>,
    /// Restore also into a cluster with other keys, such as its own after a rekey (snapshot-force), or into an older version
    #[arg(long)]
    pub force: bool,
    /// Check everything, send nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Print one JSON document on stdout
    #[arg(long)]
    pub json: bool,
}

/// `list`
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

/// `status`
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The newest good backup must not be older
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "26h")]
    pub max_age: Duration,
    /// The newest passed drill must not be older [default: 8d where staging is configured]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub max_drill_age: Option<Duration>,
    /// One line and exit codes 0-3, as Nagios reads them
    #[arg(long, conflicts_with = "json")]
    pub nagios: bool,
    /// Print one JSON document on stdout
    #[arg(long)]
    pub json: bool,
}

/// `inspect`
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A file; - for stdin; else the name of an object in the store
    pub input: String,
    /// The key: a file, env:NAME or credential:NAME [default: the configured keys]
    #[arg(long, value_name = "REF")]
    pub key: Option<String>,
    /// The keys that open it.
    #[command(flatten)]
    pub unseal: UnsealArgs,
    /// Print one JSON document on stdout
    #[arg(long)]
    pub json: bool,
}

/// `recover`
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// The secret's path, with its mount: secret/app/db
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    pub path: Option<String>,
    /// Name all secrets below PREFIX, without their values
    #[arg(long, value_name = "PREFIX")]
    pub list: Option<String>,
    /// The backup: a file (encrypted or a plain snapshot), or an object's name
    #[arg(long, value_name = "OBJECT|FILE")]
    pub from: String,
    /// This version [default: the current one]
    #[arg(long, value_name = "N", conflicts_with = "list")]
    pub version: Option<u64>,
    /// Write to a new file (0600) instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Allow the secret to be shown on a terminal
    #[arg(long)]
    pub show: bool,
    /// The key: a file, env:NAME or credential:NAME [default: the configured keys]
    #[arg(long, value_name = "REF")]
    pub key: Option<String>,
    /// The keys that open it.
    #[command(flatten)]
    pub unseal: UnsealArgs,
}

/// The keys that open a snapshot offline.
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub struct UnsealArgs {
    /// Unseal share, env:NAME or file:PATH; of a sealable namespace: NAMESPACE=REF; repeat for each
    /// [default: staging.unseal_keys]
    #[arg(long = "share", value_name = "REF")]
    pub shares: Vec<String>,
    /// Key of OpenBao's static seal: a file, env:NAME or credential:NAME [default: staging.seal_key]
    #[arg(long, value_name = "REF")]
    pub seal_key: Option<String>,
}

/// `keygen`
#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// Write the key to a new file (0600) instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Make no new key: derive this one's manifest key, for a host that only prunes
    #[arg(long, value_name = "REF")]
    pub manifest_key_of: Option<String>,
}

/// `doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Also send a test notification to every target
    #[arg(long)]
    pub notify_test: bool,
    /// Print one JSON document on stdout
    #[arg(long)]
    pub json: bool,
}
