//! The contents of a snapshot by mount, as a table and as JSON.
//!
//! Not here: the counting (`barrier`).

use crate::app::output;
use crate::app::output::lines::Lines;
use crate::base::error::Result;
use crate::base::text::value;
use crate::formats::barrier::{self, Barrier, Largest, Mount, Namespace, Summary, Tally, UnsealKeys};
use crate::formats::product::Product;
use serde_json::{Value, json};
use std::io::Read;

/// The contents of state.bin.
#[derive(Debug)]
pub(super) struct Contents {
    total: Tally,
    largest: Largest,
    /// The largest first.
    parts: Vec<InspectedPart>,
    /// Known only with unseal keys.
    opened: Option<Unlocked>,
}

/// The details that unseal keys give access to.
#[derive(Debug)]
struct Unlocked {
    product: Product,
    namespaces: Vec<Namespace>,
}

/// The entries of one mount, one namespace, or one of the server's own stores.
#[derive(Debug)]
struct InspectedPart {
    /// Common prefix of their keys.
    storage: String,
    mount: Option<Mount>,
    namespace: Option<Namespace>,
    tally: Tally,
}

impl Contents {
    /// Reads `state` to its end and counts its entries.
    ///
    /// # Errors
    /// `Integrity` for entries that cannot be read, `Drill` if `keys` do not open the
    /// keyring.
    pub(super) fn read(state: &mut dyn Read, keys: Option<&UnsealKeys>) -> Result<Self> {
        let (summary, barrier) = barrier::survey(state, keys)?;
        Ok(Self::of(summary, barrier.as_ref()))
    }

    fn of(summary: Summary, barrier: Option<&Barrier>) -> Self {
        let opened = barrier.map(|b| Unlocked { product: b.product(), namespaces: b.namespaces() });
        let namespaces = opened.as_ref().map(|opened| opened.namespaces.as_slice()).unwrap_or_default();
        let part = |(storage, tally): (String, Tally)| InspectedPart {
            mount: barrier.and_then(|b| b.mounts().stored_at(&storage)).cloned(),
            namespace: namespaces.iter().find(|n| storage == format!("namespaces/{}/", n.uuid)).cloned(),
            storage,
            tally,
        };
        let mut parts: Vec<_> = summary.parts.into_iter().map(part).collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.tally.bytes));
        Self { total: summary.total, largest: summary.largest, parts, opened }
    }

    pub(super) fn document(&self) -> Value {
        let part = |part: &InspectedPart| {
            json!({
                "mount": part.mount.as_ref().map(|mount| &mount.path),
                "type": part.mount.as_ref().map(|mount| &mount.kind),
                "namespace": part.namespace.as_ref().map(Namespace::name),
                "storage": part.storage,
                "entries": part.tally.entries,
                "bytes": part.tally.bytes,
                "largest_bytes": part.tally.largest,
            })
        };
        let namespace =
            |n: &Namespace| json!({ "path": n.path, "uuid": n.uuid, "sealable": n.sealable, "opened": n.opened });
        let namespaces = |opened: &Unlocked| opened.namespaces.iter().map(namespace).collect::<Vec<_>>();
        json!({
            "product": self.opened.as_ref().map(|opened| opened.product),
            "namespaces": self.opened.as_ref().map(namespaces),
            "entries": self.total.entries,
            "bytes": self.total.bytes,
            "largest": { "key": self.largest.key, "bytes": self.largest.bytes },
            "mounts": self.parts.iter().map(part).collect::<Vec<_>>(),
        })
    }

    /// Returns a table whose last line is the sum.
    pub(super) fn table(&self) -> Lines {
        let names: Vec<_> = self.parts.iter().map(|part| value(&part.name())).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or_default().max("mount".len());
        let mut text = Lines::default();
        text.line("");
        let _ = writeln!(text, "{:<width$}  {:>9}  {:>11}  {:>11}", "mount", "entries", "bytes", "largest");
        let rows = names.iter().map(String::as_str).zip(self.parts.iter().map(|part| part.tally));
        for (name, tally) in rows.chain([("all", self.total)]) {
            let (bytes, largest) = (output::bytes(tally.bytes), output::bytes(tally.largest));
            let _ = writeln!(text, "{name:<width$}  {:>9}  {bytes:>11}  {largest:>11}", tally.entries);
        }
        text
    }
}

impl InspectedPart {
    fn name(&self) -> String {
        match (&self.mount, &self.namespace) {
            (Some(mount), _) => format!("{} ({})", mount.path, mount.kind),
            (None, Some(namespace)) if namespace.opened => format!("namespace {}", namespace.name()),
            (None, Some(namespace)) => format!("namespace {} (sealed)", namespace.name()),
            (None, None) => self.storage.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_the_largest_first_and_the_sum_last() {
        let tally = |entries, bytes, largest| Tally { entries, bytes, largest };
        let summary = Summary {
            total: tally(7, 2148, 1024),
            largest: Largest { key: "logical/u/x".into(), bytes: 1024 },
            parts: [("core/".to_owned(), tally(5, 100, 50)), ("logical/u/".to_owned(), tally(2, 2048, 1024))].into(),
        };
        let contents = Contents::of(summary, None);
        let table = contents.table().to_string();
        let lines: Vec<_> = table.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines.len(), 4, "{table}");
        assert!(lines[1].starts_with("logical/u/") && lines[1].contains("2.00 KiB"), "{table}");
        assert!(lines[3].starts_with("all ") && lines[3].contains('7'), "{table}");
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "columns are aligned:\n{table}");
        assert_eq!(contents.document()["mounts"][1]["storage"], "core/");
    }
}
