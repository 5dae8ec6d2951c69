//! What a node says of itself without a token: `sys/health` and `sys/seal-status`.
//!
//! Here: the two answers and what they mean. Not here: which node leads (`leader`).

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
    /// The HTTP status: 200 active, 429 standby, 472 and 473 disaster-recovery
    /// and performance standby, 474 standby without its active node, 501 not
    /// initialised, 503 sealed, 530 removed from the cluster.
    #[serde(skip)]
    pub status: u16,
    /// Whether the cluster has been initialised.
    pub initialized: bool,
    /// Whether the node is sealed.
    pub sealed: bool,
    /// Whether another node is the active one.
    pub standby: bool,
    /// The node's clock, to the second.
    #[serde(default, rename = "server_time_utc", deserialize_with = "unix_seconds")]
    pub server_time: Option<DateTime<Utc>>,
    /// The server's version; absent where the listener redacts it.
    #[serde(default, deserialize_with = "unless_redacted")]
    pub version: Option<String>,
    /// The cluster's id; absent while sealed.
    #[serde(default, deserialize_with = "unless_redacted")]
    pub cluster_id: Option<String>,
    /// The cluster's name; absent while sealed, and where the listener redacts it.
    #[serde(default, deserialize_with = "unless_redacted")]
    pub cluster_name: Option<String>,
    /// Whether a standby reaches its leader; absent on the leader, and before Vault 1.19.
    #[serde(default)]
    pub ha_connection_healthy: Option<bool>,
    /// Present in every answer of Vault since 1.17, and in none of OpenBao.
    #[serde(default)]
    enterprise: Option<IgnoredAny>,
}

impl Health {
    /// Whether this node serves requests itself.
    pub fn is_active(&self) -> bool {
        self.status == 200 && self.initialized && !self.sealed && !self.standby
    }
}

/// `sys/seal-status`.
#[derive(Clone, Debug, Deserialize)]
pub struct SealStatus {
    /// Whether the node is sealed.
    pub sealed: bool,
    /// Whether the cluster has been initialised.
    pub initialized: bool,
    /// The seal: `shamir`, `awskms`, ….
    #[serde(rename = "type")]
    pub seal_type: String,
    /// Whether the seal opens by itself, so that the shares are recovery keys.
    #[serde(default)]
    pub recovery_seal: bool,
    /// How many shares open it.
    #[serde(rename = "t")]
    pub threshold: u64,
    /// How many shares there are.
    #[serde(rename = "n")]
    pub shares: u64,
    /// How many shares have been given.
    pub progress: u64,
    /// Which attempt the progress belongs to.
    #[serde(default)]
    pub nonce: String,
    /// Vault's version.
    pub version: String,
    /// The storage: `raft`, ….
    #[serde(default, deserialize_with = "unless_redacted")]
    pub storage_type: Option<String>,
    /// The cluster's name; absent while sealed.
    #[serde(default, deserialize_with = "unless_redacted")]
    pub cluster_name: Option<String>,
    /// The cluster's id; absent while sealed.
    #[serde(default, deserialize_with = "unless_redacted")]
    pub cluster_id: Option<String>,
    /// Present in every answer of OpenBao since 2.6, and in none of Vault.
    #[serde(default)]
    commit_date: Option<IgnoredAny>,
}

impl SealStatus {
    /// Whether the node unseals itself, by a key service or a configured key.
    pub fn is_automatic(&self) -> bool {
        self.recovery_seal || self.seal_type != "shamir"
    }
}

/// A node, with all that it says of itself.
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
    /// Its product and version, as far as it tells them without a token; sealed or not.
    pub fn server(&self) -> ServerVersion {
        let version = self.health.version.as_deref().unwrap_or(&self.seal.version);
        let product = product::detect(self.health.enterprise.is_some(), self.seal.commit_date.is_some(), Some(version));
        ServerVersion::new(product, Some(version))
    }

    /// Its cluster's id, as either answer gave it.
    pub fn cluster_id(&self) -> Option<&str> {
        self.health.cluster_id.as_deref().or(self.seal.cluster_id.as_deref()).filter(|id| !id.is_empty())
    }
}

impl Client {
    /// What the node at `address` says of itself.
    ///
    /// # Errors
    /// `Vault` where nothing answers, or what answers is no Vault. Any state of a
    /// Vault, sealed included, is an answer.
    pub async fn health(&self, address: &Url) -> Result<Health> {
        let asked = async {
            let answer = self.call(address, Call::get("sys/health").accepting(|_| true)).await?;
            let mut health: Health = answer.parse()?;
            health.status = answer.status;
            Ok(health)
        };
        asked.await.map_err(|f: RequestFailure| f.explain(self, address, "health", None))
    }

    /// The node at `address`, active or not.
    ///
    /// # Errors
    /// As [`Client::health`].
    pub async fn node(&self, address: &Url) -> Result<Node> {
        self.node_with(address, self.health(address).await?).await
    }

    /// The node at `address`, which has just answered with `health`.
    ///
    /// # Errors
    /// As [`Client::health`].
    pub async fn node_with(&self, address: &Url, health: Health) -> Result<Node> {
        let seal = self.seal_status(address).await?;
        Ok(Node { address: address.clone(), health, seal })
    }

    /// The state of the seal at `address`.
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
