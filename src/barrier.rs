//! A Raft snapshot opened without a Vault: key shares in, counts or one secret out.
//!
//! Here: the way from a state.bin and key shares to open entries, and what is done
//! with them. Not here: how state.bin is had (`archive`, `envelope`), and the rules of
//! a drill (`commands`). Pure: no I/O of its own, no clock.
//!
//! The keys lie in entries under `core/`, and entries sort before them (`auth/`): so
//! [`Barrier::unlock`] reads state.bin up to the end of `core/`, and the rest needs a
//! second pass. Both hold no more than the largest entry and the mount tables. What
//! the stream itself has wrong is `Integrity`; what is found with the keys is `Drill`.
//!
//! | module | fact |
//! | --- | --- |
//! | `entries` | the entries of state.bin |
//! | `shamir` → `seal` → `keyring` → `value` | shares → root key → terms → plaintexts |
//! | `mounts` → `kv`, `list` | paths → entries → secrets |
//! | `summary` | what is there, without keys |

mod entries;
mod keyring;
mod kv;
mod list;
mod mounts;
mod proto;
mod seal;
mod shamir;
mod summary;
mod value;

pub use kv::{Absence, Answer, Query, Version};
pub use list::Listed;
pub use mounts::{Mount, Mounts};
pub use seal::SealConfig;
pub use summary::{Largest, Summary, Tally};

use crate::error::{Error, Result};
use crate::secret::Secret;
use entries::{Entries, Entry};
use keyring::Keyring;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use zeroize::Zeroizing;

/// The first key after all those under `core/`.
const AFTER_CORE: &str = "core0";

/// Values by key; they are decrypted in place.
type Values = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// A snapshot whose keys are at hand.
pub struct Barrier {
    seal: SealConfig,
    keyring: Keyring,
    mounts: Mounts,
    namespaces: bool,
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("seal", &self.seal).finish_non_exhaustive()
    }
}

/// What was found when every entry was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// What is there.
    pub summary: Summary,
    /// How many entries were opened under each term's key; their sum and `outside` are all entries.
    pub terms: BTreeMap<u32, u64>,
    /// How many entries Vault keeps outside its barrier: the seal's own, the leader's lock.
    pub outside: u64,
    /// The answer, if something was asked.
    pub answer: Option<Answer>,
}

impl Barrier {
    /// Opens the keyring in `state` with the key `shares` (hex or base64, any order,
    /// all of them used), and reads the mounts. Reads `state` up to the end of `core/`.
    ///
    /// # Errors
    /// `Usage` for a seal other than Shamir's, `Drill` where the shares do not open
    /// it or what they open is not as known, `Integrity` for a malformed stream.
    pub fn unlock(state: impl Read, shares: &[Secret]) -> Result<Self> {
        let mut core = Core::default();
        let mut entries = Entries::new(state);
        while let Some(entry) = entries.read()?.filter(|entry| entry.key < AFTER_CORE) {
            core.keep(&entry);
        }
        core.unlock(shares)
    }

    /// The seal that the shares opened.
    pub fn seal(&self) -> &SealConfig {
        &self.seal
    }

    /// The terms that there are keys for, in ascending order.
    pub fn terms(&self) -> Vec<u32> {
        self.keyring.terms().collect()
    }

    /// The mounts of the root namespace.
    pub fn mounts(&self) -> &Mounts {
        &self.mounts
    }

    /// Whether there are namespaces besides the root. Their entries are opened and
    /// counted like all others, but the secrets in them are neither found nor listed.
    pub fn has_namespaces(&self) -> bool {
        self.namespaces
    }

    /// Opens every entry of `state`, to its end, with its term's key, and answers
    /// `query` on the way.
    ///
    /// # Errors
    /// `Drill`, naming the entry, for the first that does not open or that is not
    /// what it should be; `Integrity` for a malformed stream.
    pub fn scan(&self, state: impl Read, query: Option<&Query>) -> Result<Scan> {
        let mut search = query.map(|query| kv::Search::new(&self.mounts, query)).transpose()?;
        let mut counter = summary::Counter::default();
        let (mut terms, mut outside) = (BTreeMap::new(), 0);
        let mut entries = Entries::new(state);
        while let Some(entry) = entries.read()? {
            counter.count(&entry);
            if value::is_outside(entry.key) {
                outside += 1;
                continue;
            }
            let (term, plain) = self.keyring.open(entry.key, entry.value)?;
            *terms.entry(term).or_default() += 1;
            if let Some(search) = search.as_mut().filter(|search| search.wants(entry.key)) {
                search.take(entry.key, plain)?;
            }
        }
        let answer = search.map(kv::Search::finish).transpose()?;
        Ok(Scan { summary: counter.finish(), terms, outside, answer })
    }

    /// Answers `query`, opening only what it needs. Reads `state` no further than that.
    ///
    /// # Errors
    /// As [`Barrier::scan`], for the entries it opens.
    pub fn find(&self, state: impl Read, query: &Query) -> Result<Answer> {
        let mut search = kv::Search::new(&self.mounts, query)?;
        let mut entries = Entries::new(state);
        while let Some(entry) = entries.read()? {
            if search.is_past(entry.key) {
                break;
            }
            if search.wants(entry.key) {
                let (_, plain) = self.keyring.open(entry.key, entry.value)?;
                search.take(entry.key, plain)?;
            }
        }
        search.finish()
    }

    /// Names all secrets at or below `prefix` (a whole path or folder; all of them if
    /// empty), in order of path. Reads `state` to its end.
    ///
    /// # Errors
    /// As [`Barrier::scan`], for the entries it opens.
    pub fn list(&self, state: impl Read, prefix: &str) -> Result<Vec<Listed>> {
        let mut listing = list::Listing::new(&self.mounts, prefix)?;
        let mut entries = Entries::new(state);
        while let Some(entry) = entries.read()? {
            if listing.wants(entry.key) {
                let (_, plain) = self.keyring.open(entry.key, entry.value)?;
                listing.take(entry.key, plain)?;
            }
        }
        Ok(listing.finish())
    }
}

/// Counts what is in `state`, to its end; with `shares` its keys are opened too, on
/// the way.
///
/// # Errors
/// `Integrity` for a malformed stream; with `shares` also as [`Barrier::unlock`].
pub fn survey(state: impl Read, shares: Option<&[Secret]>) -> Result<(Summary, Option<Barrier>)> {
    let (mut counter, mut core) = (summary::Counter::default(), Core::default());
    let mut entries = Entries::new(state);
    while let Some(entry) = entries.read()? {
        counter.count(&entry);
        if shares.is_some() {
            core.keep(&entry);
        }
    }
    let barrier = shares.map(|shares| core.unlock(shares)).transpose()?;
    Ok((counter.finish(), barrier))
}

/// What lies under `core/`, as far as the keys and mounts need it.
#[derive(Default)]
struct Core {
    values: Values,
    /// Whether there are namespaces (OpenBao `vault/namespace_store.go`).
    namespaces: bool,
}

impl Core {
    fn keep(&mut self, entry: &Entry<'_>) {
        let needed = [seal::CONFIG_ENTRY, seal::KEYS_ENTRY, keyring::ENTRY].contains(&entry.key);
        if needed || Mounts::is_table(entry.key) {
            self.values.insert(entry.key.to_owned(), Zeroizing::new(entry.value.to_vec()));
        }
        self.namespaces |= entry.key.starts_with("core/namespaces/");
    }

    fn unlock(self, shares: &[Secret]) -> Result<Barrier> {
        let Self { values: mut core, namespaces } = self;
        let seal = SealConfig::parse(take(&mut core, seal::CONFIG_ENTRY)?.as_slice())?;
        seal.require_shamir()?;
        let closed = || Error::drill("these shares do not open this backup");
        let unseal_key = shamir::combine(shares, seal.threshold).ok_or_else(closed)?;
        let root = if seal.stores_root_key() {
            seal::root_key(&unseal_key, &take(&mut core, seal::KEYS_ENTRY)?)?.ok_or_else(closed)?
        } else {
            unseal_key
        };
        let keyring = Keyring::unlock(&root, &mut take(&mut core, keyring::ENTRY)?)?;
        let keyring = keyring.ok_or_else(|| match seal.stores_root_key() {
            true => Error::drill(format!("{}: its tag does not hold under the root key", keyring::ENTRY)),
            false => closed(),
        })?;
        let (mounts, others) = Mounts::read(&mut core, &keyring)?;
        Ok(Barrier { seal, keyring, mounts, namespaces: namespaces || others })
    }
}

/// Takes the entry `name` out of `core`.
fn take(core: &mut Values, name: &str) -> Result<Zeroizing<Vec<u8>>> {
    core.remove(name).ok_or_else(|| Error::drill(format!("the snapshot has no {name}: it is no initialised Vault's")))
}

/// The error for JSON in the entry `name` that does not parse. It says where, and
/// nothing else: serde's own words may quote a key.
fn json_fault(name: &str, fault: &serde_json::Error) -> Error {
    let (line, column) = (fault.line(), fault.column());
    Error::drill(format!("{name}: it is not JSON of the form that is known (line {line}, column {column})"))
}

#[cfg(test)]
mod tests;
