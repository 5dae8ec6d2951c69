//! Formats and rules, without I/O, clock or environment.

pub mod archive;
pub mod backup;
pub mod barrier;
pub mod crypto;
pub mod manifest;
pub mod naming;
pub mod product;
pub mod retention;
pub(crate) mod selection;
pub mod share;
