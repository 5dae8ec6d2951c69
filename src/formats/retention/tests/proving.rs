//! What is asked for before a plan, against buckets where anything may be false.

use super::*;

/// What checking would find.
#[derive(Clone, Debug)]
struct Truth {
    candidate: Candidate,
    standing: Standing,
    passed: bool,
}

impl Truth {
    /// The candidate as the listing shows it: what is there may be false.
    fn listed(&self, drill_key: bool) -> Candidate {
        let Candidate { standing, drill, .. } = self.candidate;
        let drill = match drill {
            Drill::None => Drill::None,
            _ if drill_key => Drill::Claimed,
            _ => Drill::Unprovable,
        };
        let standing = standing.min(Standing::Claimed);
        Candidate { standing, drill, ..self.candidate.clone() }
    }

    fn check_manifest(&self, listed: &mut Candidate) {
        listed.standing = self.standing;
    }

    fn check_drill(&self, listed: &mut Candidate) {
        listed.drill = if self.passed { Drill::Passed } else { Drill::None };
    }
}

/// Does what `pipeline` does: settles what is asked for until nothing is. Returns
/// the candidates then, and how many manifests and drill records were fetched. With
/// `clusters`, the backups of one cluster alone may go.
fn prove(
    now: DateTime<Utc>,
    truth: &[Truth],
    drill_key: bool,
    policy: &Policy,
    clusters: bool,
) -> (Vec<Candidate>, usize, usize) {
    let mut listed: Vec<_> = truth.iter().map(|t| t.listed(drill_key)).collect();
    let (mut manifests, mut drills) = (0, 0);
    loop {
        let mut ask = to_prove(now, &listed, policy);
        if ask.is_empty() && clusters {
            ask = claimed_deletions(&plan(now, listed.clone(), policy));
        }
        if ask.is_empty() {
            return (listed, manifests, drills);
        }
        for (truth, candidate) in truth.iter().zip(&mut listed) {
            if ask.manifests.contains(&candidate.name) {
                assert_eq!(candidate.standing, Standing::Claimed, "asked for what is settled");
                truth.check_manifest(candidate);
                manifests += 1;
            }
            if ask.drills.contains(&candidate.name) {
                assert_eq!(candidate.drill, Drill::Claimed, "asked for what is settled");
                truth.check_drill(candidate);
                drills += 1;
            }
        }
    }
}

/// With `clusters`, some are of another cluster.
fn truths(honest: bool, clusters: bool) -> impl Strategy<Value = Vec<Truth>> {
    (candidates(), vec((any::<bool>(), any::<bool>()), 60)).prop_map(move |(all, flags)| {
        let truth = |(candidate, (good, passed)): (Candidate, (bool, bool))| {
            let standing = match candidate.standing {
                Standing::OtherCluster if clusters => Standing::OtherCluster,
                Standing::Unverified => Standing::Unverified,
                _ if honest || good => Standing::Good,
                _ => Standing::Unverified,
            };
            let passed = candidate.drill != Drill::None && (honest || passed);
            Truth { candidate, standing, passed }
        };
        all.into_iter().zip(flags).map(truth).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn proving_in_part_decides_as_proving_all(
        truth in truths(false, true),
        policy in policy(),
        drill_key: bool,
    ) {
        let (proven, ..) = prove(time(0), &truth, drill_key, &policy, true);
        let all: Vec<_> = truth
            .iter()
            .map(|t| {
                let mut candidate = t.listed(drill_key);
                if candidate.standing == Standing::Claimed {
                    t.check_manifest(&mut candidate);
                }
                if candidate.drill == Drill::Claimed {
                    t.check_drill(&mut candidate);
                }
                candidate
            })
            .collect();
        prop_assert_eq!(deleted(time(0), &proven, &policy), deleted(time(0), &all, &policy));
    }

    #[test]
    fn another_clusters_backup_never_goes(truth in truths(false, true), policy in policy(), drill_key: bool) {
        let (proven, ..) = prove(time(0), &truth, drill_key, &policy, true);
        let gone = deleted(time(0), &proven, &policy);
        for other in truth.iter().filter(|t| t.standing == Standing::OtherCluster) {
            prop_assert!(!gone.contains(&other.candidate.name));
        }
        // Nor does it change what becomes of the others.
        let own: Vec<_> = truth.into_iter().filter(|t| t.standing != Standing::OtherCluster).collect();
        let (proven, ..) = prove(time(0), &own, drill_key, &policy, true);
        prop_assert_eq!(gone, deleted(time(0), &proven, &policy));
    }

    #[test]
    fn false_claims_delete_nothing(truth in truths(false, false), policy in policy()) {
        let now = time(0);
        let (proven, ..) = prove(now, &truth, true, &policy, false);
        let honest: Vec<_> = truth
            .iter()
            .map(|t| {
                let mut candidate = t.candidate.clone();
                t.check_manifest(&mut candidate);
                t.check_drill(&mut candidate);
                candidate
            })
            .collect();
        prop_assert_eq!(deleted(now, &proven, &policy), deleted(now, &honest, &policy));
    }

    #[test]
    fn few_requests_where_claims_are_true(truth in truths(true, false), policy in policy()) {
        let (_, manifests, drills) = prove(time(0), &truth, true, &policy, false);
        let keep: usize = BackupType::ALL.into_iter().map(|kind| policy.keep(kind)).sum();
        // Drills of backups without a manifest are looked through on the way.
        let loose = truth.iter().filter(|t| t.standing != Standing::Good && t.passed).count();
        prop_assert!(manifests <= keep + 1 && drills <= 1 + loose);
    }

    #[test]
    fn nothing_old_needs_no_proof(truth in truths(false, true)) {
        let forever = Policy { daily_days: 4_000, monthly_months: 200, keep_daily: 1, keep_monthly: 1 };
        prop_assert_eq!(prove(time(0), &truth, true, &forever, true).1, 0);
    }
}
