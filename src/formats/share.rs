//! Unseal key shares as given by the user. Messages name their origin and never show them.
//!
//! Source of the format: Vault `shamir/shamir.go`, `http/sys_seal.go`. A share has one byte
//! y for each byte of the key, then its x. If one share is enough to unseal, it is the key.

use crate::base::error::{Error, Result};
use crate::base::secret::Secret;
use base64::{Engine, prelude::BASE64_STANDARD};
use std::fmt;
use zeroize::Zeroizing;

/// Length of the shared key, in bytes.
pub const KEY: usize = 32;

/// One unseal key share.
#[derive(Clone)]
pub struct Share {
    from: String,
    text: Secret,
    bytes: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Share {
    /// Parses a share in hex or base64. `from` is its origin in messages, such as `env:SHARE1`.
    ///
    /// # Errors
    /// `Usage` if it cannot be a share of any cluster.
    pub fn parse(from: impl Into<String>, text: &Secret) -> Result<Self> {
        let (from, trimmed) = (from.into(), text.expose().trim());
        // Hex first, like Vault: base64 of the right length is never hex of the right length.
        let fits = |bytes: Vec<u8>| Some(Zeroizing::new(bytes)).filter(|b| is_possible(b));
        let decoded = hex::decode(trimmed).ok().and_then(fits);
        match decoded.or_else(|| BASE64_STANDARD.decode(trimmed).ok().and_then(fits)) {
            Some(bytes) => Ok(Self { from, text: Secret::new(trimmed), bytes }),
            None => Err(Error::usage(format!("share {from}: malformed")).hint(
                "give a share as `vault operator init` prints it: 33 bytes in hex or base64 (32 if one share is enough)",
            )),
        }
    }

    /// Returns its origin, such as `env:SHARE1`.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// Returns the text to send to a server.
    pub fn text(&self) -> &Secret {
        &self.text
    }

    /// Returns the decoded share.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns its number x; `None` for a complete key.
    fn x(&self) -> Option<u8> {
        self.bytes.get(KEY).copied()
    }
}

/// Returns `true` if these bytes can be a share or a complete key. A share never has the
/// number 0: that is the key itself.
fn is_possible(bytes: &[u8]) -> bool {
    bytes.len() == KEY || (bytes.len() == KEY + 1 && bytes[KEY] != 0)
}

/// Refuses shares that cannot unseal a cluster with `threshold` of `total` shares, before
/// any is used.
///
/// # Errors
/// `Drill` naming the share that is a duplicate, contradicts another or has the wrong
/// length, or the number of missing shares.
pub fn check(shares: &[Share], threshold: u64, total: u64) -> Result<()> {
    for (i, share) in shares.iter().enumerate() {
        let name = format!("share {} of {} ({})", i + 1, shares.len(), share.from);
        if let Some((j, other)) = shares[..i].iter().enumerate().find(|(_, s)| s.x() == share.x()) {
            let first = format!("share {} ({})", j + 1, other.from);
            return Err(if other.bytes == share.bytes {
                Error::drill(format!("{name}: duplicate of {first}")).hint("give different shares")
            } else if share.x().is_none() {
                Error::drill(format!("{name}: a second complete key, after {first}"))
                    .hint("give only one key: one share is enough to unseal this cluster")
            } else {
                Error::drill(format!("{name}: same share number as {first}, but different contents"))
                    .hint("give shares of one cluster, from the same init or rekey")
            });
        }
        if share.x().is_none() != (threshold == 1) {
            let length = if threshold == 1 { KEY } else { KEY + 1 };
            return Err(Error::drill(format!(
                "{name}: it has {} bytes, but shares of a cluster that needs {threshold} of {total} have {length}",
                share.bytes.len()
            ))
            .hint("replace it: it is a share of another cluster"));
        }
    }
    let given = shares.len() as u64;
    if given < threshold {
        let names = if shares.is_empty() { String::new() } else { format!(" ({})", origins(shares)) };
        let missing = threshold - given;
        return Err(Error::drill(format!(
            "too few unseal key shares: {given} given{names}, {threshold} of {total} needed"
        ))
        .hint(format!("give {missing} more of the same cluster")));
    }
    Ok(())
}

/// Lists the shares by origin, for messages: `env:A, file:/b`.
pub fn origins(shares: &[Share]) -> String {
    shares.iter().map(Share::from).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Kind;
    use proptest::prelude::*;

    fn share(from: &str, x: u8, fill: u8) -> Share {
        let mut bytes = vec![fill; KEY];
        bytes.push(x);
        Share::parse(from, &Secret::new(hex::encode(bytes))).unwrap()
    }

    #[test]
    fn shares_parse_as_hex_or_base64_with_surrounding_white_space() {
        let bytes = [7; 33];
        for text in [hex::encode(bytes), BASE64_STANDARD.encode(bytes), format!(" {}\r\n", hex::encode(bytes))] {
            assert_eq!(Share::parse("env:A", &Secret::new(text)).unwrap().bytes(), bytes);
        }
        assert_eq!(Share::parse("env:A", &Secret::new(hex::encode([7; 32]))).unwrap().x(), None);
    }

    #[test]
    fn a_malformed_share_is_named_but_not_shown() {
        for text in ["", "planted", "00", &"0".repeat(65), &"0".repeat(66), &"0".repeat(68), "hvs.planted"] {
            let error = Share::parse("file:/s/2", &Secret::new(text)).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage);
            assert!(error.to_string().starts_with("share file:/s/2: malformed"), "{error}");
            assert!(!error.to_string().contains("planted"), "{error}");
        }
    }

    #[test]
    fn duplicate_contradicting_and_too_few_shares_are_refused_and_named() {
        let (a, b) = (share("env:A", 1, 1), share("env:B", 2, 2));
        check(&[a.clone(), b.clone()], 2, 3).unwrap();
        let [complete, other] = [("env:W", "00"), ("env:V", "01")]
            .map(|(from, byte)| Share::parse(from, &Secret::new(byte.repeat(KEY))).unwrap());
        check(std::slice::from_ref(&complete), 1, 1).unwrap();
        for (shares, threshold, says) in [
            (
                vec![a.clone()],
                2,
                "too few unseal key shares: 1 given (env:A), 2 of 3 needed; give 1 more of the same cluster",
            ),
            (vec![], 1, "too few unseal key shares: 0 given, 1 of 3 needed"),
            (vec![a.clone(), a.clone()], 2, "share 2 of 2 (env:A): duplicate of share 1 (env:A)"),
            (
                vec![a.clone(), b, share("env:C", 1, 9)],
                2,
                "share 3 of 3 (env:C): same share number as share 1 (env:A), but different contents",
            ),
            (vec![complete.clone(), complete.clone()], 1, "share 2 of 2 (env:W): duplicate of share 1 (env:W)"),
            (vec![complete.clone(), other], 1, "share 2 of 2 (env:V): a second complete key, after share 1 (env:W)"),
            (
                vec![a.clone(), complete],
                2,
                "share 2 of 2 (env:W): it has 32 bytes, but shares of a cluster that needs 2 of 3 have 33",
            ),
            (vec![a], 1, "share 1 of 1 (env:A): it has 33 bytes, but shares of a cluster that needs 1 of 3 have 32"),
        ] {
            let error = check(&shares, threshold, 3).unwrap_err();
            assert_eq!(error.kind(), Kind::Drill);
            assert!(error.to_string().starts_with(says), "{error}");
        }
    }

    proptest! {
        #[test]
        fn hostile_text_never_panics(texts: Vec<String>, threshold in 0u64..4) {
            let parsed: Vec<_> = texts.iter().filter_map(|t| Share::parse("x", &Secret::new(t.as_str())).ok()).collect();
            let _ = check(&parsed, threshold, 3);
        }
    }
}
