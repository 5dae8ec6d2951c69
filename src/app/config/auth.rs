//! `[vault.auth]` and `[staging.auth]`: the keys of each login method, and their defaults.

use super::file::AuthKeys;
use crate::base::secret::Reference;
use crate::services::vault::Auth;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// Path at which Kubernetes mounts the token of a pod.
const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Login method.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Method {
    #[default]
    Token,
    None,
    AppRole,
    Kubernetes,
    Aws,
    Cert,
    Userpass,
    Jwt,
    Ldap,
}

impl Method {
    /// Returns the name in the file, which is also the default mount.
    fn as_str(self) -> &'static str {
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

/// Reads a section; `None` for the method `token` without a token.
pub(super) fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Auth>, D::Error> {
    auth(AuthKeys::deserialize(from)?).map_err(D::Error::custom)
}

fn auth(mut file: AuthKeys) -> Result<Option<Auth>, String> {
    let method = file.method.unwrap_or_default();
    let mount =
        |file: &mut AuthKeys| file.mount.take().as_deref().unwrap_or(method.as_str()).trim_matches('/').to_owned();
    let f = &mut file;
    let auth = match method {
        Method::Token => f.token.take().map(|token| Auth::Token { token: token.into() }),
        Method::None => Some(Auth::None),
        Method::AppRole => Some(Auth::AppRole {
            mount: mount(f),
            role_id: need(method, "role_id", f.role_id.take())?,
            secret_id: f.secret_id.take().map(Into::into),
        }),
        Method::Kubernetes => Some(Auth::Kubernetes {
            mount: mount(f),
            role: need(method, "role", f.role.take())?,
            jwt: f.jwt.take().unwrap_or_else(|| Reference::File(SERVICE_ACCOUNT_TOKEN.into())).into(),
        }),
        Method::Aws => Some(Auth::AwsIam {
            mount: mount(f),
            role: f.role.take(),
            server_id: f.server_id.take(),
            region: f.region.take(),
        }),
        Method::Cert => Some(Auth::Cert { mount: mount(f), role: f.role.take() }),
        Method::Userpass => Some(Auth::Userpass {
            mount: mount(f),
            username: need(method, "username", f.username.take())?,
            password: need(method, "password", f.password.take())?.into(),
        }),
        Method::Jwt => {
            Some(Auth::Jwt { mount: mount(f), role: f.role.take(), jwt: need(method, "jwt", f.jwt.take())?.into() })
        }
        Method::Ldap => Some(Auth::Ldap {
            mount: mount(f),
            username: need(method, "username", f.username.take())?,
            password: need(method, "password", f.password.take())?.into(),
        }),
    };
    nothing_left(method, &file)?;
    Ok(auth)
}

fn need<T>(method: Method, key: &str, value: Option<T>) -> Result<T, String> {
    value.ok_or_else(|| format!("the method {} needs the key {key}", method.as_str()))
}

/// Refuses keys that the method does not use: either the method or the key is a mistake.
fn nothing_left(method: Method, file: &AuthKeys) -> Result<(), String> {
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
            Err(format!("the method {} has no key {key}\nremove the key, or choose another method", method.as_str()))
        }
        None => Ok(()),
    }
}
