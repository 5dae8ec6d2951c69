//! `backup` from end to end: the binary, a real Vault, real stores.

mod checksum;
mod cluster;
mod copied;
mod cron;
mod doubts;
mod expired;
mod killed;
mod kinds;
mod large;
mod lock;
mod login;
mod main_job;
mod notified;
mod proxied;
pub(crate) mod raced;
mod retried;
mod squatted;
mod stopped;
mod stored;
mod synced;

use serde_json::Value;

/// A string of a JSON document.
#[track_caller]
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}"))
}
