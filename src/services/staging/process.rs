//! The process of a drill's server, which never outlives its drill.
//!
//! A guard process in the server's process group waits for the end of a pipe that this process keeps
//! open, and then kills the group. So the server stops with its parent, however the parent ends. A
//! parent death signal would not do: file capabilities of the program clear it.

use crate::base::error::{Error, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// Script that starts the guard, then becomes the server: `$0`, with the configuration `$1`.
const GUARDED: &str = r#"exec 3<&0 </dev/null
{ read -r _ <&3; kill -s KILL 0; } &
exec "$0" server -config="$1" 3<&-"#;

/// The same in a separate user and network namespace. Its only device is loopback, without which a
/// Vault does not unseal.
const ISOLATED: &str = r#"exec unshare -rn sh -c 'ip link set lo up || exit; eval "$2"' "$0" "$1" "$2""#;

/// Running server. Drop kills it: its data is not needed any more.
#[derive(Debug)]
pub(super) struct StagingProcess {
    /// Child process, with the pipe as its standard input.
    child: Child,
}

impl StagingProcess {
    /// Starts `binary` in `directory`, without the environment of this run: no `VAULT_*`, AWS or proxy
    /// variables.
    ///
    /// # Errors
    /// `Usage` if it cannot be started.
    pub(super) fn start(binary: &Path, directory: &Path, config: &Path, isolated: bool) -> Result<Self> {
        let failed = |e: io::Error| Error::usage(format!("{} server: sh cannot start it", binary.display())).because(e);
        let log = File::create(log(directory)).map_err(failed)?;
        let mut command = Command::new("sh");
        command.arg("-c").arg(if isolated { ISOLATED } else { GUARDED }).arg(binary).arg(config).arg(GUARDED);
        command
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs([("HOME", directory), ("TMPDIR", directory)])
            .current_dir(directory)
            .process_group(0);
        command.stdin(Stdio::piped()).stdout(log.try_clone().map_err(failed)?).stderr(log);
        Ok(Self { child: command.spawn().map_err(failed)? })
    }

    /// Returns the exit status, if the server has ended.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for StagingProcess {
    fn drop(&mut self) {
        // If the server has ended, the guard kills the rest of its group.
        drop(self.child.stdin.take());
        if self.ended().is_none()
            && let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            // Not waited for yet, so the id is still that of the group.
            let _ = kill_process_group(group, Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// Returns the log file of a server in `directory`.
pub(super) fn log(directory: &Path) -> PathBuf {
    directory.join("log")
}

/// Returns `true` if this user can create a network namespace and the tools exist.
pub(super) async fn can_isolate() -> bool {
    let mut command = tokio::process::Command::new("unshare");
    command.args(["-rn", "ip", "link", "set", "lo", "up"]).kill_on_drop(true);
    // Other programs must not get this run's secrets.
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}

/// Kills a server with the configuration `config` that has outlived its drill and guard.
pub(super) fn end_left_over(config: &Path) {
    let argument = [b"-config=", config.as_os_str().as_bytes()].concat();
    let Ok(processes) = std::fs::read_dir("/proc") else { return };
    for process in processes.flatten() {
        let pid = process.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        if let Some(pid) = pid.filter(|_| line.split(|byte| *byte == 0).any(|part| part == argument)) {
            tracing::warn!("killing process {pid:?}, a server left by a killed drill");
            // Fails for a process of another user, which is right.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
