//! Bad input, each kind: its exit code, one clear line, and nothing left behind.

mod config;
mod key;
mod object;
mod snapshot;
mod store;
mod vault;
