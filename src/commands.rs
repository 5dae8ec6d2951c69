//! One file for each command, which reads from top to bottom as its pipeline.
//!
//! Not here: the steps that several commands share (`pipeline`), and the report of a run's
//! result (`reporting`).

pub(crate) mod backup;
pub(crate) mod completions;
pub(crate) mod decrypt;
pub(crate) mod doctor;
pub(crate) mod inspect;
pub(crate) mod keygen;
pub(crate) mod list;
pub(crate) mod man;
pub(crate) mod prune;
pub(crate) mod recover;
pub(crate) mod restore;
pub(crate) mod status;
pub(crate) mod verify_restore;

pub(crate) use crate::app::output::CommandResult;
