//! The ways to log in, and what each needs. Not here: logging in (`login`).

use crate::base::secret::Secret;
use std::fmt;

/// How to get a token. `mount` is where the method is mounted below `auth/`.
#[derive(Clone, Debug)]
pub enum Auth {
    /// The token itself. It is not ours, so it is never revoked.
    Token {
        /// The token.
        token: Secret,
    },
    /// None: an agent or proxy with auto-auth adds its own token.
    None,
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
            Auth::None => f.write_str("no token of its own"),
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

/// Whether a secret id looks like a service token, as wrapping tokens do. Secret
/// ids that Vault makes are UUIDs.
pub(super) fn is_token(secret: &Secret) -> bool {
    ["hvs.", "s."].iter().any(|prefix| secret.expose().starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_secret_id_works_once() {
        let auth = |secret_id: &str| Auth::AppRole {
            mount: "approle".into(),
            role_id: "r".into(),
            secret_id: Secret::new(secret_id),
        };
        for wrapping in ["hvs.CAESIJ", "s.abc"] {
            assert!(!auth(wrapping).works_again(), "{wrapping}");
        }
        assert!(auth("b3c4b2f4-7a5e-4f5c-9b0a-3c7e0a2f7d11").works_again());
    }

    #[test]
    fn no_secret_in_messages() {
        let auth = Auth::Userpass { mount: "u".into(), username: "bob".into(), password: Secret::new("planted") };
        assert!(!format!("{auth} {auth:?}").contains("planted"));
    }
}
