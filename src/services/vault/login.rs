//! Logins with each method, response-wrapped secret ids, and revocation of the token.

use super::auth::{Auth, is_token};
use super::call::{Call, retried};
use super::failure::RequestFailure;
use super::leader::POLL;
use super::status::Node;
use super::token::REVOKE;
use super::{Client, aws, checked_token, shown};
use crate::base::error::{Error, Result};
use crate::base::secret::Secret;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tracing::{debug, info};
use url::Url;
use vaultrs::api::EndpointResult;
use vaultrs::api::sys::requests::{UnwrapRequest, WrappingLookupRequest};
use vaultrs::api::sys::responses::WrappingLookupResponse;

/// Result of a login.
#[derive(Deserialize)]
struct Granted {
    client_token: String,
    policies: Option<Vec<String>>,
    token_type: String,
    /// Number of uses of the token; 0 for no limit.
    #[serde(default)]
    num_uses: u64,
    /// TTL of the token in seconds; 0 if it never expires.
    #[serde(default)]
    lease_duration: u64,
}

/// Token of a run, and whether the run must revoke it.
#[derive(Debug)]
pub struct Session {
    token: Secret,
    address: Url,
    obtained: bool,
    revocable: bool,
    /// `true` if the token has a limited number of uses: it may be used up before it is revoked.
    counted: bool,
    ttl: Option<Duration>,
}

impl Session {
    /// Returns the token; empty if an agent adds its own.
    pub fn token(&self) -> &Secret {
        &self.token
    }

    /// Returns the TTL of a token that this run obtained: zero if it never expires.
    pub(crate) fn ttl(&self) -> Option<Duration> {
        self.ttl
    }

    /// Returns `true` if this run logged in to get the token.
    pub fn obtained(&self) -> bool {
        self.obtained
    }
}

impl Client {
    /// Logs in at `node`. A configured token is not checked: its first use does that.
    ///
    /// # Errors
    /// `Vault` if the login is refused; `Usage` if the credentials cannot be read or sent.
    pub async fn login(&self, node: &Node, auth: &Auth) -> Result<Session> {
        let address = node.address.clone();
        if let Auth::Token { token } = auth {
            let token = token.read()?;
            checked_token(&token)?;
            return Ok(Session { token, address, obtained: false, revocable: false, counted: false, ttl: None });
        }
        if matches!(auth, Auth::None) {
            let token = Secret::new("");
            return Ok(Session { token, address, obtained: false, revocable: false, counted: false, ttl: None });
        }
        let granted = self.granted(&address, auth).await.map_err(|failure| {
            let (denied, unanswered) = (matches!(failure.status(), Some(400 | 403)), failure.is_unanswered());
            let error = failure.explain(self, &address, &format!("login by {auth}"), None);
            match (denied, unanswered) {
                (true, _) => error.hint("check vault.auth: credentials, role and mount"),
                // It cannot be revoked without knowing it, and no login method accepts a TTL.
                (_, true) => error
                    .because(anyhow::anyhow!("Vault may have issued a token that this run does not know"))
                    .hint("such a token is valid until its TTL ends: keep token_ttl of the role short"),
                _ => error,
            }
        })?;
        debug!("logged in by {auth}, policies {}", granted.policies.unwrap_or_default().join(", "));
        // Batch tokens cannot be revoked; they are short-lived by design.
        let revocable = granted.token_type != "batch";
        let counted = granted.num_uses > 0;
        let ttl = Some(Duration::from_secs(granted.lease_duration));
        let token = Secret::new(granted.client_token);
        checked_token(&token).map_err(|e| e.context(format!("Vault {}: login by {auth}", shown(&address))))?;
        Ok(Session { token, address, obtained: true, revocable, counted, ttl })
    }

    /// Revokes the session's token, if this run obtained it. A token that is no longer valid needs no
    /// revocation. That includes a token that is used up (`token_num_uses`), which OpenBao refuses
    /// like a token without permission to revoke itself.
    ///
    /// Waits for an election: the leader may have been lost during the run.
    ///
    /// # Errors
    /// `Vault` if no address accepted the request. The token then stays valid until its TTL expires.
    pub async fn revoke(&self, session: Session) -> Result<()> {
        if !session.revocable {
            return Ok(());
        }
        let others = self.settings.addresses.iter().filter(|a| **a != session.address);
        let all: Vec<_> = std::iter::once(&session.address).chain(others).collect();
        let begun = Instant::now();
        loop {
            let (mut first, mut electing) = (None, false);
            for address in &all {
                let failure = match self.revoke_at(address, &session.token, true).await {
                    Ok(()) => return Ok(()),
                    Err(failure) => failure,
                };
                if failure.is_dead_token() || (session.counted && failure.status() == Some(403)) {
                    debug!("the token of this run is no longer valid");
                    return Ok(());
                }
                let (answered, passing) = (failure.status().is_some(), failure.may_pass());
                let error = failure.explain(self, address, "revoking the token", Some((REVOKE, &["update"])));
                if answered && !passing {
                    return Err(error);
                }
                electing |= answered;
                info!("{error}");
                first.get_or_insert(error);
            }
            if !electing || begun.elapsed() >= self.election {
                return first.map_or(Ok(()), Err);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Sends the login request. Retries only if Vault certainly did not process it: a login may use up
    /// a secret id.
    async fn granted(&self, address: &Url, auth: &Auth) -> Result<Granted, RequestFailure> {
        #[derive(Deserialize)]
        struct LoginResponse {
            auth: Granted,
        }
        let (path, body) = match auth {
            Auth::Token { .. } | Auth::None => return Err(Error::unexpected("a token needs no login").into()),
            Auth::AppRole { mount, role_id, secret_id } => {
                let secret_id = match secret_id {
                    Some(given) => self.unwrapped(address, mount, given.read()?).await?,
                    None => Secret::new(""),
                };
                (
                    login_path(mount),
                    json!({ "role_id": role_id.read_shared()?.expose(), "secret_id": secret_id.expose() }),
                )
            }
            Auth::Kubernetes { mount, role, jwt } => {
                (login_path(mount), json!({ "role": role, "jwt": jwt.read_shared()?.expose() }))
            }
            Auth::AwsIam { mount, role, server_id, region } => {
                // The credential chain is a future of many kilobytes.
                let proof = Box::pin(aws::identity_proof(server_id.as_deref(), region.as_deref())).await?;
                (login_path(mount), with_role(proof.body(), role.as_deref(), "role"))
            }
            Auth::Cert { mount, role } => {
                if self.settings.tls.client_cert.is_none() {
                    let error =
                        Error::usage("login by certificate: vault.client_cert and vault.client_key are required");
                    return Err(error.into());
                }
                (login_path(mount), with_role(json!({}), role.as_deref(), "name"))
            }
            Auth::Userpass { mount, username, password } | Auth::Ldap { mount, username, password } => {
                (format!("{}/{username}", login_path(mount)), json!({ "password": password.read()?.expose() }))
            }
            Auth::Jwt { mount, role, jwt } => {
                (login_path(mount), with_role(json!({ "jwt": jwt.read_shared()?.expose() }), role.as_deref(), "role"))
            }
        };
        let call = Call::put(&path).namespaced().json(&body)?;
        Ok(self.call(address, call).await?.parse::<LoginResponse>()?.auth)
    }

    /// Returns the secret id that `given` is or wraps.
    ///
    /// Looks up a wrapping token first: if its creation path is not that of a secret id, it may have
    /// been replaced by an attacker.
    async fn unwrapped(&self, address: &Url, mount: &str, given: Secret) -> Result<Secret, RequestFailure> {
        #[derive(Deserialize)]
        struct SecretId {
            secret_id: String,
        }
        if !is_token(&given) {
            return Ok(given);
        }
        let token = checked_token(&given)?;
        let lookup = async || {
            let request = WrappingLookupRequest { token: token.to_owned() };
            let answer = self.execute(address, &given, true, request).await?;
            whole(answer.parse::<EndpointResult<WrappingLookupResponse>>()?)
        };
        let info = retried(RequestFailure::may_pass, lookup).await.map_err(spent)?;
        if !is_secret_id_path(&info.creation_path, mount) {
            return Err(Error::vault(format!(
                "the wrapped secret_id was not created by auth/{mount} but by {:?}: it may have been replaced",
                info.creation_path
            ))
            .into());
        }
        let unwrap = async || {
            let answer = self.execute(address, &given, true, UnwrapRequest { token: None }).await?;
            whole(answer.parse::<EndpointResult<SecretId>>()?)
        };
        let secret = retried(RequestFailure::surely_not_done, unwrap).await.map_err(spent)?;
        Ok(Secret::new(secret.secret_id))
    }
}

/// Returns the data of a response.
fn whole<T>(answer: EndpointResult<T>) -> Result<T, RequestFailure> {
    answer.data.ok_or_else(|| RequestFailure::foreign(200, "the response lacks the requested data"))
}

fn login_path(mount: &str) -> String {
    format!("auth/{mount}/login")
}

/// Returns `body` with `role`, if any, as `key`.
fn with_role(mut body: Value, role: Option<&str>, key: &str) -> Value {
    if let Some(role) = role {
        body[key] = role.into();
    }
    body
}

/// Returns the failure to look up or unwrap: 400 and 403 mean that the wrapping token is not valid.
fn spent(failure: RequestFailure) -> RequestFailure {
    match failure.status() {
        Some(400 | 403) => Error::vault("the wrapping token of the secret_id has expired or was already used")
            .hint(
                "wrap a new secret_id; if this program did not use the token, revoke the old secret_id: it has leaked",
            )
            .into(),
        _ => failure,
    }
}

/// Returns `true` if `path` creates secret ids of the AppRole method at `mount`, in any namespace.
fn is_secret_id_path(path: &str, mount: &str) -> bool {
    let made_by = format!("auth/{}/role/", mount.trim_matches('/'));
    path.rsplit_once('/').is_some_and(|(role, end)| {
        matches!(end, "secret-id" | "custom-secret-id")
            && (role.starts_with(&made_by) || role.contains(&format!("/{made_by}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_secret_ids_come_from_the_mount_of_the_role() {
        assert!(is_secret_id_path("auth/approle/role/backup/secret-id", "approle"));
        assert!(is_secret_id_path("team/auth/approle/role/backup/custom-secret-id", "approle"));
        for other in [
            "cubbyhole/x",
            "auth/other/role/backup/secret-id",
            "auth/approle/role/backup",
            "xauth/approle/role/b/secret-id",
        ] {
            assert!(!is_secret_id_path(other, "approle"), "{other}");
        }
    }
}
