//! Audit log, notifications and metrics of a run of `backup`, `prune`, `verify-restore`,
//! `restore` or `recover`: its start and its end, even after a panic. If a notification
//! fails, the exit code of a successful run is 8; that of a failed run stays.
//!
//! Not here: the channels themselves (`services::notify`).

pub mod prune;

use crate::app::config::Config;
use crate::app::context::Context;
use crate::app::output::CommandResult;
use crate::base::error::{Error, Result};
use crate::services::notify::audit::Audit;
use crate::services::notify::metrics::{self, Figures};
use crate::services::notify::{self, Event, Operation};
use futures_util::FutureExt;
use serde_json::{Map, Value};
use std::future::Future;
use std::panic::AssertUnwindSafe;

/// Adds the result of the prune after a backup.
///
/// # Errors
/// Only the stop's reason: after a good backup, a failed prune is a problem, not an error.
pub fn add_prune(context: &Context, backup: &mut CommandResult, pruned: Result<CommandResult>) -> Result<()> {
    let (now, took) = (chrono::Utc::now(), context.elapsed());
    match pruned {
        Ok(pruned) => {
            let details = pruned.json();
            backup.second =
                Some(Event::done(Operation::Prune, now, took, &pruned.closing, details.clone(), pruned.problems()));
            backup.closing = format!("{}; {}", backup.closing, pruned.closing);
            pruned.problems().iter().for_each(|problem| backup.problem(problem));
            backup.set("pruned", details);
        }
        Err(error) if error.kind().is_stop() => return Err(error),
        Err(error) => {
            backup.second = Some(Event::failed(Operation::Prune, now, took, &error, Map::new()));
            backup.problem(format!("the backup is good, but the prune failed: {error}"));
        }
    }
    Ok(())
}

/// Runs `work` and reports its start and its result.
///
/// # Errors
/// The error of `work`; a panic becomes an `Unexpected` error.
pub async fn run(
    context: &Context,
    operation: Operation,
    work: impl Future<Output = Result<CommandResult>>,
) -> Result<CommandResult> {
    let config = context.config()?;
    let channels = Channels::of(config);
    // A notification endpoint that does not respond delays neither the run nor its shutdown.
    let announced = context.stop.guard(async { Ok(channels.announce().await) });
    let (announced, result) = tokio::join!(announced, AssertUnwindSafe(work).catch_unwind());
    let mut problems = announced.unwrap_or_default();
    let result = result.unwrap_or_else(|_| {
        Err(Error::unexpected("internal error (this is a bug in vault-backup)")
            .hint("report it with the output of -vv"))
    });
    context.progress.clear();
    match result {
        Ok(mut result) => {
            result.add_earlier_problems(problems);
            let unreported = channels.report_done(context, operation, &result).await;
            unreported.into_iter().for_each(|problem| result.problem(problem));
            Ok(result)
        }
        Err(error) => {
            let event = Event::failed(operation, chrono::Utc::now(), context.elapsed(), &error, context.noted());
            problems.extend(channels.report(context, &event, &Figures::default()).await);
            for problem in problems {
                tracing::error!("{problem}");
            }
            Err(error)
        }
    }
}

/// Sends a test to every notification target, and returns the failures. Audit log, ping and
/// metrics get nothing, because no operation took place.
pub async fn test_channels(context: &Context, config: &Config) -> Vec<String> {
    let mut settings = notify::NotifySettings { ping: None, textfile: None, ..config.notify.clone() };
    settings.notify.iter_mut().for_each(|target| target.on_success = true);
    let message = "This is a test of vault-backup's notifications; nothing happened.";
    let details = Map::from_iter([("test".to_owned(), Value::Bool(true))]);
    let event = Event::done(Operation::Backup, chrono::Utc::now(), context.elapsed(), message, details, &[]);
    let source = context.event_source();
    notify::send_all(&settings, &source, &event, &Figures::default()).await.iter().map(ToString::to_string).collect()
}

/// The channels that an operation is reported to.
struct Channels {
    audit: Option<Audit>,
    settings: notify::NotifySettings,
}

impl Channels {
    fn of(config: &Config) -> Self {
        Self { audit: config.audit.clone().map(Audit::new), settings: config.notify.clone() }
    }

    /// Reports the start, and checks early that the audit log can be written.
    async fn announce(&self) -> Vec<String> {
        if let Some(Err(error)) = self.audit.as_ref().map(Audit::check) {
            tracing::warn!("{error}; its lines go to stderr");
        }
        notify::started(&self.settings).await.err().map(|e| e.to_string()).into_iter().collect()
    }

    async fn report_done(&self, context: &Context, operation: Operation, result: &CommandResult) -> Vec<String> {
        let (now, took) = (chrono::Utc::now(), context.elapsed());
        let noted = context.noted();
        let details = if noted.is_empty() { result.json() } else { noted };
        let event = Event::done(operation, now, took, &result.closing, details, result.problems());
        let mut unreported = self.report(context, &event, &result.figures).await;
        if let Some(second) = &result.second {
            // The notification of the first operation covers both; audit log and metrics do not.
            unreported.extend(self.log(context, second));
            let textfile = self.settings.textfile.as_ref();
            unreported.extend(
                textfile
                    .and_then(|path| metrics::update(path, second, &Figures::default()).err())
                    .map(|e| e.to_string()),
            );
        }
        unreported
    }

    /// Reports `event` to all channels, and returns the failures.
    async fn report(&self, context: &Context, event: &Event, figures: &Figures) -> Vec<String> {
        let mut unreported: Vec<_> = self.log(context, event).into_iter().collect();
        let failures = notify::send_all(&self.settings, &context.event_source(), event, figures).await;
        unreported.extend(failures.iter().map(ToString::to_string));
        unreported
    }

    /// Appends a line to the audit log; if that fails, prints the line and returns the error.
    fn log(&self, context: &Context, event: &Event) -> Option<String> {
        let error = self.audit.as_ref()?.append(event).err()?;
        context.output.stray_audit_line(&event.audit_line());
        Some(error.to_string())
    }
}
