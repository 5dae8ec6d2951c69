//! Initialisation of an empty Vault.

use super::Client;
use super::call::Call;
use super::failure::RequestFailure;
use crate::base::error::Result;
use crate::base::secret::Secret;
use crate::formats::share::Share;
use serde::Deserialize;
use serde_json::json;
use url::Url;

/// Response of `sys/init`. Vault returns it only once.
pub struct Initialised {
    /// Root token.
    pub root_token: Secret,
    /// Unseal keys, without recovery keys.
    pub shares: Vec<Share>,
}

#[derive(Deserialize)]
struct InitResponse {
    root_token: String,
    #[serde(default)]
    keys: Vec<String>,
}

impl Client {
    /// Initialises the Vault at `address` with `shares` key shares, of which `threshold` unseal it.
    /// With an automatic seal they are recovery keys.
    ///
    /// # Errors
    /// `Vault`, also if it is already initialised.
    pub async fn initialise(&self, address: &Url, shares: u64, threshold: u64, automatic: bool) -> Result<Initialised> {
        let explain = |f: RequestFailure| f.explain(self, address, "initialising", None);
        let body = match automatic {
            false => json!({ "secret_shares": shares, "secret_threshold": threshold }),
            true => json!({ "recovery_shares": shares, "recovery_threshold": threshold }),
        };
        let call = Call::put("sys/init").json(&body).map_err(explain)?;
        let answer: InitResponse = self.call(address, call).await.and_then(|a| a.parse()).map_err(explain)?;
        let share = |(i, key): (usize, String)| Share::parse(format!("{} of sys/init", i + 1), &Secret::new(key));
        Ok(Initialised {
            root_token: Secret::new(answer.root_token),
            shares: answer.keys.into_iter().enumerate().map(share).collect::<Result<_>>()?,
        })
    }
}
