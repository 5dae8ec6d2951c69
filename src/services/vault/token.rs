//! Looks up, creates and revokes tokens, and reads their capabilities. Not here: logging in (`login`).

use super::call::{Call, retried};
use super::failure::RequestFailure;
use super::{Client, shown};
use crate::base::error::{Error, Result};
use crate::base::secret::Secret;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;
use vaultrs::api::EndpointResult;
use vaultrs::api::token::requests::{CreateTokenRequest, LookupTokenSelfRequest, RevokeTokenSelfRequest};
use vaultrs::api::token::responses::LookupTokenResponse;

/// Capabilities of a token by path; `deny` for none.
pub type Capabilities = BTreeMap<String, Vec<String>>;

/// Properties of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInfo {
    /// All policies, including those of the identity.
    pub policies: Vec<String>,
    /// Remaining TTL, if it expires.
    pub ttl: Option<Duration>,
}

impl Client {
    /// Looks up `token`.
    ///
    /// # Errors
    /// `Vault`, also if the token is no longer valid.
    pub async fn lookup_self(&self, address: &Url, token: &Secret) -> Result<TokenInfo> {
        let found = self.lookup(address, token, true).await;
        let found = found.map_err(|f| f.explain(self, address, "looking up the token", Some((LOOKUP, &["read"]))))?;
        let mut policies = found.policies;
        policies.extend(found.identity_policies.unwrap_or_default());
        policies.sort();
        policies.dedup();
        let ttl = found.expire_time.is_some().then(|| Duration::from_secs(found.ttl));
        Ok(TokenInfo { policies, ttl })
    }

    /// Returns `true` if `token`, created by [`Client::create_token`], is still valid. Asks only an
    /// active node: others would forward the request, and one that was just restored would forward it
    /// to its source (see [`Client::single_node`]).
    ///
    /// # Errors
    /// `Vault` if the node is not active, or does not respond.
    pub async fn token_alive(&self, address: &Url, token: &Secret) -> Result<bool> {
        let health = self.health(address).await?;
        if !health.is_active() {
            let what = format!("Vault {}: not active (HTTP {})", shown(address), health.status);
            return Err(Error::vault(what).hint("unseal it, or wait until it is active"));
        }
        match self.lookup(address, token, false).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.status() == Some(403) => Ok(false),
            Err(failure) => Err(failure.explain(self, address, "looking up the token", None)),
        }
    }

    /// Creates a token of the root namespace with only the policy `default` and the TTL `ttl`. A restore
    /// of another state must invalidate it.
    ///
    /// # Errors
    /// `Vault`, also if `token` may not create tokens.
    pub async fn create_token(&self, address: &Url, token: &Secret, ttl: Duration) -> Result<Secret> {
        // If the response is lost, the token must not outlive its TTL.
        let ttl = format!("{}s", ttl.as_secs());
        let made = retried(RequestFailure::surely_not_done, async || {
            let request = CreateTokenRequest {
                policies: Some(vec!["default".to_owned()]),
                display_name: Some("vault-backup-drill".to_owned()),
                ttl: Some(ttl.clone()),
                explicit_max_ttl: Some(ttl.clone()),
                renewable: Some(false),
                ..CreateTokenRequest::default()
            };
            let answer = self.execute(address, token, false, request).await?.parse::<EndpointResult<()>>()?;
            answer.auth.ok_or_else(|| RequestFailure::foreign(200, "the response lacks the token"))
        });
        let right = Some(("auth/token/create", &["update"][..]));
        let info = made.await.map_err(|f: RequestFailure| f.explain(self, address, "creating a token", right))?;
        Ok(Secret::new(info.client_token))
    }

    /// Revokes `token`, created by [`Client::create_token`] or from shares, at one address.
    ///
    /// # Errors
    /// `Vault`.
    pub async fn revoke_token(&self, address: &Url, token: &Secret) -> Result<()> {
        let revoked = self.revoke_at(address, token, false).await;
        revoked.map_err(|f| f.explain(self, address, "revoking a token", Some((REVOKE, &["update"]))))
    }

    pub(super) async fn revoke_at(
        &self,
        address: &Url,
        token: &Secret,
        namespaced: bool,
    ) -> Result<(), RequestFailure> {
        retried(RequestFailure::may_pass, async || {
            let request = RevokeTokenSelfRequest::default();
            self.execute(address, token, namespaced, request).await.map(drop)
        })
        .await
    }

    /// Returns the capabilities of `token` at each of `paths`. Paths below `sys/` are in the root
    /// namespace, the others in the configured one.
    ///
    /// # Errors
    /// `Vault`, also if the token may not ask (it lacks the policy `default`).
    pub async fn capabilities_self(&self, address: &Url, token: &Secret, paths: &[&str]) -> Result<Capabilities> {
        let (root, others): (Vec<&str>, Vec<&str>) = paths.iter().partition(|path| path.starts_with("sys/"));
        let mut all = Capabilities::new();
        for (paths, namespaced) in [(root, false), (others, true)] {
            if paths.is_empty() {
                continue;
            }
            let asked = async {
                let call = Call::put(CAPABILITIES).token(token).json(&json!({ "paths": paths }))?;
                let call = if namespaced { call.namespaced() } else { call };
                self.call(address, call).await?.parse::<CapabilitiesAnswer>()
            };
            let right = Some((CAPABILITIES, &["update"][..]));
            let mut found = asked
                .await
                .map_err(|f: RequestFailure| f.explain(self, address, "reading the capabilities", right))?
                .data;
            for path in paths {
                let capabilities = found.remove(path).ok_or_else(|| {
                    Error::vault(format!(
                        "Vault {}: reading the capabilities: {path} is not in the response",
                        shown(address)
                    ))
                })?;
                let capabilities = serde_json::from_value(capabilities).unwrap_or_default();
                all.insert(path.to_owned(), capabilities);
            }
        }
        Ok(all)
    }

    async fn lookup(
        &self,
        address: &Url,
        token: &Secret,
        namespaced: bool,
    ) -> Result<LookupTokenResponse, RequestFailure> {
        retried(RequestFailure::may_pass, async || {
            let request = LookupTokenSelfRequest::default();
            let answer = self.execute(address, token, namespaced, request).await?.parse::<EndpointResult<_>>()?;
            answer.data.ok_or_else(|| RequestFailure::foreign(200, "the response lacks the token"))
        })
        .await
    }
}

pub(super) const REVOKE: &str = "auth/token/revoke-self";
const LOOKUP: &str = "auth/token/lookup-self";
const CAPABILITIES: &str = "sys/capabilities-self";

/// `data` has other keys in addition to the requested paths.
#[derive(Deserialize)]
struct CapabilitiesAnswer {
    data: serde_json::Map<String, serde_json::Value>,
}
