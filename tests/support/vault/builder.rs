//! The settings of a node, its configuration file, and how it starts.

use super::{Arc, Ca, Mutex, Path, PathBuf, Port, Process, Server, Vault, client};
use crate::support::process::temp_dir;
use crate::support::tls::Identity;
use std::process::Command;

/// The settings of a node, from [`Vault::builder`].
pub struct Builder {
    server: Server,
    ports: [Port; 2],
    node_id: String,
    shares: Option<(usize, usize)>,
    ca: Option<Arc<Ca>>,
    unix: bool,
    join: Vec<String>,
    listener: String,
    config: String,
    api_addr: Option<String>,
}

impl Builder {
    pub(super) fn new() -> Self {
        let ports = [Port::reserve(), Port::reserve()];
        Self {
            server: Server::of_this_run(),
            node_id: format!("node-{}", ports[0].number()),
            ports,
            shares: Some((3, 2)),
            ca: None,
            unix: false,
            join: Vec::new(),
            listener: String::new(),
            config: String::new(),
            api_addr: None,
        }
    }

    /// Runs `server` instead of the one of this test run.
    #[must_use]
    pub fn server(mut self, server: Server) -> Self {
        self.server = server;
        self
    }

    /// Lets root tokens be made from key shares without a token, which OpenBao refuses by
    /// default: what operations.md tells users to set on a staging server.
    #[must_use]
    pub fn staging(self) -> Self {
        self.unauthenticated("generate_root")
    }

    /// Lets shares be replaced without a token, which OpenBao refuses by default.
    #[must_use]
    pub fn rekeyable(self) -> Self {
        self.unauthenticated("rekey")
    }

    fn unauthenticated(self, endpoints: &str) -> Self {
        match self.server {
            Server::Vault => self,
            Server::OpenBao | Server::OpenBaoOld => {
                self.listener(&format!("disable_unauthed_{endpoints}_endpoints = false\n"))
            }
        }
    }

    /// Initialises it with `count` shares, `threshold` of which unseal it.
    #[must_use]
    pub fn shares(mut self, count: usize, threshold: usize) -> Self {
        self.shares = Some((count, threshold));
        self
    }

    /// Leaves it as a new server is: without keys, and sealed.
    #[must_use]
    pub fn uninitialised(mut self) -> Self {
        self.shares = None;
        self
    }

    /// Names it in Raft; the default is different for every node.
    #[must_use]
    pub fn node_id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.node_id);
        self
    }

    /// Serves TLS, with a certificate of a new private CA, or plain HTTP.
    #[must_use]
    pub fn tls(mut self, on: bool) -> Self {
        self.ca = on.then(|| Arc::new(Ca::new()));
        self
    }

    /// Serves TLS with a certificate of `ca`.
    #[must_use]
    pub fn tls_by(mut self, ca: Arc<Ca>) -> Self {
        self.ca = Some(ca);
        self
    }

    /// Listens on a Unix socket as well, which the harness then uses. Servers need a
    /// TCP listener for the cluster.
    #[must_use]
    pub fn listener_unix(mut self) -> Self {
        self.unix = true;
        self
    }

    /// Adds lines of HCL to the listener.
    #[must_use]
    pub fn listener(mut self, lines: &str) -> Self {
        self.listener += lines;
        self
    }

    /// Adds lines of HCL to the configuration's top.
    #[must_use]
    pub fn config(mut self, lines: &str) -> Self {
        self.config += lines;
        self
    }

    /// Has it tell others this URL as its own (`api_addr`).
    #[must_use]
    pub fn api_addr(mut self, url: &str) -> Self {
        self.api_addr = Some(url.to_owned());
        self
    }

    /// The URL that the node will have.
    pub fn address(&self) -> String {
        address(&self.ports, self.ca.is_some())
    }

    /// Joins the cluster of any of `addresses` instead of being initialised.
    #[must_use]
    pub fn join(mut self, addresses: &[String]) -> Self {
        self.join = addresses.to_vec();
        self.uninitialised()
    }

    /// Starts it, and waits until it is active, or, uninitialised, until it answers.
    pub fn start(self) -> Vault {
        let dir = temp_dir();
        std::fs::create_dir(dir.path().join("data")).unwrap();
        let identity = self.ca.as_ref().map(|ca| ca.server());
        std::fs::write(dir.path().join("vault.hcl"), self.hcl(dir.path(), identity.as_ref())).unwrap();
        let socket = self.unix.then(|| socket(dir.path()));
        let mut vault = Vault {
            process: Mutex::new(run(self.server, dir.path(), &self.node_id)),
            server: self.server,
            http: client(self.ca.as_ref().map(|ca| ca.pem()), socket.as_deref()),
            dir,
            ports: self.ports,
            unix: self.unix,
            node_id: self.node_id,
            ca: self.ca,
            shares: Vec::new(),
            threshold: 0,
            root_token: String::new(),
        };
        vault.wait_for("an answer", Vault::health);
        if let Some((count, threshold)) = self.shares {
            vault.initialise(count, threshold);
            vault.unseal(vault.enough_shares());
        }
        vault
    }

    fn hcl(&self, dir: &Path, identity: Option<&Identity>) -> String {
        let tls = match identity {
            Some(Identity { cert, key }) => format!("tls_cert_file = {cert:?}\n  tls_key_file = {key:?}"),
            None => "tls_disable = true".to_owned(),
        };
        let unix = match self.unix {
            true => format!("listener \"unix\" {{\n  address = {:?}\n  tls_disable = true\n}}\n", socket(dir)),
            false => String::new(),
        };
        let ca = self.ca.as_ref().map(|ca| format!("leader_ca_cert_file = {:?}", ca.path())).unwrap_or_default();
        let join = |peer: &String| format!("\n  retry_join {{\n    leader_api_addr = {peer:?}\n    {ca}\n  }}");
        format!(
            "{config}\ndisable_mlock = true\napi_addr = {api:?}\ncluster_addr = \"https://{cluster}\"\n\
             {unix}listener \"tcp\" {{\n  address = {listen:?}\n  cluster_address = {cluster:?}\n  {tls}\n  {extra}\n}}\n\
             storage \"raft\" {{\n  path = {data:?}\n  node_id = {id:?}\n  performance_multiplier = \"1\"{joins}\n}}\n",
            config = self.config,
            api = self.api_addr.clone().unwrap_or_else(|| self.address()),
            cluster = self.ports[1].address(),
            listen = self.ports[0].address(),
            extra = self.listener,
            data = dir.join("data"),
            id = self.node_id,
            joins = self.join.iter().map(join).collect::<String>(),
        )
    }
}

pub(super) fn address(ports: &[Port; 2], tls: bool) -> String {
    format!("{}://{}", if tls { "https" } else { "http" }, ports[0].address())
}

pub(super) fn socket(dir: &Path) -> PathBuf {
    dir.join("api.sock")
}

/// Starts the server whose configuration is in `dir`.
pub(super) fn run(server: Server, dir: &Path, name: &str) -> Process {
    let mut command = Command::new(server.binary());
    command.arg("server").arg(format!("-config={}", dir.join("vault.hcl").display())).current_dir(dir);
    // What the developer's shell says of a Vault is not meant for this one.
    let of_clients = |key: &std::ffi::OsStr| ["VAULT_", "BAO_"].iter().any(|p| key.to_string_lossy().starts_with(p));
    for (key, _) in std::env::vars_os().filter(|(key, _)| of_clients(key)) {
        command.env_remove(key);
    }
    Process::start(name, command, &dir.join("log"))
}
