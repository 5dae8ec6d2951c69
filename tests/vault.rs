//! The Vault client against real servers. Test doubles only for behaviour that no real server can show.

mod agent;
mod busy;
mod environment;
mod failures;
mod granted;
mod hostile;
mod kv;
mod leader;
mod login;
mod restore;
mod seal;
mod snapshot;
mod tls;

use crate::support::vault::Vault;
use futures_util::TryStreamExt;
use url::Url;
use vault_backup::base::error::{Error, Kind, Result};
use vault_backup::base::secret::Secret;
use vault_backup::formats::share::Share;
use vault_backup::services::vault::{Auth, Client, Node, Session, SnapshotStream, VaultSettings};

fn settings<S: AsRef<str>>(addresses: &[S]) -> VaultSettings {
    VaultSettings { addresses: addresses.iter().map(|a| url(a.as_ref())).collect(), ..VaultSettings::default() }
}

fn url(address: &str) -> Url {
    address.parse().unwrap()
}

/// Returns a client of one node.
fn client(vault: &Vault) -> Client {
    Client::new(settings(&[vault.address()])).unwrap()
}

fn root(vault: &Vault) -> Secret {
    Secret::new(vault.root_token())
}

fn shares_of(texts: &[String]) -> Vec<Share> {
    let parse = |(i, text): (usize, &String)| Share::parse(format!("env:SHARE{i}"), &Secret::new(text)).unwrap();
    texts.iter().enumerate().map(parse).collect()
}

/// Finds the leader and creates a session with `token`.
async fn session(client: &Client, token: &str) -> Result<(Node, Session)> {
    let node = client.leader().await?;
    let session = client.login(&node, &Auth::Token { token: Secret::new(token).into() }).await?;
    Ok((node, session))
}

async fn read(snapshot: SnapshotStream) -> Result<Vec<u8>> {
    snapshot.body.map_ok(|bytes| bytes.to_vec()).try_concat().await
}

/// Takes a whole snapshot.
async fn take(client: &Client, token: &str) -> Result<Vec<u8>> {
    let (node, session) = session(client, token).await?;
    read(client.snapshot(&node, &session).await?).await
}

/// Returns the names in a snapshot, whose gzip and tar must be complete.
fn entries(snapshot: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(snapshot));
    let entries = archive.entries().unwrap();
    entries.map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect()
}

const WHOLE: [&str; 4] = ["meta.json", "state.bin", "SHA256SUMS", "SHA256SUMS.sealed"];

/// Asserts that `error` is of `kind` and contains each of `texts`.
#[track_caller]
fn assert_says(error: &Error, kind: Kind, texts: &[&str]) {
    let said = error.to_string();
    assert_eq!(error.kind(), kind, "{said}");
    for text in texts {
        assert!(said.contains(text), "no {text:?} in: {said}");
    }
}
