//! `keygen`: a new encryption key, or the manifest key of an existing one.

use crate::app::cli::KeygenArgs;
use crate::app::context::Context;
use crate::base::atomic_file::AtomicFile;
use crate::base::error::{Error, Result};
use crate::base::regular_file::check_target;
use crate::base::secret::Secret;
use crate::commands::CommandResult;
use crate::formats::crypto::Key;
use std::io::{ErrorKind, IsTerminal};
use std::path::Path;

/// Permissions of a new key file.
const MODE: u32 = 0o600;

/// Generates a key, or derives the manifest key of one. Writes it to a new file, or prints
/// it on stdout and its id on stderr.
///
/// # Errors
/// `Usage` if the file exists (a key is never overwritten) or cannot be created, or if the
/// key to derive from cannot be read.
pub(crate) fn run(context: &Context, args: &KeygenArgs) -> Result<CommandResult> {
    if let Some(reference) = &args.manifest_key_of {
        let key = context.signing_key(reference)?;
        return hand_out(args.output.as_deref(), &key.manifest_key_to_hex(), key.id(), &MANIFEST);
    }
    let key = Key::generate()?;
    hand_out(args.output.as_deref(), &key.to_hex(), key.id(), &BACKUP)
}

/// The messages about one kind of key.
struct Messages {
    /// The name of its id.
    id: &'static str,
    /// Advice after it was written to a file.
    written: &'static str,
    /// Advice after it was printed on a terminal.
    shown: &'static str,
}

const BACKUP: Messages = Messages {
    id: "key id",
    written: "Store a copy of this key away from the backups: without it they cannot be decrypted.",
    shown: " (store the key away from the backups)",
};
const MANIFEST: Messages = Messages {
    id: "manifest key of key id",
    written: "Set encryption.manifest_key to it on hosts that only prune: it decrypts nothing.",
    shown: "",
};

fn hand_out(output: Option<&Path>, hex: &Secret, id: &str, messages: &Messages) -> Result<CommandResult> {
    match output {
        Some(path) => {
            check_target(path, false)?;
            AtomicFile::write_new_line(path, hex.expose()).map_err(|e| not_written(path, e))?;
            let result = format!("{} {id}, written to {} (mode {MODE:04o})\n", messages.id, path.display());
            Ok(CommandResult::text(result).with_closing(messages.written))
        }
        None => {
            let advice = if std::io::stdout().is_terminal() { messages.shown } else { "" };
            Ok(CommandResult::text(format!("{}\n", hex.expose())).with_note(format!("{} {id}{advice}", messages.id)))
        }
    }
}

fn not_written(path: &Path, cause: std::io::Error) -> Error {
    let error = Error::usage(format!("{}: the key was not written", path.display()));
    let directory = path.parent().filter(|directory| *directory != Path::new("")).unwrap_or(Path::new("."));
    match cause.kind() {
        ErrorKind::AlreadyExists => {
            error.because(cause).hint("choose another path: an existing key is never overwritten")
        }
        ErrorKind::NotFound => error
            .because(anyhow::anyhow!("the directory {} does not exist", directory.display()))
            .hint(format!("create it with `mkdir -p -m 700 {}`", directory.display())),
        _ => error.because(cause),
    }
}
