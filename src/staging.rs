//! An ephemeral Vault for one drill: a server of our own, thrown away afterwards.
//!
//! Here: its private folder, its process, its end. It is isolated: a restored
//! clone would revoke leases that it believes expired, in real databases
//! (hashicorp/vault#22275). Not here: what is restored into it (`pipeline::drill`).
//!
//! The folder holds only Vault's own encrypted storage. After `kill -9` the kernel
//! ends the server with its parent, and the next drill removes the folder.

use crate::error::{Error, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How the folders of drills are named.
const PREFIX: &str = "vault-backup-drill-";
/// Held as long as its drill lives.
const LOCK: &str = "lock";
/// A Vault takes up to 2.5 s to end.
const END: Duration = Duration::from_secs(5);
/// How long the server may take to make its socket.
const START: Duration = Duration::from_secs(30);

/// A user and a network namespace of its own, with nothing but a loopback device,
/// and a signal when the parent dies (set last: a new user namespace clears it).
const ISOLATED: &str =
    r#"exec unshare -rn setpriv --pdeathsig KILL sh -c 'ip link set lo up && exec "$0" server -config="$1"' "$0" "$1""#;
/// The same signal alone.
const BOUND: &str = r#"exec setpriv --pdeathsig KILL "$0" server -config="$1""#;

/// What an ephemeral Vault is started with.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The server; `vault`, else `bao`, from PATH if absent.
    pub binary: Option<PathBuf>,
    /// HCL that is added to its configuration, such as a seal stanza. A seal that
    /// is a service needs the network, so the server is not isolated then.
    pub config: Option<PathBuf>,
}

/// A running server. Dropped, it is killed and its folder removed.
#[derive(Debug)]
pub struct Ephemeral {
    child: Child,
    socket: PathBuf,
    isolated: bool,
    _lock: File,
    folder: TempDir,
}

impl Ephemeral {
    /// Starts a server, not initialised yet, that listens on a socket alone.
    /// Folders that killed drills left are removed first.
    ///
    /// # Errors
    /// `Usage` if there is no server to start; `Drill` if it does not come up.
    pub fn start(settings: &Settings) -> Result<Self> {
        let binary = binary(settings)?;
        let parent = std::env::temp_dir();
        remove_leftovers(&parent);
        let unusable = |e: std::io::Error| {
            Error::usage(format!("{}: no folder for the drill can be made there", parent.display()))
                .because(e)
                .hint("set TMPDIR to a folder that this user can write to")
        };
        // tempfile makes folders 0700.
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&parent).map_err(unusable)?;
        let lock = File::create(folder.path().join(LOCK)).map_err(unusable)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|e| unusable(e.into()))?;
        let extra = settings
            .config
            .as_deref()
            .map(std::fs::read_to_string)
            .transpose()
            .map_err(|e| Error::usage("staging.vault_config cannot be read").because(e))?;
        let socket = folder.path().join("vault.sock");
        let config = folder.path().join("vault.hcl");
        std::fs::create_dir(folder.path().join("data")).map_err(unusable)?;
        std::fs::write(&config, configuration(folder.path(), extra.as_deref()).map_err(unusable)?).map_err(unusable)?;

        let isolated = extra.is_none() && can_isolate();
        if !isolated {
            tracing::warn!(
                "the drill's Vault has this machine's network: whatever it restores may act, for example revoke leases"
            );
        }
        let child = spawn(&binary, &config, isolated, folder.path())?;
        let mut server = Self { child, socket, isolated, _lock: lock, folder };
        server.wait_for_socket(&binary)?;
        Ok(server)
    }

    /// Where its API listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Whether it runs without a network.
    pub fn is_isolated(&self) -> bool {
        self.isolated
    }

    fn wait_for_socket(&mut self, binary: &Path) -> Result<()> {
        let begun = Instant::now();
        while !self.socket.exists() {
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() || begun.elapsed() >= START {
                let how = ended.map_or("it makes no socket".to_owned(), |status| status.to_string());
                return Err(Error::drill(format!("{} server: {how}: {}", binary.display(), self.last_words()))
                    .hint("try another server by staging.vault_binary"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The last line that the server logged.
    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("it logged nothing")
            .chars()
            .take(300)
            .collect()
    }
}

impl Drop for Ephemeral {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // Asked first, so that it leaves nothing outside its folder either.
            let _ = kill_process(pid, Signal::TERM);
        }
        let begun = Instant::now();
        while begun.elapsed() < END && self.child.try_wait().is_ok_and(|status| status.is_none()) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn binary(settings: &Settings) -> Result<PathBuf> {
    if let Some(binary) = &settings.binary {
        return Ok(binary.clone());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = ["vault", "bao"]
        .iter()
        .find_map(|name| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file()));
    found.ok_or_else(|| {
        Error::usage("no Vault to restore into: neither vault nor bao is on PATH")
            .hint("install one, or set staging.vault_binary")
    })
}

fn configuration(folder: &Path, extra: Option<&str>) -> std::io::Result<String> {
    // A port that is free now; in a network of its own any would do.
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let folder = folder.display();
    let mut text = format!(
        "storage \"raft\" {{\n  path = \"{folder}/data\"\n  node_id = \"drill\"\n  performance_multiplier = \"1\"\n}}\n\
         listener \"unix\" {{\n  address = \"{folder}/vault.sock\"\n  cluster_address = \"127.0.0.1:{port}\"\n}}\n\
         api_addr = \"http://127.0.0.1:8200\"\ncluster_addr = \"https://127.0.0.1:{port}\"\ndisable_mlock = true\n"
    );
    if let Some(extra) = extra {
        text.push_str(extra);
    }
    Ok(text)
}

/// Whether the kernel gives this user a network namespace, and the tools are there.
fn can_isolate() -> bool {
    quietly("unshare", &["-rn", "setpriv", "--pdeathsig", "KILL", "ip", "link", "set", "lo", "up"])
}

fn quietly(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn spawn(binary: &Path, config: &Path, isolated: bool, folder: &Path) -> Result<Child> {
    let failed =
        |e: std::io::Error| Error::drill(format!("{} server could not be started", binary.display())).because(e);
    let log = File::create(folder.join("log")).map_err(failed)?;
    let script = if isolated { Some(ISOLATED) } else { quietly("setpriv", &["--version"]).then_some(BOUND) };
    let mut command = match script {
        Some(script) => {
            let mut command = Command::new("sh");
            command.arg("-c").arg(script).arg(binary).arg(config);
            command
        }
        None => {
            let mut flag = OsString::from("-config=");
            flag.push(config);
            let mut command = Command::new(binary);
            command.arg("server").arg(flag);
            command
        }
    };
    // Its surroundings are its own: no VAULT_*, AWS or proxy settings of this run.
    command
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("HOME", folder)
        .current_dir(folder);
    command.stdin(Stdio::null()).stdout(log.try_clone().map_err(failed)?).stderr(log);
    command.spawn().map_err(failed)
}

/// Removes folders of drills that were killed: nobody holds their lock.
fn remove_leftovers(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(PREFIX)) {
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            tracing::info!("removing {}, which a killed drill left", entry.path().display());
            if let Err(error) = std::fs::remove_dir_all(entry.path()) {
                tracing::warn!("{}: left by a killed drill, and cannot be removed: {error}", entry.path().display());
            }
        }
    }
}
