//! The process of a drill's server: it never outlives its drill.
//!
//! A guard of its own process group waits for the end of a pipe that this process
//! holds open, and then ends the group. So the server goes with its parent however
//! that ends, whatever rights the program has (those of a file clear the signal that
//! a parent's death can send), and from its first moment on.

use crate::base::error::{Error, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// Begins the guard, then becomes the server: `$0`, with the configuration `$1`.
const GUARDED: &str = r#"exec 3<&0 </dev/null
{ read -r _ <&3; kill -s KILL 0; } &
exec "$0" server -config="$1" 3<&-"#;

/// The same, in a user and a network namespace of its own, with nothing but a
/// loopback device, without which a Vault does not unseal.
const ISOLATED: &str = r#"exec unshare -rn sh -c 'ip link set lo up || exit; eval "$2"' "$0" "$1" "$2""#;

/// A server that runs. Dropped, it is ended at once: all that it has is its folder.
#[derive(Debug)]
pub(super) struct StagingProcess {
    /// Its standard input is the pipe.
    child: Child,
}

impl StagingProcess {
    /// Starts `binary` in `folder`, with nothing of this run's surroundings: no
    /// `VAULT_*`, AWS or proxy settings.
    ///
    /// # Errors
    /// `Usage`.
    pub(super) fn start(binary: &Path, folder: &Path, config: &Path, isolated: bool) -> Result<Self> {
        let failed = |e: io::Error| Error::usage(format!("{} server: sh cannot start it", binary.display())).because(e);
        let log = File::create(log(folder)).map_err(failed)?;
        let mut command = Command::new("sh");
        command.arg("-c").arg(if isolated { ISOLATED } else { GUARDED }).arg(binary).arg(config).arg(GUARDED);
        command
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs([("HOME", folder), ("TMPDIR", folder)])
            .current_dir(folder)
            .process_group(0);
        command.stdin(Stdio::piped()).stdout(log.try_clone().map_err(failed)?).stderr(log);
        Ok(Self { child: command.spawn().map_err(failed)? })
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for StagingProcess {
    fn drop(&mut self) {
        // If the server is no more, the guard ends what is left of its group.
        drop(self.child.stdin.take());
        if self.ended().is_none()
            && let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            // Not awaited yet, so the number is still the group's.
            let _ = kill_process_group(group, Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// Where a server in `folder` logs to.
pub(super) fn log(folder: &Path) -> PathBuf {
    folder.join("log")
}

/// Whether the kernel gives this user a network namespace, and the tools are there.
pub(super) async fn can_isolate() -> bool {
    let mut command = tokio::process::Command::new("unshare");
    command.args(["-rn", "ip", "link", "set", "lo", "up"]).kill_on_drop(true);
    // Other programs have no use for this run's secrets.
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}

/// Ends a server with the configuration `config` whose drill and guard are gone.
pub(super) fn end_left_over(config: &Path) {
    let argument = [b"-config=", config.as_os_str().as_bytes()].concat();
    let Ok(processes) = std::fs::read_dir("/proc") else { return };
    for process in processes.flatten() {
        let pid = process.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        if let Some(pid) = pid.filter(|_| line.split(|byte| *byte == 0).any(|part| part == argument)) {
            tracing::warn!("ending process {pid:?}, a server that a killed drill left");
            // If it is another user's, it is not ours to end.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
