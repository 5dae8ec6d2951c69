//! `decrypt`: turns a backup into a snapshot that Vault itself can restore.

use crate::app::cli::DecryptArgs;
use crate::app::context::Context;
use crate::app::output;
use crate::base::atomic_file::AtomicFile;
use crate::base::error::{Error, Result};
use crate::base::regular_file;
use crate::commands::CommandResult;
use crate::formats::crypto::Header;
use crate::formats::manifest::rfc3339;
use crate::pipeline::hashing::{Fingerprint, Hashing};
use crate::pipeline::input::Input;
use crate::pipeline::trust::Trust;
use crate::pipeline::verified::{self, ReadSpec};
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
        return fail_without_key(context, args).await;
    };
    let trust = context.trust(keyring.mac_keys());
    let input = context.input(args.input.as_deref(), &args.file, &trust).await?;
    let target = Destination::of(args.output.as_deref(), &input, args.force)?;
    let source = context.open(&input, &trust, Some(Arc::new(keyring)), args.file.legacy.allowed).await?;

    let (label, output) = (source.label.clone(), target.to_string());
    let copy = CopySpec { trust, label: label.clone(), hash: args.json };
    let fill = move |reader, how: &ReadSpec| target.fill(reader, how, &copy);
    let decrypted = source.read("decrypting", &context.stop, &context.progress, fill).await?;

    let header = decrypted.header.as_ref();
    let document = json!({
        "input": label,
        "object": source.chosen().map(|chosen| chosen.name.object().to_owned()),
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
async fn fail_without_key(context: &Context, args: &DecryptArgs) -> Result<CommandResult> {
    context.config()?;
    let trust = context.trust(Vec::new());
    let input = context.input(args.input.as_deref(), &args.file, &trust).await?;
    let source = context.open_checked(&input, &trust, None, args.file.legacy.allowed, |_| Ok(())).await?;
    let fail = |reader, how: &ReadSpec| Err(how.no_key(reader));
    source.read("reading the header", &context.stop, &context.progress, fail).await
}

/// Settings of the copy to the output.
struct CopySpec {
    trust: Trust,
    label: String,
    /// `true` to hash backup and snapshot for the JSON document.
    hash: bool,
}

/// Copies segment by segment, each after its authentication. A backup in the store must be
/// the one of its name, but a different SHA-256 is only a warning: all segments are
/// authentic, and this may be the last copy.
fn copy(reader: Box<dyn Read + Send>, how: &ReadSpec, spec: &CopySpec, writer: &mut dyn Write) -> Result<Decrypted> {
    let (header, object, (plaintext_size, plaintext)) =
        how.read_tolerantly(reader, spec.hash, |header, plaintext| {
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
    File { path: PathBuf, replace: bool },
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
        match (regular_file::check_target(&path, force)?, force) {
            (true, false) => Err(Error::usage(format!("{}: the file exists", path.display()))
                .hint("give --force to replace it once the whole backup has been decrypted")),
            _ => Ok(Destination::File { path, replace: force }),
        }
    }

    /// Writes the snapshot.
    fn fill(self, reader: Box<dyn Read + Send>, how: &ReadSpec, spec: &CopySpec) -> Result<Decrypted> {
        match self {
            Destination::Stdout => copy(reader, how, spec, &mut std::io::stdout().lock()),
            Destination::File { path, replace } => {
                let mut file = AtomicFile::create(&path, 0o600).map_err(|e| unwritable(&path, e))?;
                let decrypted = copy(reader, how, spec, &mut file)?;
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
            Destination::File { path, .. } => write!(f, "{}", path.display()),
        }
    }
}
