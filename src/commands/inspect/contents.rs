//! What a snapshot holds, by mount.
//!
//! Here: the rows, by the mounts' names where shares open them, and how they are
//! shown. Not here: the counting (`barrier`).

use crate::barrier::{self, Barrier, Largest, Mount, Mounts, Summary, Tally, UnsealKeys};
use crate::error::Result;
use crate::output;
use serde_json::{Value, json};
use std::fmt::Write;
use std::io::Read;

/// What is in state.bin.
#[derive(Debug)]
pub(super) struct Contents {
    total: Tally,
    largest: Largest,
    /// The largest first.
    parts: Vec<Part>,
}

/// The entries of one mount, or of one of Vault's own stores.
#[derive(Debug)]
struct Part {
    /// What their keys begin with.
    storage: String,
    mount: Option<Mount>,
    tally: Tally,
}

impl Contents {
    /// Counts what is in `state`, to its end.
    ///
    /// # Errors
    /// `Integrity` for entries that cannot be read, `Drill` where `keys` do not open
    /// the keys.
    pub(super) fn read(state: &mut dyn Read, keys: Option<&UnsealKeys>) -> Result<Self> {
        let (summary, barrier) = barrier::survey(state, keys)?;
        Ok(Self::of(summary, barrier.as_ref().map(Barrier::mounts)))
    }

    fn of(summary: Summary, mounts: Option<&Mounts>) -> Self {
        let mount = |storage: &str| mounts?.stored_at(storage).cloned();
        let part = |(storage, tally): (String, Tally)| Part { mount: mount(&storage), storage, tally };
        let mut parts: Vec<_> = summary.parts.into_iter().map(part).collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.tally.bytes));
        Self { total: summary.total, largest: summary.largest, parts }
    }

    pub(super) fn document(&self) -> Value {
        let part = |part: &Part| {
            json!({
                "mount": part.mount.as_ref().map(|mount| &mount.path),
                "type": part.mount.as_ref().map(|mount| &mount.kind),
                "storage": part.storage,
                "entries": part.tally.entries,
                "bytes": part.tally.bytes,
                "largest_bytes": part.tally.largest,
            })
        };
        json!({
            "entries": self.total.entries,
            "bytes": self.total.bytes,
            "largest": { "key": self.largest.key, "bytes": self.largest.bytes },
            "mounts": self.parts.iter().map(part).collect::<Vec<_>>(),
        })
    }

    /// A table, with its sum as the last line.
    pub(super) fn table(&self) -> String {
        let named = |part: &Part| match &part.mount {
            Some(mount) => format!("{} ({})", mount.path, mount.kind),
            None => part.storage.clone(),
        };
        let names: Vec<_> = self.parts.iter().map(named).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or_default().max("mount".len());
        let mut text = format!("\n{:<width$}  {:>9}  {:>11}  {:>11}\n", "mount", "entries", "bytes", "largest");
        let rows = names.iter().map(String::as_str).zip(self.parts.iter().map(|part| part.tally));
        for (name, tally) in rows.chain([("all", self.total)]) {
            let (bytes, largest) = (output::bytes(tally.bytes), output::bytes(tally.largest));
            let _ = writeln!(text, "{name:<width$}  {:>9}  {bytes:>11}  {largest:>11}", tally.entries);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_come_first_and_the_sum_last() {
        let tally = |entries, bytes, largest| Tally { entries, bytes, largest };
        let summary = Summary {
            total: tally(7, 2148, 1024),
            largest: Largest { key: "logical/u/x".into(), bytes: 1024 },
            parts: [("core/".to_owned(), tally(5, 100, 50)), ("logical/u/".to_owned(), tally(2, 2048, 1024))].into(),
        };
        let contents = Contents::of(summary, None);
        let table = contents.table();
        let lines: Vec<_> = table.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines.len(), 4, "{table}");
        assert!(lines[1].starts_with("logical/u/") && lines[1].contains("2.00 KiB"), "{table}");
        assert!(lines[3].starts_with("all ") && lines[3].contains('7'), "{table}");
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "columns stand below each other:\n{table}");
        assert_eq!(contents.document()["mounts"][1]["storage"], "core/");
    }
}
