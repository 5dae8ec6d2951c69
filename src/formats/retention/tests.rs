//! Properties of the rules for any set of backups, any status and any time.

mod checks;

use super::*;
use crate::formats::backup::is_ahead;
use crate::formats::manifest::{DrillRecord, Manifest};
use crate::formats::naming::BackupName;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// 2024-03-10: close to a leap day and to month ends.
const NOW: i64 = 1_710_032_400;

fn time(offset: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(NOW + offset, 0).unwrap()
}

fn manifest() -> Box<Manifest> {
    match Backup::good(BackupName::new(BackupType::Daily, time(0))).status {
        BackupStatus::Good(manifest) => manifest,
        status => panic!("{status:?}"),
    }
}

fn good() -> BackupStatus {
    BackupStatus::Good(manifest())
}

fn other_cluster() -> BackupStatus {
    BackupStatus::OtherCluster(manifest(), "another".into())
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

fn status() -> impl Strategy<Value = BackupStatus> {
    prop_oneof![6 => Just(good()), 1 => Just(BackupStatus::Unchecked), 2 => Just(BackupStatus::Unverified),
        1 => Just(other_cluster()), 1 => Just(BackupStatus::UnknownKey(None)),
        1 => Just(BackupStatus::Invalid(String::new()))]
}

fn drill() -> impl Strategy<Value = DrillStatus> {
    prop_oneof![
        8 => Just(DrillStatus::Never),
        1 => Just(DrillStatus::Unchecked),
        1 => Just(DrillStatus::UnknownKey),
        2 => Just(passed())
    ]
}

/// Names of both grammars, from 100 days ago to a day in the future, several on one day.
fn name() -> impl Strategy<Value = BackupName> {
    let offset = prop_oneof![
        8 => (-100i64..=1).prop_flat_map(|day| (0i64..3).prop_map(move |hour| day * 86_400 + hour * 3_600)),
        1 => -2_000i64..2_000,
    ];
    (offset, any::<bool>(), 0..5).prop_map(|(offset, monthly, legacy)| {
        let kind = if monthly { BackupType::Monthly } else { BackupType::Daily };
        if legacy > 0 {
            return BackupName::new(kind, time(offset));
        }
        let day = time(offset).format("%Y-%m-%d");
        let stamp = time(offset).format("%Y-%m-%dT%H-%M-%S-000Z");
        BackupName::parse(&format!("{kind}/{day}/vault-snapshot-{stamp}.enc")).unwrap()
    })
}

fn backups() -> impl Strategy<Value = Vec<Backup>> {
    let one =
        (name(), status(), drill()).prop_map(|(name, status, drill)| Backup { status, drill, ..Backup::new(name, 1) });
    vec(one, 0..60).prop_map(|mut all| {
        newest_first(&mut all);
        all
    })
}

fn policy() -> impl Strategy<Value = Policy> {
    (0u32..40, 0u32..4, 0u32..12, 0u32..6).prop_map(|(daily_days, monthly_months, keep_daily, keep_monthly)| Policy {
        daily_days,
        monthly_months,
        keep_daily,
        keep_monthly,
    })
}

fn deleted(now: DateTime<Utc>, backups: &[Backup], policy: &Policy) -> BTreeSet<BackupName> {
    plan(now, backups.to_vec(), policy).deletions().map(|b| b.name.clone()).collect()
}

fn without(backups: &[Backup], gone: &BTreeSet<BackupName>) -> Vec<Backup> {
    backups.iter().filter(|b| !gone.contains(&b.name)).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_plan_has_one_decision_for_each_backup_newest_first(all in backups(), policy in policy()) {
        let plan = plan(time(0), all.clone(), &policy);
        let decided: Vec<_> = plan.decisions.into_iter().map(|d| d.backup).collect();
        prop_assert_eq!(decided, all);
    }

    #[test]
    fn the_minimum_number_of_good_backups_remains(all in backups(), policy in policy()) {
        let now = time(0);
        let remain = without(&all, &deleted(now, &all, &policy));
        for kind in BackupType::ALL {
            let good = |list: &[Backup]| {
                let counts = |c: &&Backup| {
                    c.name.backup_type() == kind && c.status.is_good() && !is_ahead(now, &c.name)
                };
                list.iter().filter(counts).count()
            };
            prop_assert!(good(&remain) >= good(&all).min(policy.keep(kind)));
        }
    }

    #[test]
    fn deleted_backups_are_old_and_enough_newer_good_ones_remain(all in backups(), policy in policy()) {
        let now = time(0);
        let gone = deleted(now, &all, &policy);
        let remain = without(&all, &gone);
        for name in &gone {
            let kind = name.backup_type();
            prop_assert!(name.created_at() < policy.window(kind).start(now));
            let newer = |c: &&Backup| {
                c.name > *name && c.name.backup_type() == kind && c.status.is_good() && !is_ahead(now, &c.name)
            };
            prop_assert!(remain.iter().filter(newer).count() >= policy.keep(kind));
        }
    }

    #[test]
    fn the_newest_good_and_drilled_backups_are_kept(all in backups(), policy in policy()) {
        let now = time(0);
        let gone = deleted(now, &all, &policy);
        let present = || all.iter().filter(|c| !is_ahead(now, &c.name));
        let newest = [
            present().find(|c| c.status.is_good()),
            present().find(|c| c.status.is_good() && c.drill == passed()),
            present().find(|c| c.drill != DrillStatus::Never),
        ];
        for kept in newest.into_iter().flatten().chain(all.iter().filter(|c| is_ahead(now, &c.name))) {
            prop_assert!(!gone.contains(&kept.name));
        }
    }

    #[test]
    fn a_second_prune_deletes_nothing_more(all in backups(), policy in policy()) {
        let remain = without(&all, &deleted(time(0), &all, &policy));
        prop_assert!(deleted(time(0), &remain, &policy).is_empty());
    }

    #[test]
    fn the_order_of_the_listing_does_not_matter(
        (sorted, shuffled) in backups().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        policy in policy(),
    ) {
        prop_assert_eq!(to_check(time(0), &sorted, &policy), to_check(time(0), &shuffled, &policy));
        prop_assert_eq!(plan(time(0), sorted, &policy), plan(time(0), shuffled, &policy));
    }

    #[test]
    fn only_good_and_drilled_backups_protect(all in backups(), policy in policy()) {
        let others: BTreeSet<_> = all
            .iter()
            .filter(|c| !c.status.is_good() && c.drill == DrillStatus::Never)
            .map(|c| c.name.clone())
            .collect();
        let gone: BTreeSet<_> = deleted(time(0), &all, &policy).difference(&others).cloned().collect();
        prop_assert_eq!(deleted(time(0), &without(&all, &others), &policy), gone);
    }

    #[test]
    fn a_weaker_status_never_deletes_another_backup(mut all in backups(), policy in policy(), pick: prop::sample::Index) {
        prop_assume!(!all.is_empty());
        let before = deleted(time(0), &all, &policy);
        let index = pick.index(all.len());
        // The drill record of a backup that is not good still protects it, so it stays.
        let was = std::mem::replace(&mut all[index].status, BackupStatus::Unverified);
        let weakened = all[index].name.clone();
        let extra: Vec<_> = deleted(time(0), &all, &policy).difference(&before).cloned().collect();
        if was == other_cluster() {
            // Without its manifest, a backup of another cluster looks like one of ours, so its
            // drill record may be the newest. That costs no good backup its protection.
            let good = |name: &BackupName| all.iter().any(|b| b.name == *name && b.status.is_good());
            prop_assert!(!extra.iter().any(good));
        } else {
            prop_assert!(extra.iter().all(|name| *name == weakened));
        }
    }

    #[test]
    fn a_later_time_deletes_more_and_a_stricter_policy_less(all in backups(), policy in policy(), later in 0i64..40 * 86_400) {
        let gone = deleted(time(0), &all, &policy);
        prop_assert!(gone.is_subset(&deleted(time(later), &all, &policy)));
        for stricter in [
            Policy { daily_days: policy.daily_days + 1, ..policy },
            Policy { monthly_months: policy.monthly_months + 1, ..policy },
            Policy { keep_daily: policy.keep_daily + 1, ..policy },
            Policy { keep_monthly: policy.keep_monthly + 1, ..policy },
        ] {
            prop_assert!(deleted(time(0), &all, &stricter).is_subset(&gone));
        }
    }
}

#[test]
fn a_name_is_in_the_future_after_ten_minutes() {
    let name = |seconds| BackupName::new(BackupType::Daily, time(seconds));
    assert!(!is_ahead(time(0), &name(600)) && is_ahead(time(0), &name(601)));
}

#[test]
fn the_weaker_status_of_a_duplicate_name_counts() {
    let name = BackupName::new(BackupType::Daily, time(0));
    let good = Backup::good(name.clone());
    let unverified = Backup::new(name, 1);
    for both in [vec![good.clone(), unverified.clone()], vec![unverified.clone(), good]] {
        let plan = plan(time(0), both, &Policy::default());
        let decided: Vec<_> = plan.decisions.iter().map(|d| &d.backup).collect();
        assert_eq!(decided, [&unverified]);
    }
}
