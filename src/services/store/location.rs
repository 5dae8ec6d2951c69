//! Parses the URL of a store. Does not check that the store exists.

use crate::base::error::{Error, Result};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::str::FromStr;

const FORMS: &str = "must be s3://BUCKET, s3://BUCKET/PREFIX or file:///DIRECTORY";

/// Characters of a path that a URL writes as `%XX`.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// The location of a store. Displayed as its URL, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// `s3://bucket/prefix`.
    S3 {
        /// Bucket name.
        bucket: String,
        /// Prefix of every object name, without slashes at its ends. May be empty.
        prefix: String,
    },
    /// `file:///directory`: an absolute path.
    Local(PathBuf),
}

impl FromStr for Location {
    type Err = Error;

    /// # Errors
    /// `Usage`. The message does not repeat the URL, which may contain a secret; a hint repeats
    /// an absolute path.
    fn from_str(url: &str) -> Result<Self> {
        let Some((scheme, rest)) = url.split_once("://") else {
            let error = Error::usage(FORMS);
            let is_path = url.starts_with('/') && !url.contains(char::is_control);
            return Err(if is_path { error.hint(format!("did you mean file://{url}")) } else { error });
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let is_s3 = scheme.eq_ignore_ascii_case("s3");
        // A secret key may contain a slash, so that the @ of user and password is in the path.
        if host.contains('@') || (is_s3 && path.contains('@')) {
            return Err(Error::usage("must be a URL without user and password in it")
                .hint("remove everything up to the @; S3 credentials come from AWS's own chain"));
        }
        if rest.contains(['?', '#']) {
            return Err(
                Error::usage("must be a URL without ? and #").hint("write %3F and %23 for these characters in a name")
            );
        }
        let path = segments(path)?;
        if is_s3 && !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
            let prefix = String::from_utf8(path).map_err(|_| Error::usage("must have a prefix in UTF-8"))?;
            return Ok(Location::S3 { bucket: host.to_owned(), prefix });
        }
        if scheme.eq_ignore_ascii_case("file") && host.is_empty() && rest.starts_with('/') {
            return Ok(Location::Local(OsString::from_vec([b"/".as_slice(), &path].concat()).into()));
        }
        Err(Error::usage(FORMS))
    }
}

/// Decodes a path, without its slash at the end, and refuses what servers and file systems
/// read in different ways.
fn segments(path: &str) -> Result<Vec<u8>> {
    let decoded: Vec<u8> = percent_decode_str(path.strip_suffix('/').unwrap_or(path)).collect();
    let unusable = |segment: &[u8]| matches!(segment, b"" | b"." | b"..");
    if !path.is_empty() && decoded.split(|b| *b == b'/').any(unusable) {
        return Err(Error::usage("must be a URL without an empty segment, . or .. in its path"));
    }
    if decoded.iter().any(u8::is_ascii_control) {
        return Err(Error::usage("must be a URL without control characters"));
    }
    Ok(decoded)
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Location::S3 { bucket, prefix } => {
                write!(f, "s3://{bucket}/{}", percent_encode(prefix.as_bytes(), ENCODED))
            }
            Location::Local(path) => write!(f, "file://{}", percent_encode(path.as_os_str().as_bytes(), ENCODED)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_buckets_prefixes_and_absolute_directories() {
        let s3 = |bucket: &str, prefix: &str| Location::S3 { bucket: bucket.into(), prefix: prefix.into() };
        let cases = [
            ("s3://backups", s3("backups", ""), "s3://backups"),
            ("s3://backups/", s3("backups", ""), "s3://backups"),
            ("S3://backups/a", s3("backups", "a"), "s3://backups/a"),
            (
                "s3://my.old-Bucket_1/vault/prod eu/",
                s3("my.old-Bucket_1", "vault/prod eu"),
                "s3://my.old-Bucket_1/vault/prod%20eu",
            ),
            ("s3://backups/a%20b%3F", s3("backups", "a b?"), "s3://backups/a%20b%3F"),
            (
                "file:///var/lib/vault-backup",
                Location::Local("/var/lib/vault-backup".into()),
                "file:///var/lib/vault-backup",
            ),
            ("file:///a%20b/c d/", Location::Local("/a b/c d".into()), "file:///a%20b/c%20d"),
            ("file:///a@b", Location::Local("/a@b".into()), "file:///a@b"),
            ("file:///", Location::Local("/".into()), "file:///"),
        ];
        for (url, location, shown) in cases {
            assert_eq!(url.parse::<Location>().unwrap(), location, "{url}");
            assert_eq!(location.to_string(), shown, "{url}");
            assert_eq!(shown.parse::<Location>().unwrap(), location, "{url}");
        }
    }

    #[test]
    fn refuses_ambiguous_urls_with_the_reason() {
        const SEGMENT: &str = "must be a URL without an empty segment, . or .. in its path";
        const USER: &str = "must be a URL without user and password in it; remove everything up to the @";
        const QUERY: &str = "must be a URL without ? and #; write %3F and %23";
        for (url, expected) in [
            ("", FORMS),
            ("backups", FORMS),
            ("/var/lib", "must be s3://BUCKET, s3://BUCKET/PREFIX or file:///DIRECTORY; did you mean file:///var/lib"),
            ("http://host/bucket", FORMS),
            ("s3:bucket", FORMS),
            ("s3://", FORMS),
            ("s3:///prefix", FORMS),
            ("s3://buck et", FORMS),
            ("s3://bucket:9000/x", FORMS),
            ("file://backups", FORMS),
            ("file://host/dir", FORMS),
            ("file:dir", FORMS),
            ("s3://AKIA:planted@bucket/x", USER),
            ("s3://AKIA:plan/ted@bucket/x", USER),
            ("file://planted@host/x", USER),
            ("s3://bucket/a@b", USER),
            ("s3://bucket?versionId=1", QUERY),
            ("s3://bucket/x?versionId=1", QUERY),
            ("file:///dir?x", QUERY),
            ("file:///dir#x", QUERY),
            ("s3://bucket/a//b", SEGMENT),
            ("s3://bucket//", SEGMENT),
            ("s3://bucket/../b", SEGMENT),
            ("s3://bucket/a/%2e%2E/b", SEGMENT),
            ("file:///a/../b", SEGMENT),
            ("file:///a/./b", SEGMENT),
            ("file:////a", SEGMENT),
            ("s3://bucket/%ff", "must have a prefix in UTF-8"),
            ("s3://bucket/a%0Ab", "must be a URL without control characters"),
        ] {
            let error = url.parse::<Location>().unwrap_err();
            assert_eq!(error.kind(), crate::base::error::Kind::Usage, "{url}");
            let said = error.to_string();
            assert!(said.starts_with(expected) && !said.contains("plan"), "{url}: {said}");
        }
    }
}
