//! AWS's configuration files, as both of its clients read them: for S3, and for the login to Vault.

use crate::base::child::secret_variables;
use crate::base::regular_file;
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use std::fmt::Write;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Returns AWS's configuration files with each `credential_process` started without the secrets of
/// this process; `None` if they name no program and are regular files. The SDK would pass on the
/// whole environment.
pub(crate) fn profiles() -> Option<EnvConfigFiles> {
    let read = |variable: &str, usual: &str| {
        let path = std::env::var(variable).unwrap_or_else(|_| usual.to_owned());
        let path = match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
            (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
            _ => path.into(),
        };
        // The SDK would wait for a FIFO, deaf to signals and the deadline.
        let special = path.metadata().is_ok_and(|meta| !meta.is_file());
        let mut text = String::new();
        let read = regular_file::open_or_inherited_pipe(&path).and_then(|mut file| file.read_to_string(&mut text));
        match read {
            // The usual way to say that there is no such file.
            Err(error) if special && path != Path::new("/dev/null") => {
                tracing::warn!("{}: not used: {error}", path.display());
            }
            _ => {}
        }
        (text, special)
    };
    let (config, special_config) = read("AWS_CONFIG_FILE", "~/.aws/config");
    let (credentials, special_credentials) = read("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials");
    let secrets = secret_variables();
    let names_program = |text: &str| text.lines().any(|line| program(line).is_some());
    let by_us = special_config || special_credentials || names_program(&config) || names_program(&credentials);
    by_us.then(|| {
        EnvConfigFiles::builder()
            .with_contents(EnvConfigFileKind::Config, guarded(&config, &secrets))
            .with_contents(EnvConfigFileKind::Credentials, guarded(&credentials, &secrets))
            .build()
    })
}

/// Returns the command of a line `credential_process = COMMAND`, without a comment.
fn program(line: &str) -> Option<&str> {
    let (key, command) = line.split_once('=')?;
    let indented = line.starts_with([' ', '\t']);
    let ours = !indented && key.trim().eq_ignore_ascii_case("credential_process");
    // As the SDK reads it: a comment begins after white space.
    let end = [" #", " ;", "\t#", "\t;"].iter().filter_map(|start| command.find(start)).min();
    let command = command[..end.unwrap_or(command.len())].trim();
    (ours && !command.is_empty()).then_some(command)
}

/// Returns the text of a configuration file whose programs start without the variables `secrets`.
/// The SDK runs them by `sh -c`; that shell is replaced, so that no process has the variables.
fn guarded(text: &str, secrets: &[String]) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let mut all = String::new();
    for line in text.lines() {
        let _ = match program(line) {
            Some(command) => {
                let without: String = secrets.iter().map(|name| format!("-u {} ", quoted(name))).collect();
                writeln!(all, "credential_process = exec env {without}sh -c {}", quoted(command))
            }
            None => writeln!(all, "{line}"),
        };
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_a_profile_starts_without_our_secrets() {
        let text = "[profile x]\nregion = eu\nCredential_Process = /opt/it's 'a b' # comment\n s3 =\n  credential_process = x\n";
        let expected = "[profile x]\nregion = eu\n\
            credential_process = exec env -u 'A' -u 'B.C' sh -c '/opt/it'\\''s '\\''a b'\\'''\n \
            s3 =\n  credential_process = x\n";
        assert_eq!(guarded(text, &["A".to_owned(), "B.C".to_owned()]), expected);
    }
}
