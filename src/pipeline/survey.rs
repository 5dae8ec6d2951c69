//! All backups with all checks: the data of `list` and `status`.
//!
//! Not here: `prune`, which reads only the documents that its plan depends on.

use super::catalog::{self, Catalog};
use super::trust::Trust;
use crate::base::error::Result;
use crate::formats::backup::{Backup, BackupStatus, CLOCK_TOLERANCE};
use crate::formats::manifest::Manifest;
use crate::formats::naming::BackupType;
use crate::formats::retention::anomaly::{self, Anomaly};
use crate::formats::retention::{self, Policy, PrunePlan};
use crate::services::store::Store;
use chrono::{DateTime, Utc};

/// All backups.
#[derive(Debug)]
pub(crate) struct Survey {
    /// Time of the survey.
    pub now: DateTime<Utc>,
    /// The backups, newest first, with what a prune now would do.
    pub plan: PrunePlan,
    /// Anything suspicious.
    pub anomalies: Vec<Anomaly>,
    /// Names of manifests and drill records without their object.
    pub orphans: Vec<String>,
    /// Number of foreign objects below `daily/` and `monthly/`.
    pub foreign: usize,
}

/// Lists the store and checks every manifest and drill record.
///
/// # Errors
/// The store's.
pub(crate) async fn survey(store: &dyn Store, trust: &Trust, policy: &Policy, now: DateTime<Utc>) -> Result<Survey> {
    let catalog = Catalog::read(store).await?;
    catalog.warn_of_skipped(store);
    let Catalog { mut backups, orphans, foreign, .. } = catalog;
    catalog::check_all(store, &mut backups, trust).await?;
    let anomalies = anomaly::anomalies(now, &backups, policy);
    let plan = retention::plan(now, backups, policy);
    let orphans = orphans.into_iter().map(|object| object.name).collect();
    Ok(Survey { now, plan, anomalies, orphans, foreign })
}

impl Survey {
    /// Returns all backups, newest first.
    pub(crate) fn backups(&self) -> impl DoubleEndedIterator<Item = &Backup> {
        self.plan.decisions.iter().map(|decision| &decision.backup)
    }

    /// Returns the good backups whose time is not in the future, newest first.
    pub(crate) fn good(&self, of: BackupType) -> impl Iterator<Item = (&Backup, &Manifest)> {
        self.backups()
            .filter(move |b| b.name.backup_type() == of && !b.is_future(self.now))
            .filter_map(|b| b.status.manifest().map(|m| (b, m)))
    }

    /// Returns the sentence for a store without backups.
    pub(crate) fn no_backups(&self, store: &dyn Store) -> String {
        let address = store.locate("");
        let none = format!("no backups in {}; the first run of `backup` creates them", address.trim_end_matches('/'));
        match self.foreign {
            0 => none,
            1 => format!("{none} (1 foreign object: is it the right place?)"),
            n => format!("{none} ({n} foreign objects: is it the right place?)"),
        }
    }

    /// Returns the names of the objects that have a backup's name but no valid manifest,
    /// newest first: an unfinished run left them, or this tool did not make them.
    pub(crate) fn unverified(&self) -> impl Iterator<Item = &str> {
        self.backups().filter(|b| b.status.is_unverified()).map(|b| b.name.object())
    }

    /// Returns the number of backups of another cluster.
    pub(crate) fn of_other_clusters(&self) -> usize {
        self.backups().filter(|b| matches!(b.status, BackupStatus::OtherCluster(..))).count()
    }

    /// Returns the time and backup of the newest restore drill that passed, if any.
    pub(crate) fn newest_drill(&self) -> Option<(DateTime<Utc>, &Backup)> {
        let counted = self.backups().filter(|b| !matches!(b.status, BackupStatus::OtherCluster(..)));
        let drills = counted.filter_map(|b| b.drill.at().map(|at| (at, b)));
        drills.filter(|(at, _)| *at <= self.now + CLOCK_TOLERANCE).max_by_key(|(at, _)| *at)
    }
}
