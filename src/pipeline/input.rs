//! The backup that a command reads, once or several times: a file, stdin, or a backup in the
//! store. Every read is of the same backup.
//!
//! Not here: finding a backup by a short name (`select`), and reading it (`reader`).

use super::object::Chosen;
use super::reader::{self, ByteSource};
use super::verified::{EarlierReads, Expected, ReadSpec};
use crate::base::error::{Error, Kind, Result};
use crate::base::regular_file;
use crate::base::stop::Stop;
use crate::formats::crypto::{Keyring, LegacyRule};
use crate::formats::naming::BackupName;
use crate::services::progress::Progress;
use crate::services::store::Store;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// A backup as it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// `-`
    Stdin,
    /// A local file.
    File(PathBuf),
    /// A backup in the store, and its address.
    Object(BackupName, String),
}

impl Input {
    /// Reads `text` as a local input: `-`, or a path that begins with `/`, `./` or `../`. `None`
    /// for any other text, which has to name a backup in the store.
    pub(crate) fn local(text: &str) -> Option<Self> {
        let first = Path::new(text).components().next();
        match first {
            _ if text == "-" => Some(Input::Stdin),
            Some(Component::RootDir | Component::CurDir | Component::ParentDir) => Some(Input::File(text.into())),
            _ => None,
        }
    }

    /// Returns its name in messages.
    pub(crate) fn label(&self) -> String {
        match self {
            Input::Stdin => "stdin".to_owned(),
            Input::File(path) => path.display().to_string(),
            Input::Object(_, address) => address.clone(),
        }
    }

    /// Refuses stdin.
    ///
    /// # Errors
    /// `Usage` for commands that read their input more than once.
    pub(crate) fn refuse_stdin(&self) -> Result<()> {
        match self {
            Input::Stdin => Err(Error::usage("a backup on stdin cannot be read twice").hint("save it to a file first")),
            _ => Ok(()),
        }
    }

    /// Returns the file name of the decrypted snapshot; stdin has none.
    pub(crate) fn plain_name(&self) -> Option<String> {
        let file = match self {
            Input::Stdin => return None,
            Input::File(path) => path.file_name()?.to_str()?,
            Input::Object(name, _) => name.stem(),
        };
        Some(format!("{}.snap", file.strip_suffix(".enc").unwrap_or(file)))
    }

    /// Opens a file or stdin.
    fn open_local(&self) -> Result<File> {
        let fail = |e: io::Error| Error::usage(format!("{}: cannot be read", self.label())).because(e);
        match self {
            Input::Stdin => Ok(io::stdin().as_fd().try_clone_to_owned().map_err(fail)?.into()),
            Input::File(path) => regular_file::open(path).map_err(|e| match e.kind() {
                io::ErrorKind::InvalidInput if path.is_dir() => {
                    Error::usage(format!("{}: it is a directory, not a backup", path.display()))
                        .hint("name a file in it, or a backup in the store (see: vault-backup list)")
                }
                io::ErrorKind::InvalidInput => fail(e).hint("give - as the backup, and its bytes on stdin"),
                _ => fail(e),
            }),
            Input::Object(_, address) => Err(Error::unexpected(format!("{address}: it is in the store"))),
        }
    }
}

/// One backup, chosen and opened once. Every read of it begins at its first byte, and fails if
/// it is not the backup of the first read.
pub(crate) struct BackupSource {
    origin: Origin,
    /// Its name in messages.
    pub label: String,
    /// Its size in bytes, if known.
    pub size: Option<u64>,
    /// The rules for reading it.
    pub how: ReadSpec,
}

enum Origin {
    Stdin(File),
    /// Stays open: the path may later lead to another file.
    File(File),
    Object {
        store: Arc<dyn Store>,
        chosen: Arc<Chosen>,
        /// The entity tag of the first read.
        etag: OnceLock<Option<String>>,
    },
}

impl BackupSource {
    /// Opens a local file or stdin.
    ///
    /// # Errors
    /// `Usage` if it cannot be opened.
    pub(crate) fn of_local(input: &Input, keyring: Option<Arc<Keyring>>, legacy: LegacyRule) -> Result<Self> {
        let file = input.open_local()?;
        let size = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|meta| meta.len());
        let origin = if *input == Input::Stdin { Origin::Stdin(file) } else { Origin::File(file) };
        let how = ReadSpec {
            keyring,
            layouts: legacy.layouts(None),
            plain: false,
            name: None,
            expected: Expected::default(),
            earlier: EarlierReads::default(),
        };
        Ok(Self { origin, label: input.label(), size, how })
    }

    /// Returns a backup in the store.
    pub(crate) fn of_object(
        store: Arc<dyn Store>,
        chosen: Arc<Chosen>,
        keyring: Option<Arc<Keyring>>,
        legacy: LegacyRule,
    ) -> Self {
        let (how, label, size) =
            (ReadSpec::of(&chosen, keyring, legacy), chosen.address.clone(), Some(chosen.head.size));
        Self { origin: Origin::Object { store, chosen, etag: OnceLock::new() }, label, size, how }
    }

    /// Also accepts a plain snapshot, unless it is an object of the store.
    #[must_use]
    pub(crate) fn or_plain(mut self) -> Self {
        self.how.plain = true;
        self
    }

    /// Words errors for a check that precedes a restore.
    #[must_use]
    pub(crate) fn before_restore(mut self) -> Self {
        self.how.earlier = EarlierReads::between("the check and the restore");
        self
    }

    /// Returns the object, if it is in the store.
    pub(crate) fn chosen(&self) -> Option<&Chosen> {
        match &self.origin {
            Origin::Object { chosen, .. } => Some(chosen),
            _ => None,
        }
    }

    /// Starts a read. What it returns has to be read by the rules of `how`.
    ///
    /// # Errors
    /// The store's; `Integrity` if the object is not the one of the first read.
    pub(crate) async fn bytes(&self) -> Result<ByteSource> {
        let again = |file: &File| file.try_clone().map_err(|e| Error::store("cannot be read").because(e));
        match &self.origin {
            Origin::Stdin(file) => again(file).map(ByteSource::File),
            Origin::File(file) => {
                let mut file = again(file)?;
                file.rewind().map_err(|e| Error::store("cannot be read again").because(e))?;
                Ok(ByteSource::File(file))
            }
            Origin::Object { store, chosen, etag } => {
                let download = chosen.download(store.as_ref()).await?;
                let now = &download.head;
                self.how.earlier.same(&chosen.head.size, &now.size)?;
                self.how.earlier.same(etag.get_or_init(|| now.etag.clone()), &now.etag)?;
                Ok(ByteSource::Stream(download.body))
            }
        }
    }

    /// Runs `pass` over the backup, on a thread.
    ///
    /// # Errors
    /// Those of [`BackupSource::bytes`] and of `pass`, with the name of the backup.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        stage: &'static str,
        stop: &Stop,
        progress: &Progress,
        pass: impl FnOnce(Box<dyn Read + Send>, &ReadSpec) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let reading = async {
            let bytes = stop.guard(self.bytes()).await?;
            progress.stage(stage, self.size);
            let how = self.how.clone();
            reader::read(bytes, stop, progress, move |reader| pass(reader, &how)).await
        };
        reading.await.map_err(|e| self.about(e))
    }

    /// Adds the name of the backup to an error, if it does not have it yet.
    pub(crate) fn about(&self, error: Error) -> Error {
        let named = error.kind().is_stop() || error.message().starts_with(&self.label);
        if named { error } else { error.context(&self.label) }
    }

    /// Adds the name of the backup to an error about its contents: others name a server.
    pub(crate) fn about_contents(&self, error: Error) -> Error {
        if error.kind() == Kind::Integrity { self.about(error) } else { error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_that_looks_like_one_is_local() {
        assert_eq!(Input::local("-"), Some(Input::Stdin));
        for path in ["./x", "../x", "/x", ".", "..", "./latest", "/a/../b", ".//x"] {
            assert_eq!(Input::local(path), Some(Input::File(path.into())), "{path}");
        }
        for name in ["x", "x/y", "latest", ".x", "..x", "~/x", "--", "", "file:///x", "daily/../x"] {
            assert_eq!(Input::local(name), None, "{name}");
        }
    }
}
