//! The keys that check a backup's documents, and the cluster that it must be of.

use crate::base::error::{Error, Result};
use crate::formats::crypto::Header;
use crate::formats::manifest::{MacKey, Manifest};

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
}

impl Trust {
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

    /// Warns about a backup of another cluster, for `decrypt` and `inspect`.
    pub fn warn_of_cluster(&self, object: &str, header: Option<&Header>) {
        if let Some(why) = self.differs(header.and_then(|header| header.vault.cluster_id.as_deref())) {
            tracing::warn!("{object}: {why}");
        }
    }

    fn differs(&self, cluster: Option<&str>) -> Option<String> {
        let configured = self.cluster.as_deref()?;
        let cluster = cluster.filter(|id| !id.is_empty() && *id != configured)?;
        Some(format!("it is of cluster {cluster}, vault.cluster_id is {configured}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Kind;

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
