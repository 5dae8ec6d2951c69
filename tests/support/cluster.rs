//! Several nodes that make one Vault.

use crate::support::process::{PATIENCE, wait_for};
use crate::support::tls::Ca;
use crate::support::vault::{ACTIVE, Builder, STANDBY, Vault};
use serde_json::json;
use std::sync::Arc;

/// A cluster; all its nodes are unsealed and voters when it has started.
pub struct Cluster {
    nodes: Vec<Vault>,
}

impl Cluster {
    /// Starts `count` nodes that speak plain HTTP.
    pub fn start(count: usize) -> Self {
        Self::of(count, None, |builder| builder)
    }

    /// Starts `count` nodes that speak plain HTTP, each one as `adapt` makes it.
    pub fn start_with(count: usize, adapt: impl Fn(Builder) -> Builder) -> Self {
        Self::of(count, None, adapt)
    }

    /// Starts `count` nodes that speak TLS, all by one private CA.
    pub fn start_tls(count: usize) -> Self {
        Self::of(count, Some(&Arc::new(Ca::new())), |builder| builder)
    }

    fn of(count: usize, ca: Option<&Arc<Ca>>, adapt: impl Fn(Builder) -> Builder) -> Self {
        let builder = || match ca {
            Some(ca) => adapt(Vault::builder().tls_by(ca.clone())),
            None => adapt(Vault::builder()),
        };
        let first = builder().start();
        // A joined node votes only after it has been stable for this long; 10 s by default.
        let autopilot = json!({"server_stabilization_time": "1s"});
        first.ok("POST", "sys/storage/raft/autopilot/configuration", Some(autopilot));
        let address = [first.address()];
        let mut nodes = vec![first];
        for _ in 1..count {
            let mut node = builder().join(&address).start();
            node.take_keys_of(&nodes[0]);
            node.wait_for("joining", |node| {
                (node.ok("GET", "sys/seal-status", None)["initialized"] == true).then_some(())
            });
            node.send_shares(nodes[0].enough_shares());
            node.wait_for_health(&[STANDBY]);
            nodes.push(node);
        }
        let cluster = Self { nodes };
        cluster.nodes[0].wait_for("voters", |node| {
            let configuration = node.ok("GET", "sys/storage/raft/configuration", None);
            let servers = configuration["data"]["config"]["servers"].as_array().unwrap();
            (servers.len() == count && servers.iter().all(|server| server["voter"] == true)).then_some(())
        });
        cluster
    }

    /// All nodes, in the order in which they were started, running or not.
    pub fn nodes(&self) -> &[Vault] {
        &self.nodes
    }

    /// The URLs of all nodes.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(Vault::address).collect()
    }

    /// Waits until one running node leads and all others that run follow: the leader.
    pub fn leader(&self) -> &Vault {
        wait_for("a leader", PATIENCE, || {
            let running = || self.nodes.iter().filter(|node| node.is_running());
            let health: Vec<_> = running().map(Vault::health).collect();
            let count = |status| health.iter().filter(|h| **h == Some(status)).count();
            let settled = count(ACTIVE) == 1 && count(STANDBY) == health.len() - 1;
            settled.then(|| running().zip(&health).find(|(_, h)| **h == Some(ACTIVE)).unwrap().0)
        })
    }

    /// The running nodes that follow the leader.
    pub fn standbys(&self) -> Vec<&Vault> {
        let leader = self.leader().node_id();
        self.nodes.iter().filter(|node| node.is_running() && node.node_id() != leader).collect()
    }

    /// Restarts the nodes that do not run, and unseals them.
    pub fn revive(&self) {
        for node in self.nodes.iter().filter(|node| !node.is_running()) {
            node.restart();
            node.send_shares(self.nodes[0].enough_shares());
        }
        self.leader();
    }
}
