//! `recover`: one secret out of a backup, without any Vault.

use crate::app::cli::RecoverArgs;
use crate::app::context::Context;
use crate::app::reporting::{self, OperationResult};
use crate::base::atomic_file::AtomicFile;
use crate::base::error::{Error, Result};
use crate::commands::Done;
use crate::formats::barrier::{Barrier, ListedSecret, Query, SecretAnswer, SecretVersion};
use crate::formats::crypto::Header;
use crate::formats::manifest::rfc3339;
use crate::pipeline::drill::feed::ReadSpec;
use crate::pipeline::input::{Input, OpenInput};
use crate::pipeline::object::Chosen;
use crate::pipeline::offline;
use crate::pipeline::reader;
use crate::services::notify::Operation;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::sync::Arc;

/// Reads one secret, or the names of many.
///
/// # Errors
/// `Usage` before anything is read if the secret would be shown; `Drill` where the
/// shares do not open the backup, or there is no such secret.
pub async fn run(context: &Context, args: &RecoverArgs) -> Result<Done> {
    let shown = args.list.is_none() && args.output.is_none() && std::io::stdout().is_terminal();
    if shown && !args.show {
        return Err(Error::usage("the secret would be shown on this terminal").hint("give --show, -o FILE, or a pipe"));
    }
    reporting::run(context, Operation::Recover, Box::pin(recover(context, args))).await
}

async fn recover(context: &Context, args: &RecoverArgs) -> Result<OperationResult> {
    let input = Input::of(&args.from);
    if input == Input::Stdin {
        return Err(Error::usage("a backup on stdin cannot be read twice").hint("save it to a file first"));
    }
    context.note("from", &args.from);
    context.note("path", args.path.as_ref().or(args.list.as_ref()));
    let shares = Arc::new(context.unseal_keys(&args.unseal).await?);
    check_cluster(context, args, &input).await?;
    let (first, how) = open(context, args, &input).await?;
    let label = first.label.clone();
    context.progress.stage("unlocking", first.size);
    let keys = (how.clone(), shares);
    let unlock = move |reader| offline::unlock(reader, keys.0.as_ref(), &keys.1);
    let barrier =
        reader::read(first.source, &context.stop, &context.progress, unlock).await.map_err(|e| e.context(&label))?;
    if barrier.has_namespaces() {
        tracing::warn!("{label}: it has namespaces; only the root namespace is searched");
    }

    let (second, _) = open(context, args, &input).await?;
    context.progress.stage("reading", second.size);
    let ask = Ask::of(args);
    let read = move |reader| offline::read(reader, how.as_ref(), |state| ask.put(&barrier, state));
    let found =
        reader::read(second.source, &context.stop, &context.progress, read).await.map_err(|e| e.context(&label))?;
    match found.result {
        RecoverResult::Names(names) => {
            Ok(OperationResult::said(table(&names), format!("{} secrets named in {label}", names.len())))
        }
        RecoverResult::Answer(answer) => hand_over(args, answer, &label),
    }
}

/// Refuses a backup of another cluster by its header, before the shares are tried.
async fn check_cluster(context: &Context, args: &RecoverArgs, input: &Input) -> Result<()> {
    let trust = context.trust(Vec::new());
    if trust.cluster.is_none() {
        return Ok(());
    }
    let (opened, _) = open(context, args, input).await?;
    let header = reader::read(opened.source, &context.stop, &context.progress, Header::peek);
    let header = header.await.map_err(|e| e.context(&opened.label))?;
    trust.check_cluster(&opened.label, header.as_ref().and_then(|h| h.vault.cluster_id.as_deref()))
}

/// Opens the backup once more: each pass reads it from its beginning.
async fn open(context: &Context, args: &RecoverArgs, input: &Input) -> Result<(OpenInput, Option<ReadSpec>)> {
    let keyring = context.keyring_if_any(args.key.as_deref())?;
    let mac_keys = keyring.as_ref().map(crate::formats::crypto::Keyring::mac_keys).unwrap_or_default();
    let opened = context.open(input, &context.trust(mac_keys)).await?;
    opened.chosen.as_ref().map_or(Ok(()), Chosen::refuse_other_cluster)?;
    let how = keyring.map(|keyring| ReadSpec::of_input(&opened, Arc::new(keyring)));
    Ok((opened, how))
}

/// What is asked of the snapshot.
enum Ask {
    Secret(Query),
    Names(String),
}

enum RecoverResult {
    Answer(SecretAnswer),
    Names(Vec<ListedSecret>),
}

impl Ask {
    fn of(args: &RecoverArgs) -> Self {
        match (&args.list, &args.path) {
            (Some(prefix), _) => Ask::Names(prefix.clone()),
            (None, path) => Ask::Secret(Query {
                path: path.clone().unwrap_or_default(),
                version: args.version,
                // As the server itself would judge a deletion now.
                at: chrono::Utc::now(),
            }),
        }
    }

    fn put(&self, barrier: &Barrier, state: &mut dyn std::io::Read) -> Result<RecoverResult> {
        match self {
            Ask::Secret(query) => barrier.find(state, query).map(RecoverResult::Answer),
            Ask::Names(prefix) => barrier.list(state, prefix).map(RecoverResult::Names),
        }
    }
}

fn hand_over(args: &RecoverArgs, answer: SecretAnswer, label: &str) -> Result<OperationResult> {
    let path = args.path.as_deref().unwrap_or_default();
    let absent =
        |why: String| Error::drill(format!("{label}: {path}: {why}")).hint("see: vault-backup recover --list PREFIX");
    let (data, version) = match answer {
        SecretAnswer::Found(data, version) => (data, version),
        SecretAnswer::Missing(absence) => return Err(absent(absence.to_string())),
        SecretAnswer::Deleted(version) => {
            return Err(absent(format!("version {} was deleted in this backup", version.number)));
        }
        SecretAnswer::Destroyed(version) => return Err(absent(format!("version {} was destroyed", version.number))),
    };
    if let Some(version) = version {
        let created = version.created.map_or("an unknown time".to_owned(), rfc3339);
        tracing::info!("{path}: version {}, written at {created}", version.number);
    }
    match &args.output {
        Some(file) => {
            AtomicFile::write_new_line(file, data.expose())
                .map_err(|e| Error::usage(format!("{}: the secret was not written", file.display())).because(e))?;
            Ok(OperationResult::said("", format!("{path} recovered from {label} into {}", file.display())))
        }
        None => Ok(OperationResult::said(format!("{}\n", data.expose()), format!("{path} recovered from {label}"))),
    }
}

/// One secret a line: its path, and on KV v2 its versions. Never a value.
fn table(names: &[ListedSecret]) -> String {
    let mut text = String::new();
    for name in names {
        let versions: Vec<_> = name.versions.iter().map(|v| version(v, name.current)).collect();
        let _ = match versions.as_slice() {
            [] => writeln!(text, "{}", name.path),
            _ => writeln!(text, "{}  versions {}", name.path, versions.join(", ")),
        };
    }
    text
}

fn version(version: &SecretVersion, current: Option<u64>) -> String {
    let mark = if current == Some(version.number) { "*" } else { "" };
    let fate = match (version.destroyed, version.deletion) {
        (true, _) => " (destroyed)".to_owned(),
        (false, Some(at)) => format!(" (deleted {})", rfc3339(at)),
        (false, None) => String::new(),
    };
    format!("{}{mark}{fate}", version.number)
}
