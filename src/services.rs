//! Everything outside this process: Vault, the store, staging, notification endpoints.
//!
//! A service uses no other service, except for `http`.

pub mod http;
pub mod notify;
pub(crate) mod progress;
pub(crate) mod staging;
pub mod store;
pub mod vault;
