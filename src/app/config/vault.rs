//! `[vault]`, and the environment variables of Vault's own clients, which concern it alone.

use super::auth::Auth;
use super::values::{self, Parsed};
use super::variables::Variables;
use super::{Environment, file};
use crate::base::error::{Error, Result};
use std::path::PathBuf;
use url::Url;

/// `[vault]`: the cluster that is backed up.
#[derive(Clone, Debug)]
pub struct VaultSection {
    /// The addresses of its nodes, of a load balancer or an agent.
    pub addresses: Vec<Url>,
    /// The cluster's id. Any other cluster is refused, and its backups do not count.
    pub cluster_id: Option<String>,
    /// The namespace to log in to.
    pub namespace: Option<String>,
    /// The proxy for its addresses; `HTTPS_PROXY` where absent.
    pub proxy: Option<Url>,
    /// PEM file of the CA that signed its certificate, next to the system's roots.
    pub ca_cert: Option<PathBuf>,
    /// Directory of PEM files with further ones.
    pub ca_path: Option<PathBuf>,
    /// PEM text with further ones.
    pub ca_bytes: Option<String>,
    /// PEM files of the client's certificate and key.
    pub client_cert: Option<(PathBuf, PathBuf)>,
    /// The name in the server's certificate, where it is not the address's.
    pub tls_server_name: Option<String>,
    /// Whether any certificate is taken.
    pub tls_skip_verify: bool,
    /// `[vault.auth]`
    pub auth: Auth,
    /// VaultSettings that are probably a mistake, to be said in a run that uses the section.
    pub warnings: Vec<String>,
}

impl VaultSection {
    pub(super) fn resolve(file: file::Vault, environment: Environment<'_>) -> Result<Self> {
        let variables = Variables(environment);
        let path = |name, key: Option<values::FilePath>| variables.pick(&[name], values::path, key.map(|v| v.0));
        let text = |name, key: Option<values::Text>| variables.pick(&[name], values::text, key.map(|v| v.0));
        let addresses = file.addresses.map(|list| list.into_iter().map(|v| v.0).collect());
        let one = |value: &str| Ok(vec![values::server(value)?]);
        let addresses = variables.pick(&["AGENT_ADDR", "ADDR"], one, addresses)?.unwrap_or_default();
        variables.refuse_srv(&addresses, go_bool)?;
        let client_cert = path("CLIENT_CERT", file.client_cert)?;
        let client_key = path("CLIENT_KEY", file.client_key)?;
        Ok(Self {
            addresses,
            cluster_id: file.cluster_id.map(|v| v.0),
            namespace: text("NAMESPACE", file.namespace)?,
            proxy: variables.pick(&["PROXY_ADDR", "HTTP_PROXY"], values::address, file.proxy.map(|v| v.0))?,
            ca_cert: path("CACERT", file.ca_cert)?,
            ca_path: path("CAPATH", file.ca_path)?,
            ca_bytes: variables.get("CACERT_BYTES").map(|(_, pem)| pem),
            client_cert: both(client_cert, client_key)?,
            tls_server_name: text("TLS_SERVER_NAME", file.tls_server_name)?,
            tls_skip_verify: variables.pick(&["SKIP_VERIFY"], go_bool, file.tls_skip_verify)?.unwrap_or(false),
            auth: with_environment(file.auth, variables)?,
            warnings: variables.two_addresses().into_iter().collect(),
        })
    }

    /// `[vault.auth]`, with what the method needs.
    ///
    /// # Errors
    /// `Usage` saying what to set.
    pub fn login(&self) -> Result<&Auth> {
        match &self.auth {
            Auth::Token { token: None } => Err(Error::usage("no Vault token")
                .hint(
                "set VAULT_TOKEN, BAO_TOKEN or vault.auth.token, run `vault login`, or choose another vault.auth.method",
            )),
            Auth::Cert { .. } if self.client_cert.is_none() => {
                Err(Error::usage("vault.auth: method \"cert\" needs vault.client_cert and vault.client_key"))
            }
            auth => Ok(auth),
        }
    }
}

/// As in Vault's own client, the variable overrides everything, and the token that
/// `vault login` left is the last resort.
fn with_environment(auth: Auth, variables: Variables<'_>) -> Result<Auth> {
    let Auth::Token { token } = auth else { return Ok(auth) };
    let token = match variables.token().or(token) {
        None => variables.login_token()?,
        given => given,
    };
    Ok(Auth::Token { token })
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
