//! The programs that the tool starts get neither its secrets nor its open files.

use crate::support::place::Place;
use crate::support::process::temp_dir;
use crate::support::production::Site;
use crate::support::tool::{Output, program};
use crate::support::vault::binary;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A program that writes its environment and open files to a directory, then does `what`.
struct Witness {
    dir: tempfile::TempDir,
    path: PathBuf,
}

impl Witness {
    fn new(what: &str) -> Self {
        let dir = temp_dir();
        let (path, at) = (dir.path().join("program"), dir.path().display());
        let script = format!(
            "#!/bin/sh\nPATH=$PATH:/usr/bin:/bin\nenv >>'{at}/environment'\nls -l /proc/$$/fd >>'{at}/files'\n{what}\n"
        );
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
        Self { dir, path }
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    /// Returns a script that opens a file which the tool then inherits as number 7.
    fn leak(&self) -> String {
        let leaked = self.dir.path().join("leaked");
        std::fs::write(&leaked, "planted").unwrap();
        format!("exec 7<'{}'", leaked.display())
    }

    /// Asserts that it ran, and got nothing.
    #[track_caller]
    fn assert_got_nothing(&self, secrets: &[&str], output: &Output) {
        let (environment, files) = (self.read("environment"), self.read("files"));
        assert!(environment.contains("PATH=") && files.contains("0 -> "), "it did not run: {output:?}");
        assert!(!files.contains("leaked"), "{files}");
        for name in ["VAULT_BACKUP_", "VAULT_TOKEN=", "BAO_TOKEN=", "PLANTED_REFERENCE="] {
            let found = environment.lines().find(|line| line.starts_with(name));
            assert!(found.is_none(), "{found:?}");
        }
        for secret in secrets {
            assert!(!environment.contains(secret), "a secret is in its environment: {environment}");
        }
    }
}

#[test]
fn a_program_inherits_files_from_a_shell() {
    let witness = Witness::new("true");
    program(&witness.path).after(&witness.leak()).run().ok();
    assert!(witness.read("files").contains("leaked"), "{}", witness.read("files"));
}

/// A configuration that names a secret in another variable.
fn with_reference(place: &Place) -> crate::support::tool::Tool {
    let tool = place.tool().env("PLANTED_REFERENCE", "http://127.0.0.1:9/planted-reference");
    let config = "[[notify]]\ntype = \"webhook\"\nurl = \"env:PLANTED_REFERENCE\"\non = [\"failure\"]\n";
    std::fs::write(tool.home().join("config.toml"), config).unwrap();
    tool.args(["--config", "config.toml"])
}

#[test]
fn a_credential_process_gets_no_secrets_and_no_open_files() {
    let place = Place::s3();
    let (key, secret) = place.site.s3.root();
    let witness =
        Witness::new(&format!("echo '{{\"Version\":1,\"AccessKeyId\":\"{key}\",\"SecretAccessKey\":\"{secret}\"}}'"));
    let named = format!("credential_process = {}\n", witness.path.display());
    for (file, variable, profile) in [
        ("config", "AWS_CONFIG_FILE", "[default]\n"),
        ("config", "AWS_CONFIG_FILE", "[profile other]\n"),
        ("credentials", "AWS_SHARED_CREDENTIALS_FILE", "[default]\n"),
    ] {
        let tool = with_reference(&place).env("AWS_ACCESS_KEY_ID", "").env("AWS_SECRET_ACCESS_KEY", "");
        std::fs::write(tool.home().join(file), format!("{profile}{named}")).unwrap();
        let tool = tool.env(variable, file).env("BAO_TOKEN", &place.site.token);
        let tool = if profile.contains("other") { tool.env("AWS_PROFILE", "other") } else { tool };
        let output = tool.arg("list").after(&witness.leak()).run();
        output.ok();
        witness.assert_got_nothing(&[&place.site.key, &place.site.token, "planted-reference"], &output);
        std::fs::remove_file(witness.dir.path().join("environment")).unwrap();
    }
}

#[test]
fn a_token_helper_gets_no_secrets_and_no_open_files() {
    let place = Place::s3();
    let witness = Witness::new(&format!("echo {}", place.site.token));
    let tool = with_reference(&place).env("VAULT_TOKEN", "");
    std::fs::write(tool.home().join(".vault"), format!("token_helper = {:?}\n", witness.path)).unwrap();
    let output = tool.arg("backup").after(&witness.leak()).run();
    output.ok();
    let (_, s3_secret) = place.site.s3.root();
    witness.assert_got_nothing(&[&place.site.key, &s3_secret, "planted-reference"], &output);
}

#[test]
fn an_ephemeral_server_gets_no_secrets_and_no_open_files() {
    let site = Site::new();
    let witness = Witness::new(&format!("exec '{}' \"$@\"", Path::new(&binary()).display()));
    let staging = format!("[staging]\nvault_binary = {:?}\n{}", witness.path, crate::drill::LOGIN);
    let tool = site.tool_of(&[], &staging).args(["verify-restore", "--ephemeral"]);
    let tool =
        tool.env("VAULT_BACKUP_KEY", &site.production.key).env("VAULT_TOKEN", site.production.vault.root_token());
    let output = tool.env("AWS_SECRET_ACCESS_KEY", "planted-aws").after(&witness.leak()).run();
    output.code(0);
    let production = &site.production;
    let shares = production.vault.shares().iter().map(String::as_str);
    let secrets: Vec<_> = [production.key.as_str(), production.vault.root_token(), &production.reader.1, "planted-aws"]
        .into_iter()
        .chain(shares)
        .collect();
    witness.assert_got_nothing(&secrets, &output);
    assert!(witness.read("files").matches("0 -> ").count() >= 2, "its version was asked, and it was started");
}
