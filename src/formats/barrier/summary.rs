//! Counts the entries of a snapshot by their location. This needs no keys.
//!
//! Not here: the names of mounts (`mounts`), which need keys.

use super::entries::Entry;
use std::collections::BTreeMap;

/// Number and size of the entries in a snapshot or a part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Number of entries.
    pub entries: u64,
    /// Size of their keys and values as stored, in bytes.
    pub bytes: u64,
    /// Size of the largest entry, in bytes.
    pub largest: u64,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.entries += other.entries;
        self.bytes += other.bytes;
        self.largest = self.largest.max(other.largest);
    }
}

/// The largest entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Largest {
    /// Its key.
    pub key: String,
    /// Size of its key and value as stored, in bytes.
    pub bytes: u64,
}

/// Counts of a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// All entries.
    pub total: Tally,
    /// The largest entry; empty if there is none.
    pub largest: Largest,
    /// Parts by the prefix of their keys: `core/`, `logical/<uuid>/`, ….
    pub parts: BTreeMap<String, Tally>,
}

/// Counts entries while they are read.
#[derive(Default)]
pub(super) struct EntryCounter {
    summary: Summary,
    /// Part of the previous entry. Keys are in order, so it seldom changes.
    part: String,
    tally: Tally,
}

impl EntryCounter {
    pub(super) fn count(&mut self, entry: &Entry<'_>) {
        let bytes = (entry.key.len() + entry.value.len()) as u64;
        let part = part_of(entry.key);
        if part != self.part {
            self.close_part();
            part.clone_into(&mut self.part);
        }
        self.tally.add(Tally { entries: 1, bytes, largest: bytes });
        if bytes > self.summary.largest.bytes {
            self.summary.largest = Largest { key: entry.key.to_owned(), bytes };
        }
    }

    fn close_part(&mut self) {
        let tally = std::mem::take(&mut self.tally);
        if tally.entries > 0 {
            self.summary.total.add(tally);
            self.summary.parts.entry(std::mem::take(&mut self.part)).or_default().add(tally);
        }
    }

    pub(super) fn finish(mut self) -> Summary {
        self.close_part();
        self.summary
    }
}

/// Returns the part of `key`: its first path segment, or the first two if the second is a
/// mount, a namespace or a store of the core.
fn part_of(key: &str) -> &str {
    let depth = match key.split_once('/') {
        Some(("logical" | "auth" | "audit" | "sys" | "namespaces", _)) => 2,
        _ => 1,
    };
    let end = key.match_indices('/').take(depth).last().map_or(0, |(at, _)| at + 1);
    if end == 0 { key } else { &key[..end] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_counted_in_their_part() {
        for (key, part) in [
            ("core/hsm/barrier-unseal-keys", "core/"),
            ("logical/u1/u2/metadata/x", "logical/u1/"),
            ("sys/policy/default", "sys/policy/"),
            ("sys/x", "sys/"),
            ("namespaces/n/logical/u/k", "namespaces/n/"),
            ("other", "other"),
            ("/other", "/"),
        ] {
            assert_eq!(part_of(key), part, "{key}");
        }
    }

    #[test]
    fn interleaved_parts_are_counted() {
        let mut counter = EntryCounter::default();
        for (key, length) in [("core/a", 4), ("sys/a/1", 10), ("sys/b", 20), ("sys/c/1", 1), ("sys/d", 1)] {
            counter.count(&Entry { key, value: &mut vec![0; length] });
        }
        let summary = counter.finish();
        assert_eq!(summary.total, Tally { entries: 5, bytes: 36 + 6 + 7 + 5 + 7 + 5, largest: 25 });
        assert_eq!(summary.largest, Largest { key: "sys/b".into(), bytes: 25 });
        assert_eq!(summary.parts["sys/"], Tally { entries: 2, bytes: 31, largest: 25 });
        assert_eq!(summary.parts.keys().collect::<Vec<_>>(), ["core/", "sys/", "sys/a/", "sys/c/"]);
        assert_eq!(EntryCounter::default().finish(), Summary::default());
    }
}
