//! Lists the members of the Raft cluster.

use super::Client;
use super::call::Call;
use super::failure::RequestFailure;
use crate::base::error::Result;
use crate::base::secret::Secret;
use serde::Deserialize;
use url::Url;

/// Member of the Raft cluster, as in `sys/storage/raft/configuration`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Peer {
    /// Node id.
    pub node_id: String,
    /// Cluster address: host and port.
    pub address: String,
    /// `true` if it is the leader.
    pub leader: bool,
    /// `true` if it is a voter.
    pub voter: bool,
}

#[derive(Deserialize)]
struct RaftConfiguration {
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

impl Client {
    /// Lists the members of the Raft cluster.
    ///
    /// # Errors
    /// `Vault`, also if the token may not list them.
    pub async fn raft_configuration(&self, address: &Url, token: &Secret) -> Result<Vec<Peer>> {
        const PATH: &str = "sys/storage/raft/configuration";
        let asked = async { self.call(address, Call::get(PATH).token(token)).await?.parse::<RaftConfiguration>() };
        let answer = asked.await.map_err(|f: RequestFailure| {
            f.explain(self, address, "reading the Raft configuration", Some((PATH, &["read"])))
        })?;
        Ok(answer.data.config.servers)
    }
}
