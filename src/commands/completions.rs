//! `completions`: a completion script for a shell.

use crate::app::cli::Cli;
use crate::commands::Done;
use clap::CommandFactory;

/// Generates the script from the command line's definition.
pub fn run(shell: clap_complete::Shell) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "vault-backup", &mut script);
    Done::text(String::from_utf8_lossy(&script))
}
