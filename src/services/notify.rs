//! Notifications, pings, metrics and the audit log: reports how a run ended.
//!
//! Not here: the effect of a failed notification on the exit code (`app::reporting`).

pub mod audit;
pub mod delivery;
mod event;
pub mod metrics;
pub(crate) mod ping;
pub mod webhook;

pub use event::{Event, EventOutcome, EventSource, Operation};

use crate::base::error::Error;
use crate::base::secret::TextOrReference;
use delivery::{RetrySettings, Sender};
use futures_util::future::join_all;
use ping::PingSignal;
use std::path::PathBuf;
use webhook::Webhook;

/// Receivers of notifications.
#[derive(Clone, Debug, Default)]
pub struct NotifySettings {
    /// Webhooks, in the configuration's order. Messages number them in that order.
    pub notify: Vec<Webhook>,
    /// URL of a check in the style of healthchecks.io, if any.
    pub ping: Option<TextOrReference>,
    /// Prometheus textfile, if any.
    pub textfile: Option<PathBuf>,
    /// Timeouts and retries.
    pub retry: RetrySettings,
}

/// Sends the start ping, if a ping is configured.
///
/// # Errors
/// `Partial`; the run continues.
pub async fn started(settings: &NotifySettings) -> Result<(), Error> {
    match &settings.ping {
        Some(url) => ping::send(&Sender::new(settings.retry)?, url, PingSignal::Start).await,
        None => Ok(()),
    }
}

/// Reports `event` of `source` to all receivers concurrently, and updates the metrics.
/// Returns the failures, each of kind `Partial`.
pub async fn send_all(
    settings: &NotifySettings,
    source: &EventSource,
    event: &Event,
    figures: &metrics::Figures,
) -> Vec<Error> {
    let mut problems = Vec::new();
    if let Some(path) = &settings.textfile {
        problems.extend(metrics::update(path, event, figures).err());
    }
    let sender = &match Sender::new(settings.retry) {
        Ok(sender) => sender,
        Err(e) => {
            problems.push(e);
            return problems;
        }
    };
    let messages = async {
        let wanted = settings.notify.iter().enumerate().filter(|(_, target)| target.wants(event.outcome));
        join_all(wanted.map(|(i, target)| webhook::send(sender, target, i + 1, source, event))).await
    };
    let ping = async {
        match &settings.ping {
            Some(url) => ping::send(sender, url, PingSignal::of(event)).await,
            None => Ok(()),
        }
    };
    let (messages, ping) = tokio::join!(messages, ping);
    problems.extend(messages.into_iter().chain([ping]).filter_map(Result::err));
    problems
}
