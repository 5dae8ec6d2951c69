//! vault-backup: backs up HashiCorp Vault and OpenBao on Raft storage.
//!
//! Each run is one pipeline that ends with a true exit code. The flow of a backup:
//!
//! ```text
//! login ─ leader ─► GET snapshot ─┬─► archive check ───────────────┐ complete only if
//!                                 └─► encrypt ─► SHA-256 ─► upload ┤ both passed
//!     read back ◄─ complete ◄──────────────────────────────────────┘
//!     decrypt every segment ─► manifest ─► monthly copy ─► audit, notify
//! ```
//!
//! The layers, from the top; each uses only those below it, which a test checks:
//!
//! - [`run()`]: dispatch. [`commands`]: one file for each command, read from top to bottom.
//! - [`app`]: the parts of one run: flags, configuration, context, output, reporting.
//! - [`pipeline`]: the steps that commands share: upload, read, catalog, prune, drill.
//! - [`services`]: everything outside the process: Vault, the store, staging, notifications.
//! - [`formats`]: formats and rules. Pure: no I/O, no clock, no environment.
//! - [`base`]: errors, secrets, the stop flag, atomic files and locks.

pub mod app;
pub mod base;
mod commands;
pub mod formats;
mod pipeline;
pub mod run;
pub mod services;

pub use run::run;

/// This tool and its version, as headers and documents name it.
pub const TOOL: &str = concat!("vault-backup/", env!("CARGO_PKG_VERSION"));
