//! The one verified read: decrypts a backup and compares it with its name, with every SHA-256
//! that is known of it, and with every earlier read of it.
//!
//! All commands read backups through this module, so a new rule is added here. Not here:
//! the source of the bytes (`reader`) and the choice of the backup (`object`).

mod bound;

pub(crate) use bound::EarlierReads;

use super::hashing::Fingerprint;
use crate::base::error::{Error, Kind, Result};
use crate::formats::crypto::{self, Header, Keyring, Layouts};
use crate::formats::naming::BackupName;
use std::io::{self, BufRead, BufReader, Cursor, Read, Write};
use std::sync::Arc;

/// First bytes of a gzip stream (RFC 1952), and so of a plain snapshot.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Number of first bytes that tell a backup from a plain snapshot and from the legacy format.
const FIRST: u64 = 8;

/// The rules for reading one backup.
#[derive(Clone)]
pub(crate) struct ReadSpec {
    /// Decryption keys, if any is configured.
    pub keyring: Option<Arc<Keyring>>,
    /// Accepted formats.
    pub layouts: Layouts,
    /// `true` to also accept a plain snapshot, as Vault sends it. Never for an object of the
    /// store: everybody who can write there could plant it.
    pub plain: bool,
    /// Name that its header must agree with, if any.
    pub name: Option<BackupName>,
    /// SHA-256 that it must have.
    pub expected: Expected,
    /// The earlier reads of this backup, which it must agree with.
    pub earlier: EarlierReads,
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
    /// `true` if it is a plain snapshot.
    pub plain: bool,
    /// Size and SHA-256 of the backup.
    pub object: Fingerprint,
    /// The result of the caller's work.
    pub result: T,
}

/// Copies `plaintext` to `writer`, one segment at a time; returns its size.
///
/// # Errors
/// The reader's, and `Unexpected` if `writer` fails.
pub(crate) fn copy(plaintext: &mut dyn BufRead, writer: &mut dyn Write) -> Result<u64> {
    let unwritable = |e: io::Error| Error::unexpected("the output could not be written").because(e);
    let mut size = 0;
    loop {
        let segment = plaintext.fill_buf().map_err(unreadable)?;
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

fn unreadable(error: io::Error) -> Error {
    Error::from_io(error, Kind::Store, "the backup could not be read")
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
        let mut bound = self.earlier.reader(reader);
        let (header, plain, result) = self.open(&mut bound, work)?;
        let object = bound.finish();
        self.expected.check(&object)?;
        Ok(VerifiedRead { header, plain, object, result })
    }

    /// [`ReadSpec::read`] for the last resort, and the only read: a different SHA-256 is only a
    /// warning. Hashes only if `hash` is set or there is a SHA-256 to compare with.
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
            return self.open(reader, work).map(|(header, _, result)| (header, None, result));
        }
        let mut bound = self.earlier.reader(reader);
        let (header, _, result) = self.open(&mut bound, work)?;
        let object = bound.finish();
        if let (Err(error), Some(name)) = (self.expected.check(&object), &self.name) {
            tracing::warn!("{}: {error}", name.object());
        }
        Ok((header, Some(object), result))
    }

    /// Decrypts as much of a backup as `work` reads, without comparing any SHA-256: for its
    /// beginning. Later reads are bound to the bytes read.
    ///
    /// # Errors
    /// As [`ReadSpec::read`].
    pub(crate) fn read_beginning<T>(
        &self,
        reader: impl Read + Send,
        work: impl FnOnce(Option<&Header>, &mut (dyn BufRead + Send)) -> Result<T>,
    ) -> Result<(Option<Header>, T)> {
        let mut bound = self.earlier.reader(reader);
        let (header, _, result) = self.open(&mut bound, work)?;
        bound.finish();
        Ok((header, result))
    }

    /// Reads only the header, without authenticating it. A plain snapshot and the legacy format
    /// have none. Later reads are bound to the bytes read.
    ///
    /// # Errors
    /// `Integrity` if it is malformed, names another time, or if the format is not accepted.
    pub(crate) fn read_header(&self, reader: impl Read) -> Result<Option<Header>> {
        let mut bound = self.earlier.reader(reader);
        let (first, beginning) = with_first_bytes(&mut bound)?;
        let header = Header::peek(beginning)?;
        match &header {
            Some(header) => self.check_name(header)?,
            None if self.is_plain(&first) => {}
            None => self.layouts.without_header(&first)?,
        }
        bound.finish();
        Ok(header)
    }

    /// Returns `true` if a backup with these first bytes is a plain snapshot that is accepted.
    pub(crate) fn is_plain(&self, first: &[u8]) -> bool {
        self.plain && self.name.is_none() && first.starts_with(&GZIP)
    }

    fn open<T>(
        &self,
        reader: impl Read + Send,
        work: impl FnOnce(Option<&Header>, &mut (dyn BufRead + Send)) -> Result<T>,
    ) -> Result<(Option<Header>, bool, T)> {
        let (first, reader) = with_first_bytes(reader)?;
        if self.is_plain(&first) {
            let result = work(None, &mut BufReader::with_capacity(1 << 18, reader))?;
            return Ok((None, true, result));
        }
        let Some(keyring) = &self.keyring else { return Err(self.no_key(reader)) };
        let mut opened = crypto::open(reader, keyring, self.layouts)?;
        let header = opened.header().cloned();
        if let Some(header) = &header {
            keyring.warn_of_defect(&header.key_id);
            self.check_name(header)?;
        }
        let result = work(header.as_ref(), &mut opened)?;
        Ok((header, false, result))
    }

    fn check_name(&self, header: &Header) -> Result<()> {
        self.name.as_ref().map_or(Ok(()), |name| header.check_name(name))
    }

    /// Returns the error for a backup that cannot be read because no key is configured. It
    /// names the key, if the header of the backup does.
    pub(crate) fn no_key(&self, reader: impl Read) -> Error {
        let key = match self.read_header(reader) {
            Ok(Some(header)) => format!("is encrypted with key {}", header.key_id),
            Ok(None) => "has no header that names its key".to_owned(),
            Err(error) => return error,
        };
        Error::usage(format!("no key is configured, and the backup {key}"))
            .hint("give --key, or set encryption.key or VAULT_BACKUP_KEY")
    }
}

/// Returns the first bytes of `reader`, by which the formats differ, and a reader that begins
/// with them.
///
/// # Errors
/// `Store`.
pub(crate) fn with_first_bytes<R: Read>(mut reader: R) -> Result<(Vec<u8>, impl Read)> {
    let mut first = Vec::new();
    reader.by_ref().take(FIRST).read_to_end(&mut first).map_err(unreadable)?;
    Ok((first.clone(), Cursor::new(first).chain(reader)))
}
