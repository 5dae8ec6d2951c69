use super::*;
use crate::base::error::Error;
use crate::services::notify::Operation;
use serde_json::Map;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn done(operation: Operation, seconds: i64) -> Event {
    Event::done(operation, at(seconds), Duration::from_millis(1500), "m", Map::new(), &[])
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn metrics_that_an_operation_does_not_know_keep_their_value() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault_backup.prom");
    let made = Figures { newest_daily: Some((at(900), 42)), ..Figures::default() };
    update(&path, &done(Operation::Backup, 1000), &made).unwrap();
    let copied = Figures { newest_monthly: Some((at(950), 43)), ..Figures::default() };
    let event = Event::done(Operation::Prune, at(1500), Duration::ZERO, "m", Map::new(), &["p".to_owned()]);
    update(&path, &event, &copied).unwrap();
    let drilled = Figures { newest_drill: Some(at(1990)), ..Figures::default() };
    update(&path, &done(Operation::Drill, 2000), &drilled).unwrap();
    let failed = Event::failed(Operation::Backup, at(3000), Duration::from_secs(2), &Error::vault("v"), Map::new());
    update(&path, &failed, &Figures::default()).unwrap();
    assert_eq!(
        text(&path),
        "\
# HELP vault_backup_last_run_timestamp_seconds Time of the last end of the operation, successful or not.
# TYPE vault_backup_last_run_timestamp_seconds gauge
vault_backup_last_run_timestamp_seconds{operation=\"backup\"} 3000
vault_backup_last_run_timestamp_seconds{operation=\"prune\"} 1500
vault_backup_last_run_timestamp_seconds{operation=\"verify-restore\"} 2000
# HELP vault_backup_last_success_timestamp_seconds Time of the last successful end of the operation.
# TYPE vault_backup_last_success_timestamp_seconds gauge
vault_backup_last_success_timestamp_seconds{operation=\"backup\"} 1000
vault_backup_last_success_timestamp_seconds{operation=\"verify-restore\"} 2000
# HELP vault_backup_last_run_duration_seconds Duration of the last run of the operation.
# TYPE vault_backup_last_run_duration_seconds gauge
vault_backup_last_run_duration_seconds{operation=\"backup\"} 2.000
vault_backup_last_run_duration_seconds{operation=\"prune\"} 0.000
vault_backup_last_run_duration_seconds{operation=\"verify-restore\"} 1.500
# HELP vault_backup_last_run_exit_code Exit code of the last run of the operation.
# TYPE vault_backup_last_run_exit_code gauge
vault_backup_last_run_exit_code{operation=\"backup\"} 3
vault_backup_last_run_exit_code{operation=\"prune\"} 8
vault_backup_last_run_exit_code{operation=\"verify-restore\"} 0
# HELP vault_backup_newest_good_backup_timestamp_seconds Time of the newest good backup.
# TYPE vault_backup_newest_good_backup_timestamp_seconds gauge
vault_backup_newest_good_backup_timestamp_seconds{type=\"daily\"} 900
vault_backup_newest_good_backup_timestamp_seconds{type=\"monthly\"} 950
# HELP vault_backup_newest_good_backup_size_bytes Size of the newest good backup.
# TYPE vault_backup_newest_good_backup_size_bytes gauge
vault_backup_newest_good_backup_size_bytes{type=\"daily\"} 42
vault_backup_newest_good_backup_size_bytes{type=\"monthly\"} 43
# HELP vault_backup_newest_drill_timestamp_seconds Time of the newest passed restore drill.
# TYPE vault_backup_newest_drill_timestamp_seconds gauge
vault_backup_newest_drill_timestamp_seconds 1990
"
    );
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left in the collector's directory");
}

#[test]
fn foreign_metrics_and_broken_lines_are_dropped() {
    let ours = "vault_backup_last_run_exit_code{operation=\"restore\"} 6";
    let text =
        format!("# HELP x\nother 1\nvault_backup_unknown 2\n{ours}\nvault_backup_last_run_exit_code{{ torn\n\n\u{1}");
    let samples = parse(&text);
    assert_eq!(samples.len(), 1);
    assert_eq!(samples["last_run_exit_code"]["{operation=\"restore\"}"], "6");
    assert_eq!(parse(&render(&samples)), samples);
}

#[test]
fn operations_that_end_at_the_same_time_lose_no_metrics() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault_backup.prom");
    std::thread::scope(|scope| {
        for operation in [Operation::Backup, Operation::Prune, Operation::Drill, Operation::Restore] {
            let path = &path;
            scope.spawn(move || {
                (1..=5).for_each(|n| update(path, &done(operation, n), &Figures::default()).unwrap());
            });
        }
    });
    assert_eq!(parse(&text(&path))["last_run_timestamp_seconds"].values().collect::<Vec<_>>(), ["5"; 4]);
}

#[test]
fn a_missing_directory_is_reported() {
    let e = update(Path::new("/nonexistent/x.prom"), &done(Operation::Backup, 1), &Figures::default()).unwrap_err();
    assert_eq!(e.kind(), crate::base::error::Kind::Partial);
    assert!(e.to_string().starts_with("metrics file /nonexistent/x.prom: cannot be written: No such file"), "{e}");
}
