//! From credentials to a token, and the token's end.
//!
//! Here: each way to log in, response-wrapped secret ids, revocation. Not here:
//! where the credentials come from (`config`), and what AWS signs ([`super::aws`]).

use super::call::{Call, backoff};
use super::failure::Failure;
use super::leader::Node;
use super::token::REVOKE;
use super::{Client, aws, checked_token, shown};
use crate::error::{Error, Result};
use crate::secret::Secret;
use backon::Retryable;
use serde::Deserialize;
use serde_json::json;
use std::fmt;
use tracing::{debug, info};
use url::Url;
use vaultrs::api::AuthInfo;

/// How to get a token. `mount` is where the method is mounted below `auth/`.
#[derive(Clone, Debug)]
pub enum Auth {
    /// The token itself. It is not ours, so it is never revoked.
    Token {
        /// The token.
        token: Secret,
    },
    /// AppRole.
    AppRole {
        /// The mount, `approle`.
        mount: String,
        /// The role's id.
        role_id: String,
        /// A secret id, or a response-wrapping token that holds one.
        secret_id: Secret,
    },
    /// A Kubernetes service account.
    Kubernetes {
        /// The mount, `kubernetes`.
        mount: String,
        /// The role.
        role: String,
        /// The service account's token.
        jwt: Secret,
    },
    /// AWS IAM, with the credentials that AWS's default chain finds.
    AwsIam {
        /// The mount, `aws`.
        mount: String,
        /// The role; Vault takes the IAM principal's name if absent.
        role: Option<String>,
        /// The value of `X-Vault-AWS-IAM-Server-ID`, if the server demands one.
        server_id: Option<String>,
        /// The region whose STS endpoint is signed for; the global endpoint if absent.
        region: Option<String>,
    },
    /// The TLS client certificate of the settings.
    Cert {
        /// The mount, `cert`.
        mount: String,
        /// The role; any that fits if absent.
        role: Option<String>,
    },
    /// A user name and a password.
    Userpass {
        /// The mount, `userpass`.
        mount: String,
        /// The user name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A JSON web token of an issuer that Vault trusts.
    Jwt {
        /// The mount, `jwt`.
        mount: String,
        /// The role; the mount's default role if absent.
        role: Option<String>,
        /// The token.
        jwt: Secret,
    },
    /// An LDAP user.
    Ldap {
        /// The mount, `ldap`.
        mount: String,
        /// The user name.
        username: String,
        /// The password.
        password: Secret,
    },
}

impl fmt::Display for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Auth::Token { .. } => f.write_str("token"),
            Auth::AppRole { mount, .. } => write!(f, "AppRole at auth/{mount}"),
            Auth::Kubernetes { mount, role, .. } => write!(f, "Kubernetes at auth/{mount}, role {role}"),
            Auth::AwsIam { mount, .. } => write!(f, "AWS IAM at auth/{mount}"),
            Auth::Cert { mount, .. } => write!(f, "certificate at auth/{mount}"),
            Auth::Userpass { mount, username, .. } => write!(f, "userpass at auth/{mount}, user {username}"),
            Auth::Jwt { mount, role: Some(role), .. } => write!(f, "JWT at auth/{mount}, role {role}"),
            Auth::Jwt { mount, role: None, .. } => write!(f, "JWT at auth/{mount}"),
            Auth::Ldap { mount, username, .. } => write!(f, "LDAP at auth/{mount}, user {username}"),
        }
    }
}

impl Auth {
    /// Whether a second login with the same credentials can work. A wrapping token is used
    /// up by the first one.
    pub fn works_again(&self) -> bool {
        !matches!(self, Auth::AppRole { secret_id, .. } if is_token(secret_id))
    }
}

/// A token, and whether this run has to revoke it.
#[derive(Debug)]
pub struct Session {
    token: Secret,
    address: Url,
    obtained: bool,
    revocable: bool,
}

impl Session {
    /// The token.
    pub fn token(&self) -> &Secret {
        &self.token
    }

    /// Whether this run obtained it, rather than being given it.
    pub fn obtained(&self) -> bool {
        self.obtained
    }
}

impl Client {
    /// Logs in at `node`. A given token is not tried out: its first use tells.
    ///
    /// # Errors
    /// `Vault` where the login is refused; `Usage` where the credentials cannot even be sent.
    pub async fn login(&self, node: &Node, auth: &Auth) -> Result<Session> {
        let address = node.address.clone();
        if let Auth::Token { token } = auth {
            checked_token(token)?;
            return Ok(Session { token: token.clone(), address, obtained: false, revocable: false });
        }
        let info = self.auth_info(&address, auth).await.map_err(|failure| {
            let denied = matches!(failure.status(), Some(400 | 403));
            let error = failure.explain(self, &address, &format!("login by {auth}"), None);
            if denied { error.hint("check vault.auth: credentials, role and mount") } else { error }
        })?;
        debug!("logged in by {auth}, policies {}", info.policies.join(", "));
        // Batch tokens cannot be revoked; they are short-lived by design.
        let revocable = info.token_type != "batch";
        let token = Secret::new(info.client_token);
        checked_token(&token).map_err(|e| e.context(format!("Vault {}: login by {auth}", shown(&address))))?;
        Ok(Session { token, address, obtained: true, revocable })
    }

    /// Revokes the session's token, if this run obtained it. One that is dead already, such
    /// as a token whose uses (`token_num_uses`) are used up, needs no revocation.
    ///
    /// # Errors
    /// `Vault`, once no address took the request; the token then lives until its time to live is over.
    pub async fn revoke(&self, session: Session) -> Result<()> {
        if !session.revocable {
            return Ok(());
        }
        let others = self.settings.addresses.iter().filter(|a| **a != session.address);
        let mut first = None;
        for address in std::iter::once(&session.address).chain(others) {
            match self.revoke_at(address, &session.token, true).await {
                Ok(()) => return Ok(()),
                Err(failure) if failure.is_dead_token() => {
                    debug!("the token of this run is dead already");
                    return Ok(());
                }
                Err(failure) => {
                    let answered = failure.status().is_some();
                    let error = failure.explain(self, address, "revoking the token", Some((REVOKE, &["update"])));
                    let error = first.get_or_insert(error);
                    if answered {
                        break;
                    }
                    info!("{error}");
                }
            }
        }
        first.map_or(Ok(()), Err)
    }

    async fn auth_info(&self, address: &Url, auth: &Auth) -> Result<AuthInfo, Failure> {
        let vault = &self.vaultrs(address, None, true)?;
        match auth {
            Auth::Token { .. } => Err(Error::unexpected("a token needs no login").into()),
            Auth::AppRole { mount, role_id, secret_id } => {
                let secret_id = &self.unwrapped(address, mount, secret_id).await?;
                login(|| vaultrs::auth::approle::login(vault, mount, role_id, secret_id.expose())).await
            }
            Auth::Kubernetes { mount, role, jwt } => {
                login(|| vaultrs::auth::kubernetes::login(vault, mount, role, jwt.expose())).await
            }
            Auth::AwsIam { mount, role, server_id, region } => {
                // The credential chain makes a future of many kilobytes.
                let proof = &Box::pin(aws::identity_proof(server_id.as_deref(), region.as_deref())).await?;
                let (url, headers, body) = (&proof.url, &proof.headers, &proof.body);
                let role = role.as_deref();
                login(|| vaultrs::auth::aws::iam_login(vault, mount, "POST", url, headers, body, role)).await
            }
            Auth::Cert { mount, role } => self.cert_login(address, mount, role.as_deref()).await,
            Auth::Userpass { mount, username, password } => {
                login(|| vaultrs::auth::userpass::login(vault, mount, username, password.expose())).await
            }
            Auth::Jwt { mount, role, jwt } => {
                login(|| vaultrs::auth::oidc::login(vault, mount, jwt.expose(), role.clone())).await
            }
            Auth::Ldap { mount, username, password } => {
                let path = format!("auth/{mount}/login/{username}");
                self.login_at(address, &path, &json!({ "password": password.expose() })).await
            }
        }
    }

    /// A login that vaultrs does not know.
    async fn login_at(&self, address: &Url, path: &str, body: &serde_json::Value) -> Result<AuthInfo, Failure> {
        #[derive(Deserialize)]
        struct Answer {
            auth: AuthInfo,
        }
        let call = Call::put(path).namespaced().json(body)?;
        Ok(self.call(address, call).await?.parse::<Answer>()?.auth)
    }

    /// vaultrs 0.8 sends the role as `cert_name`, which Vault does not know: it is `name`.
    async fn cert_login(&self, address: &Url, mount: &str, role: Option<&str>) -> Result<AuthInfo, Failure> {
        if self.settings.tls.client_cert.is_none() {
            return Err(Error::usage("login by certificate needs vault.client_cert and vault.client_key").into());
        }
        let body = role.map_or_else(|| json!({}), |role| json!({ "name": role }));
        self.login_at(address, &format!("auth/{mount}/login"), &body).await
    }

    /// The secret id that `given` is, or wraps.
    ///
    /// A wrapping token is looked up first: one that was made by another path than
    /// a secret id's was put there by somebody else.
    async fn unwrapped(&self, address: &Url, mount: &str, given: &Secret) -> Result<Secret, Failure> {
        #[derive(Deserialize)]
        struct SecretId {
            secret_id: String,
        }
        if !is_token(given) {
            return Ok(given.clone());
        }
        let vault = &self.vaultrs(address, Some(given), true)?;
        let lookup = || async { Ok(vaultrs::sys::wrapping::lookup(vault, checked_token(given)?).await?) };
        let info = lookup.retry(backoff()).when(Failure::may_pass).await.map_err(spent)?;
        if !is_secret_id_path(&info.creation_path, mount) {
            return Err(Error::vault(format!(
                "the wrapped secret_id was not made by auth/{mount} but by {:?}: it may have been exchanged",
                info.creation_path
            ))
            .into());
        }
        let unwrap = || async { Ok(vaultrs::sys::wrapping::unwrap::<SecretId>(vault, None).await?) };
        let secret: SecretId = unwrap.retry(backoff()).when(Failure::surely_not_done).await.map_err(spent)?;
        Ok(Secret::new(secret.secret_id))
    }
}

/// Repeats a login only where the first one surely did nothing: it may use up a secret id.
async fn login<F>(attempt: impl Fn() -> F) -> Result<AuthInfo, Failure>
where
    F: Future<Output = Result<AuthInfo, vaultrs::error::ClientError>>,
{
    (|| async { Ok(attempt().await?) }).retry(backoff()).when(Failure::surely_not_done).await
}

/// The failure to look up or unwrap: with 400 or 403 the wrapping token is no more.
fn spent(failure: Failure) -> Failure {
    match failure.status() {
        Some(400 | 403) => Error::vault("the wrapping token of the secret_id has expired or was used before")
            .hint("if not by you, somebody else has the secret_id: revoke it; then wrap a new one")
            .into(),
        _ => failure,
    }
}

/// Whether a secret id looks like a service token, as wrapping tokens do. Secret
/// ids that Vault makes are UUIDs.
fn is_token(secret: &Secret) -> bool {
    ["hvs.", "s."].iter().any(|prefix| secret.expose().starts_with(prefix))
}

/// Whether `path` makes secret ids of the AppRole method at `mount`, in any namespace.
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
    fn wrapped_secret_ids() {
        assert!(is_token(&Secret::new("hvs.CAESIJ")) && is_token(&Secret::new("s.abc")));
        assert!(!is_token(&Secret::new("b3c4b2f4-7a5e-4f5c-9b0a-3c7e0a2f7d11")));
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

    #[test]
    fn no_secret_in_messages() {
        let auth = Auth::Userpass { mount: "u".into(), username: "bob".into(), password: Secret::new("planted") };
        assert!(!format!("{auth} {auth:?}").contains("planted"));
    }
}
