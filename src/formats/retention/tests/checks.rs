//! The documents to check before a plan, in buckets where any of them may be forged.

use super::*;

/// The result of checking a backup's documents.
#[derive(Clone, Debug)]
struct Truth {
    backup: Backup,
    status: BackupStatus,
    passed: bool,
}

impl Truth {
    /// Returns the backup as the listing shows it.
    fn listed(&self, drill_key: bool) -> Backup {
        let drill = match self.backup.drill {
            DrillStatus::Never => DrillStatus::Never,
            _ if drill_key => DrillStatus::Unchecked,
            _ => DrillStatus::UnknownKey,
        };
        let status = match self.backup.status {
            BackupStatus::Unverified => BackupStatus::Unverified,
            _ => BackupStatus::Unchecked,
        };
        Backup { status, drill, ..self.backup.clone() }
    }

    fn check_manifest(&self, listed: &mut Backup) {
        listed.status = self.status.clone();
    }

    fn check_drill(&self, listed: &mut Backup) {
        listed.drill = if self.passed { passed() } else { DrillStatus::Never };
    }
}

/// Checks as `pipeline` does, until nothing is left to check. Returns the backups then, and
/// the numbers of manifests and drill records that were read. With `clusters`, only the
/// backups of one cluster may be deleted.
fn check(
    now: DateTime<Utc>,
    truth: &[Truth],
    drill_key: bool,
    policy: &Policy,
    clusters: bool,
) -> (Vec<Backup>, usize, usize) {
    let mut listed: Vec<_> = truth.iter().map(|t| t.listed(drill_key)).collect();
    let (mut manifests, mut drills) = (0, 0);
    loop {
        let mut next = to_check(now, &listed, policy);
        if next.is_empty() && clusters {
            next = unchecked_deletions(&plan(now, listed.clone(), policy));
        }
        if next.is_empty() {
            return (listed, manifests, drills);
        }
        for (truth, backup) in truth.iter().zip(&mut listed) {
            if next.manifests.contains(&backup.name) {
                assert_eq!(backup.status, BackupStatus::Unchecked, "checked twice");
                truth.check_manifest(backup);
                manifests += 1;
            }
            if next.drills.contains(&backup.name) {
                assert_eq!(backup.drill, DrillStatus::Unchecked, "checked twice");
                truth.check_drill(backup);
                drills += 1;
            }
        }
    }
}

/// With `clusters`, some are of another cluster.
fn truths(honest: bool, clusters: bool) -> impl Strategy<Value = Vec<Truth>> {
    (backups(), vec((any::<bool>(), any::<bool>()), 60)).prop_map(move |(all, flags)| {
        let truth = |(backup, (is_good, is_passed)): (Backup, (bool, bool))| {
            let status = match backup.status {
                BackupStatus::OtherCluster(..) if clusters => other_cluster(),
                BackupStatus::Unverified => BackupStatus::Unverified,
                BackupStatus::UnknownKey(_) if !honest => BackupStatus::UnknownKey(None),
                _ if honest || is_good => good(),
                _ => BackupStatus::Invalid(String::new()),
            };
            let passed = backup.drill != DrillStatus::Never && (honest || is_passed);
            Truth { backup, status, passed }
        };
        all.into_iter().zip(flags).map(truth).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn checking_in_part_decides_as_checking_all(
        truth in truths(false, true),
        policy in policy(),
        drill_key: bool,
    ) {
        let (checked, ..) = check(time(0), &truth, drill_key, &policy, true);
        let all: Vec<_> = truth
            .iter()
            .map(|t| {
                let mut backup = t.listed(drill_key);
                if backup.status == BackupStatus::Unchecked {
                    t.check_manifest(&mut backup);
                }
                if backup.drill == DrillStatus::Unchecked {
                    t.check_drill(&mut backup);
                }
                backup
            })
            .collect();
        prop_assert_eq!(deleted(time(0), &checked, &policy), deleted(time(0), &all, &policy));
    }

    #[test]
    fn a_backup_of_another_cluster_is_never_deleted(truth in truths(false, true), policy in policy(), drill_key: bool) {
        let (checked, ..) = check(time(0), &truth, drill_key, &policy, true);
        let gone = deleted(time(0), &checked, &policy);
        let is_other = |t: &Truth| matches!(t.status, BackupStatus::OtherCluster(..));
        for other in truth.iter().filter(|t| is_other(t)) {
            prop_assert!(!gone.contains(&other.backup.name));
        }
        // It does not change the verdicts on the others either.
        let own: Vec<_> = truth.into_iter().filter(|t| !is_other(t)).collect();
        let (checked, ..) = check(time(0), &own, drill_key, &policy, true);
        prop_assert_eq!(gone, deleted(time(0), &checked, &policy));
    }

    #[test]
    fn forged_manifests_delete_nothing(truth in truths(false, false), policy in policy()) {
        let now = time(0);
        let (checked, ..) = check(now, &truth, true, &policy, false);
        let honest: Vec<_> = truth
            .iter()
            .map(|t| {
                let mut backup = t.backup.clone();
                t.check_manifest(&mut backup);
                t.check_drill(&mut backup);
                backup
            })
            .collect();
        prop_assert_eq!(deleted(now, &checked, &policy), deleted(now, &honest, &policy));
    }

    #[test]
    fn few_documents_are_read_if_all_are_valid(truth in truths(true, false), policy in policy()) {
        let (_, manifests, drills) = check(time(0), &truth, true, &policy, false);
        let keep: usize = BackupType::ALL.into_iter().map(|kind| policy.keep(kind)).sum();
        // The drill records of backups without a manifest are read on the way.
        let unverified = truth.iter().filter(|t| !t.status.is_good() && t.passed).count();
        prop_assert!(manifests <= keep + 1 && drills <= 1 + unverified);
    }

    #[test]
    fn nothing_is_checked_if_nothing_is_old(truth in truths(false, true)) {
        let forever = Policy { daily_days: 4_000, monthly_months: 200, keep_daily: 1, keep_monthly: 1 };
        prop_assert_eq!(check(time(0), &truth, true, &forever, true).1, 0);
    }
}
