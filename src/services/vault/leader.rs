//! Which node is the active one, and where a redirect may lead.
//!
//! Here: the search over the configured addresses, and the one rule for going
//! from an address to one that it names. Not here: what is then asked of the node.
//!
//! Only the active node has the snapshot: a standby answers 307 with its leader's
//! address. So a node is asked whether it is active, and a standby who leads.
//!
//! An address may be that of a load balancer, and the leader's own one out of reach. So
//! each round asks over new connections, and an address that is active for us is the
//! leader's: later requests go over the connection on which it was active.

use super::call::Call;
use super::failure::RequestFailure;
use super::status::{Health, Node};
use super::{Client, checked_address, shown};
use crate::base::error::{Error, Result};
use serde::Deserialize;
use std::time::{Duration, Instant};
use tracing::debug;
use url::Url;

/// How long an election is waited for. With Raft's defaults one takes ~12 s.
pub(super) const ELECTION: Duration = Duration::from_secs(30);
/// How often the nodes are asked meanwhile.
pub(super) const POLL: Duration = Duration::from_millis(500);

const LIST_PEERS: &str = "look at the cluster: vault operator raft list-peers";
const ALL_ADDRESSES: &str = "put every node's own address, or a load balancer's, into vault.addresses";
const NO_LEADER: &str = "either none is elected (vault operator raft list-peers), or the listener has \
     redact_addresses: then put every node's own address, or a load balancer's, into vault.addresses";

/// Why an address led to no active node.
struct NoLeader {
    error: Error,
    /// Whether an election may change it.
    passing: bool,
}

impl From<Error> for NoLeader {
    fn from(error: Error) -> Self {
        NoLeader { error, passing: false }
    }
}

/// A state of the node at `address` that an election may change.
fn waiting(address: &Url, why: &str, hint: &str) -> NoLeader {
    NoLeader { error: Error::vault(format!("Vault {}: {why}", shown(address))).hint(hint), passing: true }
}

impl Client {
    /// Finds the active node through the configured addresses, in their order. An
    /// election is waited for, and so is a load balancer's choice of the leader.
    ///
    /// # Errors
    /// `Vault` with what each address answered.
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
                begun = Instant::now(); // the wait for an answer was no wait for an election
            }
            if !misses.iter().any(|miss| miss.passing) || begun.elapsed() >= self.election {
                return Err(none_active(misses));
            }
            debug!("no Vault node is active yet; asking again");
            tokio::time::sleep(POLL).await;
        }
    }

    /// The active node at `address`, or at the address that it names as the leader's.
    /// `silent` are named leaders that did not answer in time: they are asked once a search.
    async fn active_through(&self, address: &Url, silent: &mut Vec<Url>) -> Result<Node, NoLeader> {
        let health = self.health(address).await?;
        if health.is_active() || (self.through_agent && matches!(health.status, 429 | 473)) {
            return Ok(self.node_with(address, health).await?);
        }
        refuse_unusable(address, &health)?;
        if !self.follows {
            return Err(waiting(address, "it is unsealed, but not active", LIST_PEERS));
        }
        let Some(leader) = self.named_leader(address).await? else {
            return Err(match health.ha_connection_healthy {
                Some(true) => waiting(address, "a standby whose listener redacts its leader's address", ALL_ADDRESSES),
                _ => waiting(address, "a standby that names no leader", NO_LEADER),
            });
        };
        debug!("{} is a standby of {}", shown(address), shown(&leader));
        if silent.contains(&leader) {
            let why = format!("a standby, and its leader {} did not answer in time", shown(&leader));
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

    /// The active node at `leader`, which `from`, a node of cluster `cluster_id`, names.
    ///
    /// # Errors
    /// Where it must not be followed, does not answer, is not active, or is another cluster's.
    async fn verified_leader(&self, from: &Url, leader: &Url, cluster_id: Option<&str>) -> Result<Node, NoLeader> {
        let what = format!("Vault {}: its leader {}", shown(from), shown(leader));
        may_follow(from, leader).map_err(|why| {
            Error::vault(format!("{what}: {why}")).hint("correct api_addr in the leader's configuration")
        })?;
        let health = self.health(leader).await.map_err(|e| NoLeader {
            error: e.context(format!("Vault {} is a standby", shown(from))).hint(ALL_ADDRESSES),
            passing: true,
        })?;
        if cluster_id.is_none() || health.cluster_id.as_deref() != cluster_id {
            return Err(Error::vault(format!("{what}: it belongs to another cluster")).into());
        }
        if !health.is_active() {
            let error = Error::vault(format!("{what}: it is not active (HTTP {})", health.status))
                .hint("if this is a load balancer's address, set api_addr to each node's own");
            return Err(NoLeader { error, passing: true });
        }
        Ok(self.node_with(leader, health).await?)
    }

    /// The node that `from` redirected to by `location`, if it may be trusted with the token.
    ///
    /// # Errors
    /// `Standby` where another attempt may find the leader.
    pub(super) async fn redirected(&self, from: &Node, location: &str) -> Result<Node, RequestFailure> {
        let what = format!("Vault {}: the redirect of a standby", shown(&from.address));
        if !self.follows {
            let error = Error::vault(what).hint("this client is of one node, which must be active itself");
            return Err(error.into());
        }
        let mut origin = from.address.join(location).map_err(|e| Error::vault(what).because(e))?;
        origin.set_path("");
        origin.set_query(None);
        origin.set_fragment(None);
        let cluster_id = from.health.cluster_id.as_deref();
        self.clients.reconnect()?; // it may lead back to the same load balancer
        self.verified_leader(&from.address, &origin, cluster_id).await.map_err(|miss| match miss.passing {
            true => RequestFailure::Standby(miss.error),
            false => RequestFailure::Ours(miss.error),
        })
    }

    /// The leader's address as the node at `address` knows it; `None` where there is no
    /// leader, and where the listener redacts addresses.
    async fn named_leader(&self, address: &Url) -> Result<Option<Url>> {
        let asked = async { self.call(address, Call::get("sys/leader")).await?.parse::<Leader>() };
        let named = asked.await.map_err(|f: RequestFailure| f.explain(self, address, "leader", None))?.leader_address;
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

/// Whether a token may go from `from` to `to`, an address that `from` named.
///
/// # Errors
/// Why not.
pub(super) fn may_follow(from: &Url, to: &Url) -> Result<(), String> {
    if from.scheme() == "https" && to.scheme() != "https" {
        return Err("it is not https, and the configured address is".to_owned());
    }
    if to.scheme() == "unix" {
        return Err("it is a Unix socket".to_owned());
    }
    checked_address(to).map(drop).map_err(|e| e.to_string())
}

/// Refuses the states that no election changes.
fn refuse_unusable(address: &Url, health: &Health) -> Result<()> {
    let what = |state: &str| Error::vault(format!("Vault {}: {state}", shown(address)));
    match health.status {
        501 => Err(what("it is not initialised").hint("is this the right Vault? If so: vault operator init")),
        503 => Err(what("it is sealed").hint("unseal it: vault operator unseal")),
        472 => {
            Err(what("a disaster-recovery secondary, which has no snapshot to give").hint("give the primary's address"))
        }
        530 => Err(what("the node was removed from its cluster").hint("take it out of vault.addresses")),
        _ => Ok(()),
    }
}

/// The error for a search without result.
fn none_active(mut misses: Vec<NoLeader>) -> Error {
    if misses.len() == 1
        && let Some(miss) = misses.pop()
    {
        return miss.error;
    }
    let each: Vec<_> = misses.iter().map(|miss| miss.error.to_string()).collect();
    Error::vault("no address leads to an active Vault node").because(anyhow::anyhow!(each.join(" | ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_token_may_go() {
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
