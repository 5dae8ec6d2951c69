//! Checksums of whole objects: computed from the sent bytes, and as the store reports them.

use aws_sdk_s3::types::CompletedPart;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Returns the checksum of an object that was sent in one request.
pub(super) fn of_whole(sha256: &[u8]) -> String {
    format!("sha256:{}", STANDARD.encode(sha256))
}

/// Returns the checksum of an object made of `parts`, which are in order: the CRC32C of their
/// CRC32Cs, and their number. `None` if a part has none.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html>
pub(super) fn of_parts(parts: &[CompletedPart]) -> Option<String> {
    let mut crc = 0;
    for part in parts {
        crc = crc32c::crc32c_append(crc, &STANDARD.decode(part.checksum_crc32_c()?).ok()?);
    }
    Some(format!("crc32c:{}-{}", STANDARD.encode(crc.to_be_bytes()), parts.len()))
}

/// Returns the checksum in a response, in the same form. Other algorithms are not computed
/// here, so they are left out.
pub(super) fn reported(sha256: Option<&str>, crc32c: Option<&str>) -> Option<String> {
    let with = |algorithm: &str, value: &str| format!("{algorithm}:{value}");
    sha256.map(|value| with("sha256", value)).or_else(|| crc32c.map(|value| with("crc32c", value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(contents: &[&[u8]]) -> Vec<CompletedPart> {
        let encoded = |content: &&[u8]| STANDARD.encode(crc32c::crc32c(content).to_be_bytes());
        contents.iter().map(|content| CompletedPart::builder().checksum_crc32_c(encoded(content)).build()).collect()
    }

    /// The first part has the check value of CRC32C, 0xE3069283.
    #[test]
    fn a_composite_checksum_is_that_of_the_checksums_of_the_parts() {
        let one = parts(&[b"123456789"]);
        assert_eq!(one[0].checksum_crc32_c(), Some("4waSgw=="));
        assert_eq!(of_parts(&one).unwrap(), "crc32c:pzJFoA==-1");
        assert_eq!(of_parts(&parts(&[b"123456789", b"abc"])).unwrap(), "crc32c:DmQUGQ==-2");
        assert_ne!(of_parts(&parts(&[b"abc", b"123456789"])), of_parts(&parts(&[b"123456789", b"abc"])));
        assert_eq!(of_parts(&[CompletedPart::builder().build()]), None);
    }

    #[test]
    fn a_whole_object_has_its_sha256() {
        let hash = ring::digest::digest(&ring::digest::SHA256, b"abc");
        let ours = of_whole(hash.as_ref());
        assert_eq!(ours, "sha256:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
        assert_eq!(reported(ours.strip_prefix("sha256:"), Some("AAAAAA==")), Some(ours));
        assert_eq!(reported(None, Some("AAAAAA==-2")).unwrap(), "crc32c:AAAAAA==-2");
        assert_eq!(reported(None, None), None);
    }
}
