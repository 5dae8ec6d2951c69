//! vault-backup: backs up HashiCorp Vault and OpenBao on Raft storage.
//!
//! Each run is one pipeline that ends; its exit code tells the truth. The flow of
//! a backup:
//!
//! ```text
//! login ─ leader ─► GET snapshot ─┬─► archive check ───────────────┐ complete only if
//!                                 └─► seal ─► SHA-256 ─► upload ───┤ both passed
//!     read back ◄─ complete ◄──────────────────────────────────────┘
//!     open every segment ─► manifest ─► monthly copy ─► audit, notify
//! ```
//!
//! Who may use whom, checked by a test: `commands` use `pipeline`, the leaves and
//! the base; `pipeline` uses leaves and base; a leaf uses only the base. `archive`,
//! `envelope`, `barrier`, `manifest`, `naming` and `retention` are pure: no I/O of
//! their own, no clock, no environment.

pub mod cli;
pub mod commands;
pub mod context;
pub mod lock;
pub mod operation;
pub mod output;
pub mod prompt;
pub mod run;

// The base.
pub mod atomic_file;
pub mod error;
pub mod http;
pub mod manifest;
pub mod naming;
pub mod product;
pub mod secret;
pub mod share;
pub mod stop;

// The leaves.
pub mod archive;
pub mod barrier;
pub mod envelope;
pub mod report;
pub mod retention;
pub mod staging;
pub mod store;
pub mod vault;

// What the commands share.
pub mod config;
pub mod pipeline;

pub use run::run;

/// This tool and its version, as headers and documents name it.
pub const TOOL: &str = concat!("vault-backup/", env!("CARGO_PKG_VERSION"));
