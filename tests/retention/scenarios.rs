//! The situations that the golden plans show.

use chrono::{DateTime, Datelike, Months, TimeDelta, TimeZone, Utc};
use vault_backup::formats::naming::{BackupName, BackupType};
use vault_backup::formats::retention::{Candidate, Drill, Policy, Standing, plan};

pub struct Scenario {
    /// The golden file's stem.
    pub name: &'static str,
    /// One line on what it shows.
    pub about: &'static str,
    pub policy: Policy,
    /// The plan is made at each of these times, always of all candidates.
    pub nows: Vec<DateTime<Utc>>,
    pub candidates: Vec<Candidate>,
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
        unproven(),
        hostile(),
        older_service(),
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

fn good(kind: BackupType, time: DateTime<Utc>) -> Candidate {
    Candidate { name: BackupName::new(kind, time), size: 1_000_000, standing: Standing::Good, drill: Drill::None }
}

/// `count` daily backups, the last at `newest`, `step` apart.
fn dailies(newest: DateTime<Utc>, count: i32, step: TimeDelta) -> Vec<Candidate> {
    (0..count).map(|n| good(BackupType::Daily, newest - step * n)).collect()
}

/// `count` monthly backups, the last at `newest`.
fn monthlies(newest: DateTime<Utc>, count: u32) -> Vec<Candidate> {
    (0..count).map(|n| good(BackupType::Monthly, newest - Months::new(n))).collect()
}

fn year() -> Scenario {
    Scenario {
        name: "year",
        about: "A year of daily runs, pruned for the first time at its end",
        policy: Policy::default(),
        nows: vec![at(2025, 12, 31, 2, 5, 0)],
        candidates: [dailies(night(2025, 12, 31), 365, TimeDelta::days(1)), monthlies(night(2025, 12, 1), 14)].concat(),
    }
}

fn year_pruned_daily() -> Scenario {
    let policy = Policy::default();
    let (first, last) = (night(2024, 1, 1), night(2025, 12, 31));
    let mut candidates = Vec::new();
    for day in 0..=(last - first).num_days() {
        let now = first + TimeDelta::days(day);
        candidates.push(good(BackupType::Daily, now));
        if now.day() == 1 {
            candidates.push(good(BackupType::Monthly, now));
        }
        if day % 7 == 0 {
            candidates.last_mut().unwrap().drill = Drill::Passed;
        }
        if now < last {
            let plan = plan(now + TimeDelta::minutes(5), candidates, &policy);
            candidates = plan.decisions.into_iter().filter(|d| !d.verdict.is_delete()).map(|d| d.candidate).collect();
        }
    }
    Scenario {
        name: "year-pruned-daily",
        about: "What is left after two years of daily runs, each followed by a prune, with a drill a week",
        policy,
        nows: vec![last + TimeDelta::minutes(5)],
        candidates,
    }
}

fn stopped() -> Scenario {
    Scenario {
        name: "stopped",
        about: "Backups stopped on 1 June: clean-up goes on for a while, then stops by itself",
        policy: Policy::default(),
        nows: vec![at(2025, 6, 2, 2, 5, 0), at(2025, 6, 20, 2, 5, 0), at(2025, 9, 1, 2, 5, 0), at(2027, 9, 1, 2, 5, 0)],
        candidates: [dailies(night(2025, 6, 1), 45, TimeDelta::days(1)), monthlies(night(2025, 6, 1), 15)].concat(),
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
        candidates: [before, burst, since].concat(),
    }
}

fn gaps() -> Scenario {
    Scenario {
        name: "gaps",
        about: "A run every third day: thirty of them reach further back than thirty days",
        policy: Policy::default(),
        nows: vec![at(2025, 6, 30, 2, 5, 0)],
        candidates: dailies(night(2025, 6, 30), 40, TimeDelta::days(3)),
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
        candidates: days.map(|(month, day)| good(BackupType::Monthly, night(2025, month, day))).to_vec(),
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
        candidates: days.map(|(year, month, day)| good(BackupType::Monthly, night(year, month, day))).to_vec(),
    }
}

fn drills() -> Scenario {
    let mut candidates = dailies(night(2025, 6, 30), 60, TimeDelta::days(1));
    for (days_ago, standing, drill) in [
        (40, Standing::Good, Drill::None), // its record turned out to be false
        (42, Standing::Unverified, Drill::Passed),
        (44, Standing::Good, Drill::Passed),
        (51, Standing::Good, Drill::Passed),
    ] {
        (candidates[days_ago].standing, candidates[days_ago].drill) = (standing, drill);
    }
    Scenario {
        name: "drills",
        about: "The last drill was long ago: the newest good one that passed stays, and one without a manifest",
        policy: Policy::default(),
        nows: vec![at(2025, 6, 30, 2, 5, 0)],
        candidates,
    }
}

fn without_drill_key() -> Scenario {
    let mut candidates = dailies(night(2025, 6, 30), 60, TimeDelta::days(1));
    for days_ago in [40, 44] {
        candidates[days_ago].drill = Drill::Unprovable;
    }
    candidates[40].standing = Standing::Unverified;
    Scenario {
        name: "without-drill-key",
        about: "Only manifest_key is at hand: the newest with a drill record stays, and the newest good one with one",
        policy: Policy::default(),
        nows: vec![at(2025, 6, 30, 2, 5, 0)],
        candidates,
    }
}

fn unproven() -> Scenario {
    let mut candidates = dailies(night(2025, 6, 30), 60, TimeDelta::days(1));
    candidates.iter_mut().for_each(|c| c.standing = Standing::Claimed);
    Scenario {
        name: "unproven",
        about: "No manifest has been checked (no key at hand): nothing goes",
        policy: Policy::default(),
        nows: vec![at(2025, 6, 30, 2, 5, 0)],
        candidates,
    }
}

fn hostile() -> Scenario {
    let mut candidates = dailies(night(2025, 6, 30), 60, TimeDelta::days(1));
    // Old backups, renamed to today; and names from the future, by a little and by much.
    let mut renamed = dailies(at(2025, 6, 30, 2, 4, 0), 35, TimeDelta::seconds(1));
    renamed.iter_mut().for_each(|c| c.standing = Standing::Unverified);
    let future = [at(2025, 6, 30, 2, 15, 0), at(2025, 6, 30, 2, 15, 1), at(2099, 12, 31, 23, 59, 59)];
    candidates.extend(renamed);
    candidates.extend(future.map(|time| good(BackupType::Daily, time)));
    Scenario {
        name: "hostile",
        about: "Forged and future names: they protect nothing, replace nothing, and push nothing out",
        policy: Policy::default(),
        nows: vec![at(2025, 6, 30, 2, 5, 0)],
        candidates,
    }
}

fn older_service() -> Scenario {
    let older = |kind: BackupType, time: DateTime<Utc>| {
        let name =
            format!("{kind}/{}/vault-snapshot-{}.enc", time.format("%Y-%m-%d"), time.format("%Y-%m-%dT%H-%M-%S-%3fZ"));
        let name = BackupName::parse(&name).unwrap();
        Candidate { name, size: 1_000_000, standing: Standing::Unverified, drill: Drill::None }
    };
    let old_daily = (1..=30).map(|n| older(BackupType::Daily, night(2025, 5, 1) - TimeDelta::days(n)));
    let old_monthly = (0..12).map(|n| older(BackupType::Monthly, night(2025, 4, 1) - Months::new(n)));
    let ours = [dailies(night(2025, 5, 21), 21, TimeDelta::days(1)), monthlies(night(2025, 5, 1), 1)].concat();
    Scenario {
        name: "older-service",
        about: "Three weeks after moving from the older service, which wrote no manifests",
        policy: Policy::default(),
        nows: vec![at(2025, 5, 21, 2, 5, 0)],
        candidates: old_daily.chain(old_monthly).chain(ours).collect(),
    }
}

fn two_clusters() -> Scenario {
    let mut candidates = dailies(night(2025, 6, 30), 40, TimeDelta::days(1));
    // At an hour of their own, among and before those of this cluster, one with a drill.
    candidates.extend(dailies(night(2025, 5, 26) + TimeDelta::hours(1), 60, TimeDelta::days(1)).into_iter().map(|c| {
        let drill = if c.name.created_at().day() == 20 { Drill::Passed } else { Drill::None };
        Candidate { standing: Standing::OtherCluster, drill, ..c }
    }));
    Scenario {
        name: "two-clusters",
        about: "Another cluster's backups among this one's: they stay, and are not counted",
        policy: Policy::default(),
        nows: vec![at(2025, 6, 30, 2, 5, 0)],
        candidates,
    }
}
