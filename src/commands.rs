//! One file for each command, which reads from top to bottom as its pipeline.
//!
//! Not here: the steps that several commands share (`pipeline`), and the report of a run's
//! result (`reporting`).

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

pub use crate::app::output::CommandResult;
