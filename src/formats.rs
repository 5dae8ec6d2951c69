//! Formats and rules. Pure: no I/O of their own, no clock, no environment.

pub mod archive;
pub mod backup;
pub mod barrier;
pub mod crypto;
pub mod manifest;
pub mod naming;
pub mod product;
pub mod retention;
pub mod share;
