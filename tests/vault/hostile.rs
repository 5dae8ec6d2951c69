//! A hostile server in place of Vault: answers without an end in size, time, depth or number. Every
//! command ends in time, with bounded memory and one line.

use super::{assert_says, settings};
use crate::support::bounded::bounded;
use crate::support::process::temp_dir;
use crate::support::tool::{Tool, tool};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use vault_backup::base::error::Kind;
use vault_backup::base::secret::Secret;
use vault_backup::formats::crypto::Key;
use vault_backup::services::vault::{Auth, Client};

const HEALTH: &str = r#"{"initialized":true,"sealed":false,"standby":false,"version":"2.6.1","cluster_id":"a"}"#;
const SEAL: &str = r#"{"initialized":true,"sealed":false,"type":"shamir","t":2,"n":3,"progress":0,"version":"2.6.1",
    "storage_type":"raft"}"#;
const LOGIN: &str = r#"{"auth":{"client_token":"hvs.planted","policies":["backup"],"token_type":"service",
    "lease_duration":3600}}"#;
const CAPABILITIES: &str = r#"{"data":{"sys/storage/raft/snapshot":["read"]}}"#;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Attack {
    EndlessBody,
    EndlessError,
    EndlessHeaders,
    EndlessHints,
    SlowHeaders,
    SlowBody,
    SlowSnapshot,
    Nested,
    ManyObjects,
    GzipBomb,
}

impl Attack {
    const ANSWERS: [Self; 9] = [
        Self::EndlessBody,
        Self::EndlessError,
        Self::EndlessHeaders,
        Self::EndlessHints,
        Self::SlowHeaders,
        Self::SlowBody,
        Self::Nested,
        Self::ManyObjects,
        Self::GzipBomb,
    ];

    /// Answers until the client hangs up.
    fn run(self, to: &mut TcpStream) -> io::Result<()> {
        let endless = |to: &mut TcpStream, begin: &str, piece: &[u8], pause: u64| -> io::Result<()> {
            to.write_all(begin.as_bytes())?;
            loop {
                to.write_all(piece)?;
                std::thread::sleep(Duration::from_millis(pause));
            }
        };
        let json = "Content-Type: application/json\r\n";
        let long = format!("{json}Content-Length: 99999999999\r\n\r\n{{\"errors\":[\"");
        let text = vec![b'a'; 64 << 10];
        match self {
            Self::EndlessBody => endless(to, &format!("HTTP/1.1 200 OK\r\n{long}"), &text, 0),
            Self::EndlessError => endless(to, &format!("HTTP/1.1 500 Oh\r\n{long}"), &text, 0),
            Self::EndlessHeaders => endless(to, "HTTP/1.1 200 OK\r\n", b"X-Planted: aaaaaaaaaaaaaaaa\r\n", 0),
            Self::EndlessHints => endless(to, "", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 0),
            Self::SlowHeaders => endless(to, "HTTP/1.1 200 OK\r\nX-Planted: ", b"a", 100),
            Self::SlowBody => endless(to, &format!("HTTP/1.1 200 OK\r\n{long}"), b"a", 100),
            Self::SlowSnapshot => {
                endless(to, "HTTP/1.1 200 OK\r\nContent-Type: application/gzip\r\n\r\n", b"\x1f", 100)
            }
            Self::Nested => whole(to, json, &vec![b'['; 3 << 20]),
            Self::ManyObjects => {
                let body = format!("{{\"data\":[{}{{}}]}}", "{\"\":0},".repeat(590_000));
                whole(to, json, body.as_bytes())
            }
            Self::GzipBomb => {
                let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                io::copy(&mut io::repeat(b' ').take(256 << 20), &mut bomb)?;
                whole(to, &format!("{json}Content-Encoding: gzip\r\n"), &bomb.finish()?)
            }
        }
    }
}

fn whole(to: &mut TcpStream, headers: &str, body: &[u8]) -> io::Result<()> {
    write!(to, "HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\n\r\n", body.len())?;
    to.write_all(body)
}

/// Starts a server that answers requests to paths with `attacked` by `attack`, and returns its address.
fn hostile(attacked: &'static str, attack: Attack) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // It ends when the client hangs up.
            std::thread::spawn(move || serve(client, attacked, attack));
        }
    });
    address
}

fn serve(mut client: TcpStream, attacked: &str, attack: Attack) -> io::Result<()> {
    let mut from = BufReader::new(client.try_clone()?);
    loop {
        let (mut first, mut length) = (String::new(), 0);
        from.read_line(&mut first)?;
        let mut line = first.clone();
        while !line.trim().is_empty() {
            line.clear();
            from.read_line(&mut line)?;
            if let Some(size) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = size.trim().parse().unwrap();
            }
        }
        let Some(path) = first.split(' ').nth(1) else { return Ok(()) };
        io::copy(&mut from.by_ref().take(length), &mut io::sink())?;
        let body = match path {
            path if path.contains(attacked) => return attack.run(&mut client),
            "/v1/sys/health" => HEALTH,
            "/v1/sys/seal-status" => SEAL,
            "/v1/auth/userpass/login/backup" => LOGIN,
            "/v1/sys/capabilities-self" => CAPABILITIES,
            _ => "{}",
        };
        whole(&mut client, "Content-Type: application/json\r\n", body.as_bytes())?;
    }
}

/// The tool with a login at `address` and short timeouts.
fn against(address: &str) -> (Tool, tempfile::TempDir) {
    let (tool, store) = (tool(), temp_dir());
    let config = "[vault.auth]\nmethod = \"userpass\"\nusername = \"backup\"\npassword = \"env:PW\"\n\
                  [run]\nidle_timeout = \"1s\"\nretries = 0\n";
    std::fs::write(tool.home().join("config.toml"), config).unwrap();
    let tool = tool
        .envs([("VAULT_ADDR", address), ("PW", "planted-pw"), ("VAULT_BACKUP_CONFIG", "config.toml")])
        .env("VAULT_BACKUP_STORE", format!("file://{}", store.path().display()))
        .env("VAULT_BACKUP_KEY", Key::generate().unwrap().to_hex().expose())
        .keeps(["planted-pw", "hvs.planted"]);
    (tool, store)
}

#[test]
fn hostile_answers_to_a_login_are_bounded() {
    for attack in Attack::ANSWERS {
        let (tool, _store) = against(&hostile("/login/", attack));
        let output = bounded(tool.arg("backup"), &format!("{attack:?}"));
        output.fails(3, &["login by userpass"]).leaves(&["config.toml"]);
    }
}

#[test]
fn hostile_answers_to_every_request_of_a_backup_are_bounded() {
    let attacks = [Attack::EndlessBody, Attack::EndlessError, Attack::SlowBody, Attack::EndlessHints];
    for attacked in ["/sys/health", "/sys/seal-status", "/storage/raft/snapshot"] {
        for attack in attacks {
            let (tool, store) = against(&hostile(attacked, attack));
            let output = bounded(tool.arg("backup"), &format!("{attacked} {attack:?}"));
            // A body that is no gzip file is a broken snapshot, if it comes fast enough.
            let code = output.status.unwrap();
            assert!(matches!(code, 3 | 5), "{attacked} {attack:?}: {output:?}");
            output.fails(code, &[]).leaves(&["config.toml"]);
            let left: Vec<_> = std::fs::read_dir(store.path()).unwrap().flatten().map(|e| e.path()).collect();
            assert!(left.iter().all(|path| std::fs::read_dir(path).unwrap().next().is_none()), "{left:?}");
        }
    }
}

#[test]
fn a_snapshot_below_the_minimum_rate_is_a_failure() {
    let (tool, _store) = against(&hostile("/storage/raft/snapshot", Attack::SlowSnapshot));
    let output = bounded(tool.arg("backup"), "slow snapshot");
    output.fails(3, &["snapshot, after", "the transfer stalled", "run.idle_timeout"]).leaves(&["config.toml"]);
}

#[test]
fn hostile_answers_to_the_requests_of_doctor_are_bounded() {
    for attacked in ["/sys/capabilities-self", "/auth/token/revoke-self"] {
        for attack in [Attack::EndlessBody, Attack::SlowBody, Attack::ManyObjects] {
            let (tool, _store) = against(&hostile(attacked, attack));
            let output = bounded(tool.arg("doctor"), &format!("{attacked} {attack:?}"));
            assert!(matches!(output.status, Some(0 | 3)), "{output:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_answers_to_unwrapping_a_secret_id_are_bounded() {
    for attack in [Attack::EndlessBody, Attack::EndlessError, Attack::SlowBody] {
        let address = hostile("/sys/wrapping/lookup", attack);
        let mut settings = settings(&[address]);
        settings.idle_timeout = Duration::from_secs(1);
        let client = Client::new(settings).unwrap();
        let node = client.leader().await.unwrap();
        let auth = Auth::AppRole {
            mount: "approle".into(),
            role_id: Secret::new("r").into(),
            secret_id: Some(Secret::new("hvs.planted").into()),
        };
        let why = if attack == Attack::SlowBody { "did not end within 1 s" } else { "too long" };
        assert_says(&client.login(&node, &auth).await.unwrap_err(), Kind::Vault, &["login by AppRole", why]);
    }
}
