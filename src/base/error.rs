//! The error type, and the exit code of each class of failure.
//!
//! Not here: printing errors (`app::output`).

pub(crate) use super::text::one_line;
use std::fmt;

/// Result that fails with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Class of a failure. Its number is the exit code of the process: a stable interface,
/// listed in `--help` and in the README.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A bug in this program, or an unusable machine (its clock is wrong).
    Unexpected = 1,
    /// Usage, configuration, an unusable key file; a guard refused.
    Usage = 2,
    /// Vault is unreachable, sealed, without a leader, or denied the request.
    Vault = 3,
    /// The object store is unreachable, denied, full, or lacks the object.
    Store = 4,
    /// Data is truncated, modified, or encrypted with an unknown key.
    Integrity = 5,
    /// The restore drill failed, or a recovered secret is missing.
    Drill = 6,
    /// Another run holds the lock, or created this object.
    Conflict = 7,
    /// Success in part.
    Partial = 8,
    /// `status`: the newest good backup or drill is too old.
    Stale = 9,
    /// The deadline passed.
    Deadline = 124,
    /// Stopped by SIGINT, after cleanup.
    Interrupted = 130,
    /// Stopped by SIGTERM or SIGHUP, after cleanup.
    Terminated = 143,
}

impl Kind {
    /// Returns the exit code.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Returns `true` if a signal or the deadline stopped the run.
    pub(crate) fn is_stop(self) -> bool {
        matches!(self, Kind::Deadline | Kind::Interrupted | Kind::Terminated)
    }
}

/// A failure: object or address, what failed, cause and hint.
///
/// `Display` is always one printable line of limited length, also with a server's response
/// in it. It never contains a secret: callers do not pass any.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    what: String,
    cause: Option<anyhow::Error>,
    hint: Option<String>,
    transient: bool,
}

impl Error {
    /// Returns a failure of class `kind`. `what` names the object or address.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), cause: None, hint: None, transient: false }
    }

    /// Adds the cause.
    #[must_use]
    pub(crate) fn because(mut self, cause: impl Into<anyhow::Error>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Returns the failure of a task that did not finish; `what` names its work. The
    /// message of a panic is not repeated: it may contain data.
    pub fn task_failed(what: &str, end: &tokio::task::JoinError) -> Self {
        let cause = if end.is_panic() { "a task panicked" } else { "a task was cancelled" };
        Self::unexpected(format!("{what}: internal error (this is a bug in vault-backup)"))
            .because(anyhow::anyhow!(cause))
    }

    /// Adds the hint: what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Prepends `what`, the object or operation that failed because of this failure.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.what = format!("{what}: {}", self.what);
        self
    }

    /// Returns the failure with another class.
    #[must_use]
    pub(crate) fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Marks a failure that may not happen again if the whole run is retried, such as a
    /// lost leader.
    #[must_use]
    pub(crate) fn transient(mut self, transient: bool) -> Self {
        self.transient = transient;
        self
    }

    /// Returns `true` if the failure may not happen again if the whole run is retried.
    pub(crate) fn is_transient(&self) -> bool {
        self.transient
    }

    /// Returns the class of the failure.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the failure and its cause without the hint, on one line.
    pub fn message(&self) -> String {
        let mut line = self.what.clone();
        if let Some(cause) = &self.cause {
            for link in cause.chain() {
                let text = link.to_string();
                // Many libraries repeat the text of their source.
                if !text.is_empty() && !line.contains(&text) {
                    line.push_str(": ");
                    line.push_str(&text);
                }
            }
        }
        one_line(&line)
    }

    /// Returns the hint on one line, if there is one.
    pub(crate) fn next_step(&self) -> Option<String> {
        self.hint.as_deref().map(one_line)
    }

    /// Wraps this error in an `io::Error`.
    pub(crate) fn into_io(self) -> std::io::Error {
        std::io::Error::other(self)
    }

    /// Returns the error that [`Error::into_io`] wrapped, through any number of further
    /// `io::Error` layers. Any other I/O error becomes `kind` with `what`.
    pub fn from_io(error: std::io::Error, kind: Kind, what: impl Into<String>) -> Self {
        match find(&error) {
            // Other layers only lend it.
            Some(ours) => ours.again(),
            None => Error::new(kind, what).because(error),
        }
    }
}

/// Finds an [`Error`] inside `error`. Readers such as `tar` wrap the errors of the reader
/// below them, and `io::Error::source` skips the error inside it.
fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    if let Some(ours) = error.downcast_ref::<Error>() {
        return Some(ours);
    }
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => find(inner),
        None => error.source().and_then(find),
    }
}

impl Error {
    /// Returns a copy, for readers that return the same failure on each further call.
    #[must_use]
    pub fn again(&self) -> Error {
        Error {
            kind: self.kind,
            what: self.what.clone(),
            cause: self.cause.as_ref().map(|c| anyhow::anyhow!("{c:#}")),
            hint: self.hint.clone(),
            transient: self.transient,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())?;
        self.next_step().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for Error {}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident;)*) => {
        impl Error {
            $($(#[$doc])* pub fn $name(what: impl Into<String>) -> Self {
                Self::new(Kind::$kind, what)
            })*
        }
    };
}

constructors! {
    /// Returns an error of [`Kind::Unexpected`].
    unexpected => Unexpected;
    /// Returns an error of [`Kind::Usage`].
    usage => Usage;
    /// Returns an error of [`Kind::Vault`].
    vault => Vault;
    /// Returns an error of [`Kind::Store`].
    store => Store;
    /// Returns an error of [`Kind::Integrity`].
    integrity => Integrity;
    /// Returns an error of [`Kind::Drill`].
    drill => Drill;
    /// Returns an error of [`Kind::Conflict`].
    conflict => Conflict;
    /// Returns an error of [`Kind::Partial`].
    partial => Partial;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_and_hint_are_one_line_each() {
        let e = Error::vault("GET https://v:8200/x")
            .because(anyhow::anyhow!("line one\r\nline\ttwo\u{1b}[31m"))
            .hint("ask\nthe admin");
        assert_eq!(e.to_string(), r"GET https://v:8200/x: line one line two\u{1b}[31m; ask the admin");
        assert_eq!(e.message(), r"GET https://v:8200/x: line one line two\u{1b}[31m");
        assert_eq!(e.next_step().as_deref(), Some("ask the admin"));
    }

    #[test]
    fn a_repeated_cause_is_printed_once() {
        let inner = std::io::Error::other("disk full");
        let outer = anyhow::Error::from(inner).context("writing part 3: disk full");
        let e = Error::store("s3://b/o").because(outer);
        assert_eq!(e.to_string(), "s3://b/o: writing part 3: disk full");
    }

    #[test]
    fn an_error_passes_through_io_errors() {
        let io = Error::integrity("segment 3").hint("do not use it").transient(true).into_io();
        let wrapped = std::io::Error::new(std::io::ErrorKind::InvalidData, io);
        let back = Error::from_io(wrapped, Kind::Store, "x");
        assert_eq!((back.kind(), back.is_transient()), (Kind::Integrity, true));
        assert_eq!(back.to_string(), "segment 3; do not use it");
        let plain = Error::from_io(std::io::Error::other("eof"), Kind::Store, "reading o");
        assert_eq!(plain.to_string(), "reading o: eof");
    }

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let codes = [Kind::Usage, Kind::Vault, Kind::Stale, Kind::Deadline, Kind::Terminated];
        assert_eq!(codes.map(Kind::code), [2, 3, 9, 124, 143]);
    }
}
