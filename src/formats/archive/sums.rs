//! SHA256SUMS: one line per member, in the format of sha256sum.

use super::SUMS;
use crate::base::error::{Error, Result};
use ring::digest::Digest;

/// Checks that `text` lists exactly `members`, each with its hash.
pub(super) fn compare(text: &[u8], members: [(&str, &Digest); 2]) -> Result<()> {
    let text = std::str::from_utf8(text).map_err(|_| malformed("it is not UTF-8"))?;
    let mut listed = Vec::new();
    for line in text.lines() {
        let (hash, name) = line.split_once("  ").ok_or_else(|| malformed("a line is not 'hash  name'"))?;
        if !members.iter().any(|(member, _)| *member == name) || listed.iter().any(|(other, _)| *other == name) {
            return Err(malformed(&format!("unexpected or duplicate entry '{name}'")));
        }
        listed.push((name, hash));
    }
    for (member, digest) in members {
        let (_, hash) = listed
            .iter()
            .find(|(name, _)| *name == member)
            .ok_or_else(|| malformed(&format!("it does not list {member}")))?;
        if !hash.eq_ignore_ascii_case(&hex::encode(digest)) {
            return Err(Error::integrity(format!(
                "the snapshot's {member} is damaged: its SHA-256 differs from {SUMS}"
            )));
        }
    }
    Ok(())
}

fn malformed(why: &str) -> Error {
    Error::integrity(format!("the snapshot's {SUMS} is malformed: {why}"))
}
