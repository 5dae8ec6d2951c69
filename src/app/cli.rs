//! The command line: flags, environment variables and help, by clap's derive.
//!
//! Not here: how flags combine with the configuration file (`config`).

mod args;
mod input;

pub use args::*;
pub use input::*;

use crate::app::config::{Deadline, deadline};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// The exit codes, as shown at the end of every `--help`.
const EXIT_CODES: &str = "\
Exit codes:
  0    success
  1    unexpected error, the clock is wrong, or a limit of the machine is too low
  2    usage, configuration or key file, or a safety check refused
  3    Vault: unreachable, sealed, no leader, permission denied
  4    store: unreachable, permission denied, full, object not found
  5    integrity: truncated, damaged or modified data, or no key for it
  6    restore drill failed after the restore was accepted, or a secret is missing
  7    another run holds the lock, or created this object
  8    partial success: a deletion, the monthly copy, an audit line or a notification failed
  9    status: the newest good backup or restore drill is too old
  124  deadline passed
  130, 143  ended by SIGINT, or by SIGTERM or SIGHUP, after cleanup";

/// The environment variables of a command that logs in to Vault.
const VAULT: &str = "
  VAULT_ADDR, VAULT_TOKEN  address and token, and all other variables of Vault's
                           client; BAO_ADDR, BAO_TOKEN and so on override them";

/// The environment variables of a command that reads or writes the store.
const STORE: &str = "
  VAULT_BACKUP_CONFIG      configuration file
  VAULT_BACKUP_STORE       URL of the store
  AWS_*                    credentials, region and profile for S3";

/// The environment variable with the key.
const KEY: &str = "
  VAULT_BACKUP_KEY         backup key, 64 hex digits";

/// Back up HashiCorp Vault and OpenBao (Raft storage): encrypted, verified, pruned, and tested by restoring.
///
/// Each run performs one operation and exits. cron is the scheduler, and the object store is the only state.
#[derive(Debug, Parser)]
#[command(
    name = "vault-backup",
    version = env!("VAULT_BACKUP_VERSION"),
    max_term_width = 100,
    after_help = "See 'vault-backup help COMMAND' for a command, and --help for the exit codes.",
    after_long_help = after("
  vault-backup doctor                    # check the configuration
  vault-backup backup --prune            # the daily crontab line
  vault-backup list                      # list the backups", &[VAULT, STORE, KEY])
)]
pub struct Cli {
    /// Options that every command takes.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes, before or after its name.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Configuration file [env: VAULT_BACKUP_CONFIG] [default: /etc/vault-backup/config.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// URL of the store: s3://BUCKET/PREFIX or file:///DIRECTORY [env: VAULT_BACKUP_STORE]
    #[arg(long, global = true, value_name = "URL")]
    pub store: Option<String>,
    /// Log more to stderr: -v for steps, -vv for details
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Print only errors, and no progress
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Format of the messages on stderr
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Maximum duration of the run, such as 90s, 10m or 2h, or none; then it stops and cleans up [default:
    /// run.deadline, or 12h]
    #[arg(long, global = true, value_name = "DURATION", value_parser = deadline)]
    pub deadline: Option<Deadline>,
}

/// Format of the messages on stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line of text for each message
    #[default]
    Text,
    /// One JSON object for each message
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take a backup, encrypt, upload and verify it
    #[command(after_long_help = after("
  vault-backup backup --prune            # the daily crontab line
  vault-backup backup --kind monthly     # an extra one that is kept for months
  vault-backup backup --json | jq .object", &[VAULT, STORE, KEY]))]
    Backup(BackupArgs),
    /// Delete backups that are past their retention
    #[command(after_long_help = after("
  vault-backup prune --dry-run           # show what a prune deletes and keeps, and why", &[STORE, KEY]))]
    Prune(PruneArgs),
    /// Restore a backup into a staging Vault and read a secret from it (restore drill)
    #[command(after_long_help = after("
  vault-backup verify-restore                    # into the configured staging server
  vault-backup verify-restore --ephemeral        # into a temporary Vault on this machine
  vault-backup verify-restore --offline          # in memory, without a Vault", &[STORE, KEY]))]
    VerifyRestore(VerifyRestoreArgs),
    /// Decrypt a backup to a snapshot file that `vault operator raft snapshot restore` accepts
    #[command(after_long_help = after("
  vault-backup decrypt vault-snapshot-20251126-020000.enc --key /root/backup.key
  vault-backup decrypt daily/2025-11-26/vault-snapshot-20251126-020000.enc -o vault.snap
  vault operator raft snapshot restore -force vault.snap", &[STORE, KEY]))]
    Decrypt(DecryptArgs),
    /// Restore a backup into a cluster, after checks and a confirmation; it replaces all data there
    #[command(after_long_help = after("
  vault-backup restore daily/2025-11-26/vault-snapshot-20251126-020000.enc \\
      --address https://vault-1.example.com:8200 --confirm vault-cluster-1a2b3c4d --dry-run", &[VAULT, STORE, KEY]))]
    Restore(RestoreArgs),
    /// List the backups
    #[command(after_long_help = after("
  vault-backup list
  vault-backup list --long --last 5      # also what a prune would do, and why
  vault-backup list --json | jq -r '.backups[] | select(.standing != \"good\").object'", &[STORE, KEY]))]
    List(ListArgs),
    /// Check that the newest backup and restore drill are recent enough
    #[command(after_long_help = after("
  vault-backup status --max-age 26h --max-drill-age 8d
  vault-backup status --nagios", &[STORE, KEY]))]
    Status(StatusArgs),
    /// Show one backup's details and, with the key, verify every byte
    #[command(after_long_help = after("
  vault-backup inspect daily/2025-11-26/vault-snapshot-20251126-020000.enc
  vault-backup inspect vault-snapshot-20251126-020000.enc --key /root/backup.key
  vault-backup inspect ./copy.enc --key /root/backup.key \\
      --share file:/root/share1 --share file:/root/share2", &[STORE, KEY]))]
    Inspect(InspectArgs),
    /// Extract one secret from a backup, without a Vault
    #[command(after_long_help = after("
  vault-backup recover secret/app/db -o db.json \\
      --from daily/2025-11-26/vault-snapshot-20251126-020000.enc
  vault-backup recover --list secret/ --from ./vault.snap --share env:SHARE1 --share env:SHARE2", &[STORE, KEY]))]
    Recover(RecoverArgs),
    /// Generate an encryption key
    #[command(after_long_help = after("
  vault-backup keygen -o /etc/vault-backup/key   # then store a copy away from the backups
  vault-backup keygen --manifest-key-of /etc/vault-backup/key -o manifest-key", &[]))]
    Keygen(KeygenArgs),
    /// Check every permission and path that the configuration needs, without changing anything
    #[command(after_long_help = after("
  vault-backup doctor                    # before the first backup, and after every change
  vault-backup doctor --notify-test      # also send a test notification", &[VAULT, STORE, KEY]))]
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    #[command(after_long_help = after("
  vault-backup completions bash > /etc/bash_completion.d/vault-backup", &[]))]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the names of backups, for the completion script
    #[command(hide = true)]
    CompleteBackups,
    /// Print the manual page of the tool or of one command
    #[command(after_long_help = after("
  vault-backup man backup | man -l -", &[]))]
    Man {
        /// Name of a command
        command: Option<String>,
    },
}

/// Returns the end of a `--help`: sections of lines that clap must not wrap, because
/// readers paste them.
fn after(examples: &str, environment: &[&str]) -> String {
    let mut sections = vec![format!("Examples:{examples}")];
    if !environment.is_empty() {
        sections.push(format!("Environment:{}", environment.concat()));
    }
    sections.push(EXIT_CODES.to_owned());
    sections.join("\n\n").replace(' ', UNBREAKABLE)
}

/// A space at which clap does not wrap.
const UNBREAKABLE: &str = "\u{a0}";

/// Returns help text that clap rendered with ordinary spaces, ready to be pasted.
pub fn breakable(help: &str) -> String {
    help.replace(UNBREAKABLE, " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn clap_accepts_the_definition() {
        Cli::command().debug_assert();
    }
}
