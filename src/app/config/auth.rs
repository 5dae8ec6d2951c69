//! How to log in to a Vault: `[vault.auth]` and `[staging.auth]`.
//!
//! Here: which keys belong to which method, and the defaults. Not here: logging in
//! (`vault`).

use super::file;
use super::values::Text;
use crate::base::secret::{Reference, TextOrReference};
use serde::Deserialize;

/// Where Kubernetes mounts a pod's token.
const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// The login methods, as `method` names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// A token that exists.
    #[default]
    Token,
    /// No token: an agent or proxy with auto-auth adds its own.
    None,
    /// AppRole.
    AppRole,
    /// A Kubernetes service account.
    Kubernetes,
    /// AWS IAM.
    Aws,
    /// A TLS client certificate.
    Cert,
    /// User name and password.
    Userpass,
    /// A JSON web token.
    Jwt,
    /// An LDAP user.
    Ldap,
}

impl Method {
    /// The name in the file, which is also where Vault mounts the method by default.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Token => "token",
            Method::None => "none",
            Method::AppRole => "approle",
            Method::Kubernetes => "kubernetes",
            Method::Aws => "aws",
            Method::Cert => "cert",
            Method::Userpass => "userpass",
            Method::Jwt => "jwt",
            Method::Ldap => "ldap",
        }
    }
}

/// A login method with what it needs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "file::Auth")]
pub enum Auth {
    /// A token that exists; `None` where none was given.
    Token {
        /// The token.
        token: Option<Reference>,
    },
    /// No token: an agent or proxy with auto-auth adds its own.
    None,
    /// AppRole.
    AppRole {
        /// Where the method is mounted, without `auth/`.
        mount: String,
        /// The role's id.
        role_id: TextOrReference,
        /// The secret id, or a token that wraps it; `None` for a role without one.
        secret_id: Option<Reference>,
    },
    /// A Kubernetes service account.
    Kubernetes {
        /// Where the method is mounted, without `auth/`.
        mount: String,
        /// The role.
        role: String,
        /// The service account's token.
        jwt: Reference,
    },
    /// AWS IAM, with the credentials of AWS's own chain.
    Aws {
        /// Where the method is mounted, without `auth/`.
        mount: String,
        /// The role; Vault takes the principal's name where it is absent.
        role: Option<String>,
        /// The server's id, signed as `X-Vault-AWS-IAM-Server-ID`.
        server_id: Option<String>,
        /// The region whose STS endpoint is signed for; the global one where it is absent.
        region: Option<String>,
    },
    /// The TLS client certificate of `[vault]`.
    Cert {
        /// Where the method is mounted, without `auth/`.
        mount: String,
        /// The certificate role; Vault tries all where it is absent.
        role: Option<String>,
    },
    /// User name and password.
    Userpass {
        /// Where the method is mounted, without `auth/`.
        mount: String,
        /// The user's name.
        username: String,
        /// The password.
        password: Reference,
    },
    /// A JSON web token.
    Jwt {
        /// Where the method is mounted, without `auth/`.
        mount: String,
        /// The role; the mount's default role where it is absent.
        role: Option<String>,
        /// The token.
        jwt: Reference,
    },
    /// An LDAP user.
    Ldap {
        /// Where the method is mounted, without `auth/`.
        mount: String,
        /// The user's name.
        username: String,
        /// The password.
        password: Reference,
    },
}

impl Default for Auth {
    fn default() -> Self {
        Auth::Token { token: None }
    }
}

impl TryFrom<file::Auth> for Auth {
    type Error = String;

    fn try_from(mut file: file::Auth) -> Result<Self, String> {
        let method = file.method.unwrap_or_default();
        let auth = match method {
            Method::Token => Auth::Token { token: file.token.take().map(|v| v.0) },
            Method::None => Auth::None,
            Method::AppRole => Auth::AppRole {
                mount: mount(method, &mut file),
                role_id: need(method, "role_id", file.role_id.take())?.0,
                secret_id: file.secret_id.take().map(|v| v.0),
            },
            Method::Kubernetes => Auth::Kubernetes {
                mount: mount(method, &mut file),
                role: need(method, "role", file.role.take())?.0,
                jwt: file.jwt.take().map_or_else(|| Reference::File(SERVICE_ACCOUNT_TOKEN.into()), |v| v.0),
            },
            Method::Aws => Auth::Aws {
                mount: mount(method, &mut file),
                role: file.role.take().map(|v| v.0),
                server_id: file.server_id.take().map(|v| v.0),
                region: file.region.take().map(|v| v.0),
            },
            Method::Cert => Auth::Cert { mount: mount(method, &mut file), role: file.role.take().map(|v| v.0) },
            Method::Userpass => Auth::Userpass {
                mount: mount(method, &mut file),
                username: need(method, "username", file.username.take())?.0,
                password: need(method, "password", file.password.take())?.0,
            },
            Method::Jwt => Auth::Jwt {
                mount: mount(method, &mut file),
                role: file.role.take().map(|v| v.0),
                jwt: need(method, "jwt", file.jwt.take())?.0,
            },
            Method::Ldap => Auth::Ldap {
                mount: mount(method, &mut file),
                username: need(method, "username", file.username.take())?.0,
                password: need(method, "password", file.password.take())?.0,
            },
        };
        nothing_left(method, &file)?;
        Ok(auth)
    }
}

fn mount(method: Method, file: &mut file::Auth) -> String {
    let mount = file.mount.take().map_or_else(|| method.as_str().to_owned(), |Text(mount)| mount);
    mount.trim_matches('/').to_owned()
}

fn need<T>(method: Method, key: &str, value: Option<T>) -> Result<T, String> {
    value.ok_or_else(|| format!("the method {} needs the key {key}", method.as_str()))
}

/// Refuses keys that the method did not take: the method, or the key, is a mistake.
fn nothing_left(method: Method, file: &file::Auth) -> Result<(), String> {
    let left = [
        ("mount", file.mount.is_some()),
        ("role", file.role.is_some()),
        ("role_id", file.role_id.is_some()),
        ("secret_id", file.secret_id.is_some()),
        ("token", file.token.is_some()),
        ("username", file.username.is_some()),
        ("password", file.password.is_some()),
        ("jwt", file.jwt.is_some()),
        ("server_id", file.server_id.is_some()),
        ("region", file.region.is_some()),
    ];
    match left.iter().find(|(_, set)| *set) {
        Some((key, _)) => {
            let method = method.as_str();
            Err(format!("the key {key} is not one of the method {method}; is another method meant?"))
        }
        None => Ok(()),
    }
}
