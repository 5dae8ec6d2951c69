use super::*;
use chrono::TimeZone;

fn at(month: u32, day: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2025, month, day, 2, 0, 0).unwrap()
}

fn fact(kind: BackupType, time: DateTime<Utc>) -> BackupFacts {
    let index = u64::try_from(time.timestamp()).unwrap();
    BackupFacts {
        name: BackupName::new(kind, time),
        size: 1_000,
        standing: Standing::Good,
        raft_index: Some(index),
        cluster_id: Some("c1".into()),
    }
}

fn daily(month: u32, day: u32) -> BackupFacts {
    fact(BackupType::Daily, at(month, day))
}

fn said(now: DateTime<Utc>, facts: &[BackupFacts]) -> Vec<String> {
    anomalies(now, facts, &Policy::default()).iter().map(ToString::to_string).collect()
}

#[test]
fn an_ordinary_month_has_none() {
    let mut facts: Vec<_> = (1..=30).map(|day| daily(6, day)).collect();
    facts.push(fact(BackupType::Monthly, at(6, 1)));
    facts.push(fact(BackupType::Monthly, at(5, 1)));
    assert_eq!(said(at(6, 30), &facts), [""; 0]);
    assert_eq!(suspicions(at(6, 30), &facts), []);
}

#[test]
fn days_and_months_without_a_backup() {
    let month = |month| fact(BackupType::Monthly, at(month, 1));
    let facts = [daily(6, 20), daily(6, 22), daily(6, 26), month(1), month(2), month(4), month(8)];
    let wanted = [
        "no good daily backup from 2025-06-23 to 2025-06-25",
        "no good daily backup on 2025-06-21",
        "no good monthly backup from 2025-05 to 2025-07",
        "no good monthly backup in 2025-03",
    ];
    assert_eq!(said(at(6, 27), &facts[..6]), [wanted[0], wanted[1], wanted[3]]);
    assert_eq!(said(at(8, 2), &facts[3..]), [wanted[2], wanted[3]]);
}

#[test]
fn what_clean_up_removed_is_no_gap() {
    // The drilled one of January stayed; the window of 30 days begins on 1 June.
    let mut facts: Vec<_> = (2..=30).map(|day| daily(6, day)).chain([daily(7, 1)]).collect();
    facts.push(daily(1, 5));
    assert_eq!(said(at(7, 1), &facts), [""; 0]);
    facts.remove(0);
    assert_eq!(said(at(7, 1), &facts), ["no good daily backup on 2025-06-02"]);
}

#[test]
fn an_unverified_backup_fills_no_gap_and_a_claimed_one_does() {
    let mut facts = [daily(6, 20), daily(6, 21), daily(6, 22)];
    facts[1].standing = Standing::Claimed;
    assert_eq!(said(at(6, 22), &facts), [""; 0]);
    facts[1].standing = Standing::Unverified;
    let wanted = [
        "daily/2025-06-21/vault-snapshot-20250621-020000.enc has no manifest that holds",
        "no good daily backup on 2025-06-21",
    ];
    assert_eq!(said(at(6, 22), &facts), wanted);
}

#[test]
fn sudden_changes() {
    let before = daily(6, 20);
    let newest = |change: fn(&mut BackupFacts)| {
        let mut fact = daily(6, 21);
        change(&mut fact);
        let facts = [fact, before.clone()];
        let found = anomalies(at(6, 21), &facts, &Policy::default());
        assert_eq!(suspicions(at(6, 21), &facts), found);
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let (a, b) = ("daily/2025-06-21/vault-snapshot-20250621-020000.enc", before.name.object());
    assert_eq!(newest(|f| f.size = 499), format!("{a} has 499 bytes, less than half of the 1000 bytes of {b}"));
    assert_eq!(newest(|f| f.size = 500), "");
    assert_eq!(newest(|f| f.size = u64::MAX), "");
    assert_eq!(
        newest(|f| f.raft_index = Some(7)),
        format!("{a} has raft index 7, below the {} of {b}", before.raft_index.unwrap())
    );
    assert_eq!(newest(|f| f.raft_index = None), "");
    assert_eq!(newest(|f| f.cluster_id = Some("c2".into())), format!("{a} is of cluster c2, {b} was of c1"));
    let other = newest(|f| (f.cluster_id, f.raft_index) = (Some("c2".into()), Some(7)));
    assert_eq!(other, format!("{a} is of cluster c2, {b} was of c1"), "two clusters' indexes are not compared");
}

#[test]
fn a_monthly_copy_does_not_hide_what_is_odd_about_its_run() {
    let mut copy = fact(BackupType::Monthly, at(7, 1));
    copy.size = 1;
    let facts = [copy.clone(), BackupFacts { name: daily(7, 1).name, ..copy }, daily(6, 30)];
    assert_eq!(suspicions(at(7, 1), &facts).len(), 1);
}

#[test]
fn only_good_ones_are_compared() {
    for standing in [Standing::Claimed, Standing::Unverified] {
        let doubtful = BackupFacts { size: 1, standing, ..daily(6, 21) };
        assert_eq!(suspicions(at(6, 22), &[daily(6, 20), doubtful, daily(6, 22)]), []);
    }
    assert_eq!(suspicions(at(6, 22), &[daily(6, 22)]), []);
}

#[test]
fn the_newest_alone_is_suspected() {
    let facts = [BackupFacts { size: 9_000, ..daily(6, 20) }, daily(6, 21), daily(6, 22)];
    assert_eq!(anomalies(at(6, 22), &facts, &Policy::default()).len(), 1);
    assert_eq!(suspicions(at(6, 22), &facts), []);
}

#[test]
fn names_ahead_are_told_and_not_compared() {
    let facts = [daily(6, 20), BackupFacts { size: 1, ..daily(6, 25) }];
    let wanted = "the name of daily/2025-06-25/vault-snapshot-20250625-020000.enc lies in the future";
    assert_eq!(said(at(6, 20), &facts), [wanted]);
    assert_eq!(suspicions(at(6, 20), &facts), []);
}

#[test]
fn the_older_service_wrote_no_manifests() {
    let older = BackupName::parse("daily/2025-06-19/vault-snapshot-2025-06-19T02-00-00-000Z.enc").unwrap();
    let older = BackupFacts { name: older, standing: Standing::Unverified, ..daily(6, 19) };
    let loose = |day| BackupFacts { standing: Standing::Unverified, ..daily(6, day) };
    let facts = [older, loose(18), daily(6, 20), loose(17)];
    let wanted = "daily/2025-06-18/vault-snapshot-20250618-020000.enc and 1 more have no manifest that holds";
    assert_eq!(said(at(6, 20), &facts), [wanted]);
}
