//! Building blocks that every other layer uses.

pub mod atomic_file;
pub mod error;
pub mod lock;
pub mod secret;
pub mod stop;
