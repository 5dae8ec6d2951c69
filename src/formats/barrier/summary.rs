//! What a snapshot holds, counted by where it lies.
//!
//! Here: the counting, which needs no keys. Not here: the names of mounts
//! (`mounts`), which do.

use super::entries::Entry;
use std::collections::BTreeMap;

/// Entries and bytes, of a whole snapshot or a part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many entries there are.
    pub entries: u64,
    /// The bytes of their keys and values, as stored.
    pub bytes: u64,
    /// The bytes of the largest of them.
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
    /// The bytes of its key and value, as stored.
    pub bytes: u64,
}

/// What a snapshot holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// All of it.
    pub total: Tally,
    /// The largest entry; empty where there is none.
    pub largest: Largest,
    /// Its parts, by what the keys in them begin with: `core/`, `logical/<uuid>/`, ….
    pub parts: BTreeMap<String, Tally>,
}

/// Counts entries as they pass.
#[derive(Default)]
pub(super) struct Counter {
    summary: Summary,
    /// The part of the last entries: keys are in order, so it seldom changes.
    part: String,
    tally: Tally,
}

impl Counter {
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

/// The part that `key` is counted in: its first folder, or the first two where the
/// second is a mount, a namespace, or one of the core's own stores.
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
    fn parts() {
        for (key, part) in [
            ("core/hsm/barrier-unseal-keys", "core/"),
            ("logical/u1/u2/metadata/x", "logical/u1/"),
            ("sys/policy/default", "sys/policy/"),
            ("sys/x", "sys/"),
            ("namespaces/n/logical/u/k", "namespaces/n/"),
            ("odd", "odd"),
            ("/odd", "/"),
        ] {
            assert_eq!(part_of(key), part, "{key}");
        }
    }

    #[test]
    fn counts_also_what_comes_in_turns() {
        let mut counter = Counter::default();
        for (key, length) in [("core/a", 4), ("sys/a/1", 10), ("sys/b", 20), ("sys/c/1", 1), ("sys/d", 1)] {
            counter.count(&Entry { key, value: &mut vec![0; length] });
        }
        let summary = counter.finish();
        assert_eq!(summary.total, Tally { entries: 5, bytes: 36 + 6 + 7 + 5 + 7 + 5, largest: 25 });
        assert_eq!(summary.largest, Largest { key: "sys/b".into(), bytes: 25 });
        assert_eq!(summary.parts["sys/"], Tally { entries: 2, bytes: 31, largest: 25 });
        assert_eq!(summary.parts.keys().collect::<Vec<_>>(), ["core/", "sys/", "sys/a/", "sys/c/"]);
        assert_eq!(Counter::default().finish(), Summary::default());
    }
}
