//! `doctor`: checks every permission and path that the configuration needs.

mod checks;
mod staging;

use crate::app::cli::DoctorArgs;
use crate::app::context::Context;
use crate::app::output::lines::Lines;
use crate::base::error::{Error, Kind, Result};
use crate::base::text::one_line;
use crate::commands::CommandResult;
use crate::pipeline::upload;
use serde_json::{Value, json};

/// The result of a check.
#[derive(Debug)]
enum CheckResult {
    /// Passed, with details.
    Fine(String),
    /// Works, but needs attention.
    Warning(String),
    /// A run would fail here.
    Failed(Error),
    /// Not configured, or not possible to check.
    Skipped(String),
}

/// The results of all checks, in the order in which they ran.
#[derive(Default)]
pub(super) struct Findings(Vec<(&'static str, CheckResult)>);

impl Findings {
    fn fine(&mut self, what: &'static str, said: impl Into<String>) {
        self.0.push((what, CheckResult::Fine(said.into())));
    }

    fn warn(&mut self, what: &'static str, said: impl Into<String>) {
        self.0.push((what, CheckResult::Warning(said.into())));
    }

    fn skip(&mut self, what: &'static str, why: impl Into<String>) {
        self.0.push((what, CheckResult::Skipped(why.into())));
    }

    /// Records a result, and returns its value for the checks that depend on it.
    fn keep<T>(&mut self, what: &'static str, result: Result<T>, said: impl FnOnce(&T) -> String) -> Option<T> {
        match result {
            Ok(value) => {
                self.fine(what, said(&value));
                Some(value)
            }
            Err(error) => {
                self.0.push((what, CheckResult::Failed(error)));
                None
            }
        }
    }

    /// Returns the exit code of the first failure.
    fn code(&self) -> u8 {
        let failed =
            self.0.iter().find_map(|(_, v)| if let CheckResult::Failed(e) = v { Some(e.kind()) } else { None });
        failed.map_or(0, Kind::code)
    }

    fn text(&self) -> Lines {
        let mut text = Lines::default();
        for (what, verdict) in &self.0 {
            let _ = match verdict {
                CheckResult::Fine(said) => writeln!(text, "ok       {what:<14} {}", one_line(said)),
                CheckResult::Warning(said) => writeln!(text, "WARNING  {what:<14} {}", one_line(said)),
                CheckResult::Failed(error) => writeln!(text, "FAILED   {what:<14} {error}"),
                CheckResult::Skipped(why) => writeln!(text, "-        {what:<14} {}", one_line(why)),
            };
        }
        text
    }

    fn document(&self) -> Value {
        let checks: Vec<_> = self
            .0
            .iter()
            .map(|(what, verdict)| {
                let (state, said) = match verdict {
                    CheckResult::Fine(said) => ("ok", said.clone()),
                    CheckResult::Warning(said) => ("warning", said.clone()),
                    CheckResult::Failed(error) => ("failed", error.to_string()),
                    CheckResult::Skipped(why) => ("skipped", why.clone()),
                };
                json!({ "check": what, "state": state, "message": said })
            })
            .collect();
        json!({ "checks": checks, "exit_code": self.code() })
    }
}

/// Does `work`. If it fails, that is a finding, and the run goes on.
///
/// # Errors
/// The stop's reason.
async fn unless_stopped<T>(context: &Context, work: impl Future<Output = T>) -> Result<T> {
    context.stop.guard(async { Ok(work.await) }).await
}

/// Runs every check, also after a failure.
///
/// # Errors
/// `Usage` if the configuration cannot be read; the stop's reason. Failed checks set the
/// exit code instead.
pub(crate) async fn run(context: &Context, args: &DoctorArgs) -> Result<CommandResult> {
    let mut findings = Findings::default();
    checks::configuration(context, &mut findings)?;
    let keys = checks::keys(context, &mut findings);
    Box::pin(checks::vault(context, &mut findings)).await?;
    let store = unless_stopped(context, Box::pin(context.store())).await?;
    let store = findings.keep("store", store, |s| s.locate(""));
    let mut newest = None;
    if let Some(store) = store.as_deref() {
        let checked = checks::store(context, &mut findings, store, &keys);
        let checked = unless_stopped(context, Box::pin(checked)).await;
        upload::finish_cleanup(store).await; // the aborted upload of the write check
        newest = checked?.map(|backup| (store, backup));
    }
    Box::pin(staging::check(context, &mut findings, newest, &keys)).await?;
    unless_stopped(context, checks::channels(context, &mut findings, args.notify_test)).await?;
    Ok(CommandResult::document(findings.document()).with_text(findings.text()).with_code(findings.code()))
}
