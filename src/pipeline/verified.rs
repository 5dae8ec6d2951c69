//! The one verified read: decrypts a backup and compares it with its name and with every
//! SHA-256 that is known of it.
//!
//! All commands read backups through this module, so a new rule is added here. Not here:
//! the source of the bytes (`reader`) and the choice of the backup (`object`).

use super::hashing::{Fingerprint, Hashing};
use crate::base::error::{Error, Kind, Result};
use crate::formats::crypto::{self, Header, Keyring, Layouts};
use crate::formats::naming::BackupName;
use std::io::{self, BufRead, Read, Write};
use std::sync::Arc;

/// The rules for reading one backup.
#[derive(Clone)]
pub(crate) struct ReadSpec {
    /// Decryption keys.
    pub keyring: Arc<Keyring>,
    /// Accepted formats.
    pub layouts: Layouts,
    /// Name that its header must agree with, if any.
    pub name: Option<BackupName>,
    /// SHA-256 that it must have.
    pub expected: Expected,
}

/// Hex SHA-256 of a backup, by source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    /// The uploaded one, if it was this run that uploaded it.
    pub uploaded: Option<String>,
    /// The one in its manifest, if that is authentic.
    pub manifest: Option<String>,
    /// The one in its metadata, if any.
    pub metadata: Option<String>,
}

/// The result of a verified read.
#[derive(Debug)]
pub(crate) struct VerifiedRead<T> {
    /// The header, if it is of format 1.
    pub header: Option<Header>,
    /// Size and SHA-256 of the backup.
    pub object: Fingerprint,
    /// The result of the caller's work.
    pub result: T,
}

/// Returns the error for a backup that cannot be read because no key is configured. It
/// names the key, if the header of the backup does.
pub(crate) fn no_key(reader: impl Read) -> Error {
    let key = match Header::peek(reader) {
        Ok(Some(header)) => format!("is encrypted with key {}", header.key_id),
        Ok(None) => "has no header that names its key".to_owned(),
        Err(error) => return error,
    };
    Error::usage(format!("no key is configured, and the backup {key}"))
        .hint("give --key, or set encryption.key or VAULT_BACKUP_KEY")
}

/// Copies `plaintext` to `writer`, one segment at a time; returns its size.
///
/// # Errors
/// The reader's, and `Unexpected` if `writer` fails.
pub(crate) fn copy(plaintext: &mut dyn BufRead, writer: &mut dyn Write) -> Result<u64> {
    let unwritable = |e: io::Error| Error::unexpected("the output could not be written").because(e);
    let mut size = 0;
    loop {
        let segment =
            plaintext.fill_buf().map_err(|e| Error::from_io(e, Kind::Store, "the backup could not be read"))?;
        let n = segment.len();
        if n == 0 {
            writer.flush().map_err(unwritable)?;
            return Ok(size);
        }
        writer.write_all(segment).map_err(unwritable)?;
        plaintext.consume(n);
        size += n as u64;
    }
}

impl Expected {
    /// Compares `object` with each SHA-256.
    ///
    /// # Errors
    /// `Integrity` naming the source that differs.
    fn check(&self, object: &Fingerprint) -> Result<()> {
        let sha256 = hex::encode(object.sha256);
        for (expected, source, hint) in [
            (&self.uploaded, "that was uploaded", "check who else writes to the store"),
            (&self.manifest, "in its manifest", "do not use it: the object was replaced after it had been verified"),
            (&self.metadata, "in its metadata", "check who changed the metadata, or replaced the object"),
        ] {
            if expected.as_ref().is_some_and(|expected| !expected.eq_ignore_ascii_case(&sha256)) {
                return Err(Error::integrity(format!("its SHA-256 is not the one {source}")).hint(hint));
            }
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        [&self.uploaded, &self.manifest, &self.metadata].iter().all(|expected| expected.is_none())
    }
}

impl ReadSpec {
    /// Reads a backup to its end and verifies it. `work` gets the header, if there is one,
    /// and the plaintext, of which it sees only authenticated bytes.
    ///
    /// # Errors
    /// `Integrity` for a backup that breaks a rule; else the error of `work`.
    pub(crate) fn read<T>(
        &self,
        reader: impl Read + Send,
        work: impl FnOnce(Option<&Header>, &mut (dyn BufRead + Send)) -> Result<T>,
    ) -> Result<VerifiedRead<T>> {
        let mut hashing = Hashing::new(reader);
        let (header, result) = self.decrypt(&mut hashing, work)?;
        let object = hashing.finish();
        self.expected.check(&object)?;
        Ok(VerifiedRead { header, object, result })
    }

    /// [`ReadSpec::read`] for the last resort: a different SHA-256 is only a warning. Hashes
    /// only if `hash` is set or there is a SHA-256 to compare with.
    ///
    /// # Errors
    /// As [`ReadSpec::read`].
    pub(crate) fn read_tolerantly<T>(
        &self,
        reader: impl Read + Send,
        hash: bool,
        work: impl FnOnce(Option<&Header>, &mut (dyn BufRead + Send)) -> Result<T>,
    ) -> Result<(Option<Header>, Option<Fingerprint>, T)> {
        if !hash && self.expected.is_empty() {
            return self.decrypt(reader, work).map(|(header, result)| (header, None, result));
        }
        let mut hashing = Hashing::new(reader);
        let (header, result) = self.decrypt(&mut hashing, work)?;
        let object = hashing.finish();
        if let (Err(error), Some(name)) = (self.expected.check(&object), &self.name) {
            tracing::warn!("{}: {error}", name.object());
        }
        Ok((header, Some(object), result))
    }

    /// Decrypts as much of a backup as `work` reads, without comparing any SHA-256: for its
    /// beginning.
    ///
    /// # Errors
    /// As [`ReadSpec::read`].
    pub(crate) fn decrypt<T>(
        &self,
        reader: impl Read + Send,
        work: impl FnOnce(Option<&Header>, &mut (dyn BufRead + Send)) -> Result<T>,
    ) -> Result<(Option<Header>, T)> {
        let mut opened = crypto::open(reader, &self.keyring, self.layouts)?;
        let header = opened.header().cloned();
        header.iter().for_each(|header| self.keyring.warn_of_defect(&header.key_id));
        if let (Some(header), Some(name)) = (&header, &self.name) {
            header.check_name(name)?;
        }
        let result = work(header.as_ref(), &mut opened)?;
        Ok((header, result))
    }
}
