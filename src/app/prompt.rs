//! Questions to the person at the terminal. A signal or the deadline ends them, and
//! the terminal is left as it was found.

use crate::base::error::{Error, Result};
use crate::base::secret::Secret;
use crate::base::stop::Stop;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, BufRead, ErrorKind};

/// One line of stdin.
///
/// # Errors
/// `Usage` if there is none to be read; the stop's reason.
pub async fn line(stop: &Stop) -> Result<String> {
    let read = || {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map(|_| line)
    };
    ask(stop, read).await
}

/// One line typed at the terminal after `question`, without an echo.
///
/// # Errors
/// `Usage` if there is no terminal; the stop's reason.
pub async fn hidden(stop: &Stop, question: String) -> Result<Secret> {
    let before = Before::take();
    let typed = ask(stop, || rpassword::prompt_password(question)).await;
    drop(before);
    typed.map(Secret::new)
}

/// Reads on a thread of its own, which may outlive the question, but not the run.
async fn ask(stop: &Stop, read: impl FnOnce() -> io::Result<String> + Send + 'static) -> Result<String> {
    let answer = async {
        match tokio::task::spawn_blocking(read).await {
            // Ctrl-C, without an echo: rpassword has sent the signal, which ends the question.
            Ok(Err(e)) if e.kind() == ErrorKind::Interrupted => std::future::pending().await,
            Ok(read) => read.map_err(|e| Error::usage("no answer could be read").because(e)),
            Err(e) => Err(Error::task_failed("the question", &e)),
        }
    };
    stop.guard(answer).await
}

/// The terminal's state, which is put back when this is dropped.
struct Before(Option<(File, Termios)>);

impl Before {
    fn take() -> Self {
        let terminal = File::options().read(true).write(true).open("/dev/tty").ok();
        Self(terminal.and_then(|tty| tcgetattr(&tty).ok().map(|state| (tty, state))))
    }
}

impl Drop for Before {
    fn drop(&mut self) {
        if let Some((tty, state)) = &self.0 {
            // A terminal that went away needs nothing put back.
            let _ = tcsetattr(tty, OptionalActions::Now, state);
        }
    }
}
