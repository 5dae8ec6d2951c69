//! The two products that keep their data in Raft storage: HashiCorp Vault and OpenBao.
//!
//! Their names and versions, and the rules for restoring a backup of one server into
//! another. Not here: requests to a server (`vault`), reading a snapshot (`barrier`).

mod compare;

pub use compare::{Compatibility, ServerVersion, VersionNumber, compare, detect, of_binary};

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
    /// Returns the name in documents: `vault` or `openbao`.
    pub fn as_str(self) -> &'static str {
        match self {
            Product::Vault => "vault",
            Product::OpenBao => "openbao",
        }
    }

    /// Returns the product with that name in documents.
    pub fn parse(name: &str) -> Option<Self> {
        [Product::Vault, Product::OpenBao].into_iter().find(|product| product.as_str() == name)
    }

    /// Reads an optional product from a document. An unknown name counts as absent, so
    /// that documents of later versions stay readable.
    ///
    /// # Errors
    /// The deserializer's error, for any value that is not a string or null.
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
    fn product_names_round_trip_and_unknown_names_count_as_absent() {
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
