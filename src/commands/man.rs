//! `man`: the manual pages.

use crate::app::cli::{Cli, breakable};
use crate::app::output::lines::Lines;
use crate::base::error::{Error, Result};
use crate::commands::CommandResult;
use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

/// Renders the page of the tool, or of one command, in roff.
///
/// # Errors
/// `Usage` if there is no such command.
pub(crate) fn run(command: Option<&str>) -> Result<CommandResult> {
    let mut root = Cli::command().version(env!("CARGO_PKG_VERSION"));
    root.build();
    let page = match command {
        None => root,
        Some(name) => root
            .find_subcommand(name)
            .cloned()
            .ok_or_else(|| Error::usage(format!("no command is called '{name}'")).hint("see `vault-backup help`"))?
            .name(format!("vault-backup-{name}")),
    };
    let page = render(page).map_err(|e| Error::unexpected("cannot render the manual page").because(e))?;
    Ok(CommandResult::text(Lines::fixed(String::from_utf8_lossy(&page))))
}

fn render(page: clap::Command) -> std::io::Result<Vec<u8>> {
    let has_commands = page.has_subcommands();
    let sections = page.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let man = Man::new(page).source(concat!("vault-backup ", env!("CARGO_PKG_VERSION")));
    let mut roff = Vec::new();
    man.render_title(&mut roff)?;
    man.render_name_section(&mut roff)?;
    man.render_synopsis_section(&mut roff)?;
    man.render_description_section(&mut roff)?;
    man.render_options_section(&mut roff)?;
    if has_commands {
        man.render_subcommands_section(&mut roff)?;
    }
    for section in breakable(&sections).split("\n\n") {
        verbatim(section).to_writer(&mut roff)?;
    }
    Ok(roff)
}

/// Returns a section of `--help`, a heading with lines below it, whose lines stay lines.
fn verbatim(section: &str) -> Roff {
    let (heading, lines) = section.split_once('\n').unwrap_or((section, ""));
    let mut roff = Roff::default();
    roff.control("SH", [heading.trim_end_matches(':').to_uppercase().as_str()]).control("nf", []);
    for line in lines.lines() {
        roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
    }
    roff.control("fi", []);
    roff
}
