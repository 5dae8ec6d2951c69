//! Steps that several commands share: the streams between Vault and the store, with their
//! commit points, and the work on the store's listing.
//!
//! Not here: the order of the steps, which each command's file shows.

pub(crate) mod bridge;
pub(crate) mod catalog;
pub(crate) mod clock;
pub(crate) mod commit;
pub(crate) mod drill;
pub(crate) mod hashing;
pub(crate) mod input;
pub(crate) mod leftovers;
pub(crate) mod monthly;
pub(crate) mod object;
pub(crate) mod offline;
pub(crate) mod prune;
pub(crate) mod reader;
pub(crate) mod select;
pub(crate) mod source;
pub(crate) mod survey;
pub(crate) mod trust;
pub(crate) mod upload;
pub(crate) mod verified;
pub(crate) mod versions;
