//! The plan of a restore: backup, target, and the reasons to refuse.

use crate::app::output;
use crate::app::output::lines::Lines;
use crate::base::error::{Error, Result};
use crate::base::text::value;
use crate::formats::manifest::{Manifest, rfc3339};
use crate::formats::product::ServerVersion;
use crate::pipeline::drill::feed::Facts;
use crate::pipeline::drill::guard;
use crate::services::vault::Node;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

/// A comparison of a backup with a target.
pub(super) struct RestorePlan {
    /// The backup's address or path.
    pub(super) backup: String,
    /// The target's cluster name.
    pub(super) target_name: String,
    /// `true` if the target is another cluster than the backup's: then its keys differ, and
    /// only snapshot-force works.
    pub(super) foreign: bool,
    source: ServerVersion,
    target_server: ServerVersion,
    target: String,
    target_peers: usize,
    target_seal: String,
    target_cluster: String,
    source_cluster: String,
    source_name: String,
    source_seal: Option<String>,
    source_peers: usize,
    created_at: Option<DateTime<Utc>>,
    age: Option<String>,
    index: u64,
}

impl RestorePlan {
    pub(super) fn new(
        backup: String,
        facts: &Facts,
        manifest: Option<&Manifest>,
        node: &Node,
        target_peers: usize,
        now: DateTime<Utc>,
    ) -> Self {
        let unknown = || "unknown".to_owned();
        let source = facts.header.as_ref().map(|h| &h.vault);
        let source_cluster = source.and_then(|v| v.cluster_id.clone()).unwrap_or_else(unknown);
        let target_cluster = node.cluster_id().map_or_else(unknown, str::to_owned);
        let created_at = facts.header.as_ref().map(|h| h.created_at);
        let seal = |kind: &str, t: u64, n: u64| format!("{kind}, {t} of {n} shares");
        Self {
            backup,
            target_name: node.health.cluster_name.clone().unwrap_or_else(unknown),
            foreign: source_cluster != target_cluster,
            source: facts.server(),
            target_server: node.server(),
            target: node.address.to_string(),
            target_peers,
            target_seal: seal(&node.seal.seal_type, node.seal.threshold, node.seal.shares),
            target_cluster,
            source_cluster,
            source_name: source.and_then(|v| v.cluster_name.clone()).unwrap_or_else(unknown),
            source_seal: manifest.and_then(|m| {
                let v = &m.vault;
                Some(seal(v.seal_type.as_deref()?, v.seal_threshold?, v.seal_shares?))
            }),
            source_peers: facts.meta.peers.len(),
            created_at,
            age: created_at.map(|at| output::duration((now - at).to_std().unwrap_or_default())),
            index: facts.meta.index,
        }
    }

    /// Refuses a restore that would fail or was not intended.
    ///
    /// # Errors
    /// `Usage`; nothing was changed.
    pub(super) fn refuse_doubts(&self, force: bool) -> Result<()> {
        guard::server(&self.source, &self.target_server, force)?;
        let refuse = |what: String| Err(Error::usage(format!("refused: {what}")));
        match (self.foreign, force) {
            (true, false) => refuse(format!(
                "the backup was taken from cluster {} ({}), the target is {} ({}); nothing was changed",
                self.source_name, self.source_cluster, self.target_name, self.target_cluster
            ))
            .map_err(|e| e.hint("use --force to restore it anyway (the target then needs the source's unseal keys)")),
            (true, true) => self.refuse_several_peers(),
            // Vault itself checks the keys. `force` is used if it was rekeyed.
            (false, _) => Ok(()),
        }
    }

    /// Returns a note on product and version, if any.
    pub(super) fn note(&self) -> Option<String> {
        // A refused restore has no plan to show.
        guard::server(&self.source, &self.target_server, true).ok().flatten()
    }

    /// Refuses a forced restore into a cluster with several nodes.
    ///
    /// # Errors
    /// `Usage`; nothing was changed.
    pub(super) fn refuse_several_peers(&self) -> Result<()> {
        if self.target_peers <= 1 {
            return Ok(());
        }
        let peers = self.target_peers;
        let what = format!(
            "refused: the target has {peers} raft peers, and a forced restore removes nodes from a cluster; nothing was changed"
        );
        Err(Error::usage(what).hint("restore into a single new node, then join the others to it"))
    }

    /// Returns the plan as text.
    pub(super) fn text(&self) -> Lines {
        let mut text = Lines::default();
        let mut row = |name: &str, source: &str, target: &str| {
            let (source, target) = (value(source), value(target));
            let _ = writeln!(text, "{name:<14}{source:<50}  {target}");
        };
        let age = match (&self.created_at, &self.age) {
            (Some(at), Some(age)) => format!("{}, {age} old", rfc3339(*at)),
            _ => "unknown (no header)".to_owned(),
        };
        row("", "BACKUP", "TARGET");
        row("location", &self.backup, &self.target);
        row("created", &age, "all of its data will be replaced");
        row("server", &self.source.to_string(), &self.target_server.to_string());
        row("cluster name", &self.source_name, &self.target_name);
        row("cluster id", &self.source_cluster, &self.target_cluster);
        row("raft index", &self.index.to_string(), "");
        row("raft peers", &self.source_peers.to_string(), &self.target_peers.to_string());
        row("seal", self.source_seal.as_deref().unwrap_or("unknown (no manifest)"), &self.target_seal);
        if let Some(note) = self.note() {
            let _ = writeln!(text, "note: {note}");
        }
        text
    }

    pub(super) fn document(&self) -> Value {
        json!({
            "dry_run": true,
            "backup": self.backup,
            "created_at": self.created_at.map(rfc3339),
            "raft_index": self.index,
            "source": {
                "product": self.source.product,
                "version": self.source.version,
                "cluster_id": self.source_cluster,
                "cluster_name": self.source_name,
                "seal": self.source_seal,
            },
            "target": {
                "address": self.target,
                "product": self.target_server.product,
                "version": self.target_server.version,
                "cluster_id": self.target_cluster,
                "cluster_name": self.target_name,
                "seal": self.target_seal,
                "raft_peers": self.target_peers,
            },
            "forced": self.foreign,
            "note": self.note(),
        })
    }

    /// Returns the next steps for a person, after the restore.
    pub(super) fn next_steps(&self, sealed: bool) -> Lines {
        let mut text = Lines::default();
        let _ = writeln!(text, "Restored: {} -> {}", self.backup, self.target);
        let shares = self.source_seal.as_deref().unwrap_or("the source's seal");
        if sealed {
            let _ = writeln!(
                text,
                "Next: unseal every node of the target with the unseal keys of the backup's cluster ({shares})."
            );
        } else {
            let _ = writeln!(
                text,
                "The target is unsealed and serves the restored data. Nodes that seal themselves need the unseal keys of the backup's cluster ({shares})."
            );
        }
        text.line("Tokens created after the backup and all tokens of the target's old data are invalid: log in again.");
        text.line("Vault now revokes leases that expired since the backup: check the systems behind dynamic secrets.");
        text
    }
}
