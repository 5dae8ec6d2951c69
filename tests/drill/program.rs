//! The program of an ephemeral drill, chosen by the product and version of the backup.

use super::LOGIN;
use crate::support::process::temp_dir;
use crate::support::production::Site;
use crate::support::tool::Output;
use crate::support::vault::{binary, product};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use vault_backup::formats::product::Product;

/// Writes a program that reports `version` and is not a server.
fn pretender(path: &Path, version: &str) {
    let script = format!("#!/bin/sh\n[ \"$1\" = version ] && echo '{version} (abc), built today' || exit 1\n");
    std::fs::write(path, script).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o700)).unwrap();
}

#[test]
fn ephemeral_drill_starts_the_program_of_the_backups_product() {
    let site = Site::new();
    let path = temp_dir();
    for tool in ["sh", "unshare", "ip"] {
        let found =
            std::env::split_paths(&std::env::var_os("PATH").unwrap()).map(|dir| dir.join(tool)).find(|p| p.exists());
        if let Some(found) = found {
            symlink(found, path.path().join(tool)).unwrap();
        }
    }
    let (right, other, version) = match product() {
        Product::OpenBao => ("bao", "vault", "Vault v99.0.0"),
        Product::Vault => ("vault", "bao", "OpenBao v99.0.0"),
    };
    symlink(binary(), path.path().join(right)).unwrap();
    pretender(&path.path().join(other), version);
    let tool = site.tool_of(&[], &format!("[staging]\nmode = \"ephemeral\"\n{LOGIN}")).arg("verify-restore");
    let output = tool.env("PATH", path.path()).run();
    output.code(0);
    site.assert_clean(&output);
}

#[test]
fn ephemeral_drill_refuses_an_older_program_or_another_product() {
    let site = Site::new();
    let drill = |version: &str| -> Output {
        pretender(&site.path("server"), version);
        let staging = format!("[staging]\nvault_binary = {:?}\n{LOGIN}", site.path("server"));
        let output = site.tool_of(&[], &staging).args(["verify-restore", "--ephemeral"]).run();
        site.assert_clean(&output);
        output
    };
    let (source, older) = match product() {
        Product::OpenBao => ("OpenBao 2.", "OpenBao v2.0.0"),
        Product::Vault => ("Vault 1.", "Vault v1.0.0"),
    };
    let output = drill(older);
    output.fails(2, &["it is older", "nothing was started"]);
    output.stderr_contains(source).stderr_contains(&older.replace(" v", " "));
    if product() == Product::OpenBao {
        drill("Vault v99.0.0").fails(2, &["Vault 99.0.0 cannot take a backup of OpenBao 2.", "nothing was started"]);
    } else {
        // A migration is allowed: the program is started, but is not a server.
        let output = drill("OpenBao v2.0.0");
        output.code(2).stderr_contains("migration: the backup was taken from Vault").stderr_contains("exit status: 1");
    }
}
