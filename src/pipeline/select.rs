//! Finds the backup that a person named, in the store's catalog.
//!
//! A backup that is not good is found by its full name only. Not here: the forms of a name
//! (`formats::selection`) and the check before reading (`object`).

use super::catalog::{self, Catalog};
use super::trust::Trust;
use crate::base::error::{Error, Result};
use crate::formats::backup::{Backup, under_unknown_keys};
use crate::formats::naming::BackupName;
use crate::formats::selection::{Selector, without_copies};
use crate::services::store::Store;
use chrono::{DateTime, Utc};
use ring::rand::{SecureRandom, SystemRandom};

/// Maximum number of candidates that an error lists.
const CANDIDATES: usize = 5;

/// Returns the backup that `text` names, or `None` if no name has that form or no backup
/// fits. The existence of a full object name is not checked here.
///
/// # Errors
/// `Usage` if `text` is ambiguous, `Integrity` if what fits is not good, and the store's.
pub(crate) async fn named(
    store: &dyn Store,
    text: &str,
    trust: &Trust,
    now: DateTime<Utc>,
) -> Result<Option<BackupName>> {
    let root = store.locate("");
    let Some(selector) = Selector::parse(text, &root) else {
        return match text.contains("://") {
            true => Err(Error::usage(format!("the URL is not below the configured store {root}"))
                .hint("name its store with --store")),
            false => Ok(None),
        };
    };
    if let Selector::Object(name) = selector {
        return Ok(Some(name));
    }
    let mut catalog = Catalog::read(store).await?;
    if let Selector::Latest(of) = selector {
        if let Some(newest) = catalog.newest_good(store, trust, now, of).await? {
            return Ok(Some(newest.name.clone()));
        }
        let mut backups = catalog.backups;
        catalog::check_manifests(store, &mut backups, |_| true, trust).await?;
        return Err(none_good(text, &backups, &selector, trust));
    }
    let fits = |backup: &Backup| selector.fits(&backup.name);
    catalog::check_manifests(store, &mut catalog.backups, fits, trust).await?;
    let fitting: Vec<_> = catalog.backups.into_iter().filter(fits).collect();
    if fitting.is_empty() {
        return Ok(None);
    }
    let good = fitting.iter().filter(|backup| backup.status.is_good());
    let good: Vec<_> = good.map(|backup| backup.name.clone()).collect();
    match without_copies(&good)[..] {
        [] => Err(none_good(text, &fitting, &selector, trust)),
        [name] => Ok(Some(name.clone())),
        ref several => Err(ambiguous(text, several)),
    }
}

/// Returns a random good backup.
///
/// # Errors
/// As [`named`] for `latest`.
pub(crate) async fn random(store: &dyn Store, trust: &Trust, now: DateTime<Utc>) -> Result<BackupName> {
    let mut all = Catalog::read(store).await?.backups;
    let names = all.iter().filter(|backup| !backup.is_future(now)).map(|backup| backup.name.clone());
    let mut left: Vec<_> = names.collect();
    while !left.is_empty() {
        let name = left.swap_remove(below(left.len())?);
        catalog::check_manifests(store, &mut all, |backup| backup.name == name, trust).await?;
        if all.iter().any(|backup| backup.name == name && backup.status.is_good()) {
            return Ok(name);
        }
    }
    Err(none_good("--random", &all, &Selector::Latest(None), trust))
}

/// Returns a random number below `bound`. The bias of the remainder is negligible.
fn below(bound: usize) -> Result<usize> {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::unexpected("the system gave no random bytes"))?;
    Ok(usize::try_from(u64::from_le_bytes(bytes) % bound as u64).unwrap_or_default())
}

fn ambiguous(text: &str, several: &[&BackupName]) -> Error {
    let names: Vec<_> = several.iter().take(CANDIDATES).map(|name| name.object()).collect();
    let more = if several.len() > CANDIDATES { ", …" } else { "" };
    Error::usage(format!("{text}: ambiguous: it fits {} good backups", several.len()))
        .hint(format!("name one of them: {}{more}", names.join(", ")))
}

fn none_good(text: &str, backups: &[Backup], selector: &Selector, trust: &Trust) -> Error {
    let fitting: Vec<_> = backups.iter().filter(|backup| selector.fits(&backup.name)).collect();
    let Some(newest) = fitting.first() else {
        return Error::store(format!("{text}: there is no backup")).hint("see: vault-backup list");
    };
    let what = match fitting.len() {
        1 => format!("{text}: the only backup that fits is not good: {}", newest.name),
        n => format!("{text}: none of the {n} backups that fit is good; the newest is {}", newest.name),
    };
    let unknown = under_unknown_keys(fitting.iter().copied());
    match trust.keys.is_empty() {
        true => Error::usage(what).hint("give --key or set encryption.key: the check needs the key"),
        false if !unknown.is_empty() => Error::integrity(format!("{what}: {}", unknown.join("; ")))
            .hint("give that key with --key or encryption.old_keys; a backup that is not good needs its full name"),
        false => Error::integrity(what).hint("see: vault-backup list; a backup that is not good needs its full name"),
    }
}
