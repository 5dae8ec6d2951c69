//! Properties that hold for any set of names, any facts and any now.

mod proving;

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// 2024-03-10, so that leap days and month ends are in reach.
const NOW: i64 = 1_710_032_400;

fn time(offset: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(NOW + offset, 0).unwrap()
}

fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![6 => Just(Standing::Good), 1 => Just(Standing::Claimed), 2 => Just(Standing::Unverified),
        1 => Just(Standing::OtherCluster)]
}

fn drill() -> impl Strategy<Value = Drill> {
    prop_oneof![
        8 => Just(Drill::None),
        1 => Just(Drill::Claimed),
        1 => Just(Drill::Unprovable),
        2 => Just(Drill::Passed)
    ]
}

/// Names of both grammars, from 100 days ago to a day ahead, many on one day.
fn name() -> impl Strategy<Value = BackupName> {
    let offset = prop_oneof![
        8 => (-100i64..=1).prop_flat_map(|day| (0i64..3).prop_map(move |hour| day * 86_400 + hour * 3_600)),
        1 => -2_000i64..2_000,
    ];
    (offset, any::<bool>(), 0..5).prop_map(|(offset, monthly, older)| {
        let kind = if monthly { BackupType::Monthly } else { BackupType::Daily };
        if older > 0 {
            return BackupName::new(kind, time(offset));
        }
        let folder = time(offset).format("%Y-%m-%d");
        let stamp = time(offset).format("%Y-%m-%dT%H-%M-%S-000Z");
        BackupName::parse(&format!("{kind}/{folder}/vault-snapshot-{stamp}.enc")).unwrap()
    })
}

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let one =
        (name(), standing(), drill()).prop_map(|(name, standing, drill)| Candidate { name, size: 1, standing, drill });
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

fn deleted(now: DateTime<Utc>, candidates: &[Candidate], policy: &Policy) -> BTreeSet<BackupName> {
    plan(now, candidates.to_vec(), policy).deletions().map(|c| c.name.clone()).collect()
}

fn without(candidates: &[Candidate], gone: &BTreeSet<BackupName>) -> Vec<Candidate> {
    candidates.iter().filter(|c| !gone.contains(&c.name)).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn one_decision_each_newest_first(all in candidates(), policy in policy()) {
        let plan = plan(time(0), all.clone(), &policy);
        let decided: Vec<_> = plan.decisions.into_iter().map(|d| d.candidate).collect();
        prop_assert_eq!(decided, all);
    }

    #[test]
    fn the_guaranteed_number_remains(all in candidates(), policy in policy()) {
        let now = time(0);
        let remain = without(&all, &deleted(now, &all, &policy));
        for kind in BackupType::ALL {
            let good = |list: &[Candidate]| {
                let counts = |c: &&Candidate| {
                    c.name.backup_type() == kind && c.standing == Standing::Good && !is_ahead(now, &c.name)
                };
                list.iter().filter(counts).count()
            };
            prop_assert!(good(&remain) >= good(&all).min(policy.keep(kind)));
        }
    }

    #[test]
    fn what_goes_is_old_and_superseded(all in candidates(), policy in policy()) {
        let now = time(0);
        let gone = deleted(now, &all, &policy);
        let remain = without(&all, &gone);
        for name in &gone {
            let kind = name.backup_type();
            prop_assert!(name.created_at() < policy.window(kind).start(now));
            let newer = |c: &&Candidate| {
                c.name > *name && c.name.backup_type() == kind && c.standing == Standing::Good && !is_ahead(now, &c.name)
            };
            prop_assert!(remain.iter().filter(newer).count() >= policy.keep(kind));
        }
    }

    #[test]
    fn the_newest_ones_stay(all in candidates(), policy in policy()) {
        let now = time(0);
        let gone = deleted(now, &all, &policy);
        let present = || all.iter().filter(|c| !is_ahead(now, &c.name));
        let newest = [
            present().find(|c| c.standing == Standing::Good),
            present().find(|c| c.standing == Standing::Good && c.drill == Drill::Passed),
            present().find(|c| c.drill != Drill::None),
        ];
        for kept in newest.into_iter().flatten().chain(all.iter().filter(|c| is_ahead(now, &c.name))) {
            prop_assert!(!gone.contains(&kept.name));
        }
    }

    #[test]
    fn a_second_run_deletes_nothing_more(all in candidates(), policy in policy()) {
        let remain = without(&all, &deleted(time(0), &all, &policy));
        prop_assert!(deleted(time(0), &remain, &policy).is_empty());
    }

    #[test]
    fn the_order_of_the_listing_does_not_matter(
        (sorted, shuffled) in candidates().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        policy in policy(),
    ) {
        prop_assert_eq!(to_prove(time(0), &sorted, &policy), to_prove(time(0), &shuffled, &policy));
        prop_assert_eq!(plan(time(0), sorted, &policy), plan(time(0), shuffled, &policy));
    }

    #[test]
    fn only_good_ones_and_drills_protect(all in candidates(), policy in policy()) {
        let others: BTreeSet<_> = all
            .iter()
            .filter(|c| c.standing != Standing::Good && c.drill == Drill::None)
            .map(|c| c.name.clone())
            .collect();
        let gone: BTreeSet<_> = deleted(time(0), &all, &policy).difference(&others).cloned().collect();
        prop_assert_eq!(deleted(time(0), &without(&all, &others), &policy), gone);
    }

    #[test]
    fn less_trust_never_deletes_another(mut all in candidates(), policy in policy(), pick: prop::sample::Index) {
        prop_assume!(!all.is_empty());
        let before = deleted(time(0), &all, &policy);
        let index = pick.index(all.len());
        // A drill record of one that is not good still protects it, so it is left alone.
        all[index].standing = Standing::Unverified;
        let doubted = all[index].name.clone();
        let extra: Vec<_> = deleted(time(0), &all, &policy).difference(&before).cloned().collect();
        prop_assert!(extra.iter().all(|name| *name == doubted));
    }

    #[test]
    fn time_and_strictness_only_go_one_way(all in candidates(), policy in policy(), later in 0i64..40 * 86_400) {
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
fn the_tolerance_is_ten_minutes() {
    let name = |seconds| BackupName::new(BackupType::Daily, time(seconds));
    assert!(!is_ahead(time(0), &name(600)) && is_ahead(time(0), &name(601)));
}

#[test]
fn the_weaker_of_two_counts() {
    let name = BackupName::new(BackupType::Daily, time(0));
    let good = Candidate { name, size: 1, standing: Standing::Good, drill: Drill::None };
    let doubtful = Candidate { standing: Standing::Unverified, ..good.clone() };
    for both in [vec![good.clone(), doubtful.clone()], vec![doubtful.clone(), good]] {
        let plan = plan(time(0), both, &Policy::default());
        let decided: Vec<_> = plan.decisions.iter().map(|d| &d.candidate).collect();
        assert_eq!(decided, [&doubtful]);
    }
}
