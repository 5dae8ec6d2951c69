//! Every backup with everything that is known of it: what `list` and `status` show.
//!
//! Here: all manifests and drill records, checked, with retention's verdict. Not
//! here: the cheaper look that `prune` takes before it deletes (`prune`).

use super::catalog::{self, Backup, BackupStatus, Catalog, DrillStatus};
use super::trust::Trust;
use crate::base::error::Result;
use crate::formats::manifest::Manifest;
use crate::formats::naming::BackupType;
use crate::formats::retention::anomaly::{self, Anomaly, BackupFacts};
use crate::formats::retention::{self, Candidate, Drill, Policy, Verdict};
use crate::services::store::Store;
use chrono::{DateTime, Utc};

/// One backup.
#[derive(Debug)]
pub struct ListedBackup {
    /// What the listing shows.
    pub backup: Backup,
    /// What its manifest is worth.
    pub standing: BackupStatus,
    /// What its drill record is worth.
    pub drilled: DrillStatus,
    /// What a prune now would do with it.
    pub verdict: Verdict,
}

/// All backups.
#[derive(Debug)]
pub struct Survey {
    /// When it was made.
    pub now: DateTime<Utc>,
    /// Newest first.
    pub backups: Vec<ListedBackup>,
    /// What looks odd.
    pub anomalies: Vec<Anomaly>,
    /// Manifests and drill records without their object.
    pub orphans: usize,
    /// Objects in the two folders that are not ours.
    pub foreign: usize,
}

/// Lists the store and checks every manifest and drill record.
///
/// # Errors
/// The store's.
pub async fn survey(store: &dyn Store, trust: &Trust, policy: &Policy, now: DateTime<Utc>) -> Result<Survey> {
    let catalog = Catalog::read(store).await?;
    let standings = catalog::standings(store, &catalog.backups, trust).await?;
    let mut drills = catalog::drills(store, &catalog.backups, &trust.keys).await?;
    for (drilled, standing) in drills.iter_mut().zip(&standings) {
        drilled.hold_against(standing.authentic());
    }
    let facts: Vec<_> = catalog.backups.iter().zip(&standings).map(|(b, s)| fact(b, s)).collect();
    let candidates = facts.iter().zip(&drills).map(|(fact, drilled)| candidate(fact, drilled)).collect();
    let verdicts = retention::plan(now, candidates, policy).decisions.into_iter().map(|d| d.verdict);
    let anomalies = anomaly::anomalies(now, &facts, policy);
    let known = catalog.backups.into_iter().zip(standings).zip(drills).zip(verdicts);
    let backups = known
        .map(|(((backup, standing), drilled), verdict)| ListedBackup { backup, standing, drilled, verdict })
        .collect();
    Ok(Survey { now, backups, anomalies, orphans: catalog.orphans.len(), foreign: catalog.foreign })
}

/// What `retention` takes of a backup and its checked manifest.
pub fn fact(backup: &Backup, standing: &BackupStatus) -> BackupFacts {
    let vault = standing.manifest().map(|m| &m.vault);
    let worth = match standing {
        BackupStatus::Good(_) => retention::Standing::Good,
        BackupStatus::OtherCluster(..) => retention::Standing::OtherCluster,
        BackupStatus::Unproven => retention::Standing::Claimed,
        BackupStatus::Unverified | BackupStatus::Invalid(_) => retention::Standing::Unverified,
    };
    BackupFacts {
        name: backup.name.clone(),
        size: backup.size,
        standing: worth,
        raft_index: vault.and_then(|v| v.raft_index),
        cluster_id: vault.and_then(|v| v.cluster_id.clone()),
    }
}

fn candidate(fact: &BackupFacts, drilled: &DrillStatus) -> Candidate {
    let drill = match drilled {
        DrillStatus::Passed(_) => Drill::Passed,
        DrillStatus::Unprovable => Drill::Unprovable,
        DrillStatus::Never | DrillStatus::Invalid(_) => Drill::None,
    };
    Candidate { name: fact.name.clone(), size: fact.size, standing: fact.standing, drill }
}

impl Survey {
    /// The backups that are good and whose time is believable, newest first.
    pub fn good(&self, of: BackupType) -> impl Iterator<Item = (&ListedBackup, &Manifest)> {
        self.backups
            .iter()
            .filter(move |s| s.backup.name.backup_type() == of && !s.backup.is_future(self.now))
            .filter_map(|s| s.standing.manifest().map(|m| (s, m)))
    }

    /// The number of backups of another cluster.
    pub fn of_other_clusters(&self) -> usize {
        self.backups.iter().filter(|s| matches!(s.standing, BackupStatus::OtherCluster(..))).count()
    }

    /// The newest passed drill: when, and of which backup.
    pub fn newest_drill(&self) -> Option<(DateTime<Utc>, &ListedBackup)> {
        let counted = self.backups.iter().filter(|s| !matches!(s.standing, BackupStatus::OtherCluster(..)));
        let drills = counted.filter_map(|s| s.drilled.at().map(|at| (at, s)));
        drills.filter(|(at, _)| *at <= self.now + retention::CLOCK_TOLERANCE).max_by_key(|(at, _)| *at)
    }
}
