//! The command line: flags, environment variables and help, by clap's derive.
//!
//! Here: what can be typed and what `--help` says. Not here: what it means
//! together with the configuration file (`config`), nor what it does (`commands`).

mod args;

pub use args::*;

use crate::app::config::duration;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// The exit codes, as shown at the end of every `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    unexpected error; the clock is wrong
  2    usage, configuration or key file; a guard refused
  3    Vault: unreachable, sealed, no leader, denied
  4    store: unreachable, denied, full, object not found
  5    integrity: incomplete, damaged or edited data, or no key for it
  6    drill failed after the restore was accepted; secret missing
  7    another run holds the lock, or made this object
  8    done, but in part: a deletion, the monthly copy, an audit line or a notification failed
  9    status: the newest good backup, or drill, is too old
  124  deadline passed
  130, 143  ended by SIGINT, SIGTERM, after cleaning up";

/// Back up HashiCorp Vault and OpenBao on Raft storage: encrypted, verified, pruned, and proven by restoring.
///
/// Each run does one thing and ends; cron is the scheduler, the object store is the only state.
#[derive(Debug, Parser)]
#[command(name = "vault-backup", version, max_term_width = 100, after_long_help = EXIT_CODES, after_help = "See 'vault-backup help COMMAND', and --help for the exit codes.")]
pub struct Cli {
    /// Options that every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes, before or after its name.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Configuration file [env: VAULT_BACKUP_CONFIG] [default: /etc/vault-backup/config.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the backups are: s3://BUCKET/PREFIX or file:///DIR [env: VAULT_BACKUP_STORE]
    #[arg(long, global = true, value_name = "URL")]
    pub store: Option<String>,
    /// Say more on stderr: -v what is done, -vv details
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say nothing but errors, and show no progress
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// How messages on stderr are written
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// End the run after this long, cleaning up: 90s, 10m, 2h
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration)]
    pub deadline: Option<Duration>,
}

/// How messages on stderr are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line of text a message.
    #[default]
    Text,
    /// One JSON object a message.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take one backup, encrypt, upload and verify it
    #[command(after_long_help = examples("\
  vault-backup backup --prune            the daily crontab line
  vault-backup backup --kind monthly     an extra one that is kept for months
  vault-backup backup --json | jq .object"))]
    Backup(BackupArgs),
    /// Delete backups that are past their retention, and only those
    #[command(after_long_help = examples("\
  vault-backup prune --dry-run           what would go and what stays, each with its reason"))]
    Prune(PruneArgs),
    /// Restore the newest backup into a staging Vault and read a known secret from it
    #[command(after_long_help = examples("\
  vault-backup verify-restore                    into the configured staging server
  vault-backup verify-restore --ephemeral        into a Vault of its own, thrown away afterwards
  vault-backup verify-restore --offline          in memory, without any Vault"))]
    VerifyRestore(VerifyRestoreArgs),
    /// Decrypt a backup into a snapshot that Vault itself can restore
    #[command(after_long_help = examples("\
  vault-backup decrypt vault-snapshot-20251126-020000.enc --key /root/backup.key
  vault-backup decrypt daily/2025-11-26/vault-snapshot-20251126-020000.enc -o vault.snap
  vault operator raft snapshot restore -force vault.snap"))]
    Decrypt(DecryptArgs),
    /// Restore a backup into a real cluster, with every guard
    #[command(after_long_help = examples("\
  vault-backup restore daily/2025-11-26/vault-snapshot-20251126-020000.enc \\
      --address https://vault-1.example.com:8200 --confirm vault-cluster-1a2b3c4d --dry-run"))]
    Restore(RestoreArgs),
    /// List the backups
    #[command(after_long_help = examples("\
  vault-backup list
  vault-backup list --long --last 5      also what a prune would do, and why
  vault-backup list --json | jq -r '.backups[] | select(.standing != \"good\").object'"))]
    List(ListArgs),
    /// Tell whether the newest backup and drill are fresh enough
    #[command(after_long_help = examples("\
  vault-backup status --max-age 26h --max-drill-age 8d
  vault-backup status --nagios"))]
    Status(StatusArgs),
    /// Show what a backup says of itself; with a key, check all of it
    #[command(after_long_help = examples("\
  vault-backup inspect daily/2025-11-26/vault-snapshot-20251126-020000.enc
  vault-backup inspect vault-snapshot-20251126-020000.enc --key /root/backup.key
  vault-backup inspect copy.enc --key /root/backup.key --share file:/root/share1 --share file:/root/share2"))]
    Inspect(InspectArgs),
    /// Read one secret out of a backup, without any Vault
    #[command(after_long_help = examples("\
  vault-backup recover secret/app/db --from daily/2025-11-26/vault-snapshot-20251126-020000.enc -o db.json
  vault-backup recover --list secret/ --from vault.snap --share env:SHARE1 --share env:SHARE2"))]
    Recover(RecoverArgs),
    /// Make a new encryption key
    #[command(after_long_help = examples("\
  vault-backup keygen -o /etc/vault-backup/key   then keep a copy where the backups are not
  vault-backup keygen --manifest-key-of /etc/vault-backup/key -o manifest-key"))]
    Keygen(KeygenArgs),
    /// Try every permission and path that the configuration needs, changing nothing
    #[command(after_long_help = examples("\
  vault-backup doctor                    before the first backup, and whenever something changed
  vault-backup doctor --notify-test"))]
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    #[command(after_long_help = examples("\
  vault-backup completions bash > /etc/bash_completion.d/vault-backup"))]
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, of one command if named
    #[command(after_long_help = examples("\
  vault-backup man backup | man -l -"))]
    Man {
        /// A command's name.
        command: Option<String>,
    },
}

fn examples(lines: &str) -> String {
    format!("Examples:\n{lines}\n\n{EXIT_CODES}")
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
