//! A signal while Vault grants a token: the run waits for the token, and revokes it.

use crate::drill::LOGIN;
use crate::restore::cluster_name;
use crate::support::fault::{FaultServer, Reply};
use crate::support::production::Site;
use crate::support::vault::Vault;
use rustix::process::Signal;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// A proxy whose response to a request of `path` comes one second after the token exists.
fn slow(vault: &Arc<Vault>, path: &'static str) -> FaultServer {
    let upstream = vault.clone();
    FaultServer::proxy(&vault.address(), move |call| {
        if !call.path.ends_with(path) {
            return Reply::forward();
        }
        let (token, body) = (call.header("x-vault-token").to_owned(), call.json());
        let asked = std::thread::scope(|scope| {
            let ask = || upstream.api_as(&token, "POST", call.path.trim_start_matches("/v1/"), Some(body));
            scope.spawn(ask).join().unwrap()
        });
        Reply::json(asked.0, &asked.1).late(Duration::from_secs(1))
    })
}

#[test]
fn a_token_that_is_granted_during_a_stop_is_revoked() {
    let site = Site::new();
    let vault = Arc::new(Vault::start());
    let all = r#"path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }"#;
    vault.ok("PUT", "sys/policies/acl/all", Some(json!({ "policy": all })));
    let (role_id, secret_id) = vault.approle("all", &["all"]);
    let auth = format!("[vault.auth]\nmethod = \"approle\"\nrole_id = {role_id:?}\nsecret_id = \"env:ID\"\n");
    let (object, name) = (site.production.object.clone(), cluster_name(&vault));
    let before = vault.accessors();
    let login = "/auth/approle/login";
    let restore = ["restore", &object, "--confirm", &name, "--force", "--address"];
    for (path, command, signal, code) in [
        (login, &["backup"][..], Signal::TERM, 143),
        (login, &["backup"], Signal::INT, 130),
        (login, &["doctor"], Signal::TERM, 143),
        (login, &restore, Signal::HUP, 143),
        ("/auth/token/create", &restore, Signal::TERM, 143),
    ] {
        let proxy = slow(&vault, path);
        let tool = site.tool_of(&[proxy.address().to_owned()], &auth).env("VAULT_TOKEN", "").env("ID", &secret_id);
        let address = command.contains(&"restore").then(|| proxy.address());
        let mut run = tool.args(command).args(address).start();
        run.wait_for("the request", || proxy.calls().iter().any(|call| call.path.ends_with(path)).then_some(()));
        run.signal(signal);
        run.wait().code(code);
        assert_eq!(vault.accessors(), before, "{command:?} {path}");
    }
}

#[test]
fn a_token_that_is_granted_during_the_stop_of_a_drill_is_revoked() {
    let (site, staging) = (Site::new(), Arc::new(Vault::builder().staging().start()));
    let before = staging.accessors();
    let proxy = slow(&staging, "/auth/token/create");
    let lines = format!("[staging]\naddress = {:?}\ntoken = \"env:STAGING_TOKEN\"\n{LOGIN}", proxy.address());
    let mut run = site.tool(&lines).arg("verify-restore").env("STAGING_TOKEN", staging.root_token()).start();
    run.wait_for("the request", || proxy.calls().iter().any(|call| call.path.ends_with("/create")).then_some(()));
    run.signal(Signal::TERM);
    run.wait().code(143);
    assert_eq!(staging.accessors(), before);
}
