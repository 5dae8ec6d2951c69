//! The program of a drill's server: which one, its product and its version.

use crate::error::{Error, Result};
use crate::product::Product;
use rustix::fs::{Access, access};
use rustix::process::{Pid, Signal, kill_process_group};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

/// Time limit of `PROGRAM version`.
const LIMIT: Duration = Duration::from_secs(10);
/// The most output of it that is read, in bytes.
const OUTPUT: u64 = 4096;

/// The server that a backup was taken from.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Its product, where it is known.
    pub product: Option<Product>,
    /// Its version, where it is known.
    pub version: Option<String>,
}

impl Origin {
    /// The server of a backup that names this product and version. Backups made before
    /// 0.2 name no product; then the version tells: OpenBao begins at 2.0.
    pub fn new(product: Option<Product>, version: Option<&str>) -> Self {
        let guessed = version.and_then(numbers).map(|v| if v[0] < 2 { Product::Vault } else { Product::OpenBao });
        Self { product: product.or(guessed), version: version.map(str::to_owned) }
    }

    /// Checks that a server of `product` and `version`, the program at `path`, may take the
    /// backup. Vault's backups go into OpenBao, with a note; not the other way.
    ///
    /// # Errors
    /// `Usage` naming both.
    fn admits(&self, path: &Path, product: Product, version: &str) -> Result<()> {
        let Some(source) = self.product else { return Ok(()) };
        let from = format!("{source} {}", self.version.as_deref().unwrap_or("of an unknown version"));
        let refused = |why: &str| {
            let what = format!("{}: {product} {version} cannot take a backup of {from}: {why}", path.display());
            Err(Error::usage(what)
                .hint("nothing was started; set staging.vault_binary to the product of the backup, in its version or a newer one"))
        };
        match (source, product) {
            (Product::OpenBao, Product::Vault) => refused("Vault loses OpenBao's mounts"),
            (Product::Vault, Product::OpenBao) => {
                tracing::warn!(
                    "the backup of {from} is restored into {product} {version}: this drill is one of a migration"
                );
                Ok(())
            }
            _ => match (self.version.as_deref().and_then(numbers), numbers(version)) {
                (Some(source), Some(target)) if target < source => refused("it is older"),
                _ => Ok(()),
            },
        }
    }
}

/// The numbers of a version such as `1.21.4+ent`.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let core = version.trim_start_matches('v').split(['-', '+']).next()?;
    let numbers: Option<Vec<u64>> = core.split('.').map(|part| part.parse().ok()).collect();
    numbers?.try_into().ok()
}

/// The product and the version in the output of `PROGRAM version`.
fn parse(output: &str) -> Option<(Product, String)> {
    let mut words = output.split_whitespace();
    let product = match words.next()? {
        "OpenBao" => Product::OpenBao,
        "Vault" => Product::Vault,
        _ => return None,
    };
    let version = words.next()?.trim_end_matches(',').strip_prefix('v')?;
    numbers(version).map(|_| (product, version.to_owned()))
}

/// Finds the server's program, as [`locate`] does, and checks that it may take the backup.
///
/// # Errors
/// `Usage` if there is none that can be run, or it may not.
pub(super) async fn choose(given: Option<&Path>, origin: &Origin) -> Result<PathBuf> {
    let program = locate(given, origin)?;
    match ask(&program).await {
        Some((product, version)) => origin.admits(&program, product, &version)?,
        None => tracing::debug!("{} version: no product and version in its answer", program.display()),
    }
    Ok(program)
}

/// The server's program, by its full path: `given`, or `vault` or `bao` from PATH, that of
/// the backup's product first.
///
/// # Errors
/// `Usage` if there is none that can be run.
pub fn locate(given: Option<&Path>, origin: &Origin) -> Result<PathBuf> {
    let program = match given {
        Some(given) => find(given).ok_or_else(|| {
            Error::usage(format!("staging.vault_binary {}: there is no such program", given.display()))
                .hint("set it to the path of a vault or bao program")
        })?,
        None => {
            let names = match origin.product {
                Some(Product::OpenBao) => ["bao", "vault"],
                Some(Product::Vault) | None => ["vault", "bao"],
            };
            names.iter().find_map(|name| find(Path::new(name))).ok_or_else(|| {
                Error::usage("no Vault to restore into: neither vault nor bao is on PATH")
                    .hint("install one, set staging.vault_binary, or drill with --offline")
            })?
        }
    };
    // The server is started in its own folder.
    std::path::absolute(&program)
        .map_err(|e| Error::usage(format!("{}: its full path cannot be told", program.display())).because(e))
}

/// The program `name`, a path or a name on PATH, if it can be run.
fn find(name: &Path) -> Option<PathBuf> {
    let usable = |file: &PathBuf| file.is_file() && access(file, Access::EXEC_OK).is_ok();
    if name.as_os_str().as_bytes().contains(&b'/') {
        return Some(name.to_owned()).filter(usable);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(usable)
}

/// A process and its group. Dropped, both are ended.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // Once awaited it has no id any more: the number may be another's.
        if let Some(group) = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// The product and the version of `program`, by its own words.
async fn ask(program: &Path) -> Option<(Product, String)> {
    let mut command = Command::new(program);
    command.arg("version").env_clear().process_group(0).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut group = Group(command.spawn().ok()?);
    let mut output = Vec::new();
    let mut stdout = group.0.stdout.take()?.take(OUTPUT);
    // Not awaited before its output was read: then its group is still its own.
    tokio::time::timeout(LIMIT, stdout.read_to_end(&mut output)).await.ok()?.ok()?;
    parse(&String::from_utf8_lossy(&output))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn the_version_of_every_product_is_read() {
        for (output, expected) in [
            ("OpenBao v2.7.2 (9e0a0d3c), committed 2026-10-26T20:32:27Z\n", Some((Product::OpenBao, "2.7.2"))),
            ("Vault v1.21.4 (abc), built 2026-01-01T00:00:00Z", Some((Product::Vault, "1.21.4"))),
            ("Vault v1.21.4, built 2026-01-01T00:00:00Z", Some((Product::Vault, "1.21.4"))),
            ("Vault v2.0.0+ent (abc)", Some((Product::Vault, "2.0.0+ent"))),
            ("Vault v1.x", None),
            ("Terraform v1.2.3", None),
            ("", None),
        ] {
            assert_eq!(parse(output), expected.map(|(p, v)| (p, v.to_owned())), "{output}");
        }
    }

    #[test]
    fn older_targets_and_vault_for_openbao_are_refused() {
        use Product::{OpenBao, Vault};
        for (source, target, admitted) in [
            ((Some(OpenBao), Some("2.7.2")), (OpenBao, "2.7.2"), true),
            ((Some(OpenBao), Some("2.7.2")), (OpenBao, "2.10.0"), true),
            ((Some(OpenBao), Some("2.7.2")), (OpenBao, "2.6.1"), false),
            ((Some(OpenBao), Some("2.7.2")), (Vault, "2.8.0"), false),
            ((None, Some("2.7.2")), (Vault, "1.21.4"), false),
            ((None, Some("1.16.3")), (OpenBao, "2.6.1"), true),
            ((Some(Vault), Some("1.21.4+ent")), (Vault, "1.21.4"), true),
            ((Some(Vault), Some("1.21.4")), (Vault, "1.9.9"), false),
            ((Some(Vault), Some("2.1.0")), (OpenBao, "2.0.0"), true),
            ((Some(Vault), None), (Vault, "1.0.0"), true),
            ((None, None), (Vault, "1.0.0"), true),
        ] {
            let result = Origin::new(source.0, source.1).admits(Path::new("/x"), target.0, target.1);
            assert_eq!(result.is_ok(), admitted, "{source:?} {target:?}");
            if let Err(error) = result {
                assert_eq!(error.kind(), Kind::Usage);
            }
        }
    }
}
