//! A run that people are told of: `backup`, `prune`, `verify-restore`, `restore`
//! and `recover`.
//!
//! Here: what surrounds such a run: it is announced, its end is told however it
//! ended (a panic included), and what could not be told makes the exit code 8, but
//! never hides a failure. Not here: the channels themselves (`report`), printing
//! (`output`).

pub mod prune;

use crate::app::config::Config;
use crate::app::context::Context;
use crate::app::output::{Done, json_value};
use crate::base::error::{Error, Result};
use crate::services::notify::audit::Audit;
use crate::services::notify::metrics::{self, Figures};
use crate::services::notify::{self, Event, Operation};
use futures_util::FutureExt;
use serde::Serialize;
use serde_json::{Map, Value};
use std::future::Future;
use std::panic::AssertUnwindSafe;

/// What an operation came to that did not fail. What audit and notifications
/// carry of it is noted on the way ([`Context::note`]).
#[derive(Debug, Default)]
pub struct OperationResult {
    /// The JSON result.
    document: Map<String, Value>,
    /// What could not be done.
    problems: Vec<String>,
    /// The result for stdout.
    pub text: String,
    /// The last line for a person who is watching, and the message that others get.
    pub closing: String,
    /// What is known of the store now.
    pub figures: Figures,
    /// A second operation within the run: a line of its own in the audit log.
    second: Option<Event>,
}

impl OperationResult {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A result for stdout, and what is said of it.
    pub fn said(text: impl Into<String>, closing: impl Into<String>) -> Self {
        Self { text: text.into(), closing: closing.into(), ..Self::default() }
    }

    /// Adds to the JSON result.
    pub fn result(&mut self, key: &str, value: impl Serialize) {
        self.document.insert(key.to_owned(), json_value(value));
    }

    /// Adds what could not be done: the exit code becomes 8.
    pub fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// Takes in how the prune that followed ended.
    ///
    /// # Errors
    /// The stop's reason alone: a failed prune is a problem of a good backup.
    pub fn pruned(&mut self, context: &Context, result: Result<OperationResult>) -> Result<()> {
        let (now, took) = (chrono::Utc::now(), context.elapsed());
        match result {
            Ok(prune) => {
                let event =
                    Event::done(Operation::Prune, now, took, &prune.closing, prune.document.clone(), &prune.problems);
                self.second = Some(event);
                self.closing = format!("{}; {}", self.closing, prune.closing);
                self.problems.extend(prune.problems);
                self.result("pruned", prune.document);
            }
            Err(error) if error.kind().is_stop() => return Err(error),
            Err(error) => {
                self.second = Some(Event::failed(Operation::Prune, now, took, &error, Map::new()));
                self.problem(format!("the backup is good, but the prune after it failed: {error}"));
            }
        }
        Ok(())
    }
}

/// Runs `work` and tells people how it ended.
///
/// # Errors
/// What `work` failed with; a panic becomes an `Unexpected` error.
pub async fn run(
    context: &Context,
    operation: Operation,
    work: impl Future<Output = Result<OperationResult>>,
) -> Result<Done> {
    let config = context.config()?;
    let channels = Channels::of(config);
    // Whoever does not answer holds up neither the work nor, once it is to end, its end.
    let announced = context.stop.guard(async { Ok(channels.announce().await) });
    let (announced, result) = tokio::join!(announced, AssertUnwindSafe(work).catch_unwind());
    let mut problems = announced.unwrap_or_default();
    let result = result.unwrap_or_else(|_| {
        Err(Error::unexpected("the run broke down: a defect in vault-backup")
            .hint("please report it with the output of -vv"))
    });
    context.progress.clear();
    match result {
        Ok(mut outcome) => {
            outcome.problems.splice(0..0, problems.drain(..));
            let untold = channels.tell_done(context, operation, &outcome).await;
            outcome.problems.extend(untold);
            let mut done =
                Done::document(Value::Object(outcome.document)).with_text(outcome.text).closing(outcome.closing);
            done.add_problems(outcome.problems);
            Ok(done)
        }
        Err(error) => {
            let event = Event::failed(operation, chrono::Utc::now(), context.elapsed(), &error, context.noted());
            problems.extend(channels.tell(context, &event, &Figures::default()).await);
            for problem in problems {
                tracing::error!("{problem}");
            }
            Err(error)
        }
    }
}

/// Sends every notification target a harmless test; returns what could not be told.
/// Nothing goes to the audit log, the check or the metrics: no operation took place.
pub async fn test_channels(context: &Context, config: &Config) -> Vec<String> {
    let mut settings = notify::NotifySettings { ping: None, textfile: None, ..config.notify.clone() };
    settings.notify.iter_mut().for_each(|target| target.on_success = true);
    let message = "This is a test of vault-backup's notifications; nothing happened.";
    let details = Map::from_iter([("test".to_owned(), Value::Bool(true))]);
    let event = Event::done(Operation::Backup, chrono::Utc::now(), context.elapsed(), message, details, &[]);
    let source = context.event_source();
    notify::send_all(&settings, &source, &event, &Figures::default()).await.iter().map(ToString::to_string).collect()
}

/// Where an operation is told.
struct Channels {
    audit: Option<Audit>,
    settings: notify::NotifySettings,
}

impl Channels {
    fn of(config: &Config) -> Self {
        Self { audit: config.audit.clone().map(Audit::new), settings: config.notify.clone() }
    }

    /// Tells of the start, and finds out early what cannot be told at the end.
    async fn announce(&self) -> Vec<String> {
        if let Some(Err(error)) = self.audit.as_ref().map(Audit::check) {
            tracing::warn!("{error}; its lines will go to stderr");
        }
        notify::started(&self.settings).await.err().map(|e| e.to_string()).into_iter().collect()
    }

    async fn tell_done(&self, context: &Context, operation: Operation, outcome: &OperationResult) -> Vec<String> {
        let (now, took) = (chrono::Utc::now(), context.elapsed());
        let noted = context.noted();
        let details = if noted.is_empty() { outcome.document.clone() } else { noted };
        let event = Event::done(operation, now, took, &outcome.closing, details, &outcome.problems);
        let mut untold = self.tell(context, &event, &outcome.figures).await;
        if let Some(second) = &outcome.second {
            // The notification of the first says it all; log and metrics keep them apart.
            untold.extend(self.log(context, second));
            let textfile = self.settings.textfile.as_ref();
            untold.extend(
                textfile
                    .and_then(|path| metrics::update(path, second, &Figures::default()).err())
                    .map(|e| e.to_string()),
            );
        }
        untold
    }

    /// Everywhere; returns what could not be told.
    async fn tell(&self, context: &Context, event: &Event, figures: &Figures) -> Vec<String> {
        let mut untold: Vec<_> = self.log(context, event).into_iter().collect();
        let failures = notify::send_all(&self.settings, &context.event_source(), event, figures).await;
        untold.extend(failures.iter().map(ToString::to_string));
        untold
    }

    /// A line that cannot be written where it belongs is shown.
    fn log(&self, context: &Context, event: &Event) -> Option<String> {
        let error = self.audit.as_ref()?.append(event).err()?;
        context.output.stray_audit_line(&event.audit_line());
        Some(error.to_string())
    }
}
