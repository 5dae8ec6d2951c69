//! The scenarios of the golden plans.

use chrono::{DateTime, Datelike, Months, TimeDelta, TimeZone, Utc};
use vault_backup::formats::backup::{Backup, BackupStatus, DrillStatus};
use vault_backup::formats::manifest::{DrillRecord, Manifest, VaultFacts};
use vault_backup::formats::naming::{BackupName, BackupType};
use vault_backup::formats::retention::{Policy, plan};

pub struct Scenario {
    /// Stem of the golden file.
    pub name: &'static str,
    /// Description in one line.
    pub about: &'static str,
    pub policy: Policy,
    /// Times of the plans, each of all backups.
    pub nows: Vec<DateTime<Utc>>,
    pub backups: Vec<Backup>,
}

pub fn scenarios() -> Vec<Scenario> {
    vec![
        year(),
        year_pruned_daily(),
        stopped(),
        burst(),
        gaps(),
        month_ends(),
        leap_day(),
        drills(),
        without_drill_key(),
        unchecked(),
        hostile(),
        legacy_service(),
        two_clusters(),
    ]
}

fn at(year: i32, month: u32, day: u32, hour: u32, minute: u32, second: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(year, month, day, hour, minute, second).unwrap()
}

/// 02:00 of that day: when backups are made.
fn night(year: i32, month: u32, day: u32) -> DateTime<Utc> {
    at(year, month, day, 2, 0, 0)
}

fn good(kind: BackupType, time: DateTime<Utc>) -> Backup {
    let mut backup = Backup::new(BackupName::new(kind, time), 1_000_000);
    backup.add_manifest();
    backup.status = BackupStatus::Good(manifest(&backup.name));
    backup
}

fn manifest(name: &BackupName) -> Box<Manifest> {
    Box::new(Manifest {
        object: name.object().into(),
        size_bytes: 1_000_000,
        sha256: String::new(),
        plaintext_size_bytes: None,
        plaintext_sha256: None,
        created_at: String::new(),
        backup_type: name.backup_type(),
        key_id: String::new(),
        run_id: None,
        vault: VaultFacts::default(),
        verification: None,
        tool: None,
    })
}

fn passed() -> DrillStatus {
    DrillStatus::Passed(Box::new(DrillRecord {
        object: String::new(),
        sha256: String::new(),
        drilled_at: String::new(),
        mode: String::new(),
        staging_vault: None,
        canary: String::new(),
        canary_compared: None,
        durations_ms: std::collections::BTreeMap::new(),
        tool: String::new(),
    }))
}

/// `count` daily backups, the last at `newest`, `step` apart.
fn dailies(newest: DateTime<Utc>, count: i32, step: TimeDelta) -> Vec<Backup> {
    (0..count).map(|n| good(BackupType::Daily, newest - step * n)).collect()
}

/// `count` monthly backups, the last at `newest`.
fn monthlies(newest: DateTime<Utc>, count: u32) -> Vec<Backup> {
    (0..count).map(|n| good(BackupType::Monthly, newest - Months::new(n))).collect()
}

fn year() -> Scenario {
    Scenario {
        name: "year",
        about: "A year of daily runs, pruned for the first time at its end",
        policy: Policy::default(),
        nows: vec![at(2025, 12, 31, 2, 5, 0)],
        backups: [dailies(night(2025, 12, 31), 365, TimeDelta::days(1)), monthlies(night(2025, 12, 1), 14)].concat(),
    }
}

fn year_pruned_daily() -> Scenario {
    let policy = Policy::default();
    let (first, last) = (night(2024, 1, 1), night(2025, 12, 31));
    let mut backups = Vec::new();
    for day in 0..=(last - first).num_days() {
        let now = first + TimeDelta::days(day);
        backups.push(good(BackupType::Daily, now));
        if now.day() == 1 {
            backups.push(good(BackupType::Monthly, now));
        }
        if day % 7 == 0 {
            backups.last_mut().unwrap().drill = passed();
        }
        if now < last {
            let plan = plan(now + TimeDelta::minutes(5), backups, &policy);
            backups = plan.decisions.into_iter().filter(|d| !d.verdict.is_delete()).map(|d| d.backup).collect();
        }
    }
    Scenario {
        name: "year-pruned-daily",
        about: "The backups left after two years of daily runs, each followed by a prune, with a weekly drill",
        policy,
        nows: vec![last + TimeDelta::minutes(5)],
        backups,
    }
}

fn stopped() -> Scenario {
    Scenario {
        name: "stopped",
        about: "Backups stopped on 1 June: prune continues for a while, then stops by itself",
        policy: Policy::default(),
        nows: vec![at(2025, 6, 2, 2, 5, 0), at(2025, 6, 20, 2, 5, 0), at(2025, 9, 1, 2, 5, 0), at(2027, 9, 1, 2, 5, 0)],
        backups: [dailies(night(2025, 6, 1), 45, TimeDelta::days(1)), monthlies(night(2025, 6, 1), 15)].concat(),
    }
}

fn burst() -> Scenario {
    let before = dailies(night(2025, 3, 31), 10, TimeDelta::days(1));
    let burst = dailies(at(2025, 4, 1, 12, 0, 0), 40, TimeDelta::minutes(5));
    let since = dailies(night(2025, 5, 10), 7, TimeDelta::days(1));
    Scenario {
        name: "burst",
        about: "Forty runs within a few hours, nothing for a month, then daily ones again",
        policy: Policy::default(),
        nows: vec![at(2025, 4, 2, 2, 5, 0), at(2025, 5, 10, 2, 5, 0)],
        backups: [before, burst, since].concat(),
    }
}

fn gaps() -> Scenario {
    Scenario {
        name: "gaps",
        about: "A run every third day: thirty of them reach further back than thirty days",
        policy: Policy::default(),
        nows: vec![at(2025, 6, 30, 2, 5, 0)],
        backups: dailies(night(2025, 6, 30), 40, TimeDelta::days(3)),
    }
}

fn month_ends() -> Scenario {
    let days = [(1, 28), (1, 31), (2, 28), (3, 1), (3, 30), (3, 31), (4, 30)];
    Scenario {
        name: "month-ends",
        about: "A window of one calendar month: 31 March less one month is 28 February",
        policy: Policy { monthly_months: 1, keep_monthly: 1, ..Policy::default() },
        nows: vec![
            at(2025, 2, 28, 2, 5, 0),
            at(2025, 3, 1, 2, 5, 0),
            at(2025, 3, 31, 2, 0, 0),
            at(2025, 3, 31, 2, 5, 0),
            at(2025, 4, 30, 2, 5, 0),
            at(2025, 5, 1, 2, 5, 0),
        ],
        backups: days.map(|(month, day)| good(BackupType::Monthly, night(2025, month, day))).to_vec(),
    }
}

fn leap_day() -> Scenario {
    let days = [(2024, 2, 28), (2024, 2, 29), (2024, 3, 1), (2025, 2, 1)];
    Scenario {
        name: "leap-day",
        about: "A window of twelve calendar months, and backups of 29 February",
        policy: Policy { keep_monthly: 1, ..Policy::default() },
        nows: vec![
            at(2025, 2, 28, 2, 0, 0),
            at(2025, 2, 28, 2, 5, 0),
            at(2025, 3, 1, 2, 0, 0),
            at(2025, 3, 1, 2, 5, 0),
        ],
        backups: days.map(|(year, month, day)| good(BackupType::Monthly, night(year, month, day))).to_vec(),
    }
}

fn drills() -> Scenario {
    let mut backups = dailies(night(2025, 6, 30), 60, TimeDelta::days(1));
    backups[40].drill = DrillStatus::Invalid(String::new());
    backups[42].status = BackupStatus::Unverified;
    for days_ago in [42, 44, 51] {
        backups[days_ago].drill = passed();
    }
    Scenario {
        name: "drills",
        about: "The last drill was long ago: the newest good one that passed is kept, and one without a manifest",
        policy: Policy::default(),
        nows: vec![at(2025, 6, 30, 2, 5, 0)],
        backups,
    }
}

fn without_drill_key() -> Scenario {
    let mut backups = dailies(night(2025, 6, 30), 60, TimeDelta::days(1));
    for days_ago in [40, 44] {
        backups[days_ago].drill = DrillStatus::UnknownKey;
    }
    backups[40].status = BackupStatus::Unverified;
    Scenario {
        name: "without-drill-key",
        about: "Only manifest_key is available: the newest with a drill record is kept, and the newest good one with one",
        policy: Policy::default(),
        nows: vec![at(2025, 6, 30, 2, 5, 0)],
        backups,
    }
}

fn unchecked() -> Scenario {
    let mut backups = dailies(night(2025, 6, 30), 60, TimeDelta::days(1));
    backups.iter_mut().for_each(|b| b.status = BackupStatus::Unchecked);
    Scenario {
        name: "unchecked",
        about: "No manifest was checked: nothing is deleted",
        policy: Policy::default(),
        nows: vec![at(2025, 6, 30, 2, 5, 0)],
        backups,
    }
}

fn hostile() -> Scenario {
    let mut backups = dailies(night(2025, 6, 30), 60, TimeDelta::days(1));
    // Old backups, renamed to today; and names in the near and the far future.
    let mut renamed = dailies(at(2025, 6, 30, 2, 4, 0), 35, TimeDelta::seconds(1));
    renamed.iter_mut().for_each(|b| b.status = BackupStatus::Unverified);
    let future = [at(2025, 6, 30, 2, 15, 0), at(2025, 6, 30, 2, 15, 1), at(2099, 12, 31, 23, 59, 59)];
    backups.extend(renamed);
    backups.extend(future.map(|time| good(BackupType::Daily, time)));
    Scenario {
        name: "hostile",
        about: "Forged and future names: they protect nothing, replace nothing, and push nothing out",
        policy: Policy::default(),
        nows: vec![at(2025, 6, 30, 2, 5, 0)],
        backups,
    }
}

fn legacy_service() -> Scenario {
    let legacy = |kind: BackupType, time: DateTime<Utc>| {
        let name =
            format!("{kind}/{}/vault-snapshot-{}.enc", time.format("%Y-%m-%d"), time.format("%Y-%m-%dT%H-%M-%S-%3fZ"));
        let name = BackupName::parse(&name).unwrap();
        Backup::new(name, 1_000_000)
    };
    let old_daily = (1..=30).map(|n| legacy(BackupType::Daily, night(2025, 5, 1) - TimeDelta::days(n)));
    let old_monthly = (0..12).map(|n| legacy(BackupType::Monthly, night(2025, 4, 1) - Months::new(n)));
    let ours = [dailies(night(2025, 5, 21), 21, TimeDelta::days(1)), monthlies(night(2025, 5, 1), 1)].concat();
    Scenario {
        name: "legacy-service",
        about: "Three weeks after moving from the legacy service, which wrote no manifests",
        policy: Policy::default(),
        nows: vec![at(2025, 5, 21, 2, 5, 0)],
        backups: old_daily.chain(old_monthly).chain(ours).collect(),
    }
}

fn two_clusters() -> Scenario {
    let mut backups = dailies(night(2025, 6, 30), 40, TimeDelta::days(1));
    // An hour later, among and before those of this cluster, one with a drill.
    backups.extend(dailies(night(2025, 5, 26) + TimeDelta::hours(1), 60, TimeDelta::days(1)).into_iter().map(|b| {
        let drill = if b.name.created_at().day() == 20 { passed() } else { DrillStatus::Never };
        let status = BackupStatus::OtherCluster(manifest(&b.name), "another".into());
        Backup { status, drill, ..b }
    }));
    Scenario {
        name: "two-clusters",
        about: "Another cluster's backups among this one's: they are kept and not counted",
        policy: Policy::default(),
        nows: vec![at(2025, 6, 30, 2, 5, 0)],
        backups,
    }
}
