//! Shamir's secret sharing as Vault does it: key shares to the unseal key.
//!
//! Here: the text forms of a share and the interpolation. Not here: what the key
//! opens (`seal`). Source: Vault `shamir/shamir.go`, `http/sys_seal.go`: each
//! byte of the secret is shared by itself over GF(2^8) modulo 0x11b; a share is one
//! y for each byte, then its x. Only where one share suffices, it is the key itself.

use crate::secret::Secret;
use base64::{Engine, prelude::BASE64_STANDARD};
use zeroize::Zeroizing;

/// The length of the shared key, in bytes.
const KEY: usize = 32;

/// Combines `shares`, each in hex or base64, into the key; all of them are used.
///
/// `None` where they cannot be right: fewer than `threshold`, of another length,
/// not decodable, or two for the same x. What they combine to may still be wrong:
/// only what the key opens tells.
pub(super) fn combine(shares: &[Secret], threshold: usize) -> Option<Zeroizing<[u8; KEY]>> {
    if shares.is_empty() || shares.len() < threshold {
        return None;
    }
    if threshold == 1 {
        let [share] = shares else { return None };
        return Some(Zeroizing::new(decode(share, KEY)?.as_slice().try_into().ok()?));
    }
    let shares: Vec<_> = shares.iter().map(|share| decode(share, KEY + 1)).collect::<Option<_>>()?;
    let xs: Vec<u8> = shares.iter().map(|share| share[KEY]).collect();
    let mut key = Zeroizing::new([0; KEY]);
    for (i, share) in shares.iter().enumerate() {
        let weight = weight(&xs, i)?;
        for (out, y) in key.iter_mut().zip(share.iter()) {
            *out ^= multiply(*y, weight);
        }
    }
    Some(key)
}

/// The bytes of a share, if there are `length` of them. Hex is tried first, as
/// Vault does: base64 of the right length is never hex of the right length.
fn decode(share: &Secret, length: usize) -> Option<Zeroizing<Vec<u8>>> {
    let text = share.expose().trim();
    let fits = |bytes: Vec<u8>| Some(Zeroizing::new(bytes)).filter(|b| b.len() == length);
    let hex = hex::decode(text).ok().and_then(fits);
    hex.or_else(|| BASE64_STANDARD.decode(text).ok().and_then(fits))
}

/// The Lagrange coefficient of share `i` for the value at 0; `None` where an x is
/// 0 or occurs twice.
fn weight(xs: &[u8], i: usize) -> Option<u8> {
    if xs[i] == 0 {
        return None;
    }
    let mut weight = 1;
    for (_, x) in xs.iter().enumerate().filter(|(j, _)| *j != i) {
        let difference = x ^ xs[i];
        if difference == 0 {
            return None;
        }
        weight = multiply(weight, multiply(*x, invert(difference)));
    }
    Some(weight)
}

/// Multiplies in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1, without branches on secrets.
fn multiply(mut a: u8, b: u8) -> u8 {
    let mut product = 0;
    for bit in 0..8 {
        product ^= a & (b >> bit & 1).wrapping_neg();
        a = (a << 1) ^ (0x1b & (a >> 7).wrapping_neg());
    }
    product
}

/// The multiplicative inverse: a^254 = a^2 · a^4 · … · a^128, for the group has 255 elements.
fn invert(a: u8) -> u8 {
    let (mut square, mut product) = (a, 1);
    for _ in 0..7 {
        square = multiply(square, square);
        product = multiply(product, square);
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Splits `key` over the polynomial with these further coefficients.
    fn split(key: &[u8; KEY], coefficients: &[[u8; KEY]], xs: &[u8]) -> Vec<Secret> {
        let share = |x: u8| {
            let y = |i: usize| coefficients.iter().rev().fold(0, |sum, c| multiply(sum ^ c[i], x)) ^ key[i];
            Secret::new(hex::encode((0..KEY).map(y).chain([x]).collect::<Vec<_>>()))
        };
        xs.iter().map(|x| share(*x)).collect()
    }

    #[test]
    fn the_field_is_that_of_aes() {
        assert_eq!(multiply(0x53, 0xca), 1);
        assert_eq!(multiply(0x57, 0x83), 0xc1, "FIPS 197, 4.2");
        for a in 1..=255 {
            assert_eq!(multiply(a, invert(a)), 1, "{a}");
        }
    }

    #[test]
    fn one_share_of_one_is_the_key() {
        let key = [9; KEY];
        for text in [hex::encode(key), BASE64_STANDARD.encode(key), format!(" {}\n", hex::encode(key))] {
            assert_eq!(*combine(&[Secret::new(text)], 1).unwrap(), key);
        }
        let share = Secret::new(hex::encode(key));
        assert!(combine(&[share.clone(), share], 1).is_none());
    }

    #[test]
    fn hex_and_base64_any_order() {
        let mut shares = split(&[7; KEY], &[[1; KEY], [200; KEY]], &[5, 255, 1]);
        shares[1] = Secret::new(BASE64_STANDARD.encode(hex::decode(shares[1].expose()).unwrap()));
        assert_eq!(*combine(&shares, 3).unwrap(), [7; KEY]);
        shares.reverse();
        assert_eq!(*combine(&shares, 3).unwrap(), [7; KEY]);
    }

    #[test]
    fn what_cannot_be_right_is_refused() {
        let shares = split(&[7; KEY], &[[1; KEY]], &[5, 255, 0]);
        let with = |extra: Secret| combine(&[shares[0].clone(), extra], 2);
        assert!(with(shares[1].clone()).is_some());
        assert!(combine(&[], 1).is_none() && combine(&[], 0).is_none());
        assert!(combine(&shares[..1], 2).is_none(), "too few");
        assert!(with(shares[0].clone()).is_none(), "doubled");
        assert!(with(shares[2].clone()).is_none(), "x = 0");
        for bad in ["", "no", "00", &"0".repeat(64), &"0".repeat(68)] {
            assert!(with(Secret::new(bad)).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_threshold_of_the_shares_combines(key: [u8; KEY], c: [[u8; KEY]; 2], x in proptest::sample::subsequence((1..=255).collect::<Vec<u8>>(), 3..6)) {
            prop_assert_eq!(*combine(&split(&key, &c, &x), 3).unwrap(), key);
        }

        #[test]
        fn hostile_text_never_panics(texts: Vec<String>, threshold in 0usize..4) {
            let _ = combine(&texts.into_iter().map(Secret::new).collect::<Vec<_>>(), threshold);
        }
    }
}
