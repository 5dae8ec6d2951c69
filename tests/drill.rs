//! `verify-restore` with real servers: its steps, its refusals, and its cleanup.

mod again;
mod automatic;
mod dying;
mod ended;
pub mod ephemeral;
mod failures;
mod far;
mod guard;
mod hostile;
mod killed;
mod lies;
mod moments;
mod offline;
mod old_key;
mod openbao;
mod program;
mod record;
mod tokens;
mod traces;

use crate::support::production::Site;
use crate::support::vault::Vault;

/// Lines of `[staging]` that log in as the reader, and unseal with the first two shares.
pub(crate) const LOGIN: &str = "unseal_keys = [\"env:SHARE0\", \"env:SHARE1\"]\n\
    auth = { method = \"approle\", role_id = \"env:ROLE_ID\", secret_id = \"env:SECRET_ID\" }\n";

/// `[staging]` at `address` with the token in `STAGING_TOKEN`, and more `lines`.
fn staging_at(address: &str, lines: &str) -> String {
    format!("[staging]\naddress = {address:?}\ntoken = \"env:STAGING_TOKEN\"\n{lines}")
}

/// A drill of `site` into `staging`.
pub(crate) fn drill(site: &Site, staging: &Vault, lines: &str) -> crate::support::tool::Tool {
    site.tool(&staging_at(&staging.address(), lines)).arg("verify-restore").env("STAGING_TOKEN", staging.root_token())
}
