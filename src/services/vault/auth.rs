//! The login methods and their credentials. Not here: logging in (`login`).

use crate::base::error::Result;
use crate::base::secret::{Secret, TextOrReference};
use std::fmt;

/// Login method. `mount` is its path below `auth/`.
///
/// Credentials may be references. [`Auth::read`] reads them once; otherwise each login does.
#[derive(Clone, Debug)]
pub enum Auth {
    /// An existing token. It is never revoked, because this program did not create it.
    Token {
        /// Token.
        token: TextOrReference,
    },
    /// No token: an agent or proxy with auto-auth adds its own.
    None,
    /// AppRole.
    AppRole {
        /// Mount, `approle` by default.
        mount: String,
        /// Role id.
        role_id: TextOrReference,
        /// Secret id, or a response-wrapping token that contains it, if the role needs one.
        secret_id: Option<TextOrReference>,
    },
    /// Kubernetes service account.
    Kubernetes {
        /// Mount, `kubernetes` by default.
        mount: String,
        /// Role.
        role: String,
        /// Token of the service account.
        jwt: TextOrReference,
    },
    /// AWS IAM, with the credentials of AWS's default chain.
    AwsIam {
        /// Mount, `aws` by default.
        mount: String,
        /// Role, if not the name of the IAM principal.
        role: Option<String>,
        /// Value of `X-Vault-AWS-IAM-Server-ID`, if the server requires one.
        server_id: Option<String>,
        /// Region of the signed STS endpoint, if not the global endpoint.
        region: Option<String>,
    },
    /// The TLS client certificate of the settings.
    Cert {
        /// Mount, `cert` by default.
        mount: String,
        /// Role. Without it, Vault tries all roles.
        role: Option<String>,
    },
    /// User name and password.
    Userpass {
        /// Mount, `userpass` by default.
        mount: String,
        /// User name.
        username: String,
        /// Password.
        password: TextOrReference,
    },
    /// JSON web token of an issuer that Vault trusts.
    Jwt {
        /// Mount, `jwt` by default.
        mount: String,
        /// Role, if not the mount's default role.
        role: Option<String>,
        /// Token.
        jwt: TextOrReference,
    },
    /// LDAP user.
    Ldap {
        /// Mount, `ldap` by default.
        mount: String,
        /// User name.
        username: String,
        /// Password.
        password: TextOrReference,
    },
}

impl fmt::Display for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Auth::Token { .. } => f.write_str("token"),
            Auth::None => f.write_str("the agent's token"),
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
    /// Returns the same method with every reference replaced by the secret, read now.
    ///
    /// # Errors
    /// As [`TextOrReference::read`].
    pub fn read(&self) -> Result<Self> {
        let mut auth = self.clone();
        match &mut auth {
            Auth::AppRole { role_id, secret_id, .. } => {
                *role_id = role_id.read_shared()?.into();
                if let Some(secret_id) = secret_id {
                    *secret_id = secret_id.read()?.into();
                }
            }
            Auth::Kubernetes { jwt, .. } | Auth::Jwt { jwt, .. } => *jwt = jwt.read_shared()?.into(),
            Auth::Token { token: one } | Auth::Userpass { password: one, .. } | Auth::Ldap { password: one, .. } => {
                *one = one.read()?.into();
            }
            Auth::None | Auth::AwsIam { .. } | Auth::Cert { .. } => {}
        }
        Ok(auth)
    }

    /// Returns `true` if a second login with the same credentials can succeed. The first login uses
    /// up a wrapping token.
    pub fn works_again(&self) -> bool {
        let Auth::AppRole { secret_id: Some(secret_id), .. } = self else { return true };
        !secret_id.read().is_ok_and(|secret_id| is_token(&secret_id))
    }
}

/// Returns `true` if a secret id looks like a service token, as wrapping tokens do. Secret ids that
/// Vault generates are UUIDs.
pub(super) fn is_token(secret: &Secret) -> bool {
    ["hvs.", "s."].iter().any(|prefix| secret.expose().starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::Reference;

    fn app_role(secret_id: TextOrReference) -> Auth {
        Auth::AppRole { mount: "approle".into(), role_id: Secret::new("r").into(), secret_id: Some(secret_id) }
    }

    #[test]
    fn a_wrapped_secret_id_works_once() {
        for wrapping in ["hvs.CAESIJ", "s.abc"] {
            assert!(!app_role(Secret::new(wrapping).into()).works_again(), "{wrapping}");
        }
        assert!(app_role(Secret::new("b3c4b2f4-7a5e-4f5c-9b0a-3c7e0a2f7d11").into()).works_again());
    }

    #[test]
    fn read_replaces_references_by_secrets() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let auth = app_role(Reference::File(path.clone()).into());
        assert!(auth.read().is_err());
        std::fs::write(&path, "hvs.planted\n").unwrap();
        assert!(auth.read().is_err(), "readable by all users");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let read = auth.read().unwrap();
        std::fs::remove_file(&path).unwrap();
        let Auth::AppRole { secret_id: Some(TextOrReference::Text(text)), .. } = &read else { panic!("{read:?}") };
        assert_eq!(text.expose(), "hvs.planted");
        assert!(!read.works_again());
    }

    #[test]
    fn messages_contain_no_secret() {
        let password = Secret::new("planted").into();
        let auth = Auth::Userpass { mount: "u".into(), username: "bob".into(), password };
        assert!(!format!("{auth} {auth:?}").contains("planted"));
    }
}
