//! Reads a secret from a KV engine, version 1 or 2.
//!
//! vaultrs reads secrets too, but does not distinguish a deleted version from a missing secret.

use super::call::Call;
use super::failure::RequestFailure;
use super::{Client, shown};
use crate::base::error::{Error, Result};
use crate::base::secret::Secret;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::fmt;
use url::Url;

/// Content of a path.
pub enum SecretRead {
    /// The secret.
    Found {
        /// Fields.
        data: Map<String, Value>,
        /// Version, if on KV v2.
        version: Option<u64>,
        /// Time at which this version was written, if on KV v2.
        created_time: Option<DateTime<Utc>>,
    },
    /// No secret. On KV v2, also no metadata.
    Missing,
    /// The latest version was deleted (KV v2).
    Deleted {
        /// Version.
        version: u64,
        /// Time of the deletion, if known.
        deletion_time: Option<DateTime<Utc>>,
    },
    /// The latest version was destroyed (KV v2).
    Destroyed {
        /// Version.
        version: u64,
    },
}

impl fmt::Debug for SecretRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretRead::Found { version, created_time, .. } => {
                write!(f, "Found {{ version: {version:?}, created_time: {created_time:?} }}")
            }
            SecretRead::Missing => f.write_str("Missing"),
            SecretRead::Deleted { version, .. } => write!(f, "Deleted {{ version: {version} }}"),
            SecretRead::Destroyed { version } => write!(f, "Destroyed {{ version: {version} }}"),
        }
    }
}

impl Client {
    /// Reads the secret at `path`, in the form of `vault kv get`: `smtp/test-tenant-id/admin`.
    ///
    /// # Errors
    /// `Vault` if it may not be read, or no KV engine is mounted there. Vault does not tell a token
    /// without permissions whether the mount exists.
    pub async fn read_secret(&self, address: &Url, token: &Secret, path: &str) -> Result<SecretRead> {
        let path = path.trim_matches('/');
        let doing = format!("reading {path}");
        let explain =
            |failure: RequestFailure, right: &str| failure.explain(self, address, &doing, Some((right, &["read"])));
        let mount = self.mount(address, token, path).await.map_err(|failure| match failure.status() {
            Some(403) => Error::vault(format!(
                "Vault {}: {doing}: permission denied, or no secrets engine is mounted at this path",
                shown(address)
            ))
            .hint("check the path, and that the policy grants `read` on it"),
            _ => explain(failure, path),
        })?;
        if !matches!(mount.engine.as_str(), "kv" | "generic") {
            let what = format!("Vault {}: {doing}: {} is of type {:?}", shown(address), mount.path, mount.engine);
            return Err(Error::vault(what).hint("give a path in a KV engine, version 1 or 2"));
        }
        let rest = path.strip_prefix(mount.path.trim_end_matches('/')).unwrap_or(path).trim_matches('/');
        let real = if mount.is_v2() { format!("{}data/{rest}", mount.path) } else { path.to_owned() };
        let asked = async {
            let call = Call::get(&real).token(token).namespaced().accepting(|s| matches!(s, 200 | 404));
            let answer = self.call(address, call).await?;
            match (mount.is_v2(), answer.status) {
                (false, 404) => Ok(SecretRead::Missing),
                (false, _) => answer.parse().map(|KvResponse { data }: KvResponse<Map<String, Value>>| found_v1(data)),
                // A deleted version returns 404 with its metadata, a path without a secret returns 404
                // without data.
                (true, _) => answer.parse().map(|Lenient { data }| data.map_or(SecretRead::Missing, found_v2)),
            }
        };
        asked.await.map_err(|failure| explain(failure, &real))
    }

    async fn mount(&self, address: &Url, token: &Secret, path: &str) -> Result<KvMount, RequestFailure> {
        let asked = format!("sys/internal/ui/mounts/{path}");
        let answer = self.call(address, Call::get(&asked).token(token).namespaced()).await?;
        Ok(answer.parse::<KvResponse<KvMount>>()?.data)
    }
}

/// Response with data.
#[derive(Deserialize)]
struct KvResponse<T> {
    data: T,
}

/// Response of KV v2, or `{"errors": []}`.
#[derive(Deserialize)]
struct Lenient {
    #[serde(default)]
    data: Option<KvVersion>,
}

/// `sys/internal/ui/mounts/<path>`.
#[derive(Deserialize)]
struct KvMount {
    /// Path with a slash at its end.
    path: String,
    #[serde(rename = "type")]
    engine: String,
    #[serde(default)]
    options: Option<MountOptions>,
}

#[derive(Deserialize)]
struct MountOptions {
    #[serde(default)]
    version: Option<String>,
}

impl KvMount {
    fn is_v2(&self) -> bool {
        self.options.as_ref().and_then(|o| o.version.as_deref()) == Some("2")
    }
}

/// Version of a KV v2 secret.
#[derive(Deserialize)]
struct KvVersion {
    data: Option<Map<String, Value>>,
    metadata: KvMetadata,
}

#[derive(Deserialize)]
struct KvMetadata {
    version: u64,
    destroyed: bool,
    created_time: String,
    /// Empty unless it is deleted.
    deletion_time: String,
}

fn found_v1(data: Map<String, Value>) -> SecretRead {
    SecretRead::Found { data, version: None, created_time: None }
}

fn found_v2(found: KvVersion) -> SecretRead {
    let version = found.metadata.version;
    match found.data {
        Some(data) => {
            SecretRead::Found { data, version: Some(version), created_time: time(&found.metadata.created_time) }
        }
        None if found.metadata.destroyed => SecretRead::Destroyed { version },
        None => SecretRead::Deleted { version, deletion_time: time(&found.metadata.deletion_time) },
    }
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|t| t.to_utc())
}
