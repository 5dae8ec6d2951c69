//! The backup that an argument names.

use super::Context;
use crate::app::cli::FileArgs;
use crate::base::error::{Error, Result};
use crate::formats::crypto::{Keyring, LegacyRule};
use crate::formats::selection::Selector;
use crate::pipeline::input::{BackupSource, Input};
use crate::pipeline::object::{self, Chosen};
use crate::pipeline::select;
use crate::pipeline::trust::Trust;
use std::path::Path;
use std::sync::Arc;

impl Context {
    /// Finds the backup that `--file` or the argument `text` names: a local file, stdin, or a
    /// backup in the store. Only the latter needs a configuration.
    ///
    /// # Errors
    /// `Usage` if no store is configured, or if `text` also leads to a local file; `Store` if
    /// there is no such backup; else as [`select::named`].
    pub(crate) async fn input(&self, text: Option<&str>, flags: &FileArgs, trust: &Trust) -> Result<Input> {
        let text = text.unwrap_or_default();
        let local = flags.file.clone().map(Input::File).or_else(|| Input::local(text));
        if let Some(local) = local {
            tracing::info!("reading {}", local.label());
            return Ok(local);
        }
        self.refuse_local_file(text).await?;
        let config = self.config().map_err(|e| e.context(format!("{text}: no such file")))?;
        if let Err(error) = config.store() {
            let what = format!("{text}: no such file, and no store is configured to look it up in");
            return Err(Error::usage(what).hint(error.next_step().unwrap_or_default()));
        }
        let store = self.store().await?;
        let named = self.stop.guard(select::named(store.as_ref(), text, trust, self.started)).await?;
        let name = named.ok_or_else(|| {
            Error::store(format!("{text}: no such file, and no such backup in {}", store.locate("")))
                .hint("see: vault-backup list")
        })?;
        let address = store.locate(name.object());
        tracing::info!("{text}: reading {address}");
        Ok(Input::Object(name, address))
    }

    /// Refuses the name of a backup that is also the path of a local file: the file has no name,
    /// manifest and SHA-256 to compare with, so it must never be read in place of the backup.
    async fn refuse_local_file(&self, text: &str) -> Result<()> {
        if text.contains("://") || Path::new(text).symlink_metadata().is_err() {
            return Ok(());
        }
        let local = format!("./{text} or --file {text}");
        let root = match self.config().and_then(crate::app::config::Config::store) {
            Ok(_) => Some(self.store().await?.locate("")),
            Err(_) => None,
        };
        Err(match root.filter(|root| Selector::parse(text, root).is_some()) {
            Some(root) => Error::usage(format!("{text}: it is both a local file and a name in the store"))
                .hint(format!("write {local} for the file, or {root}{text} for the backup")),
            None => Error::usage(format!("{text}: it is a local file, but a path needs ./ or / at its beginning"))
                .hint(format!("write {local} for the local file")),
        })
    }

    /// Returns the rule for the legacy format. `asked` is `--legacy`.
    pub(crate) fn legacy(&self, asked: bool) -> LegacyRule {
        let until = self.config().ok().and_then(|config| config.encryption.legacy_until);
        LegacyRule { asked, until }
    }

    /// Opens `input`. Warns of a backup in the store that is not good.
    ///
    /// # Errors
    /// As [`Context::open_checked`].
    pub(crate) async fn open(
        &self,
        input: &Input,
        trust: &Trust,
        keyring: Option<Arc<Keyring>>,
        legacy: bool,
    ) -> Result<BackupSource> {
        let warn = |chosen: &Chosen| {
            chosen.warn();
            Ok(())
        };
        self.open_checked(input, trust, keyring, legacy, warn).await
    }

    /// Opens `input`. `check` gets a backup in the store before it is read.
    ///
    /// # Errors
    /// `Usage` for a file that cannot be opened, `Store` if there is no such object, or the error
    /// of `check`.
    pub(crate) async fn open_checked(
        &self,
        input: &Input,
        trust: &Trust,
        keyring: Option<Arc<Keyring>>,
        legacy: bool,
        check: impl FnOnce(&Chosen) -> Result<()>,
    ) -> Result<BackupSource> {
        let legacy = self.legacy(legacy);
        let Input::Object(name, _) = input else { return BackupSource::of_local(input, keyring, legacy) };
        let store = self.store().await?;
        let chosen = self.stop.guard(object::choose(store.as_ref(), name, trust)).await?;
        check(&chosen)?;
        Ok(BackupSource::of_object(store, Arc::new(chosen), keyring, legacy))
    }
}
