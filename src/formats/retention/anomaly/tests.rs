use super::*;
use crate::formats::manifest::VaultFacts;
use chrono::TimeZone;

fn at(month: u32, day: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2025, month, day, 2, 0, 0).unwrap()
}

fn good(kind: BackupType, time: DateTime<Utc>) -> Backup {
    let index = u64::try_from(time.timestamp()).unwrap();
    let mut backup = Backup { size: 1_000, ..Backup::good(BackupName::new(kind, time)) };
    *vault(&mut backup) =
        VaultFacts { raft_index: Some(index), cluster_id: Some("c1".into()), ..VaultFacts::default() };
    backup
}

fn vault(backup: &mut Backup) -> &mut VaultFacts {
    match &mut backup.status {
        BackupStatus::Good(manifest) => &mut manifest.vault,
        status => panic!("{status:?}"),
    }
}

fn daily(month: u32, day: u32) -> Backup {
    good(BackupType::Daily, at(month, day))
}

fn said(now: DateTime<Utc>, backups: &[Backup]) -> Vec<String> {
    anomalies(now, backups, &Policy::default()).iter().map(ToString::to_string).collect()
}

#[test]
fn an_ordinary_month_has_no_anomalies() {
    let mut backups: Vec<_> = (1..=30).map(|day| daily(6, day)).collect();
    backups.push(good(BackupType::Monthly, at(6, 1)));
    backups.push(good(BackupType::Monthly, at(5, 1)));
    assert_eq!(said(at(6, 30), &backups), [""; 0]);
    assert_eq!(suspicions(at(6, 30), &backups), []);
}

#[test]
fn days_and_months_without_a_backup_are_gaps() {
    let month = |month| good(BackupType::Monthly, at(month, 1));
    let backups = [daily(6, 20), daily(6, 22), daily(6, 26), month(1), month(2), month(4), month(8)];
    let wanted = [
        "no good daily backup from 2025-06-23 to 2025-06-25",
        "no good daily backup on 2025-06-21",
        "no good monthly backup from 2025-05 to 2025-07",
        "no good monthly backup in 2025-03",
    ];
    assert_eq!(said(at(6, 27), &backups[..6]), [wanted[0], wanted[1], wanted[3]]);
    assert_eq!(said(at(8, 2), &backups[3..]), [wanted[2], wanted[3]]);
}

#[test]
fn backups_that_prune_deleted_are_no_gap() {
    // The drilled one of January was kept; the window of 30 days starts on 1 June.
    let mut backups: Vec<_> = (2..=30).map(|day| daily(6, day)).chain([daily(7, 1)]).collect();
    backups.push(daily(1, 5));
    assert_eq!(said(at(7, 1), &backups), [""; 0]);
    backups.remove(0);
    assert_eq!(said(at(7, 1), &backups), ["no good daily backup on 2025-06-02"]);
}

#[test]
fn an_unverified_backup_fills_no_gap_and_an_unchecked_one_does() {
    let mut backups = [daily(6, 20), daily(6, 21), daily(6, 22)];
    backups[1].status = BackupStatus::Unchecked;
    assert_eq!(said(at(6, 22), &backups), [""; 0]);
    backups[1].status = BackupStatus::Unverified;
    let wanted = [
        "daily/2025-06-21/vault-snapshot-20250621-020000.enc has no valid manifest: an unfinished run left it, or this tool did not make it",
        "no good daily backup on 2025-06-21",
    ];
    assert_eq!(said(at(6, 22), &backups), wanted);
}

#[test]
fn sudden_changes_of_size_index_and_cluster_are_anomalies() {
    let before = daily(6, 20);
    let newest = |change: fn(&mut Backup)| {
        let mut backup = daily(6, 21);
        change(&mut backup);
        let backups = [backup, before.clone()];
        let found = anomalies(at(6, 21), &backups, &Policy::default());
        assert_eq!(suspicions(at(6, 21), &backups), found);
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let (a, b) = ("daily/2025-06-21/vault-snapshot-20250621-020000.enc", before.name.object());
    assert_eq!(newest(|b| b.size = 499), format!("{a} has 499 bytes, less than half of the 1000 bytes of {b}"));
    assert_eq!(newest(|b| b.size = 500), "");
    assert_eq!(newest(|b| b.size = u64::MAX), "");
    assert_eq!(
        newest(|b| vault(b).raft_index = Some(7)),
        format!("{a} has raft index 7, below the {} of {b}", vault(&mut before.clone()).raft_index.unwrap())
    );
    assert_eq!(newest(|b| vault(b).raft_index = None), "");
    assert_eq!(newest(|b| vault(b).cluster_id = Some("c2".into())), format!("{a} is of cluster c2, {b} was of c1"));
    let other = newest(|b| {
        let vault = vault(b);
        (vault.cluster_id, vault.raft_index) = (Some("c2".into()), Some(7));
    });
    assert_eq!(other, format!("{a} is of cluster c2, {b} was of c1"), "two clusters' indexes are not compared");
}

#[test]
fn a_monthly_copy_does_not_hide_the_suspicions_of_its_run() {
    let mut copy = good(BackupType::Monthly, at(7, 1));
    copy.size = 1;
    let backups = [copy.clone(), Backup { name: daily(7, 1).name, ..copy }, daily(6, 30)];
    assert_eq!(suspicions(at(7, 1), &backups).len(), 1);
}

#[test]
fn only_good_backups_are_compared() {
    for status in [BackupStatus::Unchecked, BackupStatus::UnknownKey(None), BackupStatus::Unverified] {
        let other = Backup { size: 1, status, ..daily(6, 21) };
        assert_eq!(suspicions(at(6, 22), &[daily(6, 20), other, daily(6, 22)]), []);
    }
    assert_eq!(suspicions(at(6, 22), &[daily(6, 22)]), []);
}

#[test]
fn only_the_newest_backup_is_suspicious() {
    let backups = [Backup { size: 9_000, ..daily(6, 20) }, daily(6, 21), daily(6, 22)];
    assert_eq!(anomalies(at(6, 22), &backups, &Policy::default()).len(), 1);
    assert_eq!(suspicions(at(6, 22), &backups), []);
}

#[test]
fn names_in_the_future_are_reported_and_not_compared() {
    let backups = [daily(6, 20), Backup { size: 1, ..daily(6, 25) }];
    let wanted = "the name of daily/2025-06-25/vault-snapshot-20250625-020000.enc is in the future";
    assert_eq!(said(at(6, 20), &backups), [wanted]);
    assert_eq!(suspicions(at(6, 20), &backups), []);
}

#[test]
fn many_names_in_the_future_are_one_anomaly() {
    let ahead = |day| Backup { status: BackupStatus::Unverified, ..daily(7, day) };
    let one = "the name of daily/2025-07-01/vault-snapshot-20250701-020000.enc is in the future";
    assert_eq!(said(at(6, 20), &[ahead(1)]), [one]);
    let many = "the names of daily/2025-07-03/vault-snapshot-20250703-020000.enc and 2 more are in the future";
    assert_eq!(said(at(6, 20), &[ahead(1), ahead(3), ahead(2)]), [many]);
}

#[test]
fn backups_of_the_legacy_service_are_not_reported_as_unverified() {
    let legacy = BackupName::parse("daily/2025-06-19/vault-snapshot-2025-06-19T02-00-00-000Z.enc").unwrap();
    let legacy = Backup { name: legacy, status: BackupStatus::Unverified, ..daily(6, 19) };
    let loose = |day| Backup { status: BackupStatus::Unverified, ..daily(6, day) };
    let backups = [legacy, loose(18), daily(6, 20), loose(17)];
    let wanted = "daily/2025-06-18/vault-snapshot-20250618-020000.enc and 1 more have no valid manifest: unfinished runs left them, or this tool did not make them";
    assert_eq!(said(at(6, 20), &backups), [wanted]);
}
