//! Checks of the machine that the libraries need: without them, they panic somewhere in the middle of
//! a run.

use crate::base::error::{Error, Result};
use rustix::process::{Resource, getrlimit};
use std::hash::RandomState;
use std::panic::catch_unwind;
use std::sync::mpsc::sync_channel;
use std::thread::Builder;

/// Number of open files that a run needs: those of the runtime, and connections, locks and
/// temporary files.
const FILES: u64 = 32;

/// Number of threads that a run needs at once: those of the stages of a backup, and of the resolver.
const THREADS: usize = 6;

/// Checks the limit of open files, which the runtime needs first.
///
/// # Errors
/// `Unexpected` if it is too low.
pub(super) fn check_files() -> Result<()> {
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < FILES => {
            let what = format!("the limit of open files is {limit}; a run needs {FILES}");
            Err(Error::unexpected(what).hint("raise it: ulimit -n 1024"))
        }
        _ => Ok(()),
    }
}

/// Checks that there are random numbers.
///
/// # Errors
/// `Unexpected` if there are none.
pub(super) fn check_randomness() -> Result<()> {
    let hint = "check that the sandbox of this process allows getrandom, and that /dev/urandom exists";
    let mut bytes = [0; 16];
    let filled = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes);
    // Hash maps and the runtime use the standard library's source, which panics.
    match (filled, catch_unwind(RandomState::new)) {
        (Ok(()), Ok(_)) => Ok(()),
        _ => Err(Error::unexpected("the system provides no random numbers").hint(hint)),
    }
}

/// Checks that the threads of a run can be started.
///
/// # Errors
/// `Unexpected` if they cannot.
pub(super) fn check_threads() -> Result<()> {
    let failed = |e| Error::unexpected("cannot start a thread").because(e).hint("raise ulimit -u and ulimit -v");
    // Each waits until all are running.
    let (sender, waiting): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| sync_channel::<()>(0)).unzip();
    let started: Vec<_> = waiting
        .into_iter()
        .map(|end| {
            Builder::new().spawn(move || {
                let _ = end.recv();
            })
        })
        .collect();
    drop(sender);
    let mut result = Ok(());
    for thread in started {
        match thread {
            // It cannot panic.
            Ok(thread) => drop(thread.join()),
            Err(error) => result = Err(failed(error)),
        }
    }
    result
}
