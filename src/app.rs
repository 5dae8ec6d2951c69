//! The parts that make up one run: flags, configuration, context, output, reporting.

pub mod cli;
pub mod config;
pub mod context;
pub mod output;
pub(crate) mod prompt;
pub mod reporting;
