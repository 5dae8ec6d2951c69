//! A Raft snapshot opened without a Vault: key shares in, counts or one secret out.
//!
//! Here: the way from a state.bin and key shares to open entries, and what is done
//! with them. Not here: how state.bin is had (`archive`, `envelope`), and the rules of
//! a drill (`commands`). Pure: no I/O of its own, no clock.
//!
//! The keys are stored in entries under `core/`, and entries sort before them (`auth/`):
//! so [`Barrier::unlock`] reads state.bin up to the end of `core/` (of `namespaces/`, if
//! there are any), and the rest needs a second pass. Both hold no more than the largest
//! entry and the mount tables. What the stream itself has wrong is `Integrity`; what is
//! found with the keys is `Drill`.
//!
//! | module | fact |
//! | --- | --- |
//! | `entries` | the entries of state.bin |
//! | `shamir` → `seal` → `keyring` → `value` | shares → root key → terms → plaintexts |
//! | `namespaces` | which keyring the entries of a namespace are under |
//! | `mounts` → `kv`, `list` | paths → entries → secrets |
//! | `summary` | what is there, without keys |

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

pub use kv::{Absence, Query, SecretAnswer, SecretVersion};
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
use namespaces::{Namespaces, Under};
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use unlock::Core;
use zeroize::Zeroizing;

/// Values by key; they are decrypted in place.
type Values = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// The most names of unknown entries that are kept for a note.
const NAMED: usize = 5;

/// A snapshot with its keys.
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

/// The result of opening every entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The contents.
    pub summary: Summary,
    /// Number of entries opened under each term's key. With `outside` and `unopened`
    /// their sum is all entries.
    pub terms: BTreeMap<u32, u64>,
    /// Number of entries outside of the barrier: the seal's own, the leader's lock.
    pub outside: u64,
    /// Number of those among `outside` that this version does not know.
    pub unknown: u64,
    /// The names of the first few unknown ones.
    pub unknown_names: Vec<String>,
    /// Number of entries of sealable namespaces whose shares were not given.
    pub unopened: u64,
    /// The answer, if something was asked.
    pub answer: Option<SecretAnswer>,
}

/// What became of one entry.
enum OpenEntry<'v> {
    /// Its term and plaintext.
    Plain(u32, &'v [u8]),
    /// It is no barrier value; whether this version knows it.
    Outside { known: bool },
    /// It belongs to a sealable namespace that is not open.
    Unopened,
}

impl Barrier {
    /// Opens the keyrings in `state` with `keys`, and reads the mounts. Reads `state` up
    /// to the end of `core/`, or of `namespaces/` where there are any.
    ///
    /// # Errors
    /// `Usage` for a seal that `keys` cannot open, `Drill` where they do not open it or
    /// an entry is not of a known form, `Integrity` for a malformed stream.
    pub fn unlock(state: impl Read, keys: &UnsealKeys) -> Result<Self> {
        let mut core = Core::default();
        let mut entries = Entries::new(state);
        while let Some(entry) = entries.read()? {
            if entry.key >= core.end() {
                break;
            }
            core.keep(&entry);
        }
        core.unlock(keys)
    }

    /// Opens the entry `name` in place.
    fn open<'v>(&self, name: &str, value: &'v mut [u8]) -> Result<OpenEntry<'v>> {
        if value::is_outside(name) {
            return Ok(OpenEntry::Outside { known: true });
        }
        let keyring = match name.starts_with(namespaces::PREFIX) {
            false => &self.keyring,
            true => match self.tree.under(name, &self.keyring) {
                Under::Keyring(keyring) => keyring,
                Under::Seal => return Ok(OpenEntry::Outside { known: true }),
                Under::Unopened => return Ok(OpenEntry::Unopened),
            },
        };
        if !value::is_value(value) {
            return Ok(OpenEntry::Outside { known: false });
        }
        let (term, plain) = keyring.open(name, value)?;
        Ok(OpenEntry::Plain(term, plain))
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

    /// The namespaces besides the root, opened or not, in order of their names.
    pub fn namespaces(&self) -> Vec<Namespace> {
        self.tree.all(&self.keyring)
    }

    /// The product that wrote the snapshot.
    pub fn product(&self) -> Product {
        self.product
    }

    /// Opens every entry of `state`, to its end, with its term's key, and answers
    /// `query` on the way. An entry that has not the form of a barrier value is counted
    /// and not judged: the archive's own hashes cover its bytes.
    ///
    /// # Errors
    /// `Drill`, naming the entry, for the first that does not open or that is not
    /// what it should be; `Integrity` for a malformed stream.
    pub fn scan(&self, state: impl Read, query: Option<&Query>) -> Result<Scan> {
        let mut search = query.map(|query| kv::Search::new(&self.mounts, query)).transpose()?;
        let mut counter = summary::Counter::default();
        let (mut terms, mut outside, mut unknown, mut unopened) = (BTreeMap::new(), 0, 0, 0);
        let mut unknown_names = Vec::new();
        let mut entries = Entries::new(state);
        while let Some(entry) = entries.read()? {
            counter.count(&entry);
            match self.open(entry.key, entry.value)? {
                OpenEntry::Plain(term, plain) => {
                    *terms.entry(term).or_default() += 1;
                    if let Some(search) = search.as_mut().filter(|search| search.wants(entry.key)) {
                        search.take(entry.key, plain)?;
                    }
                }
                OpenEntry::Outside { known } => {
                    outside += 1;
                    unknown += u64::from(!known);
                    if !known && unknown_names.len() < NAMED {
                        unknown_names.push(entry.key.to_owned());
                    }
                }
                OpenEntry::Unopened => unopened += 1,
            }
        }
        let answer = search.map(kv::Search::finish).transpose()?;
        Ok(Scan { summary: counter.finish(), terms, outside, unknown, unknown_names, unopened, answer })
    }

    /// Answers `query`, opening only what it needs. Reads `state` no further than that.
    ///
    /// # Errors
    /// As [`Barrier::scan`], for the entries it opens.
    pub fn find(&self, state: impl Read, query: &Query) -> Result<SecretAnswer> {
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
    pub fn list(&self, state: impl Read, prefix: &str) -> Result<Vec<ListedSecret>> {
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

/// Counts what is in `state`, to its end; with `keys` its keyrings are opened too, on
/// the way.
///
/// # Errors
/// `Integrity` for a malformed stream; with `keys` also as [`Barrier::unlock`].
pub fn survey(state: impl Read, keys: Option<&UnsealKeys>) -> Result<(Summary, Option<Barrier>)> {
    let (mut counter, mut core) = (summary::Counter::default(), Core::default());
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

/// The error for JSON in the entry `name` that does not parse. It says where, and
/// nothing else: serde's own words may quote a key.
fn json_fault(name: &str, fault: &serde_json::Error) -> Error {
    let (line, column) = (fault.line(), fault.column());
    Error::drill(format!("{name}: it is not JSON of the form that is known (line {line}, column {column})"))
}

#[cfg(test)]
mod tests;
