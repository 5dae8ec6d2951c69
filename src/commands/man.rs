//! `man`: the manual pages.

use crate::app::cli::Cli;
use crate::base::error::{Error, Result};
use crate::commands::Done;
use clap::CommandFactory;

/// Renders the page of the tool, or of one command, in roff.
///
/// # Errors
/// `Usage` for a command that there is not.
pub fn run(command: Option<&str>) -> Result<Done> {
    let mut root = Cli::command();
    root.build();
    let page = match command {
        None => root,
        Some(name) => root
            .find_subcommand(name)
            .cloned()
            .ok_or_else(|| Error::usage(format!("no command is called '{name}'")).hint("see: vault-backup help"))?
            .name(format!("vault-backup-{name}")),
    };
    let mut roff = Vec::new();
    clap_mangen::Man::new(page)
        .source(concat!("vault-backup ", env!("CARGO_PKG_VERSION")))
        .render(&mut roff)
        .map_err(|e| Error::unexpected("the manual page could not be rendered").because(e))?;
    Ok(Done::text(String::from_utf8_lossy(&roff)))
}
