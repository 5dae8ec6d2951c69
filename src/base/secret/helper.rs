//! The token helper: the program that gives Vault's own clients their token.

use super::{MAX_SECRET, Reference, Secret};
use crate::base::child;
use crate::base::error::Result;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Variables of the store that the program does not need.
const AWS_SECRETS: [&str; 3] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

/// Timeout of the program.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Reference {
    /// Runs `PROGRAM get` and returns the token that it prints.
    ///
    /// # Errors
    /// `Usage` if it fails, prints nothing, or takes longer than [`TIMEOUT`].
    pub(super) fn run_helper(&self, program: &Path) -> Result<Secret> {
        let failed = |e: std::io::Error| self.broken("cannot be run").because(e);
        let mut command = Command::new(program);
        for name in child::secret_variables().iter().map(String::as_str).chain(AWS_SECRETS) {
            command.env_remove(name);
        }
        let mut child = command
            .arg("get")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let start = Instant::now();
        // A thread reads: a child process of the program may keep the pipe open after its end.
        let (sender, receiver) = mpsc::channel();
        if let Some(out) = child.stdout.take() {
            let read = move || {
                let mut token = Zeroizing::new(String::new());
                let read = out.take(MAX_SECRET).read_to_string(&mut token);
                sender.send(read.map(|_| token))
            };
            std::thread::Builder::new().spawn(read).map_err(failed)?;
        }
        let token = receiver.recv_timeout(TIMEOUT);
        let status = loop {
            match child.try_wait().map_err(failed)? {
                Some(status) => break status,
                None if start.elapsed() < TIMEOUT => std::thread::sleep(Duration::from_millis(10)),
                None => {
                    let _ = child.kill().and_then(|()| child.wait());
                    return Err(self.broken("timeout after 10 s"));
                }
            }
        };
        if !status.success() {
            return Err(self.broken(&format!("{status}")));
        }
        let token = token.map_err(|_| self.broken("its output did not end within 10 s"))?.map_err(failed)?;
        match token.trim() {
            "" => Err(self.broken("it printed no token").hint("log in with `vault login`, or set vault.auth")),
            token => Ok(Secret::new(token)),
        }
    }
}
