//! Telling people and machines how a run ended.
//!
//! Here: the event that a run ends with, its names, sending it everywhere it is
//! wanted; and the progress line. Not here: what else is printed (`output`), and
//! what a failure to tell means for the exit code: nothing here ever fails a run.

pub mod audit;
pub mod delivery;
mod event;
pub mod metrics;
pub mod ping;
pub mod webhook;

pub use event::{Event, EventOutcome, Operation};

use crate::base::error::Error;
use crate::base::secret::TextOrReference;
use delivery::{Courier, Patience};
use futures_util::future::join_all;
use ping::Signal;
use std::path::PathBuf;
use webhook::Webhook;

/// Whom to tell.
#[derive(Clone, Debug, Default)]
pub struct NotifySettings {
    /// Webhooks, in the configuration's order: messages name them by their place in it.
    pub notify: Vec<Webhook>,
    /// The URL of a check in healthchecks style.
    pub ping: Option<TextOrReference>,
    /// The Prometheus textfile.
    pub textfile: Option<PathBuf>,
    /// How long to try.
    pub patience: Patience,
}

/// Tells the check, if there is one, that a run has started.
///
/// # Errors
/// `Partial`; it ends no run.
pub async fn started(settings: &NotifySettings) -> Result<(), Error> {
    match &settings.ping {
        Some(url) => ping::send(&Courier::new(settings.patience)?, url, Signal::Start).await,
        None => Ok(()),
    }
}

/// Tells everybody how the run ended, all at the same time, and updates the
/// metrics. Returns what could not be told, each of kind `Partial`.
pub async fn send_all(settings: &NotifySettings, event: &Event, figures: &metrics::Figures) -> Vec<Error> {
    let mut problems = Vec::new();
    if let Some(path) = &settings.textfile {
        problems.extend(metrics::update(path, event, figures).err());
    }
    let courier = &match Courier::new(settings.patience) {
        Ok(courier) => courier,
        Err(e) => {
            problems.push(e);
            return problems;
        }
    };
    let messages = async {
        let wanted = settings.notify.iter().enumerate().filter(|(_, target)| target.wants(event.outcome));
        join_all(wanted.map(|(i, target)| webhook::send(courier, target, i + 1, event))).await
    };
    let check = async {
        match &settings.ping {
            Some(url) => ping::send(courier, url, Signal::of(event)).await,
            None => Ok(()),
        }
    };
    let (messages, check) = tokio::join!(messages, check);
    problems.extend(messages.into_iter().chain([check]).filter_map(Result::err));
    problems
}
