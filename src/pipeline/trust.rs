//! The keys that check a backup's documents, and the cluster that it must be of.

use crate::base::error::{Error, Result};
use crate::base::text::value;
use crate::formats::crypto::Header;
use crate::formats::manifest::{KeyEnd, MacKey, Manifest, rfc3339};
use chrono::{DateTime, Utc};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The hint for a backup of another cluster.
pub(super) const OTHER_CLUSTER: &str =
    "nothing was touched; choose a backup of that cluster, or correct vault.cluster_id";

/// The conditions that a backup must meet to count.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The keys that check MACs.
    pub keys: Vec<MacKey>,
    /// The only cluster whose backups count, if one is configured.
    pub cluster: Option<String>,
    /// The start of the current key, as far as this run knows it.
    pub rotation: Rotation,
}

/// The part of the answer to "when was the first backup under the current key made?" that a
/// run has read from the store. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Rotation(Arc<Mutex<RotationTimes>>);

#[derive(Debug, Default)]
struct RotationTimes {
    /// The earliest known backup under the current key.
    first: Option<DateTime<Utc>>,
    /// No backup up to this time is under the current key.
    none_until: Option<DateTime<Utc>>,
}

impl Rotation {
    /// Records that a backup of `at` is under the current key.
    pub(super) fn saw(&self, at: DateTime<Utc>) {
        let mut times = self.times();
        times.first = Some(times.first.map_or(at, |first| first.min(at)));
    }

    /// Records that no backup up to `at` is under the current key.
    pub(super) fn saw_none_until(&self, at: DateTime<Utc>) {
        let mut times = self.times();
        times.none_until = times.none_until.max(Some(at));
    }

    /// Returns a time not after `at` at which the current key was already in use, if there is
    /// one. `None` if that is not known yet.
    pub(super) fn by(&self, at: DateTime<Utc>) -> Option<Option<DateTime<Utc>>> {
        let times = self.times();
        match times.first.filter(|first| *first <= at) {
            Some(first) => Some(Some(first)),
            None => times.none_until.is_some_and(|none| at <= none).then_some(None),
        }
    }

    fn times(&self) -> MutexGuard<'_, RotationTimes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trust {
    /// Returns `true` for a manifest under the current key.
    pub(super) fn is_current(&self, manifest: &Manifest) -> bool {
        self.keys.first().is_some_and(|key| key.key_id.as_ref().is_none_or(|id| *id == manifest.key_id))
    }

    /// Returns the reason why a document of `at` under a key with this end does not count, if
    /// there is one. `None` if that depends on backups that were not read yet.
    pub(super) fn ended(&self, end: KeyEnd, at: DateTime<Utc>) -> Option<Option<String>> {
        const AFTER: &str = "under an old key after its end";
        match end {
            KeyEnd::Never => Some(None),
            KeyEnd::At(until) => Some((at >= until).then(|| format!("{AFTER} ({})", rfc3339(until)))),
            KeyEnd::AtRotation => self.rotation.by(at).map(|first| {
                first.map(|first| format!("{AFTER} (a backup of {} is under the current key)", rfc3339(first)))
            }),
        }
    }

    /// Returns the reason why a backup with this header does not count although it may have no
    /// manifest, if it is known: its key is an old one that had ended.
    fn header_ended(&self, header: Option<&Header>) -> Option<String> {
        let header = header?;
        let key = self.keys.iter().find(|key| key.key_id.as_ref() == Some(&header.key_id))?;
        Some(format!("it is {}", self.ended(key.end, header.created_at)??))
    }

    /// Refuses a backup under an old key that is dated after the end of that key.
    ///
    /// # Errors
    /// `Integrity` naming the end.
    pub fn check_key(&self, object: &str, header: Option<&Header>) -> Result<()> {
        match self.header_ended(header) {
            Some(why) => Err(Error::integrity(format!("{object}: {why}"))
                .hint("find out who made it; if it is genuine, correct `until` of that key in encryption.old_keys")),
            None => Ok(()),
        }
    }

    /// Returns `true` if one of the keys is an old one.
    pub fn has_old_keys(&self) -> bool {
        self.keys.iter().any(|key| key.end != KeyEnd::Never)
    }

    /// Warns about a backup under an old key that is dated after the end of that key.
    pub fn warn_of_key(&self, object: &str, header: Option<&Header>) {
        if let Some(why) = self.header_ended(header) {
            tracing::warn!("{object}: {why}");
        }
    }

    /// Warns about a backup that its header excludes, for `decrypt` and `inspect`.
    pub fn warn_of_header(&self, object: &str, header: Option<&Header>) {
        self.warn_of_key(object, header);
        self.warn_of_cluster(object, header);
    }

    /// Returns the reason why an authentic manifest is of another cluster than the
    /// configured one, if it is. A manifest without a cluster may be of any.
    pub fn other_cluster(&self, manifest: &Manifest) -> Option<String> {
        self.differs(manifest.vault.cluster_id.as_deref())
    }

    /// Refuses a backup of another cluster than the configured one. `cluster` is the
    /// one in its header.
    ///
    /// # Errors
    /// `Usage` naming both.
    pub fn check_cluster(&self, object: &str, cluster: Option<&str>) -> Result<()> {
        match self.differs(cluster) {
            Some(why) => Err(Error::usage(format!("{object}: {why}")).hint(OTHER_CLUSTER)),
            None => Ok(()),
        }
    }

    fn warn_of_cluster(&self, object: &str, header: Option<&Header>) {
        if let Some(why) = self.differs(header.and_then(|header| header.vault.cluster_id.as_deref())) {
            tracing::warn!("{object}: {why}");
        }
    }

    fn differs(&self, cluster: Option<&str>) -> Option<String> {
        let configured = self.cluster.as_deref()?;
        let cluster = cluster.filter(|id| !id.is_empty() && *id != configured)?;
        Some(format!("it is of cluster {}, vault.cluster_id is {configured}", value(cluster)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Kind;

    fn day(day: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + chrono::TimeDelta::days(day)
    }

    #[test]
    fn an_old_key_ends_at_its_date_or_at_the_first_backup_under_the_current_key() {
        let trust = Trust::default();
        assert_eq!(trust.ended(KeyEnd::Never, day(9)), Some(None));
        assert_eq!(trust.ended(KeyEnd::At(day(5)), day(4)), Some(None));
        let ended = trust.ended(KeyEnd::At(day(5)), day(5)).unwrap().unwrap();
        assert_eq!(ended, "under an old key after its end (1970-01-06T00:00:00Z)");

        let plain = |at| trust.ended(KeyEnd::AtRotation, at);
        assert_eq!(plain(day(4)), None, "nothing was read");
        trust.rotation.saw_none_until(day(4));
        assert_eq!((plain(day(4)), plain(day(5))), (Some(None), None));
        trust.rotation.saw(day(9));
        trust.clone().rotation.saw(day(7));
        trust.rotation.saw(day(8));
        assert_eq!((plain(day(4)), plain(day(6))), (Some(None), None));
        let ended = plain(day(7)).unwrap().unwrap();
        assert!(ended.contains("a backup of 1970-01-08T00:00:00Z is under the current key"), "{ended}");
        assert!(plain(day(10)).unwrap().is_some());
    }

    #[test]
    fn a_backup_of_another_cluster_is_refused() {
        let trust = |cluster: Option<&str>| Trust { cluster: cluster.map(str::to_owned), ..Trust::default() };
        trust(Some("a")).check_cluster("o", Some("a")).unwrap();
        trust(None).check_cluster("o", Some("a")).unwrap();
        trust(Some("a")).check_cluster("o", None).unwrap();
        let refused = trust(Some("b")).check_cluster("o", Some("a")).unwrap_err();
        assert_eq!(refused.kind(), Kind::Usage);
        assert!(refused.to_string().starts_with("o: it is of cluster a, vault.cluster_id is b"), "{refused}");
    }
}
