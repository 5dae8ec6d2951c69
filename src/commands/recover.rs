//! `recover`: reads one secret out of a backup, without a Vault.

use crate::app::cli::RecoverArgs;
use crate::app::context::Context;
use crate::app::output::lines::Lines;
use crate::app::reporting;
use crate::base::atomic_file::AtomicFile;
use crate::base::error::{Error, Result};
use crate::base::regular_file::check_target;
use crate::commands::CommandResult;
use crate::formats::barrier::{Barrier, ListedSecret, MissingReason, Query, SecretAnswer, SecretVersion};
use crate::formats::manifest::rfc3339;
use crate::pipeline::input::{BackupSource, Input};
use crate::pipeline::object::Chosen;
use crate::pipeline::offline;
use crate::pipeline::trust::Trust;
use crate::pipeline::verified::ReadSpec;
use crate::services::notify::Operation;
use serde_json::{Value, json};
use std::io::{IsTerminal, Read};
use std::sync::Arc;

/// Reads one secret, or the names of many.
///
/// # Errors
/// `Usage` if the secret would be shown on a terminal, before anything is read; `Drill` if
/// the shares do not open the backup, or there is no such secret.
pub(crate) async fn run(context: &Context, args: &RecoverArgs) -> Result<CommandResult> {
    let shown = args.list.is_none() && args.output.is_none() && std::io::stdout().is_terminal();
    if shown && !args.show {
        return Err(Error::usage("the secret would be shown on this terminal").hint("give --show, -o FILE, or a pipe"));
    }
    if let Some(file) = &args.output
        && check_target(file, false)?
    {
        return Err(Error::usage(format!("{}: the secret was not written: the file exists", file.display()))
            .hint("choose another path: an existing file is never overwritten"));
    }
    reporting::run(context, Operation::Recover, Box::pin(recover(context, args))).await
}

async fn recover(context: &Context, args: &RecoverArgs) -> Result<CommandResult> {
    context.note("from", args.file.given(args.from.as_deref()));
    context.note("path", args.path.as_ref().or(args.list.as_ref()));
    let backup = RecoverSource::find(context, args).await?;
    let shares = Arc::new(context.unseal_keys(&args.unseal).await?);
    backup.check_cluster().await?;
    let unlock = move |reader, how: &ReadSpec| offline::unlock(reader, how, &shares);
    let barrier = Arc::new(backup.read("unlocking", unlock).await?);
    let label = &backup.source.label;
    if barrier.has_namespaces() {
        tracing::warn!("{label}: it has namespaces; only the root namespace is searched");
    }
    if let Some(prefix) = &args.list {
        let names = backup.list(&barrier, prefix).await?;
        let mut result =
            CommandResult::text(table(&names)).with_closing(format!("{} secrets listed in {label}", names.len()));
        result.set("from", label);
        result.set("prefix", prefix);
        result.set("secrets", names.iter().map(secret_document).collect::<Vec<_>>());
        return Ok(result);
    }
    let path = args.path.as_deref().unwrap_or_default();
    // As the server itself would judge a deletion now.
    let query = Query { path: path.to_owned(), version: args.version, at: chrono::Utc::now() };
    let answer = backup.find_secret(&barrier, query).await?;
    if let SecretAnswer::Missing(MissingReason::NoMount | MissingReason::NoSecret) = answer {
        let below = backup.list(&barrier, path).await?.len();
        if below > 0 {
            let what = format!("{label}: {path}: it is not a secret but a directory of secrets ({below} in all)");
            return Err(Error::drill(what).hint(format!("give `--list {path}` in place of the path")));
        }
    }
    hand_over(args, answer, label)
}

/// The backup that the secret is read from.
struct RecoverSource<'a> {
    context: &'a Context,
    source: BackupSource,
    trust: Trust,
}

impl<'a> RecoverSource<'a> {
    /// Finds the backup of `--from`.
    async fn find(context: &'a Context, args: &RecoverArgs) -> Result<Self> {
        let keyring = context.keyring_if_any(args.key.as_deref())?.map(Arc::new);
        let trust = context.trust(keyring.as_ref().map(|keyring| keyring.mac_keys()).unwrap_or_default());
        let input = context.input(args.from.as_deref(), &args.file, &trust).await?;
        input.refuse_stdin()?;
        if let Input::Object(name, _) = &input {
            context.note("from", name.object());
        }
        let source = context.open(&input, &trust, keyring, args.file.legacy.allowed).await?.or_plain();
        source.chosen().map_or(Ok(()), Chosen::refuse_other_cluster)?;
        Ok(Self { context, source, trust })
    }

    /// Runs `pass` over the backup.
    async fn read<T: Send + 'static>(
        &self,
        stage: &'static str,
        pass: impl FnOnce(Box<dyn Read + Send>, &ReadSpec) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.source.read(stage, &self.context.stop, &self.context.progress, pass).await
    }

    /// Refuses a backup of another cluster by its header, before the shares are used.
    async fn check_cluster(&self) -> Result<()> {
        if self.trust.cluster.is_none() && !self.trust.has_old_keys() {
            return Ok(());
        }
        let header = self.read("reading the header", |reader, how| how.read_header(reader)).await?;
        self.trust.warn_of_key(&self.source.label, header.as_ref());
        self.trust.check_cluster(&self.source.label, header.as_ref().and_then(|h| h.vault.cluster_id.as_deref()))
    }

    async fn find_secret(&self, barrier: &Arc<Barrier>, query: Query) -> Result<SecretAnswer> {
        let barrier = barrier.clone();
        let find = move |reader, how: &ReadSpec| offline::read(reader, how, |state| barrier.find(state, &query));
        self.read("reading", find).await.map(|read| read.result.1)
    }

    async fn list(&self, barrier: &Arc<Barrier>, prefix: &str) -> Result<Vec<ListedSecret>> {
        let (barrier, prefix) = (barrier.clone(), prefix.to_owned());
        let list = move |reader, how: &ReadSpec| offline::read(reader, how, |state| barrier.list(state, &prefix));
        self.read("reading", list).await.map(|read| read.result.1)
    }
}

/// Writes or prints the secret. Its value gets nowhere else.
fn hand_over(args: &RecoverArgs, answer: SecretAnswer, label: &str) -> Result<CommandResult> {
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
    let created = version.and_then(|version| version.created).map(rfc3339);
    if let Some(version) = version {
        tracing::info!(
            "{path}: version {}, written at {}",
            version.number,
            created.as_deref().unwrap_or("an unknown time")
        );
    }
    let mut result = match &args.output {
        Some(file) => {
            AtomicFile::write_new_line(file, data.expose())
                .map_err(|e| Error::usage(format!("{}: the secret was not written", file.display())).because(e))?;
            CommandResult::default().with_closing(format!("{path} recovered from {label} into {}", file.display()))
        }
        None => {
            let value = serde_json::from_str::<Value>(data.expose()).unwrap_or_default();
            let mut result = CommandResult::secret(data).with_closing(format!("{path} recovered from {label}"));
            result.set("data", value);
            result
        }
    };
    result.set("path", path);
    result.set("from", label);
    result.set("version", version.map(|version| version.number));
    result.set("created_at", created);
    result.set("output", args.output.as_ref().map(|file| file.display().to_string()));
    Ok(result)
}

/// Returns one line for each secret: its path, and on KV v2 its versions. Never a value.
fn table(names: &[ListedSecret]) -> Lines {
    let mut text = Lines::default();
    for name in names {
        let versions: Vec<_> = name.versions.iter().map(|v| version(v, name.current)).collect();
        let _ = match versions.as_slice() {
            [] => writeln!(text, "{}", name.path),
            _ => writeln!(text, "{}  versions {}", name.path, versions.join(", ")),
        };
    }
    text
}

/// Returns the JSON form of a listed secret, without its value.
fn secret_document(secret: &ListedSecret) -> Value {
    let version = |version: &SecretVersion| {
        json!({
            "version": version.number,
            "created_at": version.created.map(rfc3339),
            "deleted_at": version.deletion.map(rfc3339),
            "destroyed": version.destroyed,
        })
    };
    json!({
        "path": secret.path,
        "current_version": secret.current,
        "versions": secret.versions.iter().map(version).collect::<Vec<_>>(),
    })
}

fn version(version: &SecretVersion, current: Option<u64>) -> String {
    let mark = if current == Some(version.number) { "*" } else { "" };
    let state = match (version.destroyed, version.deletion) {
        (true, _) => " (destroyed)".to_owned(),
        (false, Some(at)) => format!(" (deleted {})", rfc3339(at)),
        (false, None) => String::new(),
    };
    format!("{}{mark}{state}", version.number)
}
