//! State of a node that needs no token: `sys/health` and `sys/seal-status`.

use super::Client;
use super::call::Call;
use super::failure::RequestFailure;
use crate::base::error::Result;
use crate::formats::product::{self, ServerVersion};
use chrono::{DateTime, Utc};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use url::Url;

/// `sys/health`.
#[derive(Clone, Debug, Deserialize)]
pub struct Health {
    /// HTTP status: 200 active, 429 standby, 472 and 473 disaster recovery and performance standby, 474 standby without its active node, 501 not
    /// initialised, 503 sealed, 530 removed from the cluster.
    #[serde(skip)]
    pub status: u16,
    /// `true` if the cluster is initialised.
    pub initialized: bool,
    /// `true` if the node is sealed.
    pub sealed: bool,
    /// `true` if another node is the active one.
    pub standby: bool,
    /// Clock of the node, in whole seconds, if it reports it.
    #[serde(default, rename = "server_time_utc", deserialize_with = "unix_seconds")]
    pub server_time: Option<DateTime<Utc>>,
    /// Version of the server, unless the listener redacts it.
    #[serde(default, deserialize_with = "unless_redacted")]
    pub version: Option<String>,
    /// Id of the cluster, unless the node is sealed.
    #[serde(default, deserialize_with = "unless_redacted")]
    pub cluster_id: Option<String>,
    /// Name of the cluster, unless the node is sealed or the listener redacts it.
    #[serde(default, deserialize_with = "unless_redacted")]
    pub cluster_name: Option<String>,
    /// `true` if a standby reaches its leader. Absent on the leader, and before Vault 1.19.
    #[serde(default)]
    pub ha_connection_healthy: Option<bool>,
    /// Present in every response of Vault since 1.17, never in one of OpenBao.
    #[serde(default)]
    enterprise: Option<IgnoredAny>,
}

impl Health {
    /// Returns `true` if this node serves requests itself.
    pub fn is_active(&self) -> bool {
        self.status == 200 && self.initialized && !self.sealed && !self.standby
    }
}

/// `sys/seal-status`.
#[derive(Clone, Debug, Deserialize)]
pub struct SealStatus {
    /// `true` if the node is sealed.
    pub sealed: bool,
    /// `true` if the cluster is initialised.
    pub initialized: bool,
    /// Type of the seal: `shamir`, `awskms`, ….
    #[serde(rename = "type")]
    pub seal_type: String,
    /// `true` if the node unseals itself: then the shares are recovery keys.
    #[serde(default)]
    pub recovery_seal: bool,
    /// Number of shares that unseal it.
    #[serde(rename = "t")]
    pub threshold: u64,
    /// Number of all shares.
    #[serde(rename = "n")]
    pub shares: u64,
    /// Number of shares given so far.
    pub progress: u64,
    /// Id of the attempt that `progress` belongs to.
    #[serde(default)]
    pub nonce: String,
    /// Version of the server.
    pub version: String,
    /// Type of the storage: `raft`, …; unless the listener redacts it.
    #[serde(default, deserialize_with = "unless_redacted")]
    pub storage_type: Option<String>,
    /// Name of the cluster, unless the node is sealed.
    #[serde(default, deserialize_with = "unless_redacted")]
    pub cluster_name: Option<String>,
    /// Id of the cluster, unless the node is sealed.
    #[serde(default, deserialize_with = "unless_redacted")]
    pub cluster_id: Option<String>,
    /// Present in every response of OpenBao since 2.6, never in one of Vault.
    #[serde(default)]
    commit_date: Option<IgnoredAny>,
}

impl SealStatus {
    /// Returns `true` if the node unseals itself, with a key service or a configured key.
    pub fn is_automatic(&self) -> bool {
        self.recovery_seal || self.seal_type != "shamir"
    }
}

/// Node with its state.
#[derive(Clone, Debug)]
pub struct Node {
    /// Address: a configured one, or the one that a standby named.
    pub address: Url,
    /// Response of `sys/health`.
    pub health: Health,
    /// Response of `sys/seal-status`.
    pub seal: SealStatus,
}

impl Node {
    /// Returns the product and version, as far as the node reports them without a token.
    pub fn server(&self) -> ServerVersion {
        let version = self.health.version.as_deref().unwrap_or(&self.seal.version);
        let product = product::detect(self.health.enterprise.is_some(), self.seal.commit_date.is_some(), Some(version));
        ServerVersion::new(product, Some(version))
    }

    /// Returns the id of the cluster from either response.
    pub fn cluster_id(&self) -> Option<&str> {
        self.health.cluster_id.as_deref().or(self.seal.cluster_id.as_deref()).filter(|id| !id.is_empty())
    }
}

impl Client {
    /// Asks the node at `address` for `sys/health`.
    ///
    /// # Errors
    /// `Vault` if there is no response, or it is not from a Vault. No state of a Vault, such as
    /// sealed, is an error.
    pub async fn health(&self, address: &Url) -> Result<Health> {
        let asked = async {
            let answer = self.call(address, Call::get("sys/health").accepting(|_| true)).await?;
            let mut health: Health = answer.parse()?;
            health.status = answer.status;
            Ok(health)
        };
        asked.await.map_err(|f: RequestFailure| f.explain(self, address, "health", None))
    }

    /// Returns the node at `address`, active or not.
    ///
    /// # Errors
    /// As [`Client::health`].
    pub async fn node(&self, address: &Url) -> Result<Node> {
        self.node_with(address, self.health(address).await?).await
    }

    /// Returns the node at `address`, whose `health` is known.
    ///
    /// # Errors
    /// As [`Client::health`].
    pub async fn node_with(&self, address: &Url, health: Health) -> Result<Node> {
        let seal = self.seal_status(address).await?;
        Ok(Node { address: address.clone(), health, seal })
    }

    /// Returns the state of the seal at `address`.
    ///
    /// # Errors
    /// As [`Client::health`].
    pub async fn seal_status(&self, address: &Url) -> Result<SealStatus> {
        let asked = async { self.call(address, Call::get("sys/seal-status")).await?.parse() };
        asked.await.map_err(|f: RequestFailure| f.explain(self, address, "seal status", None))
    }
}

fn unix_seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let seconds = Option::<i64>::deserialize(from)?;
    Ok(seconds.and_then(|s| DateTime::from_timestamp(s, 0)))
}

/// Listeners with `redact_version` or `redact_cluster_name` send empty strings.
fn unless_redacted<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.filter(|text| !text.is_empty()))
}
