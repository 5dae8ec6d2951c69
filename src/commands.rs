//! One file a subcommand, each from top to bottom what it does.
//!
//! Not here: what several of them share (`pipeline`), and telling people of a
//! run's end (`operation`).

pub mod backup;
pub mod completions;
pub mod decrypt;
pub mod doctor;
pub mod inspect;
pub mod keygen;
pub mod list;
pub mod man;
pub mod prune;
pub mod recover;
pub mod restore;
pub mod status;
pub mod verify_restore;

pub use crate::app::output::Done;
