//! No command prints, writes or sends a secret. Distinct secrets are placed wherever the
//! configuration takes one, and searched in all output of each command, on success and on
//! failure.

mod types;

use crate::support::fault::{FaultServer, Reply};
use crate::support::place::next_second;
use crate::support::process::PATIENCE;
use crate::support::production::Site;
use crate::support::tool::{Tool, program};
use crate::support::vault::Vault;
use rustix::process::Signal;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Secrets in the URLs of notifications, and wrong secrets in place of the right ones.
const PLANTED: [&str; 8] = [
    "planted-hook-path",
    "planted-slack-path",
    "planted-ping-path",
    "planted-password",
    "planted-wrong-secret-id",
    "planted-wrong-token",
    "planted-aws-secret",
    "cGxhbnRlZC13cm9uZy1zaGFyZS1wbGFudGVkLXdyb25n",
];

/// Output flags of each run.
const OUTPUT_FLAGS: [&[&str]; 2] = [&["-vv"], &["-vv", "--log-format", "json"]];

struct Scene {
    site: Site,
    staging: Vault,
    listeners: FaultServer,
    /// A server that denies every request.
    s3: FaultServer,
}

impl Scene {
    fn start() -> Self {
        let listeners = FaultServer::start(|_| Reply::status(204));
        Self {
            site: Site::new(),
            staging: Vault::builder().staging().start(),
            listeners,
            s3: FaultServer::start(|_| Reply::status(403)),
        }
    }

    /// Returns the tool with `auth` for production, and all notifications.
    fn tool(&self, auth: &str) -> Tool {
        let url = self.listeners.address();
        let more = format!(
            "[vault.auth]\n{auth}\n\
             [[notify]]\ntype = \"webhook\"\nurl = \"{url}/{}?{}\"\n\
             [[notify]]\ntype = \"slack\"\nurl = \"env:SLACK\"\n[ping]\nurl = \"file:{}\"\n\
             [metrics]\ntextfile = {:?}\n[staging]\naddress = {:?}\ntoken = \"env:STAGING_TOKEN\"\n\
             unseal_keys = [\"env:SHARE0\", \"env:SHARE1\"]\nvault_binary = {:?}\n\
             auth = {{ method = \"approle\", role_id = \"env:ROLE_ID\", secret_id = \"env:SECRET_ID\" }}\n",
            PLANTED[0],
            PLANTED[0],
            self.site.file("ping-url", format!("{url}/{}\n", PLANTED[2]).as_bytes()),
            self.site.path("x.prom"),
            self.staging.address(),
            crate::support::vault::binary(),
        );
        self.site
            .tool(&more)
            .keeps(PLANTED)
            .keeps([self.staging.root_token()])
            .env("SLACK", format!("{url}/{}", PLANTED[1]))
            .envs([("AWS_ENDPOINT_URL", self.s3.address()), ("AWS_REGION", "us-east-1")])
            .envs([("AWS_ACCESS_KEY_ID", "some"), ("AWS_SECRET_ACCESS_KEY", PLANTED[6])])
            .env("STAGING_TOKEN", self.staging.root_token())
            .envs([
                ("PW", PLANTED[3]),
                ("BAD_SECRET_ID", PLANTED[4]),
                ("BAD_TOKEN", PLANTED[5]),
                ("BAD_SHARE", PLANTED[7]),
            ])
    }

    fn secrets(&self) -> Vec<String> {
        let production = &self.site.production;
        let known = [&production.key, &production.reader.1, &production.powerless].map(String::clone);
        let roots = [production.vault.root_token(), self.staging.root_token(), crate::support::production::PLANTED];
        let more = PLANTED.iter().chain(&roots).map(ToString::to_string);
        known.into_iter().chain(more).chain(production.vault.shares().iter().cloned()).collect()
    }

    /// Asserts that nothing written or sent contains a secret.
    #[track_caller]
    fn assert_no_secret_was_sent(&self) {
        let read = |name: &str| fs::read_to_string(self.site.path(name)).unwrap();
        let mut sent = vec![read("audit.log"), read("x.prom")];
        for call in self.listeners.calls() {
            let headers = call.headers.iter().map(|(name, value)| format!("{name}: {value:?}\n"));
            sent.push(headers.collect::<String>() + &String::from_utf8_lossy(&call.body));
        }
        assert!(sent.len() > 20, "only {} texts", sent.len());
        for secret in self.secrets() {
            let found = sent.iter().find(|text| text.contains(&secret));
            assert!(found.is_none(), "{secret:?} is in {found:?}");
        }
    }
}

const ROOT: &str = "token = \"env:ROOT\"";

#[test]
fn no_command_prints_writes_or_sends_a_secret() {
    let scene = Scene::start();
    let object = scene.site.production.object.clone();
    let wrong_key = format!("file:{}", scene.site.file("wrong-key", "ab".repeat(32).as_bytes()));
    fs::set_permissions(scene.site.path("wrong-key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let approle = |id: &str| format!("method = \"approle\"\nrole_id = \"env:ROLE_ID\"\nsecret_id = \"env:{id}\"");
    let userpass = "method = \"userpass\"\nusername = \"nobody\"\npassword = \"env:PW\"".to_owned();
    let (root, o) = (ROOT.to_owned(), object.as_str());
    let shares = ["--share", "env:SHARE0", "--share", "env:SHARE1"];
    let recover = ["recover", "smtp/test-tenant-id/admin", "--from", o, "-o", "secret.json"];
    let restore = ["restore", o, "--address", &scene.site.production.vault.address()].map(str::to_owned);
    let restore: Vec<_> = restore.iter().map(String::as_str).collect();
    // Login to production, command, exit code.
    let cases: Vec<(&str, Vec<&str>, i32)> = vec![
        (&root, vec!["backup", "--kind", "daily", "--json"], 0),
        (&root, vec!["backup", "--kind", "daily", "--prune", "--store", "s3://no-such-bucket"], 4),
        ("token = \"env:BAD_TOKEN\"", vec!["backup"], 3),
        ("token = \"env:POWERLESS\"", vec!["backup", "--json"], 3),
        (&root, vec!["prune", "--json"], 0),
        (&root, vec!["prune", "--store", "s3://no-such-bucket"], 4),
        (&root, vec!["list", "--json"], 0),
        (&root, vec!["status"], 9),
        (&root, vec!["inspect", o, "--json"], 0),
        (&root, vec!["inspect", o, "--key", &wrong_key], 5),
        (&root, [&["inspect", o][..], &shares].concat(), 0),
        (&root, vec!["decrypt", o, "-o", "x.snap"], 0),
        (&root, vec!["decrypt", o, "-o", "x.snap", "--key", &wrong_key], 5),
        (&root, vec!["doctor", "--notify-test"], 0),
        (&root, [&recover[..], &shares].concat(), 0),
        (&root, [&recover[..], &["--share", "env:BAD_SHARE"]].concat(), 6),
        (&root, [&restore[..], &["--confirm", "not-its-name"]].concat(), 2),
        (&root, [&restore[..], &["--dry-run"]].concat(), 0),
        ("token = \"env:BAD_TOKEN\"", [&restore[..], &["--dry-run"]].concat(), 3),
        (&root, vec!["verify-restore", "--offline"], 0),
        (&root, vec!["keygen", "-o", "new.key"], 0),
    ];
    let (bad_role, bad_user) = (approle("BAD_SECRET_ID"), userpass);
    let logins = [(&bad_role, 3), (&bad_user, 3)].map(|(auth, code)| (auth.as_str(), vec!["doctor"], code));
    for (auth, command, code) in cases.into_iter().chain(logins) {
        for flags in OUTPUT_FLAGS {
            if command[0] == "backup" {
                next_second();
            }
            scene.tool(auth).args(&command).args(flags).run().code(code);
        }
    }
    scene.assert_no_secret_was_sent();
    scene.site.production.assert_untouched();
}

/// A drill starts a Vault without any secret in its arguments or environment.
#[test]
fn a_drill_passes_no_secret_to_its_vault() {
    let scene = Scene::start();
    let mut drill = scene.tool(ROOT).args(["verify-restore", "--ephemeral", "-vv", "--log-format", "json"]).start();
    let (mut seen, start) = (0, Instant::now());
    while drill.is_running() {
        assert!(start.elapsed() < PATIENCE);
        for (line, environment) in below(drill.pid()) {
            seen += 1;
            for secret in scene.secrets() {
                assert!(!line.contains(&secret) && !environment.contains(&secret), "{line} {environment}");
            }
        }
    }
    drill.wait().code(0);
    assert!(seen > 0, "no other program was started");
    scene
        .tool("token = \"env:BAD_TOKEN\"")
        .args(["verify-restore", "--ephemeral", "-vv"])
        .env("SECRET_ID", PLANTED[4])
        .run()
        .code(6);
}

/// Returns command line and environment of all descendants of `pid`.
fn below(pid: u32) -> Vec<(String, String)> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let mut found = Vec::new();
    for child in children.split_whitespace() {
        let read = |what: &str| {
            String::from_utf8_lossy(&fs::read(format!("/proc/{child}/{what}")).unwrap_or_default()).into_owned()
        };
        // Between fork and exec it is still the tool.
        let program = fs::read_link(format!("/proc/{child}/exe")).unwrap_or_default();
        if program != Path::new(env!("CARGO_BIN_EXE_vault-backup")) && !program.as_os_str().is_empty() {
            found.push((read("cmdline"), read("environ")));
        }
        found.extend(below(child.parse().unwrap()));
    }
    found
}

/// Core dumps are on in this test, but this program disables its own.
#[test]
fn a_crash_leaves_no_core_dump() {
    let vault = FaultServer::start(|_| Reply::hang());
    let dumped = |command: &[&str], name: &str| {
        let shell = program("sh").args(["-c", "ulimit -c unlimited; exec \"$0\" \"$@\""]).args(command);
        let shell = shell
            .env("VAULT_ADDR", vault.address())
            .env("VAULT_BACKUP_KEY", vault_backup::formats::crypto::Key::generate().unwrap().to_hex().expose());
        let store = format!("file://{}", shell.home().join("store").display());
        let mut run = shell.env("VAULT_TOKEN", PLANTED[5]).env("VAULT_BACKUP_STORE", store).start();
        let comm = format!("/proc/{}/comm", run.pid());
        run.wait_for(name, || (fs::read_to_string(&comm).unwrap_or_default().trim() == name).then_some(()));
        if name != "sleep" {
            run.wait_for("its first question", || (!vault.calls().is_empty()).then_some(()));
        }
        run.signal(Signal::ABORT);
        run.wait().dumped_core
    };
    assert!(dumped(&["sleep", "60"], "sleep"), "core dumps are disabled on this machine");
    assert!(!dumped(&[env!("CARGO_BIN_EXE_vault-backup"), "backup"], "vault-backup"));
}

/// Run by the next test in a separate process.
#[test]
#[ignore = "it panics"]
fn panics() {
    vault_backup::run::silence_panics();
    panic!("{}", PLANTED[0]);
}

#[test]
fn a_panic_prints_no_secret() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "secrets::panics", "--ignored", "--nocapture"])
        .env("RUST_BACKTRACE", "1")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!output.status.success() && printed.contains("secrets::panics"), "{printed}");
    assert!(!printed.contains(PLANTED[0]), "{printed}");
}
