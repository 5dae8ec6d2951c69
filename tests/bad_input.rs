//! Each kind of bad input: exit code, one clear line, and no files left.

mod config;
mod hostile_answers;
mod hostile_store;
mod hostile_text;
mod key;
mod object;
mod snapshot;
mod store;
mod vault;
mod weak_key;
