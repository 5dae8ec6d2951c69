//! Compares product and version of the server that a backup was taken from with those
//! of the server that it would be restored into.

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
    /// `false` if it is a pre-release (`2.6.0-beta20260622`), which sorts before its release.
    pub released: bool,
}

impl VersionNumber {
    /// Parses a version such as `1.21.4`, `v2.7.2`, `1.21.4+ent.hsm` or `1.15.0-rc1`.
    /// Returns `None` for any other text, including an empty (redacted) version.
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
    /// The product, if known.
    pub product: Option<Product>,
    /// The version as the server writes it, never empty, if known.
    pub version: Option<String>,
}

impl ServerVersion {
    /// Returns the server with that product and version. An unknown product is inferred
    /// from the version if only one product has such a version. A 2.x version exists for
    /// both products, so it leaves the product unknown. An empty (redacted) version
    /// counts as absent.
    ///
    /// This is the only rule for backups that do not record a product (made before 0.2).
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
            (Some(product), None) => write!(f, "{product} (unknown version)"),
            (None, Some(version)) => write!(f, "an unknown product, version {version}"),
            (None, None) => f.write_str("an unknown product and version"),
        }
    }
}

/// Returns the product if only one has such a version. OpenBao's first release was 2.0,
/// so 0.x and 1.x are Vault's; 2.x exists for both.
fn infer(version: &str) -> Option<Product> {
    (VersionNumber::parse(version)?.major < 2).then_some(Product::Vault)
}

/// Returns the product of a running server, from its responses to requests without a token.
///
/// Since 1.17, Vault's `sys/health` has the key `enterprise`, in every state and behind
/// every redacting listener. OpenBao's never has it; since 2.6, its `sys/seal-status`
/// has `commit_date`. If both keys are missing, the version decides: a 2.x without
/// `enterprise` is OpenBao. Without a version (OpenBao before 2.6 or Vault 1.16, both
/// redacting), the product stays unknown.
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

/// Reads product and version from the first line of `vault version` or `bao version`:
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
pub enum Compatibility {
    /// The same product in the same or a newer version.
    Same,
    /// The same product and minor version in an older patch release.
    OlderPatch,
    /// From Vault to OpenBao.
    Migration,
    /// From OpenBao to Vault, which does not find OpenBao's mounts.
    OtherProduct,
    /// The same product in an older minor or major version, which may not be able to
    /// read what the newer one wrote.
    OlderTarget,
    /// Too little is known to compare them.
    Unknown,
}

impl Compatibility {
    /// Returns `true` if a restore is refused because it loses data, or may lose data.
    pub fn is_refused(self) -> bool {
        matches!(self, Compatibility::OtherProduct | Compatibility::OlderTarget)
    }

    /// Returns a note for people on a restore that is allowed but unusual, if any.
    pub fn note(self, source: &ServerVersion, target: &ServerVersion) -> Option<String> {
        let both = format!("the backup was taken from {source}, the target is {target}");
        match self {
            Compatibility::Same | Compatibility::OtherProduct | Compatibility::OlderTarget => None,
            Compatibility::Migration => Some(format!("migration: {both}")),
            Compatibility::OlderPatch => Some(format!("the target is an older patch release: {both}")),
            Compatibility::Unknown => Some(format!("product or version unknown, not compared: {both}")),
        }
    }
}

/// Compares the server that a backup was taken from (`source`) with the server that it
/// would be restored into. If a product is unknown, both products are tried: the result
/// is [`Compatibility::Unknown`] unless both agree.
pub fn compare(source: &ServerVersion, target: &ServerVersion) -> Compatibility {
    let either = |known: Option<Product>| match known {
        Some(product) => vec![product],
        None => vec![Product::Vault, Product::OpenBao],
    };
    let versions = (source.parsed(), target.parsed());
    let mut results = Vec::new();
    for from in either(source.product) {
        results.extend(either(target.product).into_iter().map(|into| known(from, into, versions)));
    }
    match results.as_slice() {
        [result] => *result,
        all if !all.iter().all(|result| result.is_refused()) => Compatibility::Unknown,
        // The stricter refusal: no flag overrides it.
        all if all.contains(&Compatibility::OtherProduct) => Compatibility::OtherProduct,
        _ => Compatibility::OlderTarget,
    }
}

fn known(from: Product, into: Product, versions: (Option<VersionNumber>, Option<VersionNumber>)) -> Compatibility {
    match (from, into, versions) {
        (Product::Vault, Product::OpenBao, _) => Compatibility::Migration,
        (Product::OpenBao, Product::Vault, _) => Compatibility::OtherProduct,
        (_, _, (Some(source), Some(target))) => {
            if (target.major, target.minor) < (source.major, source.minor) {
                Compatibility::OlderTarget
            } else if target < source {
                Compatibility::OlderPatch
            } else {
                Compatibility::Same
            }
        }
        _ => Compatibility::Unknown,
    }
}

#[cfg(test)]
mod tests;
