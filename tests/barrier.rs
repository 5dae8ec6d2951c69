//! Tests offline decryption with real servers: the contents of a snapshot, decrypted with key
//! shares alone, equal the responses of Vault's API.

mod kv;
pub mod many;
mod shares;
pub mod state;

use crate::support::vault::Vault;
use serde_json::Value;
use state::State;
use vault_backup::base::error::{Error, Kind};
use vault_backup::base::secret::Secret;
use vault_backup::formats::barrier::{Barrier, Query, SecretAnswer, UnsealKeys};
use vault_backup::formats::share::Share;

/// Converts `shares` for the barrier.
fn secrets(shares: &[impl AsRef<str>]) -> UnsealKeys {
    let parse = |(i, share): (usize, &_)| parse(i, AsRef::<str>::as_ref(share)).unwrap();
    UnsealKeys::of_shares(shares.iter().enumerate().map(parse).collect())
}

/// Share number `i`, from 0.
fn parse(i: usize, share: &str) -> Result<Share, Error> {
    Share::parse(format!("env:SHARE{i}"), &Secret::new(share))
}

/// A snapshot of `vault`, and its barrier unlocked with its shares.
fn unlocked(vault: &Vault) -> (State, Barrier) {
    let state = State::of(vault);
    let barrier = Barrier::unlock(state.bytes(), &secrets(vault.enough_shares())).unwrap();
    (state, barrier)
}

/// A query for the secret at `path`, at the current time.
fn query(path: &str, version: Option<u64>) -> Query {
    Query { path: path.to_owned(), version, at: chrono::Utc::now() }
}

/// The data of a found secret, as JSON, and its version.
fn found(answer: &SecretAnswer) -> (Value, Option<u64>) {
    match answer {
        SecretAnswer::Found(data, version) => (serde_json::from_str(data.expose()).unwrap(), version.map(|v| v.number)),
        other => panic!("not found: {other:?}"),
    }
}

/// Asserts that `error` is a failed drill whose message contains `part`.
fn assert_drill(error: &Error, part: &str) {
    assert_eq!(error.kind(), Kind::Drill, "{error}");
    assert!(error.to_string().contains(part), "{error}");
}
