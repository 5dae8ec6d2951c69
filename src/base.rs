//! Building blocks that every other layer uses.

pub(crate) mod atomic_file;
pub mod error;
pub(crate) mod lock;
pub(crate) mod regular_file;
pub mod secret;
pub mod stop;
