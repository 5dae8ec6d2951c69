//! The keys that open a snapshot offline: from flags, the configuration or a terminal.

use super::Context;
use crate::app::cli::UnsealArgs;
use crate::app::config;
use crate::app::prompt;
use crate::base::error::{Error, Kind, Result};
use crate::base::secret::Reference;
use crate::formats::barrier::{SealKey, UnsealKeys};
use crate::formats::share::Share;
use std::io::IsTerminal;

impl Context {
    /// The keys that open a snapshot: those of the flags. Without a flag for the server's
    /// own seal those of `[staging]`; where it has none, shares asked for on the terminal
    /// without an echo.
    ///
    /// # Errors
    /// `Usage` if there are none, a reference cannot be used or a share is malformed.
    pub async fn unseal_keys(&self, flags: &UnsealArgs) -> Result<UnsealKeys> {
        let mut keys = of_flags(flags)?;
        if keys.shares.is_empty() && keys.seal_key.is_none() {
            let UnsealKeys { shares, seal_key, namespaces } = self.staging_unseal_keys()?;
            (keys.shares, keys.seal_key) = (shares, seal_key);
            if keys.namespaces.is_empty() {
                keys.namespaces = namespaces;
            }
        }
        if keys.shares.is_empty() && keys.seal_key.is_none() {
            keys.shares = self.ask_for_shares().await?;
        }
        Ok(keys)
    }

    /// Reads the unseal keys of `[staging]`, if any.
    ///
    /// # Errors
    /// `Usage` if a reference cannot be used or a share is malformed.
    pub fn staging_unseal_keys(&self) -> Result<UnsealKeys> {
        let staging = &self.config()?.staging;
        Ok(UnsealKeys {
            shares: staging.shares()?,
            namespaces: staging.namespace_shares()?,
            seal_key: staging.seal_key.as_ref().map(read_seal_key).transpose()?,
        })
    }

    /// Asks until an empty line.
    async fn ask_for_shares(&self) -> Result<Vec<Share>> {
        let none = || {
            Error::usage("no unseal shares")
                .hint("set staging.unseal_keys, or run this on a terminal, which then asks for them")
        };
        if !std::io::stdin().is_terminal() {
            return Err(none());
        }
        let mut shares = Vec::new();
        loop {
            let question = format!("Unseal share {} (not shown; empty when all are given): ", shares.len() + 1);
            let share = prompt::hidden(&self.stop, question).await.inspect_err(|e| match e.kind() {
                Kind::Interrupted => {} // Ctrl-C ends the line
                _ => self.output.note(""),
            })?;
            if share.expose().trim().is_empty() {
                return if shares.is_empty() { Err(none()) } else { Ok(shares) };
            }
            shares.push(Share::parse(format!("{} typed in", shares.len() + 1), &share)?);
        }
    }
}

fn of_flags(flags: &UnsealArgs) -> Result<UnsealKeys> {
    let mut keys = UnsealKeys::default();
    for text in &flags.shares {
        let (namespace, from) = share_flag(text)?;
        let share = Share::parse(from.to_string(), &from.read()?)?;
        match namespace {
            Some(namespace) => keys.namespaces.entry(namespace.to_owned()).or_default().push(share),
            None => keys.shares.push(share),
        }
    }
    if let Some(text) = &flags.seal_key {
        let from = config::key_reference(text).map_err(|allowed| Error::usage(format!("--seal-key: {allowed}")))?;
        keys.seal_key = Some(read_seal_key(&from)?);
    }
    Ok(keys)
}

fn read_seal_key(from: &Reference) -> Result<SealKey> {
    from.read_raw_key().map(SealKey::new)
}

/// Splits `[NAMESPACE=]REF`.
fn share_flag(text: &str) -> Result<(Option<&str>, Reference)> {
    let usage = |e: Error| e.context("--share").hint("write --share REF, or --share NAMESPACE=REF");
    let (namespace, reference) = match text.split_once('=') {
        Some((namespace, rest)) if text.parse::<Reference>().is_err() => (Some(namespace), rest),
        _ => (None, text),
    };
    Ok((namespace, reference.parse().map_err(usage)?))
}
