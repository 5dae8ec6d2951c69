//! Decrypts a Raft snapshot without a Vault server, with key shares: counts its entries,
//! or finds and lists secrets.
//!
//! Not here: reading state.bin from a backup (`archive`, `crypto`), the rules of a restore
//! drill (`commands`).
//!
//! The keys are in entries under `core/`, and some entries (`auth/`) sort before them. So
//! [`Barrier::unlock`] reads state.bin up to the end of `core/` (or `namespaces/`, if there
//! are any), and the rest needs a second pass. Both keep only the largest entry and the
//! mount tables in memory. A defect of the stream is `Integrity`; a failure to decrypt is
//! `Drill`.
//!
//! | module | content |
//! | --- | --- |
//! | `entries` | entries of state.bin |
//! | `shamir` → `seal` → `keyring` → `value` | shares → root key → terms → plaintexts |
//! | `namespaces` | keyrings of namespaces |
//! | `mounts` → `kv`, `list` | paths → entries → secrets |
//! | `summary` | counts, without keys |

mod entries;
mod keyring;
mod kv;
mod list;
mod mounts;
mod namespaces;
mod proto;
mod seal;
mod shamir;
mod summary;
mod unlock;
mod value;

pub use kv::{MissingReason, Query, SecretAnswer, SecretVersion};
pub use list::ListedSecret;
pub use mounts::{Mount, Mounts};
pub use namespaces::Namespace;
pub use seal::{SealConfig, SealKey};
pub use summary::{Largest, Summary, Tally};
pub use unlock::UnsealKeys;

use crate::base::error::{Error, Result};
use crate::formats::product::Product;
use entries::Entries;
use keyring::BarrierKeyring;
use namespaces::{EntryKeyring, Namespaces};
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use unlock::CoreEntries;
use zeroize::Zeroizing;

/// Values by key. They are decrypted in place.
type Values = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// Maximum number of unknown entries that are named in a note.
const NAMED: usize = 5;

/// The keys and mounts of a snapshot.
pub struct Barrier {
    seal: SealConfig,
    keyring: BarrierKeyring,
    mounts: Mounts,
    tree: Namespaces,
    namespaces: bool,
    product: Product,
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("seal", &self.seal).finish_non_exhaustive()
    }
}

/// The result of decrypting every entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanResult {
    /// Counts of all entries.
    pub summary: Summary,
    /// Number of entries decrypted with each term's key. The sum with `outside` and
    /// `unopened` is the total.
    pub terms: BTreeMap<u32, u64>,
    /// Number of entries outside of the barrier: those of the seal, the leader's lock.
    pub outside: u64,
    /// Number of entries in `outside` that this version does not know.
    pub unknown: u64,
    /// Names of the first few unknown entries.
    pub unknown_names: Vec<String>,
    /// Number of entries of sealable namespaces whose shares were not given.
    pub unopened: u64,
    /// The answer to the query, if any.
    pub answer: Option<SecretAnswer>,
}

/// The result of decrypting one entry.
enum DecryptedEntry<'v> {
    /// Its term and plaintext.
    Plain(u32, &'v [u8]),
    /// Not a barrier value; `known` is `true` if this version knows the entry.
    Outside { known: bool },
    /// Value of a sealable namespace whose shares were not given.
    Unopened,
}

impl Barrier {
    /// Decrypts the keyrings in `state` with `keys` and reads the mounts. Reads `state` up
    /// to the end of `core/`, or of `namespaces/` if there are any.
    ///
    /// # Errors
    /// `Usage` for a type of seal that needs other keys, `Drill` if `keys` are wrong or an
    /// entry has an unknown form, `Integrity` for a malformed stream.
    pub fn unlock(state: impl Read, keys: &UnsealKeys) -> Result<Self> {
        let mut core = CoreEntries::default();
        let mut entries = Entries::new(state);
        while let Some(entry) = entries.read()? {
            if entry.key >= core.end() {
                break;
            }
            core.keep(&entry);
        }
        core.unlock(keys)
    }

    /// Decrypts the entry `name` in place.
    fn decrypt<'v>(&self, name: &str, value: &'v mut [u8]) -> Result<DecryptedEntry<'v>> {
        if value::is_outside(name) {
            return Ok(DecryptedEntry::Outside { known: true });
        }
        let keyring = match name.starts_with(namespaces::PREFIX) {
            false => &self.keyring,
            true => match self.tree.keyring_of(name, &self.keyring) {
                EntryKeyring::Keyring(keyring) => keyring,
                EntryKeyring::WrappedBySeal => return Ok(DecryptedEntry::Outside { known: true }),
                EntryKeyring::Locked => return Ok(DecryptedEntry::Unopened),
            },
        };
        if !value::is_value(value) {
            return Ok(DecryptedEntry::Outside { known: false });
        }
        let (term, plain) = keyring.decrypt(name, value)?;
        Ok(DecryptedEntry::Plain(term, plain))
    }

    /// Returns the configuration of the seal.
    pub fn seal(&self) -> &SealConfig {
        &self.seal
    }

    /// Returns the terms of the keyring, in ascending order.
    pub fn terms(&self) -> Vec<u32> {
        self.keyring.terms().collect()
    }

    /// Returns the mounts of the root namespace.
    pub fn mounts(&self) -> &Mounts {
        &self.mounts
    }

    /// Returns `true` if there are namespaces other than the root. Their entries are
    /// decrypted and counted, but their secrets are neither found nor listed.
    pub fn has_namespaces(&self) -> bool {
        self.namespaces
    }

    /// Returns the namespaces other than the root, decrypted or not, ordered by name.
    pub fn namespaces(&self) -> Vec<Namespace> {
        self.tree.all(&self.keyring)
    }

    /// Returns the product that wrote the snapshot.
    pub fn product(&self) -> Product {
        self.product
    }

    /// Decrypts every entry of `state` to its end and answers `query` on the way. An entry
    /// that is not a barrier value is only counted: the hashes of the archive cover its
    /// bytes.
    ///
    /// # Errors
    /// `Drill`, naming the first entry that cannot be decrypted or is malformed;
    /// `Integrity` for a malformed stream.
    pub fn scan(&self, state: impl Read, query: Option<&Query>) -> Result<ScanResult> {
        let mut search = query.map(|query| kv::SecretSearch::new(&self.mounts, query)).transpose()?;
        let mut counter = summary::EntryCounter::default();
        let (mut terms, mut outside, mut unknown, mut unopened) = (BTreeMap::new(), 0, 0, 0);
        let mut unknown_names = Vec::new();
        let mut entries = Entries::new(state);
        while let Some(entry) = entries.read()? {
            counter.count(&entry);
            match self.decrypt(entry.key, entry.value)? {
                DecryptedEntry::Plain(term, plain) => {
                    *terms.entry(term).or_default() += 1;
                    if let Some(search) = search.as_mut().filter(|search| search.wants(entry.key)) {
                        search.take(entry.key, plain)?;
                    }
                }
                DecryptedEntry::Outside { known } => {
                    outside += 1;
                    unknown += u64::from(!known);
                    if !known && unknown_names.len() < NAMED {
                        unknown_names.push(entry.key.to_owned());
                    }
                }
                DecryptedEntry::Unopened => unopened += 1,
            }
        }
        let answer = search.map(kv::SecretSearch::finish).transpose()?;
        Ok(ScanResult { summary: counter.finish(), terms, outside, unknown, unknown_names, unopened, answer })
    }

    /// Answers `query`. Decrypts and reads only the entries that it needs.
    ///
    /// # Errors
    /// As [`Barrier::scan`], for the entries that it decrypts.
    pub fn find(&self, state: impl Read, query: &Query) -> Result<SecretAnswer> {
        let mut search = kv::SecretSearch::new(&self.mounts, query)?;
        let mut entries = Entries::new(state);
        while let Some(entry) = entries.read()? {
            if search.is_past(entry.key) {
                break;
            }
            if search.wants(entry.key) {
                let (_, plain) = self.keyring.decrypt(entry.key, entry.value)?;
                search.take(entry.key, plain)?;
            }
        }
        search.finish()
    }

    /// Lists all secrets at or below `prefix` (a path; empty for all), ordered by path.
    /// Reads `state` to its end.
    ///
    /// # Errors
    /// As [`Barrier::scan`], for the entries that it decrypts.
    pub fn list(&self, state: impl Read, prefix: &str) -> Result<Vec<ListedSecret>> {
        let mut listing = list::SecretListing::new(&self.mounts, prefix)?;
        let mut entries = Entries::new(state);
        while let Some(entry) = entries.read()? {
            if listing.wants(entry.key) {
                let (_, plain) = self.keyring.decrypt(entry.key, entry.value)?;
                listing.take(entry.key, plain)?;
            }
        }
        Ok(listing.finish())
    }
}

/// Counts the entries of `state` to its end. With `keys`, also decrypts its keyrings.
///
/// # Errors
/// `Integrity` for a malformed stream; with `keys` also as [`Barrier::unlock`].
pub fn survey(state: impl Read, keys: Option<&UnsealKeys>) -> Result<(Summary, Option<Barrier>)> {
    let (mut counter, mut core) = (summary::EntryCounter::default(), CoreEntries::default());
    let mut entries = Entries::new(state);
    while let Some(entry) = entries.read()? {
        counter.count(&entry);
        if keys.is_some() {
            core.keep(&entry);
        }
    }
    let barrier = keys.map(|keys| core.unlock(keys)).transpose()?;
    Ok((counter.finish(), barrier))
}

/// Returns the error for malformed JSON in the entry `name`. It names only the position:
/// serde's message may quote a key.
fn json_fault(name: &str, fault: &serde_json::Error) -> Error {
    let (line, column) = (fault.line(), fault.column());
    Error::drill(format!("{name}: unknown JSON structure (line {line}, column {column})"))
}

#[cfg(test)]
mod tests;
