//! `decrypt`: turns a backup into a snapshot that Vault itself can restore.

use crate::app::cli::DecryptArgs;
use crate::app::context::Context;
use crate::app::output;
use crate::base::atomic_file::AtomicFile;
use crate::base::error::{Error, Result};
use crate::commands::CommandResult;
use crate::formats::crypto::Header;
use crate::formats::manifest::rfc3339;
use crate::pipeline::hashing::{Fingerprint, Hashing};
use crate::pipeline::input::{Input, OpenInput};
use crate::pipeline::reader;
use crate::pipeline::trust::Trust;
use crate::pipeline::verified::{self, ReadSpec, no_key};
use serde_json::json;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The details of a decrypted backup.
struct Decrypted {
    header: Option<Header>,
    /// The backup as stored; hashed only if something needs it.
    object: Option<Fingerprint>,
    plaintext_size: u64,
    /// The snapshot, hashed only for the JSON document.
    plaintext: Option<Fingerprint>,
}

/// Decrypts to a file that appears only complete and verified, or to stdout, where each
/// segment is authenticated before it is written.
///
/// # Errors
/// `Usage` if the output cannot be written, before the backup is read; else the reason why
/// the backup cannot be decrypted.
pub(crate) async fn run(context: &Context, args: &DecryptArgs) -> Result<CommandResult> {
    if args.json && args.output.as_deref() == Some(Path::new("-")) {
        return Err(Error::usage("--json and -o - both write to stdout").hint("give -o FILE"));
    }
    let Some(keyring) = context.keyring_if_any(args.key.as_deref())? else {
        return fail_without_key(context, &args.input).await;
    };
    let trust = context.trust(keyring.mac_keys());
    let input = context.input(&args.input, &trust).await?;
    let target = Destination::of(args.output.as_deref(), &input, args.force)?;
    let opened = context.open(&input, &trust).await?;
    let how = ReadSpec::of_input(&opened, Arc::new(keyring));
    let OpenInput { source, size, label, chosen } = opened;

    context.progress.stage("decrypting", size);
    let output = target.to_string();
    let copy = CopySpec { how, trust, label: label.clone(), hash: args.json };
    let decrypted = reader::read(source, &context.stop, &context.progress, move |reader| target.fill(reader, &copy))
        .await
        .map_err(|e| if e.kind().is_stop() { e } else { e.context(&label) })?;

    let header = decrypted.header.as_ref();
    let document = json!({
        "input": label,
        "object": chosen.map(|chosen| chosen.name.object().to_owned()),
        "output": output,
        "size_bytes": decrypted.object.map(|object| object.size),
        "sha256": decrypted.object.map(|object| hex::encode(object.sha256)),
        "plaintext_size_bytes": decrypted.plaintext_size,
        "plaintext_sha256": decrypted.plaintext.map(|plaintext| hex::encode(plaintext.sha256)),
        "key_id": header.map(|header| &header.key_id),
        "created_at": header.map(|header| rfc3339(header.created_at)),
        "vault": header.map(|header| &header.vault),
    });
    let size = output::bytes(decrypted.plaintext_size);
    Ok(CommandResult::document(document)
        .with_closing(format!("{label} -> {output}: {size}, every segment authenticated")))
}

/// Fails with an error that names the key of the backup.
async fn fail_without_key(context: &Context, text: &str) -> Result<CommandResult> {
    context.config()?;
    let trust = context.trust(Vec::new());
    let input = context.input(text, &trust).await?;
    let OpenInput { source, label, .. } = context.open_checked(&input, &trust, |_| Ok(())).await?;
    let failing = reader::read(source, &context.stop, &context.progress, |reader| Err(no_key(reader)));
    failing.await.map_err(|e| if e.kind().is_stop() { e } else { e.context(&label) })
}

/// Settings of the copy to the output.
struct CopySpec {
    how: ReadSpec,
    trust: Trust,
    label: String,
    /// `true` to hash backup and snapshot for the JSON document.
    hash: bool,
}

/// Copies segment by segment, each after its authentication. A backup in the store must be
/// the one of its name, but a different SHA-256 is only a warning: all segments are
/// authentic, and this may be the last copy.
fn copy(reader: Box<dyn Read + Send>, spec: &CopySpec, writer: &mut dyn Write) -> Result<Decrypted> {
    let (header, object, (plaintext_size, plaintext)) =
        spec.how.read_tolerantly(reader, spec.hash, |header, plaintext| {
            spec.trust.warn_of_header(&spec.label, header);
            if !spec.hash {
                return Ok((verified::copy(plaintext, writer)?, None));
            }
            let mut hashing = Hashing::new(plaintext);
            Ok((verified::copy(&mut hashing, writer)?, Some(hashing.finish())))
        })?;
    Ok(Decrypted { header, object, plaintext_size, plaintext })
}

fn unwritable(path: &Path, error: std::io::Error) -> Error {
    Error::usage(format!("{}: cannot be written", path.display())).because(error)
}

/// The output.
enum Destination {
    Stdout,
    File {
        path: PathBuf,
        replace: bool,
    },
    /// A device or pipe, which cannot be replaced by renaming.
    Special(PathBuf),
}

impl Destination {
    fn of(output: Option<&Path>, input: &Input, force: bool) -> Result<Self> {
        if output == Some(Path::new("-")) {
            if std::io::stdout().is_terminal() {
                return Err(Error::usage("a snapshot cannot be shown on a terminal").hint("give -o FILE, or a pipe"));
            }
            return Ok(Destination::Stdout);
        }
        let path = match output {
            Some(path) => path.to_owned(),
            None => PathBuf::from(input.plain_name().ok_or_else(|| {
                Error::usage("stdin has no name to derive the output file's name from").hint("give -o FILE or -o -")
            })?),
        };
        match std::fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => {
                Err(Error::usage(format!("{}: it is a directory", path.display())).hint("give -o FILE"))
            }
            Ok(meta) if !meta.is_file() => Ok(Destination::Special(path)),
            Ok(_) if !force => Err(Error::usage(format!("{}: the file exists", path.display()))
                .hint("give --force to replace it once the whole backup has been decrypted")),
            _ => Ok(Destination::File { path, replace: force }),
        }
    }

    /// Writes the snapshot.
    fn fill(self, reader: Box<dyn Read + Send>, spec: &CopySpec) -> Result<Decrypted> {
        match self {
            Destination::Stdout => copy(reader, spec, &mut std::io::stdout().lock()),
            Destination::Special(path) => {
                let mut file = std::fs::OpenOptions::new().write(true).open(&path).map_err(|e| unwritable(&path, e))?;
                copy(reader, spec, &mut file)
            }
            Destination::File { path, replace } => {
                let mut file = AtomicFile::create(&path, 0o600).map_err(|e| unwritable(&path, e))?;
                let decrypted = copy(reader, spec, &mut file)?;
                let committed = if replace { file.commit_replacing() } else { file.commit_new() };
                committed.map_err(|e| unwritable(&path, e))?;
                Ok(decrypted)
            }
        }
    }
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Destination::Stdout => f.write_str("stdout"),
            Destination::File { path, .. } | Destination::Special(path) => write!(f, "{}", path.display()),
        }
    }
}
