//! Each kind of bad input: exit code, one clear line, and no files left.

mod config;
mod hostile_store;
mod key;
mod object;
mod snapshot;
mod store;
mod vault;
mod weak_key;
