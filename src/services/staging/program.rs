//! Finds the program of a drill's server and reads its product and version.

use crate::base::error::{Error, Result};
use crate::formats::product::{self, Compatibility, Product, ServerVersion};
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
/// Size limit of its output, in bytes.
const OUTPUT: u64 = 4096;

/// Checks that the program at `path`, which is `target`, may take a backup of `origin`.
fn admit(path: &Path, origin: &ServerVersion, target: &ServerVersion) -> Result<()> {
    let result = product::compare(origin, target);
    if !result.is_refused() {
        match result.note(origin, target) {
            Some(note) if result != Compatibility::Unknown => tracing::warn!("{}: {note}", path.display()),
            note => tracing::debug!("{}: {note:?}", path.display()),
        }
        return Ok(());
    }
    let why =
        if result == Compatibility::OtherProduct { "Vault finds none of OpenBao's mounts" } else { "it is older" };
    let what = format!("{}: {target} cannot take a backup of {origin}: {why}; nothing was started", path.display());
    Err(Error::usage(what).hint("set staging.vault_binary to the product of the backup, in its version or a newer one"))
}

/// Finds the server's program, as [`locate`] does, and checks that it may take the backup.
///
/// # Errors
/// `Usage` if there is none that can be run, or it may not.
pub(super) async fn choose(given: Option<&Path>, origin: &ServerVersion) -> Result<PathBuf> {
    let program = locate(given, origin)?;
    match ask(&program).await {
        Some(target) => admit(&program, origin, &target)?,
        None => tracing::debug!("{} version: no product and version in its answer", program.display()),
    }
    Ok(program)
}

/// Returns the absolute path of the server's program: `given`, or `vault` or `bao` from `PATH`, that of
/// the backup's product first.
///
/// # Errors
/// `Usage` if there is none that can be executed.
pub(crate) fn locate(given: Option<&Path>, origin: &ServerVersion) -> Result<PathBuf> {
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
    // The server is started in its own directory.
    std::path::absolute(&program)
        .map_err(|e| Error::usage(format!("{}: cannot determine its absolute path", program.display())).because(e))
}

/// Finds the program `name`, a path or a name on `PATH`, if it can be executed.
fn find(name: &Path) -> Option<PathBuf> {
    let usable = |file: &PathBuf| file.is_file() && access(file, Access::EXEC_OK).is_ok();
    if name.as_os_str().as_bytes().contains(&b'/') {
        return Some(name.to_owned()).filter(usable);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(usable)
}

/// Process and its group. Drop kills both.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // Once waited for, it has no id: the number may belong to another process.
        if let Some(group) = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Asks `program` for its product and version.
async fn ask(program: &Path) -> Option<ServerVersion> {
    let mut command = Command::new(program);
    command.arg("version").env_clear().process_group(0).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut group = Group(command.spawn().ok()?);
    let mut output = Vec::new();
    let mut stdout = group.0.stdout.take()?.take(OUTPUT);
    // Not waited for before its output is read, so the group is still its own.
    tokio::time::timeout(LIMIT, stdout.read_to_end(&mut output)).await.ok()?.ok()?;
    product::of_binary(&String::from_utf8_lossy(&output))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Kind;

    #[test]
    fn older_targets_and_vault_for_openbao_are_refused() {
        use Product::{OpenBao, Vault};
        for (source, target, admitted) in [
            ((Some(OpenBao), Some("2.7.2")), (OpenBao, "2.10.0"), true),
            ((Some(OpenBao), Some("2.7.2")), (OpenBao, "2.6.1"), false),
            ((Some(OpenBao), Some("2.7.2")), (Vault, "2.8.0"), false),
            // Both products have a 2.x.
            ((None, Some("2.7.2")), (Vault, "2.8.0"), true),
            ((None, Some("2.7.2")), (Vault, "1.21.4"), false),
            ((None, Some("1.16.3")), (OpenBao, "2.6.1"), true),
            ((Some(Vault), Some("1.21.4")), (Vault, "1.9.9"), false),
            ((Some(Vault), Some("2.1.0")), (OpenBao, "2.0.0"), true),
            ((None, None), (Vault, "1.0.0"), true),
        ] {
            let target = ServerVersion::new(Some(target.0), Some(target.1));
            let result = admit(Path::new("/x"), &ServerVersion::new(source.0, source.1), &target);
            assert_eq!(
                result.as_ref().map_err(Error::kind),
                if admitted { Ok(&()) } else { Err(Kind::Usage) },
                "{target}"
            );
        }
    }

    #[tokio::test]
    async fn a_program_is_asked_for_its_product_and_version() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server");
        let script = |text: &str| {
            std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
        };
        script("echo \"OpenBao v2.7.2 (abc), committed today\"");
        assert_eq!(ask(&path).await.unwrap(), ServerVersion::new(Some(Product::OpenBao), Some("2.7.2")));
        script("exit 1");
        assert_eq!(ask(&path).await, None);
    }
}
