//! Requests through OpenBao's agent and proxy, which add their own token.

use super::environment::backup;
use crate::support::process::{Port, Process, temp_dir};
use crate::support::vault::{Server, Vault};
use std::process::Command;
use tempfile::TempDir;

const NONE: &str = "[vault.auth]\nmethod = \"none\"\n";

/// Running `bao agent` or `bao proxy` in front of a server.
struct Agent {
    port: Port,
    dir: TempDir,
    _process: Process,
}

impl Agent {
    /// Starts it with an AppRole. If `secret` is valid, waits until it has a token.
    fn start(mode: &str, vault: &Vault, (role, secret): (&str, &str), valid: bool) -> Self {
        let (port, dir) = (Port::reserve(), temp_dir());
        let [config, role_file, secret_file, socket] =
            ["agent.hcl", "role", "secret", "agent.sock"].map(|name| dir.path().join(name));
        std::fs::write(&role_file, role).unwrap();
        std::fs::write(&secret_file, secret).unwrap();
        let text = format!(
            "vault {{ address = {:?} }}\n\
             auto_auth {{ method \"approle\" {{ config = {{\n role_id_file_path = {role_file:?}\n \
             secret_id_file_path = {secret_file:?}\n }} }} }}\n\
             api_proxy {{ use_auto_auth_token = true }}\n\
             listener \"tcp\" {{\n address = {:?}\n tls_disable = true\n require_request_header = true\n}}\n\
             listener \"unix\" {{\n address = {socket:?}\n tls_disable = true\n}}\n",
            vault.address(),
            port.address(),
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(Server::OpenBao.binary());
        command.arg(mode).arg("-config").arg(&config);
        let log = dir.path().join("log");
        let mut process = Process::start(mode, command, &log);
        process.wait_for("its socket", || socket.exists().then_some(()));
        process.wait_for("listening", || std::net::TcpStream::connect(port.address()).ok());
        if valid {
            let has_token = || std::fs::read_to_string(&log).ok()?.contains("authentication successful").then_some(());
            process.wait_for("its token", has_token);
        }
        Self { port, dir, _process: process }
    }

    fn addresses(&self) -> [String; 2] {
        let socket = self.dir.path().join("agent.sock");
        [format!("http://{}", self.port.address()), format!("unix://{}", socket.display())]
    }
}

#[test]
fn the_agent_adds_its_token() {
    let vault = Vault::start();
    vault.snapshot_policy("backup");
    let (role, secret) = vault.approle("backup", &["backup"]);
    for mode in ["agent", "proxy"] {
        let agent = Agent::start(mode, &vault, (&role, &secret), true);
        for address in agent.addresses() {
            // The second run needs the token that the first run must not revoke. The client's own
            // variable is not sent.
            backup(&address, NONE).run().ok();
            backup(&address, NONE).env("BAO_TOKEN", "planted").run().ok();
        }
    }
}

#[test]
fn an_agent_without_a_valid_token_is_named() {
    let vault = Vault::start();
    let (role, secret) = vault.approle("other", &["default"]);
    for (secret, valid) in [("planted", false), (&secret[..], true)] {
        let agent = Agent::start("proxy", &vault, (&role, secret), valid);
        let [address, _] = agent.addresses();
        let run = backup(&address, NONE).run();
        run.fails(3, &[&address, "snapshot", "the agent adds no valid token"]).never_says(secret);
    }
    // For a client, an agent without a token behaves like the server itself.
    backup(&vault.address(), NONE).run().fails(3, &[&vault.address(), "the agent adds no valid token"]);
}
