//! `decrypt`: a backup becomes a snapshot that Vault itself can restore.

use crate::app::cli::DecryptArgs;
use crate::app::context::Context;
use crate::app::output;
use crate::base::atomic_file::AtomicFile;
use crate::base::error::{Error, Kind, Result};
use crate::commands::Done;
use crate::formats::crypto;
use crate::pipeline::drill::feed::ReadSpec;
use crate::pipeline::hashing::Hashing;
use crate::pipeline::input::{Input, OpenInput};
use crate::pipeline::reader;
use crate::pipeline::trust::Trust;
use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Decrypts to a file that appears only whole and checked, or to stdout, where
/// each segment is authenticated before it is released.
///
/// # Errors
/// `Usage` before anything is read if the output is not to be written; else what
/// the input turns out to be.
pub async fn run(context: &Context, args: &DecryptArgs) -> Result<Done> {
    let input = Input::of(&args.input);
    let target = Destination::of(args.output.as_deref(), &input, args.force)?;
    let keyring = context.keyring_or(args.key.as_deref())?;
    let trust = context.trust(keyring.mac_keys());
    let opened = context.open(&input, &trust).await?;
    let how = ReadSpec::of_input(&opened, Arc::new(keyring));
    let OpenInput { source, size, label, .. } = opened;

    context.progress.stage("decrypting", size);
    let shown = target.to_string();
    let from = (trust, label.clone());
    let written = reader::read(source, &context.stop, &context.progress, move |reader| match target {
        Destination::Stdout => copy(reader, &how, &from, &mut std::io::stdout().lock()),
        Destination::Special(path) => {
            let mut file = std::fs::OpenOptions::new().write(true).open(&path).map_err(|e| unwritable(&path, e))?;
            copy(reader, &how, &from, &mut file)
        }
        Destination::File { path, replace } => {
            let mut file = AtomicFile::create(&path, 0o600).map_err(|e| unwritable(&path, e))?;
            let written = copy(reader, &how, &from, &mut file)?;
            let committed = if replace { file.commit_replacing() } else { file.commit_new() };
            committed.map_err(|e| unwritable(&path, e))?;
            Ok(written)
        }
    })
    .await
    .map_err(|e| if e.kind().is_stop() { e } else { e.context(&label) })?;

    Ok(Done::default().closing(format!("{label} -> {shown}: {}, every segment authenticated", output::bytes(written))))
}

/// Segment by segment, each written after its tag was checked. Taken from a store,
/// the backup must be the one that its name says, and where it is not the one that its
/// manifest or metadata name, that is said.
fn copy(
    reader: Box<dyn Read + Send>,
    how: &ReadSpec,
    (trust, label): &(Trust, String),
    writer: &mut dyn Write,
) -> Result<u64> {
    let Some(name) = &how.name else {
        let opened = crypto::open(reader, &how.keyring, how.layouts)?;
        trust.warn_of_cluster(label, opened.header());
        return copy_segments(opened, writer);
    };
    let mut hashing = Hashing::new(reader);
    let opened = crypto::open(&mut hashing, &how.keyring, how.layouts)?;
    opened.header().map_or(Ok(()), |header| header.check_name(name))?;
    trust.warn_of_cluster(label, opened.header());
    let written = copy_segments(opened, writer)?;
    // The tags prove that it is a backup of ours; with nothing better left, it must come out.
    if let Err(error) = how.named.check(&hex::encode(hashing.finish().sha256)) {
        tracing::warn!("{}: {error}", name.object());
    }
    Ok(written)
}

fn copy_segments<R: Read>(mut opened: crypto::DecryptReader<R>, writer: &mut dyn Write) -> Result<u64> {
    let unwritable = |e: std::io::Error| Error::unexpected("the output could not be written").because(e);
    let mut written = 0;
    loop {
        let segment = opened.fill_buf().map_err(|e| Error::from_io(e, Kind::Store, "the backup could not be read"))?;
        if segment.is_empty() {
            break;
        }
        let n = segment.len();
        writer.write_all(segment).map_err(unwritable)?;
        opened.consume(n);
        written += n as u64;
    }
    writer.flush().map_err(unwritable)?;
    Ok(written)
}

fn unwritable(path: &Path, error: std::io::Error) -> Error {
    Error::usage(format!("{}: cannot be written", path.display())).because(error)
}

/// Where the plaintext goes.
enum Destination {
    Stdout,
    File {
        path: PathBuf,
        replace: bool,
    },
    /// A device or pipe, which cannot be renamed over.
    Special(PathBuf),
}

impl Destination {
    fn of(output: Option<&Path>, input: &Input, force: bool) -> Result<Self> {
        if output == Some(Path::new("-")) {
            if std::io::stdout().is_terminal() {
                return Err(Error::usage("a snapshot is not for a terminal").hint("give -o FILE, or a pipe"));
            }
            return Ok(Destination::Stdout);
        }
        let path = match output {
            Some(path) => path.to_owned(),
            None => PathBuf::from(input.plain_name().ok_or_else(|| {
                Error::usage("stdin has no name to derive the output's from").hint("give -o FILE or -o -")
            })?),
        };
        match std::fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => {
                Err(Error::usage(format!("{} is a folder", path.display())).hint("give -o FILE"))
            }
            Ok(meta) if !meta.is_file() => Ok(Destination::Special(path)),
            Ok(_) if !force => Err(Error::new(Kind::Usage, format!("{} exists", path.display()))
                .hint("--force replaces it, once the backup has been decrypted whole")),
            _ => Ok(Destination::File { path, replace: force }),
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
