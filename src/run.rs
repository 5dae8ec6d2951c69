//! One run of the tool, from the command line to the exit code: process hygiene, signals,
//! the deadline, dispatch, printing the result.

mod machine;
mod signals;

use crate::app::cli::{Cli, Command};
use crate::app::context::Context;
use crate::app::output::{Output, usage};
use crate::base::child;
use crate::base::error::{Error, Result};
use crate::base::memory;
use crate::base::stop::Stop;
use crate::commands::{self, CommandResult};
use crate::services::http;
use clap::Parser;
use signals::Signals;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use tokio::runtime::{Builder, Runtime};

/// Runs the tool with the process's arguments.
pub fn run() -> ExitCode {
    guard_secrets();
    caught(start).unwrap_or_else(|error| {
        Output::error(&error);
        error.kind().code().into()
    })
}

/// Installs the signal handlers before anything else, so that no signal is lost, and runs the command.
fn start() -> ExitCode {
    let prepared = prepare();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage::print(&error, std::env::args_os().skip(1)),
    };
    let output = Output::start(&cli.global, wants_json(&cli.command));
    let ended = prepared.and_then(|(runtime, signals)| {
        machine::check_threads()?;
        http::install_crypto();
        let code = caught(|| runtime.block_on(run_until_second_signal(cli, output, signals)));
        // A thread may still wait for stdin or a dead server: it must not delay the exit.
        runtime.shutdown_background();
        code
    });
    let code = ended.unwrap_or_else(|error| {
        output.failure(&error, serde_json::Map::new());
        error.kind().code()
    });
    ExitCode::from(code)
}

/// Starts the runtime, and with it the handling of signals.
fn prepare() -> Result<(Runtime, Signals)> {
    machine::check_files()?;
    machine::check_randomness()?;
    let runtime = runtime()?;
    let entered = runtime.enter();
    let signals = caught(Signals::install)??;
    drop(entered);
    Ok((runtime, signals))
}

/// Returns the result of `work`, or an error if it panics.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| Error::unexpected("internal error (this is a bug in vault-backup)"))
}

/// Keeps key material out of core dumps and out of files that other users can read.
fn guard_secrets() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask};
    // Fails only on kernels without it, where nothing else can be done.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // Every child inherits it, such as the server of an ephemeral drill.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    umask(rustix::fs::Mode::from_raw_mode(0o077));
    child::keep_inherited_files();
    memory::use_one_heap();
    silence_panics();
}

/// Suppresses panic messages: they may contain data, and no operator can act on a backtrace.
pub fn silence_panics() {
    std::panic::set_hook(Box::new(|info| match info.location() {
        Some(at) => tracing::debug!("panic at {at}"),
        None => tracing::debug!("panic"),
    }));
}

fn runtime() -> Result<Runtime> {
    let failed = || Error::unexpected("cannot start the asynchronous runtime");
    // One thread for I/O; the stages that compute have their own threads. A pool of workers
    // would spend more CPU time on passing Vault's small chunks around than on the work.
    match caught(|| Builder::new_current_thread().enable_all().build()) {
        Ok(built) => built.map_err(|e| failed().because(e)),
        // It panics without the sockets that signals need.
        Err(_) => Err(failed()),
    }
}

/// Runs the command. The first signal makes it stop and clean up, the second one exits at once.
async fn run_until_second_signal(cli: Cli, output: Output, mut signals: Signals) -> u8 {
    let stop = Stop::default();
    let signalled = async {
        stop.raise(signals.first().await);
        stop.exit_code(signals::kind(signals.again().await)).await
    };
    tokio::select! {
        biased;
        code = signalled => code,
        code = finish(cli, output, stop.clone()) => code,
    }
}

/// Runs the command and prints its result.
async fn finish(cli: Cli, output: Output, stop: Stop) -> u8 {
    let context = Context::new(cli.global, output, stop);
    context.end_at_deadline();
    // A signal that arrived during the start ends the run before the command begins.
    tokio::task::yield_now().await;
    let result = match context.stop.check() {
        Ok(()) => Box::pin(dispatch(&context, cli.command)).await,
        Err(stopped) => Err(stopped),
    };
    context.progress.clear();
    match result {
        Ok(done) => done.print(output),
        Err(error) => {
            output.failure(&error, context.noted());
            error.kind().code()
        }
    }
}

async fn dispatch(context: &Context, command: Command) -> Result<CommandResult> {
    match command {
        Command::Backup(args) => commands::backup::run(context, &args).await,
        Command::VerifyRestore(args) => commands::verify_restore::run(context, &args).await,
        Command::Recover(args) => commands::recover::run(context, &args).await,
        Command::Restore(args) => commands::restore::run(context, &args).await,
        Command::Doctor(args) => commands::doctor::run(context, &args).await,
        Command::Decrypt(args) => commands::decrypt::run(context, &args).await,
        Command::List(args) => commands::list::run(context, &args).await,
        Command::Prune(args) => commands::prune::run(context, &args).await,
        Command::Status(args) => commands::status::run(context, &args).await,
        Command::Inspect(args) => commands::inspect::run(context, &args).await,
        Command::Keygen(args) => commands::keygen::run(context, &args),
        Command::Completions { shell } => Ok(commands::completions::run(shell)),
        Command::CompleteBackups => Ok(commands::completions::backups(context).await),
        Command::Man { command } => commands::man::run(command.as_deref()),
    }
}

fn wants_json(command: &Command) -> bool {
    match command {
        Command::Backup(args) => args.json,
        Command::Prune(args) => args.json,
        Command::List(args) => args.json,
        Command::Doctor(args) => args.json,
        Command::Restore(args) => args.json,
        Command::VerifyRestore(args) => args.json,
        Command::Status(args) => args.json,
        Command::Inspect(args) => args.json,
        Command::Decrypt(args) => args.json,
        Command::Recover(args) => args.json,
        _ => false,
    }
}
