//! Which node is the active one, and where a redirect may lead.
//!
//! Here: the search over the configured addresses, and the one rule for going
//! from an address to one that it names. Not here: what is then asked of the node.
//!
//! Only the active node has the snapshot: a standby answers 307 with its leader's
//! address. So a node is asked whether it is active, and a standby who leads.

use super::call::Call;
use super::failure::Failure;
use super::status::{self, Health, SealStatus};
use super::{Client, checked_address, shown};
use crate::error::{Error, Result};
use crate::product::Server;
use crate::secret::Secret;
use serde::Deserialize;
use std::time::{Duration, Instant};
use tracing::debug;
use url::Url;

/// How long an election is waited for. With Raft's defaults one takes ~12 s.
pub(super) const ELECTION: Duration = Duration::from_secs(30);
/// How often the nodes are asked meanwhile.
const POLL: Duration = Duration::from_millis(500);

/// The active node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it is: a configured address, or the one that a standby named.
    pub address: Url,
    /// `sys/health` of it.
    pub health: Health,
    /// `sys/seal-status` of it.
    pub seal: SealStatus,
}

impl Node {
    /// Its product and version, as far as it tells them without a token.
    pub fn server(&self) -> Server {
        status::server(&self.health, &self.seal)
    }

    /// Its cluster's id, as either answer gave it.
    pub fn cluster_id(&self) -> Option<&str> {
        self.health.cluster_id.as_deref().or(self.seal.cluster_id.as_deref()).filter(|id| !id.is_empty())
    }
}

/// A member of the Raft cluster, as `sys/storage/raft/configuration` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Peer {
    /// Its id.
    pub node_id: String,
    /// Its cluster address, host and port.
    pub address: String,
    /// Whether it leads.
    pub leader: bool,
    /// Whether it votes.
    pub voter: bool,
}

/// Why an address led to no active node.
struct Miss {
    error: Error,
    /// Whether an election may change it.
    passing: bool,
}

impl From<Error> for Miss {
    fn from(error: Error) -> Self {
        Miss { error, passing: false }
    }
}

impl Client {
    /// Finds the active node through the configured addresses, in their order. An
    /// election is waited for.
    ///
    /// # Errors
    /// `Vault` with what each address answered.
    pub async fn leader(&self) -> Result<Node> {
        let begun = Instant::now();
        loop {
            let mut misses = Vec::new();
            for address in &self.settings.addresses {
                match self.active_through(address).await {
                    Ok(node) => return Ok(node),
                    Err(miss) => misses.push(miss),
                }
            }
            if !misses.iter().any(|miss| miss.passing) || begun.elapsed() >= self.election {
                return Err(none_active(misses));
            }
            debug!("no Vault node is active yet; asking again");
            tokio::time::sleep(POLL).await;
        }
    }

    /// The members of the Raft cluster.
    ///
    /// # Errors
    /// `Vault`, also where the token may not read them.
    pub async fn raft_configuration(&self, address: &Url, token: &Secret) -> Result<Vec<Peer>> {
        const PATH: &str = "sys/storage/raft/configuration";
        let asked = async { self.call(address, Call::get(PATH).token(token)).await?.parse::<Configuration>() };
        let answer = asked
            .await
            .map_err(|f: Failure| f.explain(self, address, "raft configuration", Some((PATH, &["read"]))))?;
        Ok(answer.data.config.servers)
    }

    /// The active node at `address`, or at the address that it names as the leader's.
    async fn active_through(&self, address: &Url) -> Result<Node, Miss> {
        let health = self.health(address).await?;
        if health.is_active() {
            return Ok(self.node(address.clone(), health).await?);
        }
        refuse_unusable(address, &health)?;
        let waiting = |why: &str| {
            let error = Error::vault(format!("Vault {}: {why}", shown(address)));
            Miss { error: error.hint("look at the cluster: vault operator raft list-peers"), passing: true }
        };
        if !self.follows {
            return Err(waiting("it is unsealed, but not active"));
        }
        let named = self.named_leader(address).await?;
        let leader = named.ok_or_else(|| waiting("a standby that knows no leader"))?;
        debug!("{} is a standby of {}", shown(address), shown(&leader));
        self.verified_leader(address, &leader, health.cluster_id.as_deref()).await
    }

    /// The active node at `leader`, which `from`, a node of cluster `cluster_id`, names.
    ///
    /// # Errors
    /// Where it must not be followed, does not answer, is not active, or is another cluster's.
    async fn verified_leader(&self, from: &Url, leader: &Url, cluster_id: Option<&str>) -> Result<Node, Miss> {
        let what = format!("Vault {}: its leader {}", shown(from), shown(leader));
        may_follow(from, leader).map_err(|why| {
            Error::vault(format!("{what}: {why}")).hint("correct api_addr in the leader's configuration")
        })?;
        let health = self.health(leader).await.map_err(|e| Miss {
            error: e
                .context(format!("Vault {} is a standby", shown(from)))
                .hint("put every node's own address into vault.addresses"),
            passing: true,
        })?;
        if cluster_id.is_none() || health.cluster_id.as_deref() != cluster_id {
            return Err(Error::vault(format!("{what}: it belongs to another cluster")).into());
        }
        if !health.is_active() {
            let error = Error::vault(format!("{what}: it is not active (HTTP {})", health.status))
                .hint("if this is a load balancer's address, set api_addr to each node's own");
            return Err(Miss { error, passing: true });
        }
        Ok(self.node(leader.clone(), health).await?)
    }

    /// The node that `from` redirected to by `location`, if it may be trusted with the token.
    pub(super) async fn redirected(&self, from: &Node, location: &str) -> Result<Node> {
        let what = format!("Vault {}: the redirect of a standby", shown(&from.address));
        if !self.follows {
            return Err(Error::vault(what).hint("this client is of one node, which must be active itself"));
        }
        let mut origin = from.address.join(location).map_err(|e| Error::vault(what).because(e))?;
        origin.set_path("");
        origin.set_query(None);
        origin.set_fragment(None);
        let cluster_id = from.health.cluster_id.as_deref();
        self.verified_leader(&from.address, &origin, cluster_id).await.map_err(|miss| miss.error)
    }

    async fn node(&self, address: Url, health: Health) -> Result<Node> {
        let seal = self.seal_status(&address).await?;
        Ok(Node { address, health, seal })
    }

    /// The leader's address as the node at `address` knows it.
    async fn named_leader(&self, address: &Url) -> Result<Option<Url>> {
        let asked = async { self.call(address, Call::get("sys/leader")).await?.parse::<Leader>() };
        let named = asked.await.map_err(|f: Failure| f.explain(self, address, "leader", None))?.leader_address;
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

#[derive(Deserialize)]
struct Configuration {
    data: ConfigurationData,
}

#[derive(Deserialize)]
struct ConfigurationData {
    config: Servers,
}

#[derive(Deserialize)]
struct Servers {
    servers: Vec<Peer>,
}

/// Whether a token may go from `from` to `to`, an address that `from` named.
///
/// # Errors
/// Why not.
pub(super) fn may_follow(from: &Url, to: &Url) -> Result<(), String> {
    if from.scheme() == "https" && to.scheme() != "https" {
        return Err("it is not https, and the configured address is".to_owned());
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
fn none_active(mut misses: Vec<Miss>) -> Error {
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
            ("https://a:8200", "https://b:8200/path"),
            ("https://a:8200", "https://b:8200/?q"),
        ] {
            let why = follow(from, to).unwrap_err();
            assert!(!why.contains("pw"), "{why}");
        }
    }
}
