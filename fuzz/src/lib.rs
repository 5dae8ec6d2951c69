//! The layers of vault-backup that read untrusted bytes, and the bodies of the fuzz targets.

#![allow(missing_docs, clippy::unwrap_used, reason = "the bodies belong to the tests")]

extern crate self as vault_backup;

pub mod base;
#[path = "../../tests/fuzz/bodies/mod.rs"]
pub mod bodies;
pub mod formats;
