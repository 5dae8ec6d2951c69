//! Product and version of the server that a backup is from, compared with those of
//! the server that it would be restored into.

use super::Product;
use std::fmt;

/// A release of either product, without its edition: `1.21.4+ent.hsm` is 1.21.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionNumber {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number.
    pub patch: u32,
    /// False for a pre-release (`2.6.0-beta20260622`), which precedes its release.
    pub released: bool,
}

impl VersionNumber {
    /// Reads a version such as `1.21.4`, `v2.7.2`, `1.21.4+ent.hsm` or `1.15.0-rc1`;
    /// `None` for anything else, also for an empty (redacted) one.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, _edition) = text.split_once('+').unwrap_or((text, ""));
        let (numbers, released) = text.split_once('-').map_or((text, true), |(numbers, _)| (numbers, false));
        let mut parts = numbers.split('.').map(|part| {
            let digits = !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
            part.parse().ok().filter(|_| digits)
        });
        let (major, minor, patch) = (parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(Self { major, minor, patch, released })
    }
}

/// Product and version of a server, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerVersion {
    /// The product.
    pub product: Option<Product>,
    /// The version as the server writes it; never empty.
    pub version: Option<String>,
}

impl ServerVersion {
    /// The server of that product and version. A product that is not known is
    /// inferred from the version where only one product has such a version; an empty
    /// (redacted) version counts as absent.
    pub fn new(product: Option<Product>, version: Option<&str>) -> Self {
        let version = version.map(str::trim).filter(|text| !text.is_empty());
        Self { product: product.or_else(|| infer(version?)), version: version.map(str::to_owned) }
    }

    fn parsed(&self) -> Option<VersionNumber> {
        VersionNumber::parse(self.version.as_deref()?)
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.product, &self.version) {
            (Some(product), Some(version)) => write!(f, "{product} {version}"),
            (Some(product), None) => write!(f, "{product} of an unknown version"),
            (None, Some(version)) => write!(f, "an unknown product of version {version}"),
            (None, None) => f.write_str("an unknown product and version"),
        }
    }
}

/// The product that alone has such a version. OpenBao began with 2.0, so 0.x and 1.x
/// are Vault's; 2.x exists of both.
fn infer(version: &str) -> Option<Product> {
    (VersionNumber::parse(version)?.major < 2).then_some(Product::Vault)
}

/// The product of a running server, by its answers to requests without a token.
///
/// Vault has answered `sys/health` with `enterprise` since 1.17, in every state and
/// behind every redacting listener. OpenBao never has; since 2.6 its `sys/seal-status`
/// has `commit_date`. What has neither is told by its version: a 2.x without
/// `enterprise` is OpenBao. Without a version (OpenBao before 2.6 or Vault 1.16, both
/// redacting) it stays unknown.
pub fn detect(has_enterprise: bool, has_commit_date: bool, version: Option<&str>) -> Option<Product> {
    match (has_enterprise, has_commit_date) {
        (true, false) => Some(Product::Vault),
        (false, true) => Some(Product::OpenBao),
        (true, true) => None,
        (false, false) => {
            let version = VersionNumber::parse(version?)?;
            Some(if version.major < 2 { Product::Vault } else { Product::OpenBao })
        }
    }
}

/// Product and version in the first line of `vault version` or `bao version`:
/// `OpenBao v2.7.2 (9e0a0d3c…), committed …`, `Vault v1.21.4+ent (…), built …`.
pub fn of_binary(output: &str) -> Option<ServerVersion> {
    let mut words = output.lines().next()?.split_whitespace();
    let product = match words.next()? {
        "Vault" => Product::Vault,
        "OpenBao" => Product::OpenBao,
        _ => return None,
    };
    let version = words.next()?.strip_prefix('v')?.trim_end_matches(',');
    VersionNumber::parse(version)?;
    Some(ServerVersion { product: Some(product), version: Some(version.to_owned()) })
}

/// The result of comparing a backup's server with a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// The same product in the same or a newer version.
    Same,
    /// The same product and minor version in an older patch release.
    OlderPatch,
    /// From Vault to OpenBao.
    Migration,
    /// From OpenBao to Vault, which finds none of OpenBao's mounts.
    OtherProduct,
    /// The same product in an older minor or major version, which may not be able to
    /// read what the newer one wrote.
    OlderTarget,
    /// Too little is known to say anything.
    Unknown,
}

impl Fit {
    /// True where a restore does harm, or may do harm, and is refused.
    pub fn is_refused(self) -> bool {
        matches!(self, Fit::OtherProduct | Fit::OlderTarget)
    }

    /// A note for people on a restore that is allowed; none where all is as usual.
    pub fn note(self, source: &ServerVersion, target: &ServerVersion) -> Option<String> {
        let both = format!("the backup is of {source}, the target is {target}");
        match self {
            Fit::Same | Fit::OtherProduct | Fit::OlderTarget => None,
            Fit::Migration => Some(format!("a migration: {both}")),
            Fit::OlderPatch => Some(format!("the target is an older patch release: {both}")),
            Fit::Unknown => Some(format!("product and version could not be compared: {both}")),
        }
    }
}

/// Compares the server that a backup is from (`source`) with the one that it would be
/// restored into. An unknown product counts as either one: only a result that holds
/// for both is a result.
pub fn fit(source: &ServerVersion, target: &ServerVersion) -> Fit {
    let either = |known: Option<Product>| match known {
        Some(product) => vec![product],
        None => vec![Product::Vault, Product::OpenBao],
    };
    let versions = (source.parsed(), target.parsed());
    let mut fits = Vec::new();
    for from in either(source.product) {
        fits.extend(either(target.product).into_iter().map(|into| known(from, into, versions)));
    }
    match fits.as_slice() {
        [one] => *one,
        all if !all.iter().all(|one| one.is_refused()) => Fit::Unknown,
        // The stricter one: no flag overrides it.
        all if all.contains(&Fit::OtherProduct) => Fit::OtherProduct,
        _ => Fit::OlderTarget,
    }
}

fn known(from: Product, into: Product, versions: (Option<VersionNumber>, Option<VersionNumber>)) -> Fit {
    match (from, into, versions) {
        (Product::Vault, Product::OpenBao, _) => Fit::Migration,
        (Product::OpenBao, Product::Vault, _) => Fit::OtherProduct,
        (_, _, (Some(source), Some(target))) => {
            if (target.major, target.minor) < (source.major, source.minor) {
                Fit::OlderTarget
            } else if target < source {
                Fit::OlderPatch
            } else {
                Fit::Same
            }
        }
        _ => Fit::Unknown,
    }
}

#[cfg(test)]
mod tests;
