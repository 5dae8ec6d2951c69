//! The signals that end a run. They are handled from the first moment of the process on.

use crate::base::error::{Error, Kind, Result};
use crate::base::stop::Reason;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Handlers of the signals.
pub(super) struct Signals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hangup: Option<Signal>,
    /// Never awaited: with a handler, writing beyond `ulimit -f` is an error and no signal.
    _file_size: Signal,
}

impl Signals {
    /// Installs the handlers, in the context of a runtime. SIGINT and SIGHUP stay ignored if they are
    /// ignored when the process starts: so do a shell's background jobs and `nohup` want it.
    ///
    /// # Errors
    /// `Unexpected` if the system does not allow it.
    pub(super) fn install() -> Result<Self> {
        let ignored = ignored();
        let unless_ignored = |kind: SignalKind| match ignored & (1 << (kind.as_raw_value() - 1)) {
            0 => signal(kind).map(Some),
            _ => Ok(None),
        };
        let install = || -> io::Result<Self> {
            Ok(Self {
                terminate: Some(signal(SignalKind::terminate())?),
                interrupt: unless_ignored(SignalKind::interrupt())?,
                hangup: unless_ignored(SignalKind::hangup())?,
                _file_size: signal(SignalKind::from_raw(libc::SIGXFSZ))?,
            })
        };
        install().map_err(|e| Error::unexpected("cannot install signal handlers").because(e))
    }

    /// Waits for a signal that ends the run.
    pub(super) async fn first(&mut self) -> Reason {
        tokio::select! {
            () = received(&mut self.interrupt) => Reason::Interrupted,
            () = received(&mut self.terminate) => Reason::Terminated,
            () = received(&mut self.hangup) => Reason::HungUp,
        }
    }

    /// Waits for a signal that ends a cleanup. Not for SIGHUP: a shell repeats the kernel's SIGHUP,
    /// and a service manager sends it after SIGTERM.
    pub(super) async fn again(&mut self) -> Reason {
        tokio::select! {
            () = received(&mut self.interrupt) => Reason::Interrupted,
            () = received(&mut self.terminate) => Reason::Terminated,
        }
    }
}

async fn received(signal: &mut Option<Signal>) {
    let received = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if received.is_none() {
        std::future::pending::<()>().await;
    }
}

/// Returns the signals that are ignored, as a bit mask; none if the system does not tell.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Returns the kind of failure of a run that a second signal ends at once.
pub(super) fn kind(reason: Reason) -> Kind {
    if reason == Reason::Interrupted { Kind::Interrupted } else { Kind::Terminated }
}
