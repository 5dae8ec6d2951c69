//! Finds the active node through the configured addresses, and decides which redirects to follow.
//!
//! Only the active node serves snapshots: a standby redirects (307) to its leader. Each address is
//! asked whether it is active, and a standby for its leader.
//!
//! An address may be a load balancer, and the leader's own address may be unreachable. So each round
//! uses new connections, and an address at which an active node responds counts as the leader's:
//! later requests use the connection on which it was active.

use super::call::Call;
use super::failure::RequestFailure;
use super::status::{Health, Node};
use super::{Client, checked_address, shown};
use crate::base::error::{Error, Result};
use serde::Deserialize;
use std::time::{Duration, Instant};
use tracing::debug;
use url::Url;

/// Time limit for an election. With Raft's defaults, an election takes about 12 s.
pub(super) const ELECTION: Duration = Duration::from_secs(30);
/// Polling interval during an election.
pub(super) const POLL: Duration = Duration::from_millis(500);

const LIST_PEERS: &str = "check the cluster: `vault operator raft list-peers`";
const ALL_ADDRESSES: &str = "list the addresses of all nodes, or of a load balancer, in vault.addresses";
const NO_LEADER: &str = "check that a leader is elected (`vault operator raft list-peers`); if the listener has \
     redact_addresses, list the addresses of all nodes, or of a load balancer, in vault.addresses";

/// Failure to find an active node through an address.
struct NoLeader {
    error: Error,
    /// `true` if an election may resolve it.
    temporary: bool,
}

impl From<Error> for NoLeader {
    fn from(error: Error) -> Self {
        NoLeader { error, temporary: false }
    }
}

/// Returns the failure for a state of the node at `address` that an election may change.
fn waiting(address: &Url, why: &str, hint: &str) -> NoLeader {
    NoLeader { error: Error::vault(format!("Vault {}: {why}", shown(address))).hint(hint), temporary: true }
}

impl Client {
    /// Finds the active node through the configured addresses, in their order. Waits for an election,
    /// and for a load balancer to choose the leader.
    ///
    /// # Errors
    /// `Vault` with the reason for each address.
    pub async fn leader(&self) -> Result<Node> {
        let mut begun = Instant::now();
        let mut silent = Vec::new();
        loop {
            self.clients.reconnect()?;
            let (mut misses, known) = (Vec::new(), silent.len());
            for address in &self.settings.addresses {
                match self.active_through(address, &mut silent).await {
                    Ok(node) => return Ok(node),
                    Err(miss) => misses.push(miss),
                }
            }
            if silent.len() > known {
                begun = Instant::now(); // waiting for a response was not waiting for an election
            }
            if !misses.iter().any(|miss| miss.temporary) || begun.elapsed() >= self.election {
                return Err(none_active(misses));
            }
            debug!("no Vault node is active yet; asking again");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Returns the active node at `address`, or at the leader's address that it names. `silent`
    /// collects leaders that did not respond in time: each is asked once per search.
    async fn active_through(&self, address: &Url, silent: &mut Vec<Url>) -> Result<Node, NoLeader> {
        let health = self.health(address).await?;
        if health.is_active() || (self.through_agent && matches!(health.status, 429 | 473)) {
            return Ok(self.node_with(address, health).await?);
        }
        refuse_unusable(address, &health)?;
        if !self.follows {
            return Err(waiting(address, "unsealed, but not active", LIST_PEERS));
        }
        let Some(leader) = self.named_leader(address).await? else {
            return Err(match health.ha_connection_healthy {
                Some(true) => waiting(address, "a standby whose listener redacts the leader's address", ALL_ADDRESSES),
                _ => waiting(address, "a standby that names no leader", NO_LEADER),
            });
        };
        debug!("{} is a standby of {}", shown(address), shown(&leader));
        if silent.contains(&leader) {
            let why = format!("a standby, and its leader {} did not respond in time", shown(&leader));
            return Err(waiting(address, &why, ALL_ADDRESSES));
        }
        let asked = Instant::now();
        let found = self.verified_leader(address, &leader, health.cluster_id.as_deref()).await;
        let longest = self.settings.connect_timeout.min(self.settings.idle_timeout);
        if found.is_err() && asked.elapsed() >= longest {
            silent.push(leader);
        }
        found
    }

    /// Returns the active node at `leader`, the leader according to `from`, a node of cluster
    /// `cluster_id`.
    ///
    /// # Errors
    /// If it must not be followed, does not respond, is not active, or belongs to another cluster.
    async fn verified_leader(&self, from: &Url, leader: &Url, cluster_id: Option<&str>) -> Result<Node, NoLeader> {
        let what = format!("Vault {}: its leader {}", shown(from), shown(leader));
        may_follow(from, leader).map_err(|why| {
            Error::vault(format!("{what}: {why}")).hint("correct api_addr in the leader's configuration")
        })?;
        let health = self.health(leader).await.map_err(|e| NoLeader {
            error: e.context(format!("Vault {} is a standby", shown(from))).hint(ALL_ADDRESSES),
            temporary: true,
        })?;
        if cluster_id.is_none() || health.cluster_id.as_deref() != cluster_id {
            return Err(Error::vault(format!("{what}: it belongs to another cluster")).into());
        }
        if !health.is_active() {
            let error = Error::vault(format!("{what}: it is not active (HTTP {})", health.status))
                .hint("if this is the address of a load balancer, set api_addr on each node to its own address");
            return Err(NoLeader { error, temporary: true });
        }
        Ok(self.node_with(leader, health).await?)
    }

    /// Returns the node to which `from` redirected by `location`, if it may receive the token.
    ///
    /// # Errors
    /// `Standby` if another attempt may find the leader.
    pub(super) async fn redirected(&self, from: &Node, location: &str) -> Result<Node, RequestFailure> {
        let what = format!("Vault {}: the redirect of a standby", shown(&from.address));
        if !self.follows {
            let error = Error::vault(what).hint("wait until the node itself is active: its redirects are not followed");
            return Err(error.into());
        }
        let mut origin = from.address.join(location).map_err(|e| Error::vault(what).because(e))?;
        origin.set_path("");
        origin.set_query(None);
        origin.set_fragment(None);
        let cluster_id = from.health.cluster_id.as_deref();
        self.clients.reconnect()?; // it may be the same load balancer again
        self.verified_leader(&from.address, &origin, cluster_id).await.map_err(|miss| match miss.temporary {
            true => RequestFailure::Standby(miss.error),
            false => RequestFailure::Ours(miss.error),
        })
    }

    /// Asks the node at `address` for the leader's address; `None` if there is no leader, or the
    /// listener redacts addresses.
    async fn named_leader(&self, address: &Url) -> Result<Option<Url>> {
        let asked = async { self.call(address, Call::get("sys/leader")).await?.parse::<Leader>() };
        let named = asked
            .await
            .map_err(|f: RequestFailure| f.explain(self, address, "finding the leader", None))?
            .leader_address;
        match named.as_str() {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|e: url::ParseError| {
                Error::vault(format!("Vault {}: its leader {text:?}", shown(address))).because(e)
            }),
        }
    }
}

#[derive(Deserialize)]
struct Leader {
    #[serde(default)]
    leader_address: String,
}

/// Checks that a token for `from` may be sent to `to`, an address that `from` named.
///
/// # Errors
/// The reason why not.
pub(super) fn may_follow(from: &Url, to: &Url) -> Result<(), String> {
    if from.scheme() == "https" && to.scheme() != "https" {
        return Err("not https, but the configured address is".to_owned());
    }
    if to.scheme() == "unix" {
        return Err("a Unix socket".to_owned());
    }
    checked_address(to).map(drop).map_err(|e| e.to_string())
}

/// Refuses states that an election does not change.
fn refuse_unusable(address: &Url, health: &Health) -> Result<()> {
    let what = |state: &str| Error::vault(format!("Vault {}: {state}", shown(address)));
    match health.status {
        501 => Err(what("it is not initialised")
            .hint("check that this is the right Vault, then initialise it: `vault operator init`")),
        503 => Err(what("it is sealed").hint("unseal it: `vault operator unseal`")),
        472 => {
            Err(what("a disaster recovery secondary does not serve snapshots").hint("set the address of the primary"))
        }
        530 => Err(what("the node was removed from its cluster").hint("remove it from vault.addresses")),
        _ => Ok(()),
    }
}

/// Returns the error for a search without a result.
fn none_active(mut misses: Vec<NoLeader>) -> Error {
    if misses.len() == 1
        && let Some(miss) = misses.pop()
    {
        return miss.error;
    }
    let each: Vec<_> = misses.iter().map(|miss| miss.error.to_string()).collect();
    Error::vault("no active Vault node at any address").because(anyhow::anyhow!(each.join(" | ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_sent_only_to_safe_addresses() {
        let follow = |from: &str, to: &str| may_follow(&from.parse().unwrap(), &to.parse().unwrap());
        assert_eq!(follow("https://a:8200", "https://b:8200"), Ok(()));
        assert_eq!(follow("http://a:8200", "https://b:8200"), Ok(()));
        assert_eq!(follow("http://a:8200", "http://b:8200"), Ok(()));
        for (from, to) in [
            ("https://a:8200", "http://a:8200"),
            ("https://a:8200", "ftp://b"),
            ("http://a:8200", "file:///etc/passwd"),
            ("https://a:8200", "https://user:pw@b:8200"),
            ("https://a:8200", "unix:///run/vault.sock"),
            ("https://a:8200", "https://b:8200/?q"),
        ] {
            let why = follow(from, to).unwrap_err();
            assert!(!why.contains("pw"), "{why}");
        }
    }
}
