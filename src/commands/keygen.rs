//! `keygen`: a new encryption key, or the manifest key of one.

use crate::app::cli::KeygenArgs;
use crate::app::context::Context;
use crate::base::atomic_file::AtomicFile;
use crate::base::error::{Error, Result};
use crate::base::secret::Secret;
use crate::commands::Done;
use crate::formats::crypto::Key;
use std::io::IsTerminal;
use std::path::Path;

/// Makes a key, or derives the manifest key of one: to a new file (0600), or to stdout
/// with the key's id on stderr.
///
/// # Errors
/// `Usage` if the file exists (a key is never written over), or the key to derive from
/// cannot be used.
pub fn run(context: &Context, args: &KeygenArgs) -> Result<Done> {
    if let Some(reference) = &args.manifest_key_of {
        let keyring = context.keyring_or(Some(reference))?;
        let key = keyring.primary();
        return hand_out(args.output.as_deref(), &key.manifest_key_to_hex(), key.id(), &MANIFEST);
    }
    let key = Key::generate()?;
    hand_out(args.output.as_deref(), &key.to_hex(), key.id(), &BACKUP)
}

/// What is said of a key that is handed out: what its id is called, and what to do.
struct Words {
    id: &'static str,
    written: &'static str,
    shown: &'static str,
}

const BACKUP: Words = Words {
    id: "key id",
    written: "Keep a copy of this key where the backups are not: without it they cannot be read.",
    shown: " (keep the key where the backups are not)",
};
const MANIFEST: Words = Words {
    id: "manifest key of key id",
    written: "For encryption.manifest_key of a host that only prunes: it decrypts nothing.",
    shown: "",
};

fn hand_out(output: Option<&Path>, hex: &Secret, id: &str, words: &Words) -> Result<Done> {
    match output {
        Some(path) => {
            AtomicFile::write_new_line(path, hex.expose()).map_err(|e| {
                Error::usage(format!("{}: the key was not written", path.display()))
                    .because(e)
                    .hint("a key is never written over; choose another path")
            })?;
            Ok(Done::text(format!("{} {id}\n", words.id)).closing(words.written))
        }
        None => {
            let advice = if std::io::stdout().is_terminal() { words.shown } else { "" };
            Ok(Done::text(format!("{}\n", hex.expose())).aside(format!("{} {id}{advice}", words.id)))
        }
    }
}
