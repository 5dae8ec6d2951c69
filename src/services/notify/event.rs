//! The event that reports how an operation ended, and its names.

use crate::base::error::{Error, Kind};
use crate::base::text::{one_line, printable_json};
use crate::formats::manifest::rfc3339;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Operations that are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `backup`
    Backup,
    /// `prune`, alone or after a backup
    Prune,
    /// `verify-restore`
    Drill,
    /// `restore`
    Restore,
    /// `recover`
    Recover,
}

/// Outcome of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventOutcome {
    /// Success.
    Success,
    /// Success in part (exit code 8).
    Partial,
    /// Failure.
    Failure,
}

/// Names of one operation's events. They are interfaces: alerts match them.
struct EventNames {
    /// Name in labels and sentences.
    operation: &'static str,
    /// Names in the audit log.
    done: &'static str,
    failed: &'static str,
    /// Types of notifications.
    notified_done: &'static str,
    notified_failed: &'static str,
    /// Severity of a failure.
    severity: &'static str,
}

impl Operation {
    const fn names(self) -> EventNames {
        match self {
            Operation::Backup => EventNames {
                operation: "backup",
                done: "vault_backup_completed",
                failed: "vault_backup_failed",
                notified_done: "vault_backup_success",
                notified_failed: "vault_backup_failure",
                severity: "critical",
            },
            Operation::Prune => EventNames {
                operation: "prune",
                done: "vault_backup_pruned",
                failed: "vault_backup_prune_failed",
                notified_done: "vault_backup_prune_success",
                notified_failed: "vault_backup_prune_failure",
                severity: "high",
            },
            Operation::Drill => EventNames {
                operation: "verify-restore",
                done: "vault_backup_test_success",
                failed: "vault_backup_test_failed",
                notified_done: "vault_backup_test_success",
                notified_failed: "vault_backup_test_failure",
                severity: "high",
            },
            Operation::Restore => EventNames {
                operation: "restore",
                done: "vault_backup_restored",
                failed: "vault_backup_restore_failed",
                notified_done: "vault_backup_restore_success",
                notified_failed: "vault_backup_restore_failure",
                severity: "critical",
            },
            Operation::Recover => EventNames {
                operation: "recover",
                done: "vault_secret_recovered",
                failed: "vault_secret_recovery_failed",
                notified_done: "vault_secret_recovery_success",
                notified_failed: "vault_secret_recovery_failure",
                severity: "high",
            },
        }
    }

    /// Returns the subcommand's name.
    pub fn as_str(self) -> &'static str {
        self.names().operation
    }
}

/// Origin of an event: a machine may back up several clusters to several stores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventSource {
    /// Name of this machine.
    pub host: String,
    /// Id of the Vault cluster, if known.
    pub cluster: Option<String>,
    /// URL of the store, if one is configured.
    pub store: Option<String>,
}

impl EventSource {
    /// Returns the source of this machine's events.
    pub(crate) fn here(cluster: Option<String>, store: Option<String>) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { host, cluster, store }
    }

    /// Returns the JSON keys and their values.
    pub(super) fn keys(&self) -> [(&'static str, Value); 3] {
        let (cluster, store) = (self.cluster.clone().into(), self.store.clone().into());
        [("host", self.host.clone().into()), ("cluster", cluster), ("store", store)]
    }
}

/// The end of one operation of a run.
#[derive(Clone, Debug)]
pub struct Event {
    /// The operation.
    pub operation: Operation,
    /// Its outcome.
    pub outcome: EventOutcome,
    /// Time of its end.
    pub ended_at: DateTime<Utc>,
    /// Its duration.
    pub took: Duration,
    /// Its exit code. A failed notification may still change that of the process.
    pub exit_code: u8,
    /// One sentence for people.
    pub message: String,
    /// Details for machines: `backup_path`, `checksum`, ….
    pub details: Map<String, Value>,
}

impl Event {
    /// Returns the event of a success, or with `problems` of a success in part.
    pub fn done(
        operation: Operation,
        ended_at: DateTime<Utc>,
        took: Duration,
        message: &str,
        mut details: Map<String, Value>,
        problems: &[String],
    ) -> Self {
        let mut event = Self {
            operation,
            outcome: EventOutcome::Success,
            ended_at,
            took,
            exit_code: 0,
            message: one_line(message),
            details: Map::new(),
        };
        if !problems.is_empty() {
            event.outcome = EventOutcome::Partial;
            event.exit_code = Kind::Partial.code();
            event.message = one_line(&format!("{message}; but {}", problems.join("; ")));
            details.insert("problems".into(), problems.into());
            details.insert("exit_code".into(), event.exit_code.into());
        }
        Self { details, ..event }
    }

    /// Returns the event of a failure, with the `details` known by then.
    pub fn failed(
        operation: Operation,
        ended_at: DateTime<Utc>,
        took: Duration,
        error: &Error,
        mut details: Map<String, Value>,
    ) -> Self {
        let exit_code = error.kind().code();
        details.insert("error".into(), error.message().into());
        if let Some(hint) = error.next_step() {
            details.insert("hint".into(), hint.into());
        }
        details.insert("exit_code".into(), exit_code.into());
        let message = format!("vault-backup {} failed: {error}", operation.as_str());
        Self { operation, outcome: EventOutcome::Failure, ended_at, took, exit_code, message, details }
    }

    fn severity(&self) -> Option<&'static str> {
        match self.outcome {
            EventOutcome::Success => None,
            EventOutcome::Partial => Some("warning"),
            EventOutcome::Failure => Some(self.operation.names().severity),
        }
    }

    /// Returns the type of its notification.
    pub(crate) fn notification_type(&self) -> &'static str {
        let names = self.operation.names();
        if self.outcome == EventOutcome::Failure { names.notified_failed } else { names.notified_done }
    }

    /// Returns its line of the audit log, compact JSON without the newline.
    pub(crate) fn audit_line(&self) -> String {
        let names = self.operation.names();
        let line = AuditLine {
            timestamp: rfc3339(self.ended_at),
            event: if self.outcome == EventOutcome::Failure { names.failed } else { names.done },
            severity: self.severity(),
            details: &self.details,
        };
        // Strings and JSON values always serialize.
        printable_json(&serde_json::to_string(&line).unwrap_or_default()).into_owned()
    }

    /// Returns the body of a JSON notification.
    pub(crate) fn notification(&self, source: &EventSource) -> Value {
        let mut body = json!({
            "type": self.notification_type(),
            "severity": self.severity().unwrap_or("info"),
            "message": self.message,
            "timestamp": rfc3339(self.ended_at),
            "details": self.details,
        });
        source.keys().into_iter().for_each(|(key, value)| body[key] = value);
        body
    }
}

/// A line of the audit log. A struct keeps the order of its keys, for people who read it.
#[derive(Serialize)]
struct AuditLine<'a> {
    timestamp: String,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'static str>,
    details: &'a Map<String, Value>,
}

#[cfg(test)]
mod tests;
