//! What a person names as INPUT: a file, stdin, or a backup in the store.
//!
//! Here: telling them apart and opening them. Not here: reading (`reader`).

use super::object::{self, Chosen};
use super::reader::ByteSource;
use super::trust::Trust;
use crate::base::error::{Error, Result};
use crate::formats::crypto::Layouts;
use crate::services::store::Store;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// An INPUT argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// `-`
    Stdin,
    /// A file of that name exists.
    File(PathBuf),
    /// Anything else: the name of an object in the store.
    Object(String),
}

/// An input that is open.
pub struct OpenInput {
    /// Its bytes.
    pub source: ByteSource,
    /// How many, if known.
    pub size: Option<u64>,
    /// Which layouts are to be read.
    pub layouts: Layouts,
    /// What to call it in messages.
    pub label: String,
    /// The choice that was made in the store.
    pub chosen: Option<Chosen>,
}

impl Input {
    /// Tells what `text` names.
    pub fn of(text: &str) -> Self {
        match text {
            "-" => Input::Stdin,
            _ if Path::new(text).exists() => Input::File(text.into()),
            _ => Input::Object(text.to_owned()),
        }
    }

    /// The name of the decrypted snapshot, for the current folder.
    pub fn plain_name(&self) -> Option<String> {
        let text = match self {
            Input::Stdin => return None,
            Input::File(path) => path.file_name()?.to_str()?,
            Input::Object(name) => name.rsplit('/').next()?,
        };
        Some(format!("{}.snap", text.strip_suffix(".enc").unwrap_or(text)))
    }

    /// Opens a file or stdin.
    ///
    /// # Errors
    /// `Usage` if there is no such file, or it cannot be opened.
    pub fn open_local(&self) -> Result<OpenInput> {
        let opened = |source, size, label| OpenInput { source, size, layouts: Layouts::Any, label, chosen: None };
        match self {
            Input::Stdin => {
                let stdin = std::io::stdin().as_fd().try_clone_to_owned();
                let stdin = stdin.map_err(|e| Error::usage("stdin cannot be read").because(e))?;
                Ok(opened(ByteSource::File(stdin.into()), None, "stdin".to_owned()))
            }
            Input::File(path) => {
                let fail = |e: std::io::Error| Error::usage(format!("{}: cannot be read", path.display())).because(e);
                let file = File::open(path).map_err(fail)?;
                let meta = file.metadata().map_err(fail)?;
                if meta.is_dir() {
                    return Err(Error::usage(format!("{} is a folder", path.display())));
                }
                let size = meta.is_file().then_some(meta.len());
                Ok(opened(ByteSource::File(file), size, path.display().to_string()))
            }
            Input::Object(name) => Err(Error::usage(format!("{name}: there is no such file"))),
        }
    }
}

/// Opens a backup in the store; what is doubtful about its manifest is said.
///
/// # Errors
/// `Store` if it is not there; as [`Chosen::insist`] if `strict`.
pub async fn open_object(store: &dyn Store, object: &str, trust: &Trust, strict: bool) -> Result<OpenInput> {
    let chosen = object::choose(store, object, trust).await?;
    if strict {
        chosen.insist()?;
    } else {
        chosen.warn();
    }
    let download = chosen.download(store).await?;
    Ok(OpenInput {
        source: ByteSource::Stream(download.body),
        size: Some(download.head.size),
        layouts: chosen.layouts(),
        label: chosen.address.clone(),
        chosen: Some(chosen),
    })
}
