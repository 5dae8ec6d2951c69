//! The arguments that name a local file as the backup and allow the legacy format.

use clap::Args;
use std::path::PathBuf;

/// The flags of every command that reads a backup from the store or from a file.
#[derive(Clone, Debug, Default, Args)]
pub struct FileArgs {
    /// Local file with the backup, in place of a name
    #[arg(long, value_name = "PATH")]
    pub file: Option<PathBuf>,
    /// The legacy format.
    #[command(flatten)]
    pub legacy: LegacyArgs,
}

/// The flag that allows the legacy format.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct LegacyArgs {
    /// Also read the legacy format of the previous service [default: only from the store, for a time before encryption.legacy_until]
    #[arg(long = "legacy")]
    pub allowed: bool,
}

impl FileArgs {
    /// Returns the backup as it was named, for messages.
    pub fn given(&self, name: Option<&str>) -> String {
        let file = self.file.as_ref().map(|path| path.display().to_string());
        file.unwrap_or_else(|| name.unwrap_or_default().to_owned())
    }
}
