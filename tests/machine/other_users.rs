//! Other users of the machine: files that they can read, change or plant, for everything that the
//! tool reads, locks and writes.

use crate::support::place::{Place, next_second};
use crate::support::process::temp_dir;
use crate::support::production::Site;
use crate::support::tool::{Output, Tool};
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

/// Another user, and a group that this process is not in.
const OTHER: u32 = 4_711;

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Gives the file this mode, owner and group.
fn shape(path: &Path, (bits, owner, group): (u32, u32, u32)) {
    chown(path, Some(owner), Some(group)).expect("these tests run as root");
    mode(path, bits);
}

/// Mode, owner and group of a secret, and the error.
const REFUSED_SECRETS: [((u32, u32, u32), &str); 7] = [
    ((0o644, 0, 0), "accessible to all users (mode 0644)"),
    ((0o604, 0, 0), "accessible to all users (mode 0604)"),
    ((0o640, 0, OTHER), "accessible to its group (mode 0640)"),
    ((0o620, 0, 0), "writable by its group (mode 0620)"),
    ((0o602, 0, 0), "writable by all users (mode 0602)"),
    ((0o400, OTHER, 0), "its owner is user 4711, not this user or root"),
    ((0o600, OTHER, OTHER), "its owner is user 4711, not this user or root"),
];

const ALLOWED_SECRETS: [(u32, u32, u32); 4] = [(0o400, 0, 0), (0o600, 0, 0), (0o440, 0, 0), (0o600, 0, OTHER)];

/// Asserts the rule for the secret at `path`, which `run` reads.
fn assert_secret(path: &Path, run: impl Fn() -> Output) {
    for (refused, says) in REFUSED_SECRETS {
        shape(path, refused);
        run().fails(2, &[path.to_str().unwrap(), says, "hint: run: ch"]).stdout_is("");
    }
    for allowed in ALLOWED_SECRETS {
        shape(path, allowed);
        run().code(0);
    }
}

#[test]
fn unseal_shares_that_others_can_read_or_change_are_refused() {
    let site = Site::new();
    let share = site.file("share", site.production.vault.shares()[0].as_bytes());
    let staging = format!("[staging]\nunseal_keys = [\"file:{share}\", \"env:SHARE1\"]\n");
    let object = &site.production.object;
    let given = format!("file:{share}");
    assert_secret(Path::new(&share), || site.tool_of(&[], &staging).args(["verify-restore", "--offline"]).run());
    let shares = ["--share", &given, "--share", "env:SHARE1"];
    assert_secret(Path::new(&share), || site.tool_of(&[], "").args(["inspect", object]).args(shares).run());
    let recover = ["recover", crate::support::production::CANARY, "--from", object, "-o", "secret"];
    assert_secret(Path::new(&share), || site.tool_of(&[], "").args(recover).args(shares).run());
}

/// The tool with a configuration of its own.
fn configured(place: &Place, config: &str) -> Tool {
    let tool = place.tool().env("VAULT_TOKEN", "");
    std::fs::write(tool.home().join("config.toml"), config).unwrap();
    tool.args(["--config", "config.toml"])
}

#[test]
fn secret_ids_tokens_and_keys_that_others_can_read_or_change_are_refused() {
    let (place, dir) = (Place::directory(), temp_dir());
    let (role_id, secret_id) = place.site.vault.approle("other-users", &["backup"]);
    let path = dir.path().join("secret");
    let reference = format!("file:{}", path.display());
    let approle = format!("[vault.auth]\nmethod = \"approle\"\nrole_id = \"{role_id}\"\nsecret_id = \"{reference}\"\n");
    let token = format!("[vault.auth]\ntoken = \"{reference}\"\n");
    for (config, secret) in [(approle, &secret_id), (token, &place.site.token)] {
        std::fs::write(&path, secret).unwrap();
        assert_secret(&path, || {
            next_second();
            configured(&place, &config).arg("backup").run()
        });
    }
    std::fs::write(&path, &place.site.key).unwrap();
    let key = format!("[encryption]\nkey = \"{reference}\"\n");
    assert_secret(&path, || configured(&place, &key).env("VAULT_BACKUP_KEY", "").args(["inspect", "latest"]).run());
    std::fs::write(&path, &place.site.token).unwrap();
    assert_secret(&path, || {
        next_second();
        place
            .tool()
            .env("VAULT_TOKEN", "")
            .env("VAULT_TOKEN_PATH", &path)
            .env("BAO_TOKEN_PATH", &path)
            .arg("backup")
            .run()
    });
}

#[test]
fn a_configuration_that_others_can_change_is_refused() {
    let (place, dir) = (Place::directory(), temp_dir());
    place.backup();
    let (file, real) = (dir.path().join("etc/config.toml"), dir.path().join("real"));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::create_dir(&real).unwrap();
    std::fs::write(&file, "").unwrap();
    let run = |path: &Path, command: &str| place.tool().arg("--config").arg(path).arg(command).run();
    let refused = |path: &Path, says: &str| {
        for command in ["list", "backup", "prune", "status", "doctor"] {
            let output = run(path, command);
            output.fails(2, &["configuration ", says, "hint: run: ch"]);
        }
    };
    let allowed = |path: &Path| _ = run(path, "list").ok();
    let etc = file.parent().unwrap();
    for (bad, says) in [
        ((0o660, 0, 0), "writable by its group (mode 0660)"),
        ((0o646, 0, 0), "writable by all users (mode 0646)"),
        ((0o666, 0, 0), "writable by all users (mode 0666)"),
        ((0o644, OTHER, 0), "its owner is user 4711, not this user or root"),
    ] {
        shape(&file, bad);
        refused(&file, says);
    }
    for good in [(0o644, 0, 0), (0o640, 0, OTHER), (0o400, 0, 0)] {
        shape(&file, good);
        allowed(&file);
    }
    for (bad, says) in [
        ((0o775, 0, OTHER), "writable by its group (mode 0775)"),
        ((0o777, 0, 0), "writable by all users (mode 0777)"),
        ((0o755, OTHER, 0), "its owner is user 4711, not this user or root"),
    ] {
        shape(etc, bad);
        refused(&file, says);
    }
    for good in [(0o755, 0, 0), (0o750, 0, OTHER), (0o1777, 0, 0)] {
        shape(etc, good);
        allowed(&file);
    }
    // A link is as safe as the file, and the directory, that it leads to.
    std::fs::write(real.join("config.toml"), "").unwrap();
    symlink(real.join("config.toml"), etc.join("link.toml")).unwrap();
    allowed(&etc.join("link.toml"));
    shape(&real, (0o777, 0, 0));
    refused(&etc.join("link.toml"), "writable by all users (mode 0777)");
    shape(&real, (0o755, 0, 0));
    shape(&real.join("config.toml"), (0o666, 0, 0));
    refused(&etc.join("link.toml"), "writable by all users (mode 0666)");
}

/// Creates a file.
type Plant = Box<dyn Fn()>;

/// Files that another user may have planted at `path`, and the errors. `target` is a file of this user.
fn planted(path: &Path, target: &Path) -> Vec<(Plant, &'static str)> {
    let at = || path.to_owned();
    let (link, dangling, hard, owned, open, fifo) = (at(), at(), at(), at(), at(), at());
    let (to, hard_to) = (target.to_owned(), target.to_owned());
    vec![
        (Box::new(move || symlink(&to, &link).unwrap()), "it is a symbolic link, not a regular file"),
        (Box::new(move || symlink("/nowhere/file", &dangling).unwrap()), "it is a symbolic link, not a regular file"),
        (Box::new(move || std::fs::hard_link(&hard_to, &hard).unwrap()), "it has 2 hard links"),
        (
            Box::new(move || {
                std::fs::write(&owned, "").unwrap();
                shape(&owned, (0o666, OTHER, OTHER));
            }),
            "its owner is user 4711, not this user",
        ),
        (
            Box::new(move || {
                std::fs::write(&open, "").unwrap();
                mode(&open, 0o666);
            }),
            "writable by all users (mode 0666)",
        ),
        (
            Box::new(move || {
                rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o666.into(), 0).unwrap();
            }),
            "it is a FIFO, not a regular file",
        ),
    ]
}

/// Plants each file in a directory that all users can write to, and has `assert` look at a run with it.
/// Then has it look at the allowed shapes.
fn assert_planted(name: &str, assert: impl Fn(&Path, Option<&str>)) {
    let dir = temp_dir();
    let (path, target) = (dir.path().join(name), dir.path().join("target"));
    for bits in [0o1777, 0o777] {
        mode(dir.path(), bits);
        std::fs::write(&target, "precious\n").unwrap();
        for (plant, says) in planted(&path, &target) {
            plant();
            assert(&path, Some(says));
            std::fs::remove_file(&path).unwrap();
            assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious\n", "{says}");
        }
    }
    mode(dir.path(), 0o1777);
    assert(&path, None); // it does not exist yet
    assert(&path, None);
    // A service's own directory and file, used by root.
    shape(dir.path(), (0o755, OTHER, OTHER));
    shape(&path, (0o640, OTHER, OTHER));
    assert(&path, None);
}

#[test]
fn a_planted_lock_file_is_refused() {
    let place = Place::directory();
    place.backup();
    assert_planted("lock", |path, says| {
        let config = format!("[run]\nlock_file = {path:?}\n");
        for command in ["backup", "prune"] {
            next_second();
            let output = configured(&place, &config).env("VAULT_TOKEN", &place.site.token).arg(command).run();
            match says {
                Some(says) => output.fails(2, &["lock file ", path.to_str().unwrap(), says, "run.lock_file"]),
                None => output.ok(),
            };
        }
    });
}

#[test]
fn planted_audit_logs_and_metrics_are_refused() {
    let place = Place::directory();
    place.backup();
    for (section, what) in [("[audit]\nfile", "audit log "), ("[metrics]\ntextfile", "metrics file ")] {
        assert_planted("out.prom", |path, says| {
            let config = format!("{section} = {path:?}\n");
            let output = configured(&place, &config).arg("prune").run();
            let Some(says) = says else {
                output.ok();
                return assert!(std::fs::metadata(path).unwrap().len() > 0);
            };
            output.code(8).stderr_contains(what).stderr_contains(path.to_str().unwrap()).stderr_contains(says);
            output.stderr_contains("use a regular file of this user, in a directory that other users cannot write to");
        });
    }
}
