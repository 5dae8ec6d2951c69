//! `[vault]`, and Vault's own environment variables, which concern it alone.

use super::auth::Auth;
use super::values::{self, Parsed};
use super::{Environment, file, pick};
use crate::error::{Error, Result};
use crate::secret::Reference;
use std::path::{Path, PathBuf};
use url::Url;

/// `[vault]`: the cluster that is backed up.
#[derive(Clone, Debug)]
pub struct VaultSection {
    /// The addresses of its nodes, or of a load balancer.
    pub addresses: Vec<Url>,
    /// The cluster's id. Any other cluster is refused, and its backups do not count.
    pub cluster_id: Option<String>,
    /// The namespace to log in to.
    pub namespace: Option<String>,
    /// PEM file of the CA that signed its certificate, beside the system's roots.
    pub ca_cert: Option<PathBuf>,
    /// PEM files of the client's certificate and key.
    pub client_cert: Option<(PathBuf, PathBuf)>,
    /// The name in the server's certificate, where it is not the address's.
    pub tls_server_name: Option<String>,
    /// Whether any certificate is taken.
    pub tls_skip_verify: bool,
    /// `[vault.auth]`
    pub auth: Auth,
}

impl VaultSection {
    pub(super) fn resolve(file: file::Vault, environment: Environment<'_>) -> Result<Self> {
        let path = |name, key: Option<values::FilePath>| pick(environment, name, values::path, key.map(|v| v.0));
        let text = |name, key: Option<values::Text>| pick(environment, name, values::text, key.map(|v| v.0));
        let addresses = file.addresses.map(|list| list.into_iter().map(|v| v.0).collect());
        let client_cert = path("VAULT_CLIENT_CERT", file.client_cert)?;
        let client_key = path("VAULT_CLIENT_KEY", file.client_key)?;
        Ok(Self {
            addresses: pick(environment, "VAULT_ADDR", |v| Ok(vec![values::address(v)?]), addresses)?
                .unwrap_or_default(),
            cluster_id: file.cluster_id.map(|v| v.0),
            namespace: text("VAULT_NAMESPACE", file.namespace)?,
            ca_cert: path("VAULT_CACERT", file.ca_cert)?,
            client_cert: both(client_cert, client_key)?,
            tls_server_name: text("VAULT_TLS_SERVER_NAME", file.tls_server_name)?,
            tls_skip_verify: pick(environment, "VAULT_SKIP_VERIFY", go_bool, file.tls_skip_verify)?.unwrap_or(false),
            auth: with_environment(file.auth, environment),
        })
    }

    /// `[vault.auth]`, with what the method needs.
    ///
    /// # Errors
    /// `Usage` saying what to set.
    pub fn login(&self) -> Result<&Auth> {
        match &self.auth {
            Auth::Token { token: None } => Err(Error::usage("no Vault token")
                .hint("set VAULT_TOKEN or vault.auth.token, run `vault login`, or choose another vault.auth.method")),
            Auth::Cert { .. } if self.client_cert.is_none() => {
                Err(Error::usage("vault.auth: method \"cert\" needs vault.client_cert and vault.client_key"))
            }
            auth => Ok(auth),
        }
    }
}

/// Vault's own client: VAULT_TOKEN goes before everything, the file that
/// `vault login` writes after everything.
fn with_environment(auth: Auth, environment: Environment<'_>) -> Auth {
    let Auth::Token { token } = auth else { return auth };
    let variable = environment("VAULT_TOKEN").map(|_| Reference::Env("VAULT_TOKEN".into()));
    let login = || {
        let path = Path::new(&environment("HOME")?).join(".vault-token");
        path.is_file().then_some(Reference::File(path))
    };
    Auth::Token { token: variable.or(token).or_else(login) }
}

fn both(cert: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<(PathBuf, PathBuf)>> {
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some((cert, key))),
        (None, None) => Ok(None),
        _ => Err(Error::usage(
            "vault.client_cert (VAULT_CLIENT_CERT) and vault.client_key (VAULT_CLIENT_KEY): one is set without the other",
        )),
    }
}

/// What Go's `strconv.ParseBool` takes, which Vault's own client reads the variable with.
fn go_bool(text: &str) -> Parsed<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err("must be true or false"),
    }
}
