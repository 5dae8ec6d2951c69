//! `[vault]`, and the environment variables of Vault's own clients, which apply only to it.

use super::values::{self, Parsed};
use super::variables::Variables;
use super::{Environment, file};
use crate::base::error::{Error, Result};
use crate::services::http::TlsSettings;
use crate::services::vault::{Auth, VaultSettings};
use std::path::PathBuf;

/// `[vault]`: the cluster that is backed up.
#[derive(Clone, Debug)]
pub struct VaultSection {
    /// Settings of the client. Without a configured address, the list of addresses is empty.
    pub settings: VaultSettings,
    /// Id of the cluster, if any. Any other cluster is refused, and its backups do not count.
    pub cluster_id: Option<String>,
    /// `[vault.auth]`, if there are credentials.
    pub auth: Option<Auth>,
    /// Warnings about probable mistakes, for a run that uses the section.
    pub warnings: Vec<String>,
}

impl VaultSection {
    pub(super) fn resolve(file: file::Vault, run: &file::Run, environment: Environment<'_>) -> Result<Self> {
        let variables = Variables(environment);
        let path = |name, key| variables.pick(&[name], values::path, key);
        let text = |name, key| variables.pick(&[name], values::text, key);
        let one = |value: &str| Ok(vec![values::server(value)?]);
        let addresses = variables.pick(&["AGENT_ADDR", "ADDR"], one, Some(file.addresses))?.unwrap_or_default();
        variables.refuse_srv(&addresses, go_bool)?;
        let client_cert = path("CLIENT_CERT", file.client_cert)?;
        let client_key = path("CLIENT_KEY", file.client_key)?;
        both(client_cert.as_ref(), client_key.as_ref())?;
        let default = VaultSettings::default();
        let settings = VaultSettings {
            addresses,
            namespace: text("NAMESPACE", file.namespace)?,
            proxy: variables.pick(&["PROXY_ADDR", "HTTP_PROXY"], values::address, file.proxy)?,
            tls: TlsSettings {
                ca_cert: path("CACERT", file.ca_cert)?,
                ca_path: path("CAPATH", file.ca_path)?,
                ca_bytes: variables.get("CACERT_BYTES").map(|(_, pem)| pem),
                client_cert,
                client_key,
                server_name: text("TLS_SERVER_NAME", file.tls_server_name)?,
                skip_verify: variables.pick(&["SKIP_VERIFY"], go_bool, file.tls_skip_verify)?.unwrap_or(false),
            },
            connect_timeout: run.connect_timeout.unwrap_or(default.connect_timeout),
            idle_timeout: run.idle_timeout.unwrap_or(default.idle_timeout),
            ..default
        };
        let mut warnings: Vec<_> = variables.two_addresses().into_iter().collect();
        if settings.tls.skip_verify {
            warnings.push(
                "TLS certificates of Vault are not verified (tls_skip_verify): the token can be intercepted".to_owned(),
            );
        }
        Ok(Self { settings, cluster_id: file.cluster_id, auth: with_environment(file.auth, variables)?, warnings })
    }
}

/// Adds a token of the environment, as in Vault's own client: the variable overrides the file, and
/// the token of `vault login` is the last resort.
fn with_environment(auth: Option<Auth>, variables: Variables<'_>) -> Result<Option<Auth>> {
    if !matches!(auth, None | Some(Auth::Token { .. })) {
        return Ok(auth);
    }
    let token = |token| Some(Auth::Token { token: crate::base::secret::TextOrReference::from(token) });
    match (variables.token(), auth) {
        (Some(variable), _) => Ok(token(variable)),
        (None, None) => Ok(variables.login_token()?.and_then(token)),
        (None, given) => Ok(given),
    }
}

fn both(cert: Option<&PathBuf>, key: Option<&PathBuf>) -> Result<()> {
    if cert.is_some() == key.is_some() {
        return Ok(());
    }
    Err(Error::usage(
        "vault.client_cert (VAULT_CLIENT_CERT) and vault.client_key (VAULT_CLIENT_KEY): one is set without the other",
    ))
}

/// Parses what Go's `strconv.ParseBool` accepts, which Vault's own client uses for the variable.
fn go_bool(text: &str) -> Parsed<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err("must be true or false"),
    }
}
