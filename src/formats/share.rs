//! Unseal key shares as a user gives them: parsed once, named in messages by where they
//! came from, never shown.
//!
//! Source of the form: Vault `shamir/shamir.go`, `http/sys_seal.go`. A share is one byte
//! of y for each byte of the key, then its x; where one share suffices, it is the key.

use crate::base::error::{Error, Result};
use crate::base::secret::Secret;
use base64::{Engine, prelude::BASE64_STANDARD};
use std::fmt;
use zeroize::Zeroizing;

/// The length of the shared key, in bytes.
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
    /// Reads a share in hex or base64; `from` names it in messages, such as `env:SHARE1`.
    ///
    /// # Errors
    /// `Usage` where it cannot be a share of any cluster.
    pub fn parse(from: impl Into<String>, text: &Secret) -> Result<Self> {
        let (from, trimmed) = (from.into(), text.expose().trim());
        // Hex first, as Vault does: base64 of the right length is never hex of the right length.
        let fits = |bytes: Vec<u8>| Some(Zeroizing::new(bytes)).filter(|b| is_possible(b));
        let decoded = hex::decode(trimmed).ok().and_then(fits);
        match decoded.or_else(|| BASE64_STANDARD.decode(trimmed).ok().and_then(fits)) {
            Some(bytes) => Ok(Self { from, text: Secret::new(trimmed), bytes }),
            None => Err(Error::usage(format!("share {from}: malformed")).hint(
                "a share is 33 bytes (32 where one share suffices) in hex or base64, as `operator init` prints it",
            )),
        }
    }

    /// Origin, such as `env:SHARE1`.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// The text to send to a server.
    pub fn text(&self) -> &Secret {
        &self.text
    }

    /// The decoded share.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its number, x, unless it is a whole key.
    fn x(&self) -> Option<u8> {
        self.bytes.get(KEY).copied()
    }
}

/// Whether these bytes can be a share or a whole key. The number 0 is that of the key itself.
fn is_possible(bytes: &[u8]) -> bool {
    bytes.len() == KEY || (bytes.len() == KEY + 1 && bytes[KEY] != 0)
}

/// Refuses shares that cannot open a seal of `threshold` of `total`, before any is used.
///
/// # Errors
/// `Drill` naming the share that is given twice, that contradicts another or is of
/// another kind of seal, or how many are missing.
pub fn check(shares: &[Share], threshold: u64, total: u64) -> Result<()> {
    for (i, share) in shares.iter().enumerate() {
        let name = format!("share {} of {} ({})", i + 1, shares.len(), share.from);
        if let Some((j, other)) = shares[..i].iter().enumerate().find(|(_, s)| s.x() == share.x()) {
            let first = format!("share {} ({})", j + 1, other.from);
            return Err(if other.bytes == share.bytes {
                Error::drill(format!("{name}: the same as {first}")).hint("give different shares")
            } else if share.x().is_none() {
                Error::drill(format!("{name}: a second whole key, after {first}"))
                    .hint("a seal that one share opens has one key: give that alone")
            } else {
                Error::drill(format!("{name}: its number is that of {first}, and they differ"))
                    .hint("they are of different clusters, or one is older than a rekey")
            });
        }
        if share.x().is_none() != (threshold == 1) {
            let needs = if threshold == 1 { "a whole key of 32 bytes" } else { "a share of 33 bytes" };
            return Err(Error::drill(format!(
                "{name}: it has {} bytes; a seal of {threshold} of {total} needs {needs}",
                share.bytes.len()
            ))
            .hint("it is a share of another cluster"));
        }
    }
    if (shares.len() as u64) < threshold {
        return Err(Error::drill(format!("{threshold} of {total} shares are needed, {} given", shares.len()))
            .hint("give as many different shares as the threshold asks for"));
    }
    Ok(())
}

/// The shares by origin, for messages: `env:A, file:/b`.
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
    fn hex_and_base64_with_white_space_around() {
        let bytes = [7; 33];
        for text in [hex::encode(bytes), BASE64_STANDARD.encode(bytes), format!(" {}\r\n", hex::encode(bytes))] {
            assert_eq!(Share::parse("env:A", &Secret::new(text)).unwrap().bytes(), bytes);
        }
        assert_eq!(Share::parse("env:A", &Secret::new(hex::encode([7; 32]))).unwrap().x(), None);
    }

    #[test]
    fn a_malformed_share_is_named_and_not_shown() {
        for text in ["", "planted", "00", &"0".repeat(65), &"0".repeat(66), &"0".repeat(68), "hvs.planted"] {
            let error = Share::parse("file:/s/2", &Secret::new(text)).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage);
            assert!(error.to_string().starts_with("share file:/s/2: malformed"), "{error}");
            assert!(!error.to_string().contains("planted"), "{error}");
        }
    }

    #[test]
    fn duplicate_contradicting_and_too_few_shares_are_named() {
        let (a, b) = (share("env:A", 1, 1), share("env:B", 2, 2));
        check(&[a.clone(), b.clone()], 2, 3).unwrap();
        let [whole, other] = [("env:W", "00"), ("env:V", "01")]
            .map(|(from, byte)| Share::parse(from, &Secret::new(byte.repeat(KEY))).unwrap());
        check(std::slice::from_ref(&whole), 1, 1).unwrap();
        for (shares, threshold, says) in [
            (vec![a.clone()], 2, "2 of 3 shares are needed, 1 given"),
            (vec![], 1, "1 of 3 shares are needed, 0 given"),
            (vec![a.clone(), a.clone()], 2, "share 2 of 2 (env:A): the same as share 1 (env:A)"),
            (
                vec![a.clone(), b, share("env:C", 1, 9)],
                2,
                "share 3 of 3 (env:C): its number is that of share 1 (env:A)",
            ),
            (vec![whole.clone(), whole.clone()], 1, "share 2 of 2 (env:W): the same as share 1 (env:W)"),
            (vec![whole.clone(), other], 1, "share 2 of 2 (env:V): a second whole key, after share 1 (env:W)"),
            (vec![a.clone(), whole], 2, "share 2 of 2 (env:W): it has 32 bytes"),
            (vec![a], 1, "share 1 of 1 (env:A): it has 33 bytes"),
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
