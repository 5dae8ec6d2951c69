//! Detects keys that were obviously not drawn at random: constants, patterns and sequences.
//!
//! Not here: the refusal of such a key (`app::context`).

use std::collections::BTreeSet;

/// Longest repeated pattern that is detected, in bytes.
const PERIOD: usize = 16;

/// Returns the reason why `key` was obviously not drawn at random, if there is one.
///
/// A random key fails with a probability below 2^-67, the sum of its four tests:
///
/// | test | probability |
/// | --- | --- |
/// | a pattern of at most 16 bytes is repeated | 16 · 2^-128 |
/// | at most 12 different bytes | C(256, 12) · (12/256)^32 < 2^-74 |
/// | one byte 13 times or more | 256 · C(32, 13) · 2^-104 < 2^-67.6 |
/// | at most 8 different steps from byte to byte | C(256, 8) · (8/256)^31 < 2^-106 |
pub(super) fn defect(key: &[u8; 32]) -> Option<&'static str> {
    let different = |bytes: &mut dyn Iterator<Item = u8>| bytes.collect::<BTreeSet<_>>().len();
    let times = |byte: &u8| key.iter().filter(|other| *other == byte).count();
    if key.iter().all(|byte| *byte == key[0]) {
        Some("all of its bytes are equal")
    } else if (1..=PERIOD).any(|period| key[period..] == key[..key.len() - period]) {
        Some("it repeats a short pattern")
    } else if different(&mut key.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]))) <= 8 {
        Some("its bytes are a sequence")
    } else if different(&mut key.iter().copied()) <= 12 || key.iter().any(|byte| times(byte) >= 13) {
        Some("it has too few different bytes")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::{SecureRandom, SystemRandom};

    fn of(hex: &str) -> Option<&'static str> {
        let mut key = [0; 32];
        hex::decode_to_slice(hex, &mut key).unwrap();
        defect(&key)
    }

    #[test]
    fn constant_keys_patterns_and_sequences_are_detected() {
        let ascending: String = (0..32).map(|n| format!("{n:02x}")).collect();
        let descending: String = (0..32).map(|n| format!("{:02x}", 255 - n)).collect();
        let steps: String = (0..32_u8).map(|n| format!("{:02x}", n.wrapping_mul(17))).collect();
        let padded = format!("{}{}", "c4a1f03b97d25e68013fbb74e8a9562d07f1", "00".repeat(14));
        for (hex, reason) in [
            ("00".repeat(32), "equal"),
            ("ff".repeat(32), "equal"),
            ("5a".repeat(32), "equal"),
            ("0123456789abcdef".repeat(4), "pattern"),
            ("deadbeef".repeat(8), "pattern"),
            ("c4a1f03b97d25e68013fbb74e8a9562d".repeat(2), "pattern"),
            (ascending.clone(), "sequence"),
            (descending, "sequence"),
            (steps, "sequence"),
            (ascending.replace("1f", "00"), "sequence"),
            (format!("{}01", "00".repeat(31)), "sequence"),
            (padded, "too few different bytes"),
            ("a0b1c0a1b0c1b1a0c0c1a1b0a0c1b1b0c0a1a0a1b0b1c0c1c1c0b0a1a0b1b0c0".to_owned(), "too few"),
        ] {
            assert!(of(&hex).is_some_and(|found| found.contains(reason)), "{hex}: {:?}", of(&hex));
        }
    }

    #[test]
    fn random_keys_pass() {
        let mut key = [0; 32];
        for _ in 0..20_000 {
            SystemRandom::new().fill(&mut key).unwrap();
            assert_eq!(defect(&key), None, "{}", hex::encode(key));
        }
        // RFC 6979, the private key of the example for P-256: random, and public.
        assert_eq!(of("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"), None);
    }
}
