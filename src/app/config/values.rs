//! The kinds of values that the configuration has, each with its one parser.
//!
//! Here: text to value. What a parser says is a fixed sentence, so no value is
//! ever repeated in an error: it may be a secret in the wrong place. Not here:
//! which key takes which kind (`file`).

use crate::base::secret::{Reference, Secret, TextOrReference};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// A parsed value, or what is allowed.
pub(super) type Parsed<T> = Result<T, &'static str>;

/// Newtypes that are read from a string by a parser.
macro_rules! from_text {
    ($($(#[$doc:meta])* $name:ident($inner:ty) by $parse:path;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Deserialize)]
        #[serde(try_from = "String")]
        pub(super) struct $name(pub(super) $inner);

        impl TryFrom<String> for $name {
            type Error = &'static str;

            fn try_from(text: String) -> Parsed<Self> {
                $parse(&text).map(Self)
            }
        }
    )*};
}

from_text! {
    /// Any text but none.
    Text(String) by text;
    /// A file's path.
    FilePath(PathBuf) by path;
    /// `10m`, `26h`, `8d`.
    Span(Duration) by duration;
    /// `8MiB`: a part of an upload.
    PartSize(u64) by part_size;
    /// The address of a server.
    Address(Url) by address;
    /// The address of a Vault server, which may be a Unix socket.
    Server(Url) by server;
    /// The URL of a store.
    StoreUrl(Url) by store_url;
    /// `compliance:30d`, `governance:30d`.
    Lock(ObjectLock) by object_lock;
    /// A storage class that can be read back at once.
    StorageClass(String) by storage_class;
    /// Where a secret is to be read from; never the secret itself.
    SecretRef(Reference) by secret_ref;
    /// The same for a key, where text without a scheme is a path.
    KeyRef(Reference) by key_reference;
    /// Text, or a reference to it.
    MaybeSecret(TextOrReference) by text_or_reference;
    /// A web address, or a reference to one.
    MaybeSecretUrl(TextOrReference) by url_or_reference;
}

/// A number of days, months or backups.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "i64")]
pub(super) struct Count(pub(super) u32);

impl TryFrom<i64> for Count {
    type Error = &'static str;

    fn try_from(number: i64) -> Parsed<Self> {
        u32::try_from(number)
            .ok()
            .filter(|n| (1..=36_500).contains(n))
            .map(Self)
            .ok_or("must be a whole number from 1 to 36500")
    }
}

/// How often something is tried again.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "i64")]
pub(super) struct Retries(pub(super) u32);

impl TryFrom<i64> for Retries {
    type Error = &'static str;

    fn try_from(number: i64) -> Parsed<Self> {
        u32::try_from(number).ok().filter(|n| *n <= 10).map(Self).ok_or("must be a whole number from 0 to 10")
    }
}

/// An AWS region, which becomes a part of a host's name.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Region(pub(super) String);

impl TryFrom<String> for Region {
    type Error = &'static str;

    fn try_from(text: String) -> Parsed<Self> {
        let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let good = !text.is_empty() && text.bytes().all(fits);
        good.then_some(Self(text)).ok_or("must be an AWS region, such as eu-central-1")
    }
}

/// Object Lock's mode and how long it protects an object from its creation on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectLock {
    /// Compliance (nobody can shorten it) or governance (a permission can).
    pub mode: LockMode,
    /// How long the object is retained.
    pub period: Duration,
}

/// The modes of S3 Object Lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Nobody can delete the version or shorten its retention.
    Compliance,
    /// Holders of `s3:BypassGovernanceRetention` can.
    Governance,
}

/// Reads a duration: a whole number and `s`, `m`, `h` or `d`.
///
/// # Errors
/// What is allowed.
pub fn duration(text: &str) -> Result<Duration, &'static str> {
    const ALLOWED: &str = "must be a duration above zero such as 90s, 10m, 26h or 8d";
    const LONGEST: u64 = 36_500 * 86_400;
    let number = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match &text[number.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(ALLOWED),
    };
    let seconds = whole_number(number).and_then(|n| n.checked_mul(unit)).ok_or(ALLOWED)?;
    if (1..=LONGEST).contains(&seconds) { Ok(Duration::from_secs(seconds)) } else { Err(ALLOWED) }
}

/// Digits alone: `u64::from_str` would take a sign.
fn whole_number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Sizes that S3 takes for all parts but the last, in bytes.
fn part_size(text: &str) -> Parsed<u64> {
    const ALLOWED: &str = "must be a size from 5MiB to 5GiB, such as 8MiB";
    let (number, shift) = match (text.strip_suffix("MiB"), text.strip_suffix("GiB")) {
        (Some(number), _) => (number, 20),
        (_, Some(number)) => (number, 30),
        _ => return Err(ALLOWED),
    };
    let size = whole_number(number).and_then(|n| n.checked_mul(1 << shift)).ok_or(ALLOWED)?;
    if (5 << 20..=5 << 30).contains(&size) { Ok(size) } else { Err(ALLOWED) }
}

pub(super) fn text(text: &str) -> Parsed<String> {
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err("must be text, not empty and without control characters");
    }
    Ok(text.to_owned())
}

pub(super) fn path(text: &str) -> Parsed<PathBuf> {
    if text.trim().is_empty() || text.contains('\0') { Err("must be a path") } else { Ok(text.into()) }
}

pub(super) fn address(text: &str) -> Parsed<Url> {
    let url = web_url(text).ok_or("must be an address such as https://vault.example.com:8200")?;
    if has_credentials(&url) {
        return Err("must be an address without user and password in it");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must be an address without ? and #");
    }
    Ok(url)
}

/// The address of a Vault server: as [`address`], or a Unix socket.
pub(super) fn server(text: &str) -> Parsed<Url> {
    match Url::parse(text) {
        Ok(url) if url.scheme() == "unix" => {
            let whole = url.host_str().unwrap_or_default().is_empty() && url.query().is_none() && url.path().len() > 1;
            if whole { Ok(url) } else { Err("must be unix:///PATH for a Unix socket") }
        }
        _ => address(text),
    }
}

pub(super) fn store_url(text: &str) -> Parsed<Url> {
    const ALLOWED: &str = "must be s3://BUCKET, s3://BUCKET/PREFIX or file:///DIRECTORY";
    let url = Url::parse(text).map_err(|_| ALLOWED)?;
    if has_credentials(&url) {
        return Err("must be a URL without user and password in it; S3 credentials come from AWS's own chain");
    }
    let host = url.host_str().unwrap_or_default();
    let whole = url.port().is_none() && url.query().is_none() && url.fragment().is_none();
    match url.scheme() {
        "s3" if whole && !host.is_empty() => Ok(url),
        "file" if whole && host.is_empty() && text.starts_with("file:///") => Ok(url),
        _ => Err(ALLOWED),
    }
}

fn web_url(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

fn object_lock(text: &str) -> Parsed<ObjectLock> {
    const ALLOWED: &str = "must be compliance:DURATION or governance:DURATION, such as compliance:30d";
    let (mode, period) = text.split_once(':').ok_or(ALLOWED)?;
    let mode = match mode {
        "compliance" => LockMode::Compliance,
        "governance" => LockMode::Governance,
        _ => return Err(ALLOWED),
    };
    Ok(ObjectLock { mode, period: duration(period).map_err(|_| ALLOWED)? })
}

fn storage_class(class: &str) -> Parsed<String> {
    match class {
        "GLACIER" | "DEEP_ARCHIVE" => Err("must be a class that can be read at once: every backup is read back"),
        _ => text(class),
    }
}

fn secret_ref(text: &str) -> Parsed<Reference> {
    text.parse().map_err(|_| "must be env:NAME, file:PATH or credential:NAME; a secret itself is never taken here")
}

/// Reads a reference to a key, where text without a scheme is a path.
///
/// # Errors
/// What is allowed; also for what looks like the key itself: as a path it would
/// end up in messages.
pub fn key_reference(text: &str) -> Result<Reference, &'static str> {
    const ALLOWED: &str = "must be a path, env:NAME, file:PATH or credential:NAME; a key itself is never taken here";
    let literal = text.trim().len() >= 32 && text.trim().bytes().all(|b| b.is_ascii_hexdigit());
    let broken = is_reference(text) && text.parse::<Reference>().is_err();
    if literal || broken || path(text).is_err() { Err(ALLOWED) } else { Ok(Reference::key(text)) }
}

fn is_reference(text: &str) -> bool {
    ["env:", "file:", "credential:"].iter().any(|scheme| text.starts_with(scheme))
}

fn text_or_reference(value: &str) -> Parsed<TextOrReference> {
    if is_reference(value) {
        return secret_ref(value).map(TextOrReference::Reference);
    }
    text(value).map(|text| TextOrReference::Text(Secret::new(text)))
}

fn url_or_reference(text: &str) -> Parsed<TextOrReference> {
    let value = text_or_reference(text)?;
    match &value {
        TextOrReference::Text(_) if web_url(text).is_none() => {
            Err("must be an http:// or https:// URL, or env:NAME, file:PATH or credential:NAME")
        }
        _ => Ok(value),
    }
}

#[cfg(test)]
mod tests;
