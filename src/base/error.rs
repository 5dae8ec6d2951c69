//! The one error type, and the exit code that each class of failure has.
//!
//! Here: what failed, why, what to do next, as one line. Not here: printing
//! (`output`) and ending the process (`main`).

use std::fmt;

/// Short for a result that fails with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The class of a failure. Its number is the process's exit code: a stable
/// interface, listed in `--help` and in the README.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A defect, or a machine that cannot be worked with (its clock is wrong).
    Unexpected = 1,
    /// Usage, configuration, an unusable key file; a guard refused.
    Usage = 2,
    /// Vault is unreachable, sealed, without a leader, or denied the request.
    Vault = 3,
    /// The object store is unreachable, denied, full, or lacks the object.
    Store = 4,
    /// Bytes are not what they must be: cut, edited, or under an unknown key.
    Integrity = 5,
    /// The restore drill failed, or a recovered secret is missing.
    Drill = 6,
    /// Another run holds the lock, or made this object.
    Conflict = 7,
    /// Done, but in part.
    Partial = 8,
    /// `status`: the newest good backup or drill is too old.
    Stale = 9,
    /// The deadline passed.
    Deadline = 124,
    /// Ended by SIGINT, after cleaning up.
    Interrupted = 130,
    /// Ended by SIGTERM, after cleaning up.
    Terminated = 143,
}

impl Kind {
    /// The exit code.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Whether the run was ended from outside rather than by a failure of its own.
    pub fn is_stop(self) -> bool {
        matches!(self, Kind::Deadline | Kind::Interrupted | Kind::Terminated)
    }
}

/// What failed, on which object or address, why, and what to do next.
///
/// `Display` is always one line without control characters, however hostile
/// the server's words in it are, and never carries a secret: callers put none in.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    what: String,
    cause: Option<anyhow::Error>,
    hint: Option<String>,
    transient: bool,
}

impl Error {
    /// A failure of class `kind`; `what` names the object or address.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), cause: None, hint: None, transient: false }
    }

    /// Adds why it failed.
    #[must_use]
    pub fn because(mut self, cause: impl Into<anyhow::Error>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// A task that ended before its work: `what` broke down. A panic's message may hold
    /// data, so it is not repeated.
    pub fn broke_down(what: &str, end: &tokio::task::JoinError) -> Self {
        let how = if end.is_panic() { "a panic" } else { "it was cancelled" };
        Self::unexpected(format!("{what} broke down")).because(anyhow::anyhow!(how))
    }

    /// Adds what the reader should do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts `what` in front: the larger thing that failed because of this one.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.what = format!("{what}: {}", self.what);
        self
    }

    /// The same failure under another class.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Marks a failure that may be gone when everything is tried again from the start,
    /// such as a leader that was lost.
    #[must_use]
    pub fn transient(mut self, transient: bool) -> Self {
        self.transient = transient;
        self
    }

    /// Whether the failure may be gone when everything is tried again from the start.
    pub fn is_transient(&self) -> bool {
        self.transient
    }

    /// The class of the failure.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The failure and its cause, without the hint: one line.
    pub fn message(&self) -> String {
        let mut line = self.what.clone();
        if let Some(cause) = &self.cause {
            for link in cause.chain() {
                let text = link.to_string();
                // Many libraries repeat their source in their own text.
                if !text.is_empty() && !line.contains(&text) {
                    line.push_str(": ");
                    line.push_str(&text);
                }
            }
        }
        one_line(&line)
    }

    /// The next step for the reader, one line, if there is one.
    pub fn next_step(&self) -> Option<String> {
        self.hint.as_deref().map(one_line)
    }

    /// Carries this error through an interface that speaks `io::Error`.
    pub fn into_io(self) -> std::io::Error {
        std::io::Error::other(self)
    }

    /// Gets back what [`Error::into_io`] put in, through any number of further
    /// `io::Error` layers; any other I/O error becomes `kind` with `what`.
    pub fn from_io(error: std::io::Error, kind: Kind, what: impl Into<String>) -> Self {
        match find(&error) {
            // Inside other layers it can only be borrowed: it is said again.
            Some(ours) => ours.again(),
            None => Error::new(kind, what).because(error),
        }
    }
}

/// Looks for an [`Error`] inside `error`: readers such as `tar` wrap the errors of
/// the reader below them, and `io::Error::source` passes over what it holds.
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
    /// The same failure once more: for what fails again whenever it is asked again.
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

/// `text` as one line: runs of control characters and white space become one space.
pub fn one_line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

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
    /// See [`Kind::Unexpected`].
    unexpected => Unexpected;
    /// See [`Kind::Usage`].
    usage => Usage;
    /// See [`Kind::Vault`].
    vault => Vault;
    /// See [`Kind::Store`].
    store => Store;
    /// See [`Kind::Integrity`].
    integrity => Integrity;
    /// See [`Kind::Drill`].
    drill => Drill;
    /// See [`Kind::Conflict`].
    conflict => Conflict;
    /// See [`Kind::Partial`].
    partial => Partial;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_whatever_a_server_says() {
        let e = Error::vault("GET https://v:8200/x")
            .because(anyhow::anyhow!("line one\r\nline\ttwo\u{1b}[31m"))
            .hint("ask\nsomeone");
        assert_eq!(e.to_string(), "GET https://v:8200/x: line one line two [31m; ask someone");
        assert_eq!(e.message(), "GET https://v:8200/x: line one line two [31m");
        assert_eq!(e.next_step().as_deref(), Some("ask someone"));
    }

    #[test]
    fn a_cause_is_said_once() {
        let inner = std::io::Error::other("disk full");
        let outer = anyhow::Error::from(inner).context("writing part 3: disk full");
        let e = Error::store("s3://b/o").because(outer);
        assert_eq!(e.to_string(), "s3://b/o: writing part 3: disk full");
    }

    #[test]
    fn survives_io_layers() {
        let io = Error::integrity("segment 3").hint("do not use it").transient(true).into_io();
        let wrapped = std::io::Error::new(std::io::ErrorKind::InvalidData, io);
        let back = Error::from_io(wrapped, Kind::Store, "x");
        assert_eq!((back.kind(), back.is_transient()), (Kind::Integrity, true));
        assert_eq!(back.to_string(), "segment 3; do not use it");
        let plain = Error::from_io(std::io::Error::other("eof"), Kind::Store, "reading o");
        assert_eq!(plain.to_string(), "reading o: eof");
    }

    #[test]
    fn codes_are_the_documented_ones() {
        let codes = [Kind::Usage, Kind::Vault, Kind::Stale, Kind::Deadline, Kind::Terminated];
        assert_eq!(codes.map(Kind::code), [2, 3, 9, 124, 143]);
    }
}
