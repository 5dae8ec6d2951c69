//! Parsers for the values of the configuration.
//!
//! Error messages of a parser are fixed sentences: a value that is in the wrong place may be a
//! secret, so it is never repeated.

use crate::base::secret::{Reference, Secret, TextOrReference};
use crate::services::store::Location;
use crate::services::store::s3::{LockMode, ObjectLock, PART_SIZES};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde::de::{Deserialize, Deserializer, Error};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// Result of a parser; the error says which values are allowed.
pub(super) type Parsed<T> = Result<T, &'static str>;

/// Functions for serde's `deserialize_with`, each for `T` and `Option<T>`.
pub(super) mod read {
    use super::*;

    /// Defines functions that read a string and parse it.
    macro_rules! by_parser {
        ($($name:ident -> $T:ty: $parse:path;)*) => {$(
            pub(in super::super) fn $name<'de, D: Deserializer<'de>, T: From<$T>>(from: D) -> Result<T, D::Error> {
                $parse(&String::deserialize(from)?).map(T::from).map_err(D::Error::custom)
            }
        )*};
    }

    by_parser! {
        text -> String: super::text;
        path -> PathBuf: super::path;
        duration -> Duration: super::duration;
        part_size -> u64: super::part_size;
        address -> Url: super::address;
        server -> Url: super::server;
        location -> Location: super::location;
        object_lock -> ObjectLock: super::object_lock;
        storage_class -> String: super::storage_class;
        region -> String: super::region;
        date -> DateTime<Utc>: super::date;
        secret -> Reference: secret_ref;
        key -> Reference: key_reference;
        secret_text -> TextOrReference: text_or_reference;
        secret_url -> TextOrReference: url_or_reference;
    }

    /// Defines functions that read lists. Each element is read on its own, so that an error names
    /// the line of the element.
    macro_rules! lists {
        ($($name:ident: $element:ident($T:ty) as $read:literal;)*) => {$(
            #[derive(serde::Deserialize)]
            struct $element(#[serde(deserialize_with = $read)] $T);

            pub(in super::super) fn $name<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<$T>, D::Error> {
                Ok(Vec::<$element>::deserialize(from)?.into_iter().map(|element| element.0).collect())
            }
        )*};
    }

    lists! {
        servers: Server(Url) as "server";
        keys: Key(Reference) as "key";
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read::secret(from)
    }
}

impl<'de> Deserialize<'de> for TextOrReference {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read::secret_text(from)
    }
}

/// Reads a number of days, months or backups.
pub(super) fn count<'de, D: Deserializer<'de>, T: From<u32>>(from: D) -> Result<T, D::Error> {
    number(from, 1..=36_500, "must be a whole number from 1 to 36500")
}

/// Reads a number of retries.
pub(super) fn retries<'de, D: Deserializer<'de>, T: From<u32>>(from: D) -> Result<T, D::Error> {
    number(from, 0..=10, "must be a whole number from 0 to 10")
}

fn number<'de, D, T>(from: D, range: RangeInclusive<u32>, allowed: &'static str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: From<u32>,
{
    let number = u32::try_from(i64::deserialize(from)?).ok().filter(|number| range.contains(number));
    number.map(T::from).ok_or_else(|| D::Error::custom(allowed))
}

/// Parses the URL of a store. The hint, if any, is on a second line, where `explain` looks for it.
fn location(text: &str) -> Result<Location, String> {
    text.parse().map_err(|error: crate::base::error::Error| match error.next_step() {
        Some(hint) => format!("{}\n{hint}", error.message()),
        None => error.message(),
    })
}

/// Parses a date; returns its beginning in UTC.
fn date(text: &str) -> Parsed<DateTime<Utc>> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|date| date.to_string() == text);
    date.map(|date| date.and_time(NaiveTime::MIN).and_utc()).ok_or("must be a date such as 2026-06-01")
}

/// Parses an AWS region, which becomes a part of a host name.
fn region(text: &str) -> Parsed<String> {
    let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let good = !text.is_empty() && text.bytes().all(fits);
    good.then(|| text.to_owned()).ok_or("must be an AWS region, such as eu-central-1")
}

/// Parses a duration: a whole number and `s`, `m`, `h` or `d`.
///
/// # Errors
/// The allowed values.
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

/// Parses digits only: `u64::from_str` would accept a sign.
fn whole_number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Parses a part size that S3 accepts, in bytes.
fn part_size(text: &str) -> Parsed<u64> {
    const ALLOWED: &str = "must be a size from 5MiB to 5GiB, such as 8MiB";
    let (number, shift) = match (text.strip_suffix("MiB"), text.strip_suffix("GiB")) {
        (Some(number), _) => (number, 20),
        (_, Some(number)) => (number, 30),
        _ => return Err(ALLOWED),
    };
    let size = whole_number(number).and_then(|n| n.checked_mul(1 << shift)).ok_or(ALLOWED)?;
    if PART_SIZES.contains(&size) { Ok(size) } else { Err(ALLOWED) }
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

/// Parses the address of a Vault server: an [`address`] or a Unix socket.
pub(super) fn server(text: &str) -> Parsed<Url> {
    match Url::parse(text) {
        Ok(url) if url.scheme() == "unix" => {
            let whole = url.host_str().unwrap_or_default().is_empty() && url.query().is_none() && url.path().len() > 1;
            if whole { Ok(url) } else { Err("must be unix:///PATH for a Unix socket") }
        }
        _ => address(text),
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
        "GLACIER" | "DEEP_ARCHIVE" => Err("must be a class with immediate reads: every backup is read back"),
        _ => text(class),
    }
}

fn secret_ref(text: &str) -> Parsed<Reference> {
    text.parse().map_err(|_| "must be env:NAME, file:PATH or credential:NAME; the secret itself is not accepted here")
}

/// Parses a reference to a key. Text without a scheme is a path.
///
/// # Errors
/// The allowed values; also for text that looks like the key itself: as a path it would appear
/// in messages.
pub fn key_reference(text: &str) -> Result<Reference, &'static str> {
    const ALLOWED: &str = "must be a path, env:NAME, file:PATH or credential:NAME; the key itself is not accepted here";
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
