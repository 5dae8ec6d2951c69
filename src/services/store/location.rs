//! The URL of a store, read. Not here: whether there is anything at it.

use crate::base::error::{Error, Result};
use percent_encoding::percent_decode_str;
use std::path::PathBuf;
use std::str::FromStr;
use url::Url;

const QUERY: &str = "? and # must be written %3F and %23";

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// `s3://bucket/prefix`.
    S3 {
        /// The bucket's name.
        bucket: String,
        /// What stands before every name, without slashes at its ends; may be empty.
        prefix: String,
    },
    /// `file:///folder`: an absolute path.
    Local(PathBuf),
}

impl FromStr for Location {
    type Err = Error;

    /// # Errors
    /// `Usage`. The URL is not repeated: somebody may have put a secret there.
    fn from_str(url: &str) -> Result<Self> {
        let parsed = match url.split_once("://") {
            Some(("s3", rest)) => s3(rest),
            Some(("file", _)) => local(url),
            _ => Err("only s3:// and file:// are known"),
        };
        parsed.map_err(|why| {
            Error::usage(format!("the store's URL: {why}"))
                .hint("write s3://BUCKET, s3://BUCKET/PREFIX or file:///FOLDER, and keep credentials out of it")
        })
    }
}

fn s3(rest: &str) -> Result<Location, &'static str> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if rest.contains('@') {
        return Err("it must not contain @");
    }
    if bucket.is_empty() || !bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
        return Err("that is no bucket's name");
    }
    if prefix.contains(['?', '#']) {
        return Err(QUERY);
    }
    let prefix = percent_decode_str(prefix.trim_matches('/')).decode_utf8().map_err(|_| "its prefix is not UTF-8")?;
    let odd = |part: &str| part.is_empty() || part == "." || part == "..";
    if prefix.contains(char::is_control) || (!prefix.is_empty() && prefix.split('/').any(odd)) {
        return Err("that is no usable prefix");
    }
    Ok(Location::S3 { bucket: bucket.to_owned(), prefix: prefix.into_owned() })
}

fn local(url: &str) -> Result<Location, &'static str> {
    let url = Url::parse(url).map_err(|_| "it cannot be read as a URL")?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(QUERY);
    }
    // Refuses a host other than localhost: file://backups is not a relative path.
    url.to_file_path().map(Location::Local).map_err(|()| "the folder must be an absolute path")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken() {
        let s3 = |bucket: &str, prefix: &str| Location::S3 { bucket: bucket.into(), prefix: prefix.into() };
        let cases = [
            ("s3://backups", s3("backups", "")),
            ("s3://backups/", s3("backups", "")),
            ("s3://my.old-Bucket_1/vault/prod eu/", s3("my.old-Bucket_1", "vault/prod eu")),
            ("s3://backups/a%20b%3F", s3("backups", "a b?")),
            ("file:///var/lib/vault-backup", Location::Local("/var/lib/vault-backup".into())),
            ("file:///a%20b/c d/", Location::Local("/a b/c d/".into())),
            ("file:///a/../b", Location::Local("/b".into())),
        ];
        for (url, location) in cases {
            assert_eq!(url.parse::<Location>().unwrap(), location, "{url}");
        }
    }

    #[test]
    fn what_is_refused() {
        for url in [
            "",
            "backups",
            "/var/lib",
            "http://host/bucket",
            "s3:bucket",
            "s3://",
            "s3:///prefix",
            "s3://AKIA:planted@bucket/x",
            "s3://bucket/a@b",
            "s3://bucket/a//b",
            "s3://bucket/../b",
            "s3://bucket/a/%2e%2E/b",
            "s3://bucket/%ff",
            "s3://bucket/x?versionId=1",
            "s3://buck et",
            "file://backups",
            "file://host/dir",
            "file:///dir?x",
        ] {
            let error = url.parse::<Location>().unwrap_err();
            assert_eq!(error.kind(), crate::base::error::Kind::Usage, "{url}");
            assert!(!error.to_string().contains("planted"), "{error}");
        }
    }
}
