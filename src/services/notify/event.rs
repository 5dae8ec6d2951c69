//! What a run ends with, and under which names it is told.

use crate::base::error::{Error, Kind, one_line};
use crate::formats::manifest::rfc3339;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The operations that are told of.
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

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventOutcome {
    /// Done.
    Success,
    /// Done, but in part (exit code 8).
    Partial,
    /// Not done.
    Failure,
}

/// The names of one operation's events. They are interfaces: alerts match them.
struct Names {
    /// As a label and in sentences.
    operation: &'static str,
    /// In the audit log.
    done: &'static str,
    failed: &'static str,
    /// In notifications.
    told_done: &'static str,
    told_failed: &'static str,
    /// Of a failure.
    severity: &'static str,
}

impl Operation {
    const fn names(self) -> Names {
        match self {
            Operation::Backup => Names {
                operation: "backup",
                done: "vault_backup_completed",
                failed: "vault_backup_failed",
                told_done: "vault_backup_success",
                told_failed: "vault_backup_failure",
                severity: "critical",
            },
            Operation::Prune => Names {
                operation: "prune",
                done: "vault_backup_pruned",
                failed: "vault_backup_prune_failed",
                told_done: "vault_backup_prune_success",
                told_failed: "vault_backup_prune_failure",
                severity: "high",
            },
            Operation::Drill => Names {
                operation: "verify-restore",
                done: "vault_backup_test_success",
                failed: "vault_backup_test_failed",
                told_done: "vault_backup_test_success",
                told_failed: "vault_backup_test_failure",
                severity: "high",
            },
            Operation::Restore => Names {
                operation: "restore",
                done: "vault_backup_restored",
                failed: "vault_backup_restore_failed",
                told_done: "vault_backup_restore_success",
                told_failed: "vault_backup_restore_failure",
                severity: "critical",
            },
            Operation::Recover => Names {
                operation: "recover",
                done: "vault_secret_recovered",
                failed: "vault_secret_recovery_failed",
                told_done: "vault_secret_recovery_success",
                told_failed: "vault_secret_recovery_failure",
                severity: "high",
            },
        }
    }

    /// The subcommand's name.
    pub fn as_str(self) -> &'static str {
        self.names().operation
    }
}

/// How one operation of a run ended.
#[derive(Clone, Debug)]
pub struct Event {
    /// Which operation.
    pub operation: Operation,
    /// How it ended.
    pub outcome: EventOutcome,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// How long it took.
    pub took: Duration,
    /// The exit code that it asks for, before it is known whether it could be told.
    pub exit_code: u8,
    /// One sentence for people.
    pub message: String,
    /// What machines want to know: `backup_path`, `checksum`, ….
    pub details: Map<String, Value>,
}

impl Event {
    /// An operation that was done; with `problems`, in part.
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

    /// An operation that failed; `details` is what was known until then.
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

    /// The type that notifications name.
    pub fn notification_type(&self) -> &'static str {
        let names = self.operation.names();
        if self.outcome == EventOutcome::Failure { names.told_failed } else { names.told_done }
    }

    /// The audit log's line, without its newline: compact JSON.
    pub fn audit_line(&self) -> String {
        let names = self.operation.names();
        let line = AuditLine {
            timestamp: rfc3339(self.ended_at),
            event: if self.outcome == EventOutcome::Failure { names.failed } else { names.done },
            severity: self.severity(),
            details: &self.details,
        };
        // Strings and JSON values: there is nothing that could not be written.
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// The body of a JSON notification.
    pub fn notification(&self) -> Value {
        json!({
            "type": self.notification_type(),
            "severity": self.severity().unwrap_or("info"),
            "message": self.message,
            "timestamp": rfc3339(self.ended_at),
            "details": self.details,
        })
    }
}

/// A struct for the sake of the keys' order, which people read.
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
