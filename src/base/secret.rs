//! Secrets in memory, and the references to secrets in a configuration: `env:`, `file:`
//! and `credential:`. Checks the permissions of key files.

mod helper;

use crate::base::error::{Error, Result};
use crate::base::regular_file;
use base64::{Engine, prelude::BASE64_STANDARD};
use std::fmt;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use zeroize::Zeroizing;

/// A secret string. It is wiped on drop, has no `Display`, and its `Debug` is `[secret]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of `value`.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// Returns the secret itself. Callers use it at once and keep no copy.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Reference to a secret: `env:NAME`, `file:PATH` or `credential:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// An environment variable.
    Env(String),
    /// A file; one trailing newline is stripped.
    File(PathBuf),
    /// A systemd credential: a file of that name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// The token helper of Vault's own clients, called as `PROGRAM get`. A configuration
    /// cannot name it; `~/.vault` does.
    Helper(PathBuf),
}

impl FromStr for Reference {
    type Err = Error;

    /// # Errors
    /// `Usage` for anything without one of the three schemes. The text is not repeated:
    /// it may be the secret itself.
    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("credential", name)) if !name.is_empty() && !name.contains('/') => {
                Ok(Self::Credential(name.to_owned()))
            }
            _ => Err(Error::usage("not a reference to a secret")
                .hint("write env:NAME, file:PATH or credential:NAME, not the secret itself")),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Credential(name) => write!(f, "credential:{name}"),
            Self::Helper(path) => write!(f, "token helper {}", path.display()),
        }
    }
}

/// Longest secret in a file, in bytes. A larger file is a wrong path.
const MAX_SECRET: u64 = 64 * 1024;

impl Reference {
    /// Parses a reference to a key. Text without a scheme is a path.
    pub fn key(text: &str) -> Self {
        text.parse().unwrap_or_else(|_| Self::File(text.into()))
    }

    /// Reads the secret.
    ///
    /// # Errors
    /// `Usage` with the reference if the secret is missing, empty or not UTF-8.
    pub fn read(&self) -> Result<Secret> {
        match self {
            Self::Env(name) => match std::env::var(name) {
                Ok(value) if value.is_empty() => Err(self.broken("the variable is empty")),
                Ok(value) => Ok(Secret::new(value)),
                Err(std::env::VarError::NotPresent) => Err(self.broken("the variable is not set")),
                Err(std::env::VarError::NotUnicode(_)) => Err(self.broken("the variable is not UTF-8")),
            },
            Self::File(path) => self.read_file(path, |_| Ok(())),
            Self::Credential(_) => self.read_file(&self.credential()?, |_| Ok(())),
            Self::Helper(path) => self.run_helper(path),
        }
    }

    /// Reads key material like [`Reference::read`], and refuses a file that other users
    /// can read.
    ///
    /// # Errors
    /// As [`Reference::read`], and `Usage` for a file with too wide permissions.
    pub(crate) fn read_key(&self) -> Result<Secret> {
        match self {
            Self::File(path) => self.read_file(path, |meta| check_rights(path, meta)),
            _ => self.read(),
        }
    }

    /// Reads a key of 32 bytes: raw, as `openssl rand` writes it, or in hex or base64.
    /// Refuses a file that other users can read.
    ///
    /// # Errors
    /// As [`Reference::read_key`], and `Usage` for anything but 32 bytes.
    pub(crate) fn read_raw_key(&self) -> Result<Zeroizing<[u8; 32]>> {
        let bytes = match self {
            Self::Env(_) => Zeroizing::new(self.read()?.expose().as_bytes().to_vec()),
            Self::File(path) => self.read_bytes(path, |meta| check_rights(path, meta))?,
            Self::Credential(_) => self.read_bytes(&self.credential()?, |_| Ok(()))?,
            Self::Helper(_) => return Err(self.broken("it prints tokens, not keys")),
        };
        raw_key(&bytes).ok_or_else(|| {
            self.broken("not a key of 32 bytes").hint("give the key in the same form as the server: raw, hex or base64")
        })
    }

    fn credential(&self) -> Result<PathBuf> {
        let Self::Credential(name) = self else { return Err(self.broken("not a credential")) };
        match std::env::var_os("CREDENTIALS_DIRECTORY") {
            Some(dir) => Ok(PathBuf::from(dir).join(name)),
            None => Err(self
                .broken("CREDENTIALS_DIRECTORY is not set")
                .hint("run in a systemd unit that has LoadCredential=")),
        }
    }

    fn broken(&self, why: &str) -> Error {
        Error::usage(format!("secret {self}: {why}"))
    }

    fn read_bytes(&self, path: &Path, check: impl Fn(&std::fs::Metadata) -> Result<()>) -> Result<Zeroizing<Vec<u8>>> {
        let fail = |e: std::io::Error| self.broken("cannot be read").because(e);
        let file = regular_file::open_or_inherited_pipe(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::InvalidInput => self.broken(&e.to_string()),
            _ => fail(e),
        })?;
        let meta = file.metadata().map_err(fail)?;
        check(&meta)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
        file.take(MAX_SECRET + 1).read_to_end(&mut bytes).map_err(fail)?;
        if bytes.len() as u64 > MAX_SECRET {
            return Err(self.broken("the file is too large for a secret"));
        }
        Ok(bytes)
    }

    fn read_file(&self, path: &Path, check: impl Fn(&std::fs::Metadata) -> Result<()>) -> Result<Secret> {
        let bytes = self.read_bytes(path, check)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| self.broken("the file is not UTF-8"))?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            return Err(self.broken("the file is empty"));
        }
        Ok(Secret::new(text))
    }
}

/// A value that a configuration contains or refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextOrReference {
    /// The value itself, kept as a secret: the path of a webhook's URL is one.
    Text(Secret),
    /// A reference to the value.
    Reference(Reference),
}

impl From<Secret> for TextOrReference {
    fn from(text: Secret) -> Self {
        Self::Text(text)
    }
}

impl From<Reference> for TextOrReference {
    fn from(reference: Reference) -> Self {
        Self::Reference(reference)
    }
}

impl TextOrReference {
    /// Reads the value.
    ///
    /// # Errors
    /// As [`Reference::read`].
    pub fn read(&self) -> Result<Secret> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::Reference(reference) => reference.read(),
        }
    }
}

/// Decodes a key of 32 bytes from any of its forms.
fn raw_key(bytes: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let exact = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).ok().map(Zeroizing::new);
    let text = || std::str::from_utf8(bytes).ok().map(str::trim);
    let decoded = |bytes: Vec<u8>| exact(&Zeroizing::new(bytes));
    exact(bytes)
        .or_else(|| hex::decode(text()?).ok().and_then(decoded))
        .or_else(|| BASE64_STANDARD.decode(text()?).ok().and_then(decoded))
}

/// Refuses a key file that others can read. Its group may read it if root owns the file
/// and this process is in the group.
fn check_rights(path: &Path, meta: &std::fs::Metadata) -> Result<()> {
    let open_to = if meta.mode() & 0o007 != 0 {
        "all users"
    } else if meta.mode() & 0o070 != 0 && !(meta.uid() == 0 && in_group(meta.gid())) {
        "its group"
    } else {
        return Ok(());
    };
    Err(Error::usage(format!(
        "key file {}: accessible to {open_to} (mode {:04o})",
        path.display(),
        meta.mode() & 0o7777
    ))
    .hint(format!("run: chmod 0400 {}", path.display())))
}

fn in_group(gid: u32) -> bool {
    rustix::process::getegid().as_raw() == gid
        || rustix::process::getgroups().is_ok_and(|groups| groups.iter().any(|g| g.as_raw() == gid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn secrets_are_never_printed() {
        assert_eq!(format!("{:?}", Secret::new("hvs.planted")), "[secret]");
        let e = "hvs.planted".parse::<Reference>().unwrap_err();
        assert!(!format!("{e} {e:?}").contains("planted"));
    }

    #[test]
    fn references_are_parsed() {
        assert_eq!("env:A".parse::<Reference>().unwrap(), Reference::Env("A".into()));
        assert_eq!(Reference::key("/etc/key"), Reference::File("/etc/key".into()));
        assert_eq!(Reference::key("credential:k"), Reference::Credential("k".into()));
        for bad in ["", "env:", "file:", "credential:../x", "vault:x"] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }

    #[test]
    fn files_lose_one_newline_and_key_files_need_private_permissions() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let r = Reference::File(path.clone());
        assert!(r.read().unwrap_err().to_string().contains("cannot be read"));
        std::fs::write(&path, "two\n\n").unwrap();
        assert_eq!(r.read().unwrap().expose(), "two\n", "one trailing newline is stripped");
        std::fs::write(&path, "\n").unwrap();
        assert!(r.read().unwrap_err().to_string().contains("is empty"));
        std::fs::write(&path, "k\n").unwrap();
        for (mode, ok) in [(0o600, true), (0o400, true), (0o604, false), (0o622, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(r.read_key().is_ok(), ok, "{mode:o}");
        }
    }
}
