//! The conditions that a backup must meet to count: the keys that check its documents,
//! and the cluster that it must be of.

use crate::base::error::{Error, Result};
use crate::formats::crypto::Header;
use crate::formats::manifest::{MacKey, Manifest};

/// The hint for a backup of another cluster.
pub(super) const OTHER_CLUSTER: &str =
    "nothing was touched; choose a backup of that cluster, or correct vault.cluster_id";

/// Keys, and `vault.cluster_id`.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The keys that check MACs.
    pub keys: Vec<MacKey>,
    /// The only cluster whose backups count, if one is configured.
    pub cluster: Option<String>,
}

impl Trust {
    /// The reason why an authentic manifest is of another cluster than the configured
    /// one; none if it is not. A manifest that names no cluster may be of any.
    pub fn other_cluster(&self, manifest: &Manifest) -> Option<String> {
        self.differs(manifest.vault.cluster_id.as_deref())
    }

    /// Refuses a backup of another cluster than the configured one; `cluster` is the
    /// one that its header names.
    ///
    /// # Errors
    /// `Usage` naming both.
    pub fn check_cluster(&self, object: &str, cluster: Option<&str>) -> Result<()> {
        match self.differs(cluster) {
            Some(why) => Err(Error::usage(format!("{object}: {why}")).hint(OTHER_CLUSTER)),
            None => Ok(()),
        }
    }

    /// For `decrypt` and `inspect`: says that a backup is of another cluster, and goes on.
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
    fn another_cluster_is_refused_where_one_is_configured() {
        let trust = |cluster: Option<&str>| Trust { cluster: cluster.map(str::to_owned), ..Trust::default() };
        trust(Some("a")).check_cluster("o", Some("a")).unwrap();
        trust(None).check_cluster("o", Some("a")).unwrap();
        trust(Some("a")).check_cluster("o", None).unwrap();
        let refused = trust(Some("b")).check_cluster("o", Some("a")).unwrap_err();
        assert_eq!(refused.kind(), Kind::Usage);
        assert!(refused.to_string().starts_with("o: it is of cluster a, vault.cluster_id is b"), "{refused}");
    }
}
