//! The members of the Raft cluster.

use super::Client;
use super::call::Call;
use super::failure::RequestFailure;
use crate::base::error::Result;
use crate::base::secret::Secret;
use serde::Deserialize;
use url::Url;

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
    /// The members of the Raft cluster.
    ///
    /// # Errors
    /// `Vault`, also where the token may not read them.
    pub async fn raft_configuration(&self, address: &Url, token: &Secret) -> Result<Vec<Peer>> {
        const PATH: &str = "sys/storage/raft/configuration";
        let asked = async { self.call(address, Call::get(PATH).token(token)).await?.parse::<RaftConfiguration>() };
        let answer = asked
            .await
            .map_err(|f: RequestFailure| f.explain(self, address, "raft configuration", Some((PATH, &["read"]))))?;
        Ok(answer.data.config.servers)
    }
}
