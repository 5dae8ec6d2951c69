//! Tokens that a drill creates on staging: none is left if nothing was restored.

use super::{LOGIN, staging_at};
use crate::support::fault::{FaultServer, Reply};
use crate::support::production::Site;
use crate::support::vault::{ACTIVE, Vault};
use rustix::process::Signal;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn tokens_of_a_drill_are_revoked_unless_the_restore_removes_them() {
    let site = Site::new();
    let staging = Vault::builder().staging().start();
    let before = staging.accessors();
    // A root token is generated with its own shares; on a clone, with those of the source.
    let own = LOGIN.replace("env:SHARE", "env:OWN");
    let given = "token = \"env:STAGING_TOKEN\"\n";
    for (token, end, code) in
        [("", None, 3), (given, None, 3), ("", Some(Signal::TERM), 143), ("", Some(Signal::INT), 130)]
    {
        let made = AtomicBool::new(false);
        let proxy = FaultServer::proxy(&staging.address(), move |call| match call.path.as_str() {
            "/v1/auth/token/create" => {
                made.store(true, Ordering::SeqCst);
                Reply::forward()
            }
            "/v1/sys/storage/raft/snapshot-force" => Reply::json(400, &json!({"errors": ["could not do it"]})),
            // A request between the last token and the restore.
            "/v1/sys/health" if end.is_some() && made.load(Ordering::SeqCst) => Reply::hang(),
            _ => Reply::forward(),
        });
        let lines = staging_at(proxy.address(), &own).replace(given, token);
        let tool = site.tool(&lines).arg("verify-restore").env("STAGING_TOKEN", staging.root_token());
        let mut run = tool.envs([("OWN0", &staging.shares()[0]), ("OWN1", &staging.shares()[1])]).start();
        if let Some(signal) = end {
            let hangs = || {
                let calls = proxy.calls();
                let at = calls.iter().position(|call| call.path.ends_with("/create"))?;
                calls[at..].iter().any(|call| call.path.ends_with("/health")).then_some(())
            };
            run.wait_for("the step before the restore", hangs);
            assert_eq!(staging.accessors().len(), before.len() + 2, "a root token, and the one that must die");
            run.signal(signal);
        }
        let output = run.wait();
        output.fails(code, &[]);
        site.assert_clean(&output);
        assert_eq!(staging.accessors(), before, "{output:?}");
        assert_eq!(staging.health(), Some(ACTIVE), "it was found open, and has nothing of production");
        assert!(staging.token_is_valid(staging.root_token()));
    }
}
