//! An ephemeral Vault for one restore drill: its start and its configuration.
//!
//! It is isolated: a restored clone would revoke leases that it considers expired, in real databases
//! (hashicorp/vault#22275). Its directory contains only Vault's own encrypted storage. The server and
//! its directory are removed when the drill ends. After `kill -9` the server is stopped too, and the
//! next drill removes the directory.

mod directory;
mod process;
mod program;

pub(crate) use program::locate;

use crate::base::error::{Error, Result};
use crate::base::regular_file;
use crate::formats::product;
use directory::DrillDirectory;
use process::StagingProcess;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::net::UnixStream;

/// Time limit for the server to listen on its socket.
const START: Duration = Duration::from_secs(30);
/// Polling interval for the socket.
const POLL: Duration = Duration::from_millis(20);
/// Maximum length of the path of a socket on Linux, in bytes.
const SOCKET_PATH: usize = 107;

/// Settings of an ephemeral Vault.
#[derive(Clone, Debug, Default)]
pub(crate) struct StagingSettings {
    /// Program of the server, if not the one on `PATH` (that of the backup's product first).
    pub binary: Option<PathBuf>,
    /// Server that the backup was taken from.
    pub origin: product::ServerVersion,
    /// File with HCL that is added to its configuration, such as a seal stanza, if any. A seal may
    /// need the network, so the server is then not isolated.
    pub config: Option<PathBuf>,
}

/// Running server. Drop stops it and removes its directory.
#[derive(Debug)]
pub(crate) struct Ephemeral {
    // In this order: the server stops before its directory is removed.
    server: StagingProcess,
    directory: DrillDirectory,
}

impl Ephemeral {
    /// Starts an uninitialised server that listens only on a socket. Removes the remains of killed
    /// drills first.
    ///
    /// # Errors
    /// `Usage` if there is no server to start, or it exits at once; `Vault` if it does not listen.
    pub(crate) async fn start(settings: &StagingSettings) -> Result<Self> {
        let binary = program::choose(settings.binary.as_deref(), &settings.origin).await?;
        let extra = settings.config.as_deref().map(read_config).transpose()?;
        let directory = DrillDirectory::create()?;
        let socket = directory.socket();
        if socket.as_os_str().len() > SOCKET_PATH {
            let what = format!("{}: path too long for a socket", socket.display());
            return Err(Error::usage(what).hint("set TMPDIR to a shorter path"));
        }
        let text = configuration(directory.path(), extra.as_deref());
        text.and_then(|text| directory.prepare(&text)).map_err(|e| directory::unusable(directory.path(), e))?;
        let isolated = isolated(extra.is_some()).await;
        let server = StagingProcess::start(&binary, directory.path(), &directory.config(), isolated)?;
        let mut ephemeral = Self { server, directory };
        ephemeral.listening(&binary).await?;
        Ok(ephemeral)
    }

    /// Returns the socket of its API.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.socket()
    }

    async fn listening(&mut self, binary: &Path) -> Result<()> {
        let begun = Instant::now();
        while UnixStream::connect(self.socket()).await.is_err() {
            if let Some(status) = self.server.ended() {
                let what = format!("{} server: {status}: {}", binary.display(), self.directory.last_log_line());
                return Err(Error::usage(what).hint(
                    "check that staging.vault_binary is a Vault, and that staging.vault_config is valid for it",
                ));
            }
            if begun.elapsed() >= START {
                let (binary, seconds) = (binary.display(), START.as_secs());
                let what =
                    format!("{binary} server: not listening after {seconds} s: {}", self.directory.last_log_line());
                return Err(Error::vault(what));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }
}

/// Returns `true` if the server is to be isolated; otherwise warns.
async fn isolated(needs_network: bool) -> bool {
    let why = match needs_network {
        true => "staging.vault_config may need it",
        false if process::can_isolate().await => return true,
        false => "`unshare -rn` and `ip` cannot create a network namespace here",
    };
    tracing::warn!(
        "the restore drill's Vault has this machine's network ({why}): a restored Vault may act, for example revoke leases"
    );
    false
}

fn read_config(path: &Path) -> Result<String> {
    let failed = |e| Error::usage(format!("staging.vault_config {}: cannot be read", path.display())).because(e);
    regular_file::read_to_string(path).map_err(failed)
}

fn configuration(directory: &Path, extra: Option<&str>) -> std::io::Result<String> {
    // A port that is free now; in an isolated network, any port would work. A server does not unseal
    // without a cluster address, which only a TCP listener provides. The API of this listener accepts
    // no peer: the socket is used instead.
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let dir = directory.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    let mut text = format!(
        "storage \"raft\" {{\n  path = \"{dir}/data\"\n  node_id = \"drill\"\n  performance_multiplier = \"1\"\n}}\n\
         listener \"unix\" {{\n  address = \"{dir}/{socket}\"\n}}\n\
         listener \"tcp\" {{\n  address = \"127.0.0.1:0\"\n  cluster_address = \"127.0.0.1:{port}\"\n  tls_disable = true\n  \
         proxy_protocol_behavior = \"deny_unauthorized\"\n  proxy_protocol_authorized_addrs = \"255.255.255.255\"\n}}\n\
         api_addr = \"http://127.0.0.1:8200\"\ncluster_addr = \"https://127.0.0.1:{port}\"\ndisable_mlock = true\n",
        socket = directory::SOCKET,
    );
    text.push_str(extra.unwrap_or_default());
    Ok(text)
}
