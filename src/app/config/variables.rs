//! The environment variables that Vault's and OpenBao's own clients honour.
//!
//! `BAO_X` is read before `VAULT_X`, as `bao` does. Source: OpenBao and Vault
//! `api/client.go`, `api/cliconfig`, `command/base.go`. The table for users is in
//! docs/operations.md.

use super::Environment;
use super::values::Parsed;
use crate::base::error::{Error, Result};
use crate::base::regular_file;
use crate::base::secret::Reference;
use std::path::{Path, PathBuf};
use url::Url;

/// Prefixes of the clients' variables, in the order of precedence.
const PREFIXES: [&str; 2] = ["BAO_", "VAULT_"];

/// The clients' variables.
#[derive(Clone, Copy)]
pub(super) struct Variables<'e>(pub(super) Environment<'e>);

impl Variables<'_> {
    /// Returns the value of `BAO_X` or else of `VAULT_X`, with the full name of the variable.
    pub(super) fn get(self, name: &str) -> Option<(String, String)> {
        self.all(name).into_iter().next()
    }

    fn all(self, name: &str) -> Vec<(String, String)> {
        let named = PREFIXES.map(|prefix| format!("{prefix}{name}"));
        named.into_iter().filter_map(|full| Some((full.clone(), (self.0)(&full)?))).collect()
    }

    /// Returns the value of the first of `names` that is set, or else the file's value.
    ///
    /// # Errors
    /// `Usage` that names the variable.
    pub(super) fn pick<T>(
        self,
        names: &[&str],
        parse: impl Fn(&str) -> Parsed<T>,
        file: Option<T>,
    ) -> Result<Option<T>> {
        match names.iter().find_map(|name| self.get(name)) {
            Some((name, value)) => {
                parse(&value).map(Some).map_err(|allowed| Error::usage(format!("{name}: {allowed}")))
            }
            None => Ok(file),
        }
    }

    /// Returns a warning if `BAO_ADDR` and `VAULT_ADDR` name different servers.
    pub(super) fn two_addresses(self) -> Option<String> {
        match self.all("ADDR").as_slice() {
            [(first, one), (second, other)] if one.trim_end_matches('/') != other.trim_end_matches('/') => {
                Some(format!("{first} and {second} differ: {first} is used"))
            }
            _ => None,
        }
    }

    /// Refuses a lookup of SRV records, which Vault's client does for an address without a port.
    ///
    /// # Errors
    /// `Usage` that names the variable.
    pub(super) fn refuse_srv(self, addresses: &[Url], wanted: impl Fn(&str) -> Parsed<bool>) -> Result<()> {
        let Some((name, value)) = self.get("SRV_LOOKUP") else { return Ok(()) };
        let wanted = wanted(&value).map_err(|allowed| Error::usage(format!("{name}: {allowed}")))?;
        match addresses.iter().find(|url| url.has_host() && url.port().is_none()) {
            Some(address) if wanted => {
                Err(Error::usage(format!("{name}: SRV lookup is not supported, and {address} has no port"))
                    .hint("list the servers with their ports in vault.addresses, and unset the variable"))
            }
            _ => Ok(()),
        }
    }

    /// Returns the reference to `BAO_TOKEN` or `VAULT_TOKEN`, if set.
    pub(super) fn token(self) -> Option<Reference> {
        self.get("TOKEN").map(|(name, _)| Reference::Env(name))
    }

    /// Returns the token of `vault login` or `bao login`: from the token helper of `~/.bao` or
    /// `~/.vault` if one is configured, or else from `BAO_TOKEN_PATH` or `~/.vault-token`.
    ///
    /// # Errors
    /// `Usage` for a token helper without an absolute path.
    pub(super) fn login_token(self) -> Result<Option<Reference>> {
        let home = (self.0)("HOME").map(PathBuf::from);
        let given = self.get("CONFIG_PATH").map(|(_, path)| PathBuf::from(path));
        let usual = || [".bao", ".vault"].into_iter().filter_map(|name| Some(home.as_ref()?.join(name)));
        for config in given.map_or_else(|| usual().collect(), |path| vec![path]) {
            if let Some(helper) = token_helper(&config)? {
                return Ok(Some(Reference::Helper(helper)));
            }
        }
        let path = self.get("TOKEN_PATH").map(|(_, path)| PathBuf::from(path));
        let path = path.or_else(|| Some(home?.join(".vault-token")));
        Ok(path.filter(|path| path.is_file()).map(Reference::File))
    }
}

/// Reads `token_helper`, the only key of the clients' own configuration file.
fn token_helper(config: &Path) -> Result<Option<PathBuf>> {
    let Ok(text) = regular_file::read_to_string(config) else { return Ok(None) };
    let value = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim().trim_matches('"') == "token_helper").then(|| value.trim().trim_matches('"').to_owned())
    });
    match value {
        None => Ok(None),
        Some(path) if path.is_empty() => Ok(None),
        Some(path) if Path::new(&path).is_absolute() => Ok(Some(path.into())),
        Some(_) => Err(Error::usage(format!("{}: token_helper: not an absolute path", config.display()))
            .hint("write the absolute path of the helper, which Vault's own client requires too")),
    }
}
