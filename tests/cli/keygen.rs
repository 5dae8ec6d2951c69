//! `keygen`.

use super::run;
use crate::support::process::temp_dir;
use crate::support::site::key_id;
use crate::support::tool;
use crate::support::tool::program;
use std::os::unix::fs::PermissionsExt;
use vault_backup::base::secret::Secret;
use vault_backup::formats::crypto::Key;

#[test]
fn keygen_writes_a_new_key_and_never_overwrites_one() {
    let printed = run(&["keygen"]);
    let key = printed.text().trim_end().to_owned();
    assert_eq!((key.len(), printed.stdout.len()), (64, 65));
    printed.code(0).stderr_is(&format!("key id {}\n", key_id(&key))).leaves(&[]);

    let dir = temp_dir();
    let path = dir.path().join("key");
    // With any umask.
    let script = "umask 000; exec \"$0\" keygen -o \"$1\"";
    let written = program("sh").args(["-c", script, env!("CARGO_BIN_EXE_vault-backup")]).arg(&path).run();
    let file = std::fs::read_to_string(&path).unwrap();
    let other = file.trim_end();
    let said = format!("key id {}, written to {} (mode 0600)\n", key_id(other), path.display());
    written.ok().stdout_is(&said).never_says(other).leaves(&[]);
    assert_eq!((file.len(), path.metadata().unwrap().permissions().mode() & 0o777), (65, 0o600));
    assert_ne!(other, key);

    let again = tool().args(["keygen", "-o"]).arg(&path).run();
    again.fails(2, &["the key was not written", "an existing key is never overwritten"]).stdout_is("");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), file);
    let missing = tool().args(["keygen", "-o", "no/such/key"]).run();
    let says =
        ["no/such/key: the key was not written: the directory no/such does not exist", "`mkdir -p -m 700 no/such`"];
    missing.fails(2, &says).leaves(&[]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn keygen_derives_the_manifest_key_of_a_key() {
    let key = run(&["keygen"]).text().trim_end().to_owned();
    let derive =
        |reference: &str| tool().args(["keygen", "--manifest-key-of", reference]).env("KEY", &key).keeps([&*key]);
    let printed = derive("env:KEY").run();
    printed.code(0).stderr_is(&format!("manifest key of key id {}\n", key_id(&key))).leaves(&[]);
    let derived = Key::from_hex(&Secret::new(key.clone())).unwrap().manifest_key_to_hex();
    printed.stdout_is(&format!("{}\n", derived.expose()));
    derive("env:KEY").args(["-o", "manifest-key"]).run().ok().leaves(&["manifest-key"]);
    derive("env:OTHER").run().fails(2, &["env:OTHER"]).stdout_is("").leaves(&[]);
    derive("no/such/file").run().fails(2, &["no/such/file"]).stdout_is("").leaves(&[]);
}
