//! `keygen`: a new encryption key.

use crate::atomic_file::AtomicFile;
use crate::cli::KeygenArgs;
use crate::commands::Done;
use crate::envelope::Key;
use crate::error::{Error, Result};
use crate::secret::Secret;
use std::io::{IsTerminal, Write};
use std::path::Path;

/// Makes a key: to a new file (0600), or to stdout with its id on stderr.
///
/// # Errors
/// `Usage` if the file exists: a key is never written over.
pub fn run(args: &KeygenArgs) -> Result<Done> {
    let key = Key::generate()?;
    let id = key.id();
    let hex = key.to_hex();
    match &args.output {
        Some(path) => {
            write_new(path, &hex).map_err(|e| {
                Error::usage(format!("{}: the key was not written", path.display()))
                    .because(e)
                    .hint("a key is never written over; choose another path")
            })?;
            let done = Done::text(format!("key id {id}\n"));
            Ok(done.closing("Keep a copy of this key where the backups are not: without it they cannot be read."))
        }
        None => {
            let advice = if std::io::stdout().is_terminal() { " (keep the key where the backups are not)" } else { "" };
            Ok(Done::text(format!("{}\n", hex.expose())).aside(format!("key id {id}{advice}")))
        }
    }
}

fn write_new(path: &Path, hex: &Secret) -> std::io::Result<()> {
    let mut file = AtomicFile::create(path, 0o600)?;
    writeln!(file, "{}", hex.expose())?;
    file.commit_new()
}
