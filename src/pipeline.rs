//! Steps that several commands share: the streams between Vault and the store, with their
//! commit points, and the work on the store's listing.
//!
//! Not here: the order of the steps, which each command's file shows.

pub mod bridge;
pub mod catalog;
pub mod clock;
pub mod drill;
pub mod hashing;
pub mod input;
pub mod monthly;
pub mod object;
pub mod offline;
pub mod prune;
pub mod reader;
pub mod select;
pub mod source;
pub mod survey;
pub mod trust;
pub mod upload;
pub mod verified;
pub mod versions;
