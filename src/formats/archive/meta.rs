//! meta.json: Vault's description of a snapshot.

use crate::base::error::{Error, Result};
use serde::{Deserialize, Deserializer};

/// Contents of meta.json: hashicorp/raft's `SnapshotMeta`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Meta {
    /// The last raft index in the snapshot.
    #[serde(rename = "Index")]
    pub index: u64,
    /// The raft term of that index.
    #[serde(rename = "Term")]
    pub term: u64,
    /// Size of state.bin according to the server, in bytes.
    #[serde(rename = "Size")]
    pub size: u64,
    /// The server's name for the snapshot.
    #[serde(rename = "ID")]
    pub id: String,
    /// The version of hashicorp/raft's snapshot format.
    #[serde(rename = "Version")]
    pub version: u64,
    /// The raft peers of the cluster.
    #[serde(rename = "Configuration", default, deserialize_with = "servers")]
    pub peers: Vec<MetaPeer>,
}

/// A raft peer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct MetaPeer {
    /// Its node id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its cluster address: host and port.
    #[serde(rename = "Address")]
    pub address: String,
}

impl Meta {
    pub(super) fn parse(text: &[u8]) -> Result<Self> {
        serde_json::from_slice(text).map_err(|e| Error::integrity("the snapshot's meta.json is malformed").because(e))
    }
}

fn servers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<MetaPeer>, D::Error> {
    #[derive(Deserialize)]
    struct MetaConfiguration {
        #[serde(rename = "Servers")]
        servers: Option<Vec<MetaPeer>>,
    }
    Ok(Option::<MetaConfiguration>::deserialize(deserializer)?.and_then(|c| c.servers).unwrap_or_default())
}
