//! Logins with each method, response-wrapped secret ids, and revocation of the token.

use super::auth::{Auth, is_token};
use super::call::{Call, backoff};
use super::failure::RequestFailure;
use super::leader::POLL;
use super::status::Node;
use super::token::REVOKE;
use super::{Client, aws, checked_token, shown};
use crate::base::error::{Error, Result};
use crate::base::secret::Secret;
use backon::Retryable;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Instant;
use tracing::{debug, info};
use url::Url;

/// Result of a login.
#[derive(Deserialize)]
struct Granted {
    client_token: String,
    policies: Option<Vec<String>>,
    token_type: String,
    /// Number of uses of the token; 0 for no limit.
    #[serde(default)]
    num_uses: u64,
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
}

impl Session {
    /// Returns the token; empty if an agent adds its own.
    pub fn token(&self) -> &Secret {
        &self.token
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
            return Ok(Session { token, address, obtained: false, revocable: false, counted: false });
        }
        if matches!(auth, Auth::None) {
            let token = Secret::new("");
            return Ok(Session { token, address, obtained: false, revocable: false, counted: false });
        }
        let granted = self.granted(&address, auth).await.map_err(|failure| {
            let denied = matches!(failure.status(), Some(400 | 403));
            let error = failure.explain(self, &address, &format!("login by {auth}"), None);
            if denied { error.hint("check vault.auth: credentials, role and mount") } else { error }
        })?;
        debug!("logged in by {auth}, policies {}", granted.policies.unwrap_or_default().join(", "));
        // Batch tokens cannot be revoked; they are short-lived by design.
        let revocable = granted.token_type != "batch";
        let counted = granted.num_uses > 0;
        let token = Secret::new(granted.client_token);
        checked_token(&token).map_err(|e| e.context(format!("Vault {}: login by {auth}", shown(&address))))?;
        Ok(Session { token, address, obtained: true, revocable, counted })
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
        let vault = &self.vaultrs(address, Some(&given), true)?;
        let lookup = || async { Ok(vaultrs::sys::wrapping::lookup(vault, checked_token(&given)?).await?) };
        let info = lookup.retry(backoff()).when(RequestFailure::may_pass).await.map_err(spent)?;
        if !is_secret_id_path(&info.creation_path, mount) {
            return Err(Error::vault(format!(
                "the wrapped secret_id was not created by auth/{mount} but by {:?}: it may have been replaced",
                info.creation_path
            ))
            .into());
        }
        let unwrap = || async { Ok(vaultrs::sys::wrapping::unwrap::<SecretId>(vault, None).await?) };
        let secret: SecretId = unwrap.retry(backoff()).when(RequestFailure::surely_not_done).await.map_err(spent)?;
        Ok(Secret::new(secret.secret_id))
    }
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
