//! Building blocks that every other layer uses.

pub(crate) mod atomic_file;
pub(crate) mod child;
pub mod error;
pub(crate) mod lock;
pub mod memory;
pub(crate) mod regular_file;
pub mod secret;
pub mod stop;
pub(crate) mod text;
pub(crate) mod trusted_file;
