use super::*;

fn at() -> DateTime<Utc> {
    "2025-11-26T02:00:00.5Z".parse().unwrap()
}

fn source() -> EventSource {
    EventSource { host: "backup-1".to_owned(), cluster: Some("c-1".to_owned()), store: None }
}

fn details() -> Map<String, Value> {
    let Value::Object(map) = json!({"backup_path": "daily/x.enc", "size_bytes": 7}) else { panic!() };
    map
}

const MINUTE: Duration = Duration::from_mins(1);

#[test]
fn a_successful_backup_in_audit_log_and_notification() {
    let event = Event::done(Operation::Backup, at(), MINUTE, "Vault backup completed", details(), &[]);
    assert_eq!(
        event.audit_line(),
        r#"{"timestamp":"2025-11-26T02:00:00Z","event":"vault_backup_completed","details":{"backup_path":"daily/x.enc","size_bytes":7}}"#
    );
    assert_eq!(
        event.notification(&source()),
        json!({"type": "vault_backup_success", "severity": "info", "message": "Vault backup completed",
               "timestamp": "2025-11-26T02:00:00Z", "host": "backup-1", "cluster": "c-1", "store": null,
               "details": {"backup_path": "daily/x.enc", "size_bytes": 7}})
    );
}

#[test]
fn a_failed_backup_in_audit_log_and_notification() {
    let error = Error::vault("https://v:8200: sealed\nreally");
    let event = Event::failed(Operation::Backup, at(), MINUTE, &error, Map::new());
    assert_eq!(
        event.audit_line(),
        r#"{"timestamp":"2025-11-26T02:00:00Z","event":"vault_backup_failed","severity":"critical","details":{"error":"https://v:8200: sealed really","exit_code":3}}"#
    );
    let notified = event.notification(&source());
    assert_eq!((&notified["type"], &notified["severity"]), (&json!("vault_backup_failure"), &json!("critical")));
    assert_eq!(notified["message"], "vault-backup backup failed: https://v:8200: sealed really");
}

#[test]
fn a_partial_success_is_a_success_with_severity_warning() {
    let problems = ["no monthly copy".to_owned(), "denied\nwrite".to_owned()];
    let event = Event::done(Operation::Backup, at(), MINUTE, "made", details(), &problems);
    assert_eq!((event.outcome, event.exit_code), (EventOutcome::Partial, 8));
    let line: Value = serde_json::from_str(&event.audit_line()).unwrap();
    assert_eq!((&line["event"], &line["severity"]), (&json!("vault_backup_completed"), &json!("warning")));
    assert_eq!((&line["details"]["problems"], &line["details"]["exit_code"]), (&json!(problems), &json!(8)));
    assert_eq!(event.message, "made; but no monthly copy; denied write");
    assert_eq!(event.notification(&source())["type"], "vault_backup_success");
}

/// Alerts and log searches match these names: they never change.
#[test]
fn event_names_are_the_documented_ones() {
    for (operation, done, failed, notified_done, notified_failed, severity) in [
        (
            Operation::Backup,
            "vault_backup_completed",
            "vault_backup_failed",
            "vault_backup_success",
            "vault_backup_failure",
            "critical",
        ),
        (
            Operation::Prune,
            "vault_backup_pruned",
            "vault_backup_prune_failed",
            "vault_backup_prune_success",
            "vault_backup_prune_failure",
            "high",
        ),
        (
            Operation::Drill,
            "vault_backup_test_success",
            "vault_backup_test_failed",
            "vault_backup_test_success",
            "vault_backup_test_failure",
            "high",
        ),
        (
            Operation::Restore,
            "vault_backup_restored",
            "vault_backup_restore_failed",
            "vault_backup_restore_success",
            "vault_backup_restore_failure",
            "critical",
        ),
        (
            Operation::Recover,
            "vault_secret_recovered",
            "vault_secret_recovery_failed",
            "vault_secret_recovery_success",
            "vault_secret_recovery_failure",
            "high",
        ),
    ] {
        let well = Event::done(operation, at(), MINUTE, "m", Map::new(), &[]);
        let badly = Event::failed(operation, at(), MINUTE, &Error::store("e"), Map::new());
        let audited = |event: &Event| {
            serde_json::from_str::<Value>(&event.audit_line()).unwrap()["event"].as_str().map(str::to_owned)
        };
        assert_eq!(audited(&well).as_deref(), Some(done));
        assert_eq!(audited(&badly).as_deref(), Some(failed));
        assert_eq!((well.notification_type(), badly.notification_type()), (notified_done, notified_failed));
        assert_eq!(badly.notification(&source())["severity"], severity);
    }
}
