//! Questions to the person at the terminal. A signal or the deadline cancels them; then the
//! terminal's settings are restored.

use crate::base::error::{Error, Result};
use crate::base::secret::Secret;
use crate::base::stop::Stop;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, BufRead, ErrorKind};

/// Reads one line from stdin.
///
/// # Errors
/// `Usage` if stdin cannot be read; the stop's reason.
pub(crate) async fn line(stop: &Stop) -> Result<String> {
    let read = || {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map(|_| line)
    };
    ask(stop, read).await
}

/// Prints `question` and reads one line from the terminal, without an echo.
///
/// # Errors
/// `Usage` if there is no terminal; the stop's reason.
pub(crate) async fn hidden(stop: &Stop, question: String) -> Result<Secret> {
    let before = SavedTerminal::take();
    let typed = ask(stop, || rpassword::prompt_password(question)).await;
    drop(before);
    typed.map(Secret::new)
}

/// Reads on a separate thread, which may outlive the question, but not the run.
async fn ask(stop: &Stop, read: impl FnOnce() -> io::Result<String> + Send + 'static) -> Result<String> {
    let answer = async {
        match tokio::task::spawn_blocking(read).await {
            // Ctrl-C while there is no echo: rpassword raised the signal, which cancels the question.
            Ok(Err(e)) if e.kind() == ErrorKind::Interrupted => std::future::pending().await,
            Ok(read) => read.map_err(|e| Error::usage("cannot read the answer").because(e)),
            Err(e) => Err(Error::task_failed("the question", &e)),
        }
    };
    stop.guard(answer).await
}

/// The terminal's settings, which are restored on drop.
struct SavedTerminal(Option<(File, Termios)>);

impl SavedTerminal {
    fn take() -> Self {
        let terminal = File::options().read(true).write(true).open("/dev/tty").ok();
        Self(terminal.and_then(|tty| tcgetattr(&tty).ok().map(|state| (tty, state))))
    }
}

impl Drop for SavedTerminal {
    fn drop(&mut self) {
        if let Some((tty, state)) = &self.0 {
            // It fails only if the terminal no longer exists.
            let _ = tcsetattr(tty, OptionalActions::Now, state);
        }
    }
}
