//! 400 simulated days of `backup --prune`, under `faketime`, compared after each run with a
//! model that uses nothing of the tool.

use super::dice::Dice;
use super::lab::faketime;
use super::setting;
use crate::support::place::Place;
use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, TimeZone, Utc};
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

/// Number of days, if FIRE_DAYS does not say otherwise.
const DAYS: usize = 400;

/// A machine: its time zone in POSIX form, when cron starts the run there, and its retention.
struct Machine {
    zone: &'static str,
    /// Local time. It comes twice when summer time ends.
    at: &'static str,
    daily_days: i64,
    keep_daily: usize,
    monthly_months: u32,
    keep_monthly: usize,
}

#[test]
fn days_in_new_york_match_the_model() {
    let defaults = Machine {
        zone: "EST5EDT,M3.2.0,M11.1.0",
        at: "01:30",
        daily_days: 30,
        keep_daily: 30,
        monthly_months: 12,
        keep_monthly: 12,
    };
    simulate(&defaults, 1);
}

#[test]
fn days_in_auckland_match_the_model() {
    // At 02:30, which does not exist when summer time begins.
    let short = Machine {
        zone: "NZST-12NZDT,M9.5.0,M4.1.0/3",
        at: "02:30",
        daily_days: 10,
        keep_daily: 7,
        monthly_months: 3,
        keep_monthly: 2,
    };
    simulate(&short, 2);
}

fn simulate(machine: &Machine, seed: u64) {
    let (place, mut model) = (Place::directory(), Model { machine, daily: Vec::new(), monthly: Vec::new() });
    let (runs, mut deleted) = (schedule(machine, seed), 0);
    for now in &runs {
        let tool = place.tool().envs(faketime()).env("TZ", machine.zone).env("FAKETIME_FMT", "%s");
        let config = format!(
            "[retention]\ndaily_days = {}\nkeep_daily = {}\nmonthly_months = {}\nkeep_monthly = {}\n",
            machine.daily_days, machine.keep_daily, machine.monthly_months, machine.keep_monthly
        );
        std::fs::write(tool.home().join("config.toml"), config).unwrap();
        let tool = tool.env("FAKETIME", now.timestamp().to_string()).args(["--config", "config.toml"]);
        tool.args(["backup", "--prune"]).run().code(0);
        deleted += model.run(*now);
        let names: BTreeSet<_> = place.names().into_iter().collect();
        let expected = model.names();
        let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
        assert_eq!(
            (only(&names, &expected), only(&expected, &names)),
            (vec![], vec![]),
            "at {now}: in the store only, in the model only"
        );
    }
    eprintln!("{}: {} runs, {deleted} backups deleted, as the model says", machine.zone, runs.len());
    assert!(runs.len() < 200 || (deleted > 100 && runs.iter().any(|now| (now.month(), now.day()) == (2, 29))));
}

/// The times of the runs: every night at the local time, except for missed ones, and a few more.
fn schedule(machine: &Machine, seed: u64) -> Vec<DateTime<Utc>> {
    let start = Utc.with_ymd_and_hms(2027, 10, 20, 0, 0, 0).unwrap();
    let days = setting("FIRE_DAYS").unwrap_or(DAYS);
    let halves = (0..days as i64 * 48).map(|half| start + TimeDelta::minutes(30 * half));
    let nights = local_times(machine.zone, halves.collect());
    let mut dice = Dice::new(seed);
    let mut runs = BTreeSet::new();
    for (now, _) in nights.iter().filter(|(_, local)| local == machine.at) {
        let day = (*now - start).num_days();
        // Outages of 12 and 35 days, the second one longer than a month.
        let is_outage = (60..72).contains(&day) || (200..235).contains(&day);
        let is_summer_time_night =
            nights.iter().filter(|(at, local)| local == machine.at && (*now - *at).num_hours().abs() < 2).count() > 1;
        if is_summer_time_night || !(is_outage || dice.percent(6)) {
            runs.insert(*now);
        }
        if dice.percent(4) && !is_outage {
            runs.insert(*now + TimeDelta::seconds(3600 * 5 + 17));
        }
    }
    // The last and the first second of a month.
    for (year, month) in [(2027, 12), (2028, 3), (2028, 11)] {
        let first = Utc.with_ymd_and_hms(year, month, 1, 0, 0, 0).unwrap();
        runs.extend([first - TimeDelta::seconds(1), first]);
    }
    runs.into_iter().filter(|now| *now < start + TimeDelta::days(days as i64)).collect()
}

/// Each time with its local time HH:MM, according to `date`.
fn local_times(zone: &str, times: Vec<DateTime<Utc>>) -> Vec<(DateTime<Utc>, String)> {
    let mut date = Command::new("date");
    date.env("TZ", zone).args(["-f", "-", "+%H:%M"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut date = date.spawn().unwrap();
    let input: String = times.iter().map(|time| format!("@{}\n", time.timestamp())).collect();
    let mut stdin = date.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
    let output = date.wait_with_output().unwrap();
    writer.join().unwrap();
    let local = String::from_utf8(output.stdout).unwrap();
    assert_eq!(local.lines().count(), times.len());
    times.into_iter().zip(local.lines().map(str::to_owned)).collect()
}

/// The rules as docs/operations.md describes them: a monthly copy of the first backup of each month,
/// and deletion of what is older than its window and has enough newer ones of its kind.
struct Model<'a> {
    machine: &'a Machine,
    /// Oldest first.
    daily: Vec<DateTime<Utc>>,
    monthly: Vec<DateTime<Utc>>,
}

impl Model<'_> {
    /// A run; the number of backups that it deletes.
    fn run(&mut self, now: DateTime<Utc>) -> usize {
        self.daily.push(now);
        if !self.monthly.iter().any(|at| (at.year(), at.month()) == (now.year(), now.month())) {
            self.monthly.push(now);
        }
        let machine = self.machine;
        let daily = now - TimeDelta::days(machine.daily_days);
        let monthly = months_before(now, machine.monthly_months);
        expire(&mut self.daily, daily, machine.keep_daily) + expire(&mut self.monthly, monthly, machine.keep_monthly)
    }

    fn names(&self) -> BTreeSet<String> {
        let daily = self.daily.iter().map(|at| at.format("daily/%Y-%m-%d/vault-snapshot-%Y%m%d-%H%M%S.enc"));
        let monthly = self.monthly.iter().map(|at| at.format("monthly/%Y-%m/vault-snapshot-%Y%m%d-%H%M%S.enc"));
        daily.chain(monthly).flat_map(|name| [name.to_string(), format!("{name}.manifest.json")]).collect()
    }
}

/// Removes those from before `window` that have `keep` newer ones; their number.
fn expire(times: &mut Vec<DateTime<Utc>>, window: DateTime<Utc>, keep: usize) -> usize {
    let all = times.len();
    let newer = |index: usize| all - 1 - index;
    let mut index = 0;
    times.retain(|at| {
        let kept = *at >= window || newer(index) < keep;
        index += 1;
        kept
    });
    all - times.len()
}

/// The same day and time so many months before, or the last day of that month.
fn months_before(now: DateTime<Utc>, months: u32) -> DateTime<Utc> {
    let month = now.year() * 12 + now.month0() as i32 - months as i32;
    let date = (1..=now.day()).rev().find_map(|day| NaiveDate::from_ymd_opt(month / 12, month as u32 % 12 + 1, day));
    date.unwrap().and_time(now.time()).and_utc()
}
