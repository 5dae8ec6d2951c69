//! The two products that keep their data in Raft storage: HashiCorp Vault and OpenBao.
//!
//! Their names and versions, and the rule for restoring a backup of one server into
//! another. Pure: asking a server is `vault`'s part, reading a snapshot `barrier`'s.

mod compare;

pub use compare::{Fit, ServerVersion, VersionNumber, detect, fit, of_binary};

use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// A server product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Product {
    /// HashiCorp Vault.
    Vault,
    /// OpenBao.
    OpenBao,
}

impl Product {
    /// The name in documents: `vault` or `openbao`.
    pub fn as_str(self) -> &'static str {
        match self {
            Product::Vault => "vault",
            Product::OpenBao => "openbao",
        }
    }

    /// The product of that name in documents.
    pub fn parse(name: &str) -> Option<Self> {
        [Product::Vault, Product::OpenBao].into_iter().find(|product| product.as_str() == name)
    }

    /// Reads an optional product from a document. A name that this version does not
    /// know counts as absent, so that documents of later versions stay readable.
    ///
    /// # Errors
    /// The deserializer's, for anything but a string or null.
    pub fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        let name = Option::<String>::deserialize(deserializer)?;
        Ok(name.as_deref().and_then(Self::parse))
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Product::Vault => "Vault",
            Product::OpenBao => "OpenBao",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_unknown_ones_count_as_absent() {
        for product in [Product::Vault, Product::OpenBao] {
            assert_eq!(Product::parse(product.as_str()), Some(product));
            assert_eq!(serde_json::to_value(product).unwrap(), product.as_str());
        }
        let read = |text: &str| Product::lenient(&mut serde_json::Deserializer::from_str(text));
        assert_eq!(read("\"openbao\"").unwrap(), Some(Product::OpenBao));
        assert_eq!(read("\"successor\"").unwrap(), None);
        assert_eq!(read("null").unwrap(), None);
        assert!(read("1").is_err());
    }
}
