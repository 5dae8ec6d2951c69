//! Shamir's secret sharing as implemented by Vault: combines key shares into the unseal key.
//!
//! Not here: the text forms of a share (`share`), the use of the key (`seal`). Source: Vault
//! `shamir/shamir.go`: each byte of the secret is shared separately over GF(2^8) modulo
//! 0x11b.

use crate::formats::share::{KEY, Share};
use zeroize::Zeroizing;

/// Combines `shares`, using all of them, into the key.
///
/// `None` for shares that [`crate::formats::share::check`] refuses. The result may still be a
/// wrong key, which only its use shows.
pub(super) fn combine(shares: &[&Share]) -> Option<Zeroizing<[u8; KEY]>> {
    if let [share] = shares {
        return Some(Zeroizing::new(share.bytes().try_into().ok()?));
    }
    let xs: Vec<u8> = shares.iter().map(|share| share.bytes().get(KEY).copied()).collect::<Option<_>>()?;
    let mut key = Zeroizing::new([0; KEY]);
    for (i, share) in shares.iter().enumerate() {
        let weight = weight(&xs, i)?;
        for (out, y) in key.iter_mut().zip(share.bytes()) {
            *out ^= multiply(*y, weight);
        }
    }
    Some(key).filter(|_| !shares.is_empty())
}

/// Returns the Lagrange coefficient of share `i` for the value at 0; `None` for a duplicate
/// x. No x is 0: [`Share::parse`] refuses that.
fn weight(xs: &[u8], i: usize) -> Option<u8> {
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

/// Returns the multiplicative inverse: a^254 = a^2 · a^4 · … · a^128, as the group has 255 elements.
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

    use crate::base::secret::Secret;

    fn share(bytes: &[u8]) -> Share {
        Share::parse("test", &Secret::new(hex::encode(bytes))).unwrap()
    }

    /// Splits `key` with a polynomial that has these other coefficients.
    fn split(key: &[u8; KEY], coefficients: &[[u8; KEY]], xs: &[u8]) -> Vec<Share> {
        let one = |x: u8| {
            let y = |i: usize| coefficients.iter().rev().fold(0, |sum, c| multiply(sum ^ c[i], x)) ^ key[i];
            share(&(0..KEY).map(y).chain([x]).collect::<Vec<_>>())
        };
        xs.iter().map(|x| one(*x)).collect()
    }

    #[test]
    fn arithmetic_matches_the_field_of_aes() {
        assert_eq!(multiply(0x53, 0xca), 1);
        assert_eq!(multiply(0x57, 0x83), 0xc1, "FIPS 197, 4.2");
        for a in 1..=255 {
            assert_eq!(multiply(a, invert(a)), 1, "{a}");
        }
    }

    #[test]
    fn a_single_share_is_the_key() {
        let key = share(&[9; KEY]);
        assert_eq!(*combine(&[&key]).unwrap(), [9; KEY]);
        assert!(combine(&[&key, &key]).is_none());
    }

    #[test]
    fn shares_combine_in_any_order() {
        let shares = split(&[7; KEY], &[[1; KEY], [200; KEY]], &[5, 255, 1]);
        assert_eq!(*combine(&shares.iter().collect::<Vec<_>>()).unwrap(), [7; KEY]);
        assert_eq!(*combine(&shares.iter().rev().collect::<Vec<_>>()).unwrap(), [7; KEY]);
    }

    #[test]
    fn impossible_shares_are_refused() {
        let shares = split(&[7; KEY], &[[1; KEY]], &[5, 255]);
        assert!(combine(&[&shares[0], &shares[1]]).is_some());
        assert!(combine(&[]).is_none());
        assert!(combine(&[&shares[0]]).is_none(), "one share of several is not a key");
        assert!(combine(&[&shares[0], &shares[0]]).is_none(), "duplicate");
    }

    proptest! {
        #[test]
        fn any_threshold_of_the_shares_combines(key: [u8; KEY], c: [[u8; KEY]; 2], x in proptest::sample::subsequence((1..=255).collect::<Vec<u8>>(), 3..6)) {
            prop_assert_eq!(*combine(&split(&key, &c, &x).iter().collect::<Vec<_>>()).unwrap(), key);
        }
    }
}
