//! Progress line on a terminal: stage, bytes, rate and time. Each stage replaces it, and
//! the end clears it.

use crate::base::stop::Stop;
use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use std::io;
use std::time::Duration;

/// Progress line of a run. Clones share it.
#[derive(Clone, Debug)]
pub struct Progress(ProgressBar, Stop);

/// Template if the size is known, at most 78 columns wide.
const KNOWN: &str = "{msg:<12} [{bar:22}] {percent:>3}% {bytes:>10} {binary_bytes_per_sec:>12} {elapsed:>4}";
/// Template if the size is unknown: Vault does not announce that of a snapshot.
const UNKNOWN: &str = "{msg:<12} {spinner} {bytes:>10} {binary_bytes_per_sec:>12} {elapsed:>4}";

/// Interval of redrawing the line while no bytes arrive.
const TICK: Duration = Duration::from_millis(200);

impl Progress {
    /// Returns a line that is drawn on stderr if `watched`, otherwise not at all. `stop`
    /// receives the name of each stage.
    pub fn new(watched: bool, stop: Stop) -> Self {
        let target = match watched {
            true => ProgressDrawTarget::term_like_with_hz(Box::new(EchoTerminal(Term::buffered_stderr())), 8),
            false => ProgressDrawTarget::hidden(),
        };
        Self(ProgressBar::with_draw_target(None, target), stop)
    }

    /// Begins a stage with its name and its number of bytes, if known.
    pub fn stage(&self, name: &'static str, bytes: Option<u64>) {
        let template = if bytes.is_some() { KNOWN } else { UNKNOWN };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.0.set_style(style.progress_chars("=> "));
        }
        match bytes {
            Some(n) => self.0.set_length(n),
            None => self.0.unset_length(),
        }
        self.0.set_message(name);
        self.0.reset();
        if !self.0.is_hidden() {
            self.0.enable_steady_tick(TICK); // not before there is something to show
        }
        self.1.enter(name);
        tracing::debug!("{name}");
    }

    /// Adds to the bytes of the stage.
    pub(crate) fn advance(&self, bytes: usize) {
        self.0.inc(bytes as u64);
    }

    /// Clears the line.
    pub fn clear(&self) {
        self.0.finish_and_clear();
    }
}

/// A terminal that echoes `^C` at the end of the line. indicatif fills its line with
/// spaces. Without two free columns the echo wraps to the next line, and that line is
/// cleared instead of this one.
#[derive(Debug)]
struct EchoTerminal(Term);

/// Width of `^C`.
const ECHO: u16 = 2;

impl TermLike for EchoTerminal {
    fn width(&self) -> u16 {
        self.0.size().1.saturating_sub(ECHO)
    }

    fn height(&self) -> u16 {
        self.0.size().0
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_up(n)
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_down(n)
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_right(n)
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_left(n)
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        self.0.write_line(s)
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        self.0.write_str(s)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_templates_are_valid() {
        for template in [KNOWN, UNKNOWN] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
        let progress = Progress::new(false, Stop::default());
        progress.stage("verifying", Some(10));
        progress.advance(4);
        assert_eq!((progress.0.position(), progress.0.length()), (4, Some(10)));
        progress.stage("snapshot", None);
        assert_eq!((progress.0.position(), progress.0.length()), (0, None));
    }
}
