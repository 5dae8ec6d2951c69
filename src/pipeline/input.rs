//! An INPUT argument: a file, stdin, or a backup in the store.
//!
//! Not here: finding a backup by a short name (`select`), and reading it (`reader`).

use super::object::{self, Chosen};
use super::reader::ByteSource;
use super::trust::Trust;
use super::verified::{Expected, ReadSpec};
use crate::base::error::{Error, Result};
use crate::formats::crypto::{Keyring, Layouts};
use crate::formats::naming::BackupName;
use crate::services::store::Store;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An INPUT argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// `-`
    Stdin,
    /// An existing path.
    File(PathBuf),
    /// A backup in the store, and its address.
    Object(BackupName, String),
}

/// An open input.
pub struct OpenInput {
    /// Its bytes.
    pub source: ByteSource,
    /// Their number, if known.
    pub size: Option<u64>,
    /// Its name in messages.
    pub label: String,
    /// The object, if it is in the store.
    pub chosen: Option<Chosen>,
}

impl Input {
    /// Reads `text` as a local input. `None` if it is neither `-` nor an existing path, and
    /// so has to name a backup in the store.
    pub fn local(text: &str) -> Option<Self> {
        match text {
            "-" => Some(Input::Stdin),
            _ => Path::new(text).exists().then(|| Input::File(text.into())),
        }
    }

    /// Returns its name in messages.
    pub fn label(&self) -> String {
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
    pub fn refuse_stdin(&self) -> Result<()> {
        match self {
            Input::Stdin => Err(Error::usage("a backup on stdin cannot be read twice").hint("save it to a file first")),
            _ => Ok(()),
        }
    }

    /// Returns the file name of the decrypted snapshot; stdin has none.
    pub fn plain_name(&self) -> Option<String> {
        let file = match self {
            Input::Stdin => return None,
            Input::File(path) => path.file_name()?.to_str()?,
            Input::Object(name, _) => name.stem(),
        };
        Some(format!("{}.snap", file.strip_suffix(".enc").unwrap_or(file)))
    }

    /// Opens a file or stdin.
    ///
    /// # Errors
    /// `Usage` if it cannot be opened.
    pub fn open_local(&self) -> Result<OpenInput> {
        let opened = |source, size| Ok(OpenInput { source, size, label: self.label(), chosen: None });
        match self {
            Input::Stdin => {
                let stdin = std::io::stdin().as_fd().try_clone_to_owned();
                let stdin = stdin.map_err(|e| Error::usage("stdin: cannot be read").because(e))?;
                opened(ByteSource::File(stdin.into()), None)
            }
            Input::File(path) => {
                let fail = |e: std::io::Error| Error::usage(format!("{}: cannot be read", path.display())).because(e);
                let file = File::open(path).map_err(fail)?;
                let meta = file.metadata().map_err(fail)?;
                if meta.is_dir() {
                    return Err(Error::usage(format!("{}: it is a directory, not a backup", path.display()))
                        .hint("name a file in it, or a backup in the store (see: vault-backup list)"));
                }
                let size = meta.is_file().then_some(meta.len());
                opened(ByteSource::File(file), size)
            }
            Input::Object(_, address) => Err(Error::unexpected(format!("{address}: it is in the store"))),
        }
    }
}

/// Opens a backup in the store. `check` gets the object before it is read.
///
/// # Errors
/// `Store` if there is no such object, or the error of `check`.
pub(crate) async fn open_object(
    store: &dyn Store,
    name: &BackupName,
    trust: &Trust,
    check: impl FnOnce(&Chosen) -> Result<()>,
) -> Result<OpenInput> {
    let chosen = object::choose(store, name, trust).await?;
    check(&chosen)?;
    let download = chosen.download(store).await?;
    Ok(OpenInput {
        source: ByteSource::Stream(download.body),
        size: Some(download.head.size),
        label: chosen.address.clone(),
        chosen: Some(chosen),
    })
}

impl ReadSpec {
    /// Returns the rules for reading `opened`. Only a backup in the store has a name and a
    /// SHA-256 to compare with.
    pub(crate) fn of_input(opened: &OpenInput, keyring: Arc<Keyring>) -> Self {
        match &opened.chosen {
            Some(chosen) => Self::of(chosen, keyring),
            None => Self { keyring, layouts: Layouts::Any, name: None, expected: Expected::default() },
        }
    }
}
