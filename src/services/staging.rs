//! An ephemeral Vault for one drill: a server of our own, thrown away afterwards.
//!
//! Here: what it is started with, its start, its configuration. Not here: its folder
//! (`folder`), its process (`process`), its program (`program`), and what is restored into it
//! (`pipeline::drill`).
//!
//! It is isolated: a restored clone would revoke leases that it believes expired, in
//! real databases (hashicorp/vault#22275). The folder holds only Vault's own
//! encrypted storage. StagingProcess and folder are gone when the drill ends; after `kill -9`
//! the server is ended all the same, and the next drill removes the folder.

mod directory;
mod process;
mod program;

pub use program::locate;

use crate::base::error::{Error, Result};
use crate::formats::product;
use directory::Folder;
use process::StagingProcess;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::net::UnixStream;

/// How long the server may take to listen on its socket.
const START: Duration = Duration::from_secs(30);
/// How often that is looked for.
const POLL: Duration = Duration::from_millis(20);
/// The longest path that a socket can have, on Linux.
const SOCKET_PATH: usize = 107;

/// What an ephemeral Vault is started with.
#[derive(Clone, Debug, Default)]
pub struct StagingSettings {
    /// The server's program; from PATH if absent, that of the backup's product first.
    pub binary: Option<PathBuf>,
    /// The server that the backup was taken from.
    pub origin: product::ServerVersion,
    /// HCL that is added to its configuration, such as a seal stanza. A seal that
    /// is a service needs the network, so the server is not isolated then.
    pub config: Option<PathBuf>,
}

/// A running server. Dropped, it is ended and its folder removed.
#[derive(Debug)]
pub struct Ephemeral {
    // In this order: the server ends before its folder goes.
    server: StagingProcess,
    folder: Folder,
}

impl Ephemeral {
    /// Starts a server, not initialised yet, that listens on a socket alone.
    /// What killed drills left is removed first.
    ///
    /// # Errors
    /// `Usage` if there is no server to start, or it ends at once; `Vault` if it does
    /// not listen.
    pub async fn start(settings: &StagingSettings) -> Result<Self> {
        let binary = program::choose(settings.binary.as_deref(), &settings.origin).await?;
        let extra = settings.config.as_deref().map(read_config).transpose()?;
        let folder = Folder::create()?;
        let socket = folder.socket();
        if socket.as_os_str().len() > SOCKET_PATH {
            let what = format!("{}: too long a path for a socket", socket.display());
            return Err(Error::usage(what).hint("set TMPDIR to a shorter path"));
        }
        let text = configuration(folder.path(), extra.as_deref());
        text.and_then(|text| folder.prepare(&text)).map_err(|e| directory::unusable(folder.path(), e))?;
        let isolated = isolated(extra.is_some()).await;
        let server = StagingProcess::start(&binary, folder.path(), &folder.config(), isolated)?;
        let mut ephemeral = Self { server, folder };
        ephemeral.listening(&binary).await?;
        Ok(ephemeral)
    }

    /// Where its API listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.socket()
    }

    async fn listening(&mut self, binary: &Path) -> Result<()> {
        let begun = Instant::now();
        while UnixStream::connect(self.socket()).await.is_err() {
            if let Some(status) = self.server.ended() {
                let what = format!("{} server: {status}: {}", binary.display(), self.folder.last_words());
                return Err(Error::usage(what)
                    .hint("is staging.vault_binary a Vault, and staging.vault_config its configuration?"));
            }
            if begun.elapsed() >= START {
                let (binary, seconds) = (binary.display(), START.as_secs());
                let what = format!("{binary} server: not listening after {seconds} s: {}", self.folder.last_words());
                return Err(Error::vault(what));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }
}

/// Whether the server is to be isolated; if not, that is said.
async fn isolated(needs_network: bool) -> bool {
    let why = match needs_network {
        true => "staging.vault_config may need it",
        false if process::can_isolate().await => return true,
        false => "this system gives no network namespace by `unshare -rn` and `ip`",
    };
    tracing::warn!(
        "the drill's Vault has this machine's network ({why}): whatever it restores may act, for example revoke leases"
    );
    false
}

fn read_config(path: &Path) -> Result<String> {
    let failed = |e| Error::usage(format!("staging.vault_config {}: cannot be read", path.display())).because(e);
    std::fs::read_to_string(path).map_err(failed)
}

fn configuration(folder: &Path, extra: Option<&str>) -> std::io::Result<String> {
    // A port that is free now; in a network of its own any would do. Only a TCP listener yields
    // the cluster address without which a server does not unseal. Its API answers no peer: the
    // socket is the way in.
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let folder = folder.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    let mut text = format!(
        "storage \"raft\" {{\n  path = \"{folder}/data\"\n  node_id = \"drill\"\n  performance_multiplier = \"1\"\n}}\n\
         listener \"unix\" {{\n  address = \"{folder}/{socket}\"\n}}\n\
         listener \"tcp\" {{\n  address = \"127.0.0.1:0\"\n  cluster_address = \"127.0.0.1:{port}\"\n  tls_disable = true\n  \
         proxy_protocol_behavior = \"deny_unauthorized\"\n  proxy_protocol_authorized_addrs = \"255.255.255.255\"\n}}\n\
         api_addr = \"http://127.0.0.1:8200\"\ncluster_addr = \"https://127.0.0.1:{port}\"\ndisable_mlock = true\n",
        socket = directory::SOCKET,
    );
    text.push_str(extra.unwrap_or_default());
    Ok(text)
}
