//! Offline drills of data that only OpenBao writes: sealable namespaces, the static seal, the
//! earlier release. These tests always use OpenBao.

use super::{LOGIN, staging_at};
use crate::support::process::temp_dir;
use crate::support::production::{CANARY, PLANTED, Production, Site};
use crate::support::vault::{SEALED, Server, Vault};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

const BOTH: [Server; 2] = [Server::OpenBao, Server::OpenBaoOld];

/// `[staging]` with the first two shares and more `lines`.
fn staging(lines: &str) -> String {
    format!("[staging]\nunseal_keys = [\"env:SHARE0\", \"env:SHARE1\"]\n{lines}")
}

/// Creates a sealable namespace at `path` below `parent` with 2 of 3 shares; returns the shares.
fn sealable(vault: &Vault, parent: &str, path: &str) -> Vec<String> {
    let seal = json!({"seal": "seal \"shamir\" {\n  shares = 3\n  threshold = 2\n}"});
    let made = vault.ok_in(parent, "POST", &format!("sys/namespaces/{path}"), Some(seal));
    let shares = made["data"]["key_shares"].as_array().unwrap();
    let shares: Vec<String> = shares.iter().map(|share| share.as_str().unwrap().to_owned()).collect();
    for share in &shares[..2] {
        vault.ok_in(parent, "POST", &format!("sys/namespaces/{path}/unseal"), Some(json!({"key": share})));
    }
    shares
}

#[test]
fn offline_drill_reads_the_earlier_openbao_release() {
    let production = Production::of(Vault::builder().server(Server::OpenBaoOld).start());
    let site = Arc::new(production).site();
    let object = site.production.object.clone();
    let output = site.tool_of(&[], &staging("")).args(["verify-restore", "--offline", "--json"]).run();
    assert_eq!(output.ok().json()["entries_unknown"], 0);
    let recover = ["recover", CANARY, "--from", &object, "--share", "env:SHARE2", "--share", "env:SHARE0"];
    site.tool_of(&[], "").args(recover).args(["-o", &site.path("secret").display().to_string()]).run().ok();
    assert!(std::fs::read_to_string(site.path("secret")).unwrap().contains(PLANTED));
    let inspect = ["inspect", &object, "--share", "env:SHARE2", "--share", "env:SHARE0"];
    site.tool_of(&[], "").args(inspect).run().ok().stdout_contains("smtp/ (kv)");
}

#[test]
fn drill_and_restore_work_with_the_earlier_openbao_release() {
    let old = || Vault::builder().server(Server::OpenBaoOld).staging();
    let site = Arc::new(Production::of(old().start())).site();
    let staged = old().start();
    let lines = staging_at(&staged.address(), LOGIN);
    for _ in 0..2 {
        let output = site.tool(&lines).arg("verify-restore").env("STAGING_TOKEN", staged.root_token()).run();
        output.ok();
        site.assert_clean(&output);
        assert_eq!(staged.health(), Some(SEALED));
    }
    let lines = format!("[staging]\nvault_binary = {:?}\n{LOGIN}", Server::OpenBaoOld.binary());
    for _ in 0..2 {
        let output = site.tool_of(&[], &lines).args(["verify-restore", "--ephemeral"]).run();
        output.code(0);
        site.assert_clean(&output);
    }
    restored(&site, &old().start()).wait_for_health(&[SEALED]);
}

/// `target` after a restore of the site's backup.
fn restored<'v>(site: &Site, target: &'v Vault) -> &'v Vault {
    let name = target.ok("GET", "sys/health", None)["cluster_name"].as_str().unwrap().to_owned();
    let restore = ["restore", &site.production.object, "--address", &target.address(), "--confirm", &name, "--force"];
    site.tool("").args(restore).env("VAULT_TOKEN", target.root_token()).run().ok();
    target
}

/// A site whose OpenBao has: `tight/` (sealable), `tight/child/` (not), `plain/` (not) and
/// `plain/inner/` (sealable); with the shares of the two sealable ones.
fn site_with_namespaces(server: Server) -> (Site, [Vec<String>; 2]) {
    let vault = Vault::builder().server(server).start();
    let tight = sealable(&vault, "", "tight");
    vault.ok_in("tight", "POST", "sys/namespaces/child", Some(json!({})));
    vault.ok_in("", "POST", "sys/namespaces/plain", Some(json!({})));
    let inner = sealable(&vault, "plain", "inner");
    vault.ok("PUT", "sys/config/ui/headers/X-Test", Some(json!({"values": ["a"]})));
    (Arc::new(Production::of(vault)).site(), [tight, inner])
}

fn sum(result: &Value) -> u64 {
    let terms = result["entries_by_term"].as_object().unwrap().values();
    terms.chain([&result["entries_outside"], &result["entries_sealed"]]).map(|n| n.as_u64().unwrap()).sum()
}

#[test]
fn offline_drill_unseals_sealable_namespaces_with_their_shares() {
    for server in BOTH {
        let (site, [tight, inner]) = site_with_namespaces(server);
        let drill = |lines: &str| {
            let tool = site.tool_of(&[], &staging(lines)).args(["verify-restore", "--offline", "--json"]);
            let named = [("TIGHT0", &tight[0]), ("TIGHT1", &tight[1]), ("INNER0", &inner[0]), ("INNER1", &inner[1])];
            tool.envs(named).env("TIGHT_AGAIN", &tight[0])
        };
        let none = drill("").run();
        let none = none.ok().json();
        assert_eq!(
            (&none["namespaces_opened"], &none["namespaces_sealed"]),
            (&json!([]), &json!(["plain/inner/", "tight/"])),
            "{none}"
        );
        assert!(none["entries_sealed"].as_u64().unwrap() > 20, "{none}");
        assert_eq!(none["entries_unknown"], 0, "{none}");
        assert_eq!(sum(&none), none["entries"].as_u64().unwrap());
        drill("")
            .arg("-v")
            .run()
            .code(0)
            .stderr_contains("plain/inner/, tight/")
            .stderr_contains("--share NAMESPACE=REF");
        inspected(&site, &tight);

        let tight_alone = "namespace_unseal_keys = { tight = [\"env:TIGHT0\", \"env:TIGHT1\"] }\n";
        let some = drill(tight_alone).run();
        let some = some.ok().json();
        assert_eq!(
            (&some["namespaces_opened"], &some["namespaces_sealed"]),
            (&json!(["tight/"]), &json!(["plain/inner/"]))
        );
        assert!(some["entries_sealed"].as_u64().unwrap() < none["entries_sealed"].as_u64().unwrap());
        let flags = [
            "env:SHARE0",
            "env:SHARE1",
            "tight/=env:TIGHT0",
            "tight/=env:TIGHT1",
            "plain/inner=env:INNER0",
            "plain/inner=env:INNER1",
        ];
        let all = drill("").args(flags.iter().flat_map(|flag| ["--share", flag])).run();
        let all = all.ok().json();
        assert_eq!((&all["namespaces_sealed"], &all["entries_sealed"]), (&json!([]), &json!(0)), "{all}");
        assert_eq!(sum(&all), all["entries"].as_u64().unwrap());

        let object = &site.production.object;
        for (lines, code, parts) in [
            (
                "namespace_unseal_keys = { tight = [\"env:TIGHT0\"] }",
                6,
                ["namespace tight/", "too few unseal key shares: 1 given"],
            ),
            (
                "namespace_unseal_keys = { tight = [\"env:TIGHT0\", \"env:TIGHT_AGAIN\"] }",
                6,
                ["namespace tight/: share 2 of 2 (env:TIGHT_AGAIN)", "duplicate of share 1 (env:TIGHT0)"],
            ),
            (
                "namespace_unseal_keys = { tight = [\"env:INNER0\", \"env:INNER1\"] }",
                6,
                ["namespace tight/: the shares do not unseal", "env:INNER0, env:INNER1"],
            ),
            (
                "namespace_unseal_keys = { plain = [\"env:INNER0\"] }",
                2,
                ["namespace plain, which is not a sealable namespace", "plain/inner/, tight/"],
            ),
        ] {
            drill(&format!("{lines}\n")).run().fails(code, &[object, parts[0], parts[1]]);
        }
        let swapped = drill("").args(["--share", "env:TIGHT0", "--share", "env:TIGHT1"]).run();
        let swapped_says = ["the shares (env:TIGHT0, env:TIGHT1) belong to the namespace", "NAMESPACE=REF"];
        swapped.fails(6, &swapped_says);
    }
}

/// `inspect` lists the namespaces and those that the shares unseal.
fn inspected(site: &Site, tight: &[String]) {
    let flags = ["env:SHARE0", "env:SHARE1", "tight=env:TIGHT0", "tight=env:TIGHT2"];
    let inspect = || {
        let named = [("TIGHT0", &tight[0]), ("TIGHT2", &tight[2])];
        let tool = site.tool_of(&[], "").envs(named).args(["inspect", &site.production.object]);
        tool.args(flags.iter().flat_map(|flag| ["--share", flag]))
    };
    let found = inspect().arg("--json").run();
    let contents = found.ok().json()["checked"]["contents"].clone();
    let namespaces = contents["namespaces"].as_array().unwrap().iter();
    let facts: Vec<_> =
        namespaces.map(|n| (n["path"].as_str().unwrap(), n["sealable"] == true, n["opened"] == true)).collect();
    let expected =
        [("plain/", false, true), ("plain/inner/", true, false), ("tight/", true, true), ("tight/child/", false, true)];
    assert_eq!(facts, expected);
    assert_eq!(contents["product"], "openbao");
    inspect().run().ok().stdout_contains("namespace plain/inner/ (sealed)").stdout_contains("namespace tight/child/ ");
}

#[test]
fn offline_drill_unseals_the_static_seal_with_its_key() {
    for server in BOTH {
        let dir = temp_dir();
        let private = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).unwrap();
            path
        };
        let (key, other) = (private("key", &[7; 32]), private("other", &[8; 32]));
        let stanza = format!(
            "seal \"static\" {{\n  current_key_id = \"k1\"\n  current_key = \"file://{}\"\n}}\n",
            key.display()
        );
        let mut vault = Vault::builder().server(server).uninitialised().config(&stanza).start();
        vault.initialise_automatic();
        let site = Arc::new(Production::of(vault)).site();
        let object = site.production.object.clone();
        let drill = |lines: &str| {
            site.tool_of(&[], &format!("[staging]\n{lines}")).args(["verify-restore", "--offline", "--json"])
        };
        let configured = format!("seal_key = {key:?}\n");
        for _ in 0..2 {
            drill(&configured).run().ok();
        }
        drill("").arg("--seal-key").arg(private("hex", hex::encode([7; 32]).as_bytes())).run().ok();
        let recover = |key: &std::path::Path| {
            site.tool_of(&[], "").args(["recover", CANARY, "--from", &object, "--seal-key"]).arg(key)
        };
        recover(&key).arg("-o").arg(site.path("secret")).run().ok();
        assert!(std::fs::read_to_string(site.path("secret")).unwrap().contains(PLANTED));
        recover(&other).run().fails(6, &[&object, "the static seal key does not unseal this backup", "\"k1\""]);
        site.tool_of(&[], "")
            .args(["inspect", &object, "--seal-key"])
            .arg(&key)
            .run()
            .ok()
            .stdout_contains("smtp/ (kv)");
        drill("unseal_keys = [\"env:SHARE0\"]\n")
            .run()
            .fails(2, &[&object, "wrapped by a static seal key", "--seal-key REF"]);
        // Into a new cluster with the same seal, which unseals itself with the restored data.
        let mut target = Vault::builder().server(server).uninitialised().config(&stanza).start();
        target.initialise_automatic();
        let target = restored(&site, &target);
        target.wait_for("the restored state", |v| site.production.canary_at_source(v));
        let short = drill("").arg("--seal-key").arg(private("short", b"planted")).run();
        short.fails(2, &["not a key of 32 bytes"]).never_says("planted");
    }
}
