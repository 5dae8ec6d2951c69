//! A writer with an old key, which the configuration still has to decrypt: no command takes its
//! newer backup unless a person names it.

use super::hostile::{manifest, newer, object, stranger};
use crate::support::production::{CANARY, Site};
use crate::support::tool::Tool;
use chrono::Utc;

const AFTER: &str = "under an old key after its end";

/// The tool with `entry` in `old_keys`, and the shares.
fn tool(site: &Site, old: &str, entry: &str) -> Tool {
    let tool = site.tool_of(&[], "[staging]\nunseal_keys = [\"env:SHARE0\", \"env:SHARE1\"]\n").env("OLD", old);
    let path = site.path("config.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let key = "key = \"env:KEY\"\n";
    std::fs::write(path, text.replace(key, &format!("{key}old_keys = [{entry}]\n"))).unwrap();
    tool
}

#[test]
fn a_newer_backup_under_an_old_key_is_used_only_if_it_is_named() {
    let today = format!("{{ key = \"env:OLD\", until = \"{}\" }}", Utc::now().format("%Y-%m-%d"));
    for entry in ["\"env:OLD\"", &today] {
        let (site, old, name) = (Site::new(), stranger(), newer(1));
        let (genuine, forged) = (&site.production.object, object(&site, &name, &old));
        site.put(name.object(), &forged);
        site.put(&name.manifest(), &manifest(&name, &forged, &old));
        let run = |args: &[&str]| {
            let output = tool(&site, &old, entry).args(args).run();
            site.production.assert_untouched();
            output
        };
        let drilled = run(&["verify-restore", "--offline", "--json"]);
        assert_eq!(drilled.ok().json()["backup_tested"], *genuine);
        run(&["verify-restore", "--offline", "--random", "--json"]).ok();
        run(&["decrypt", "latest", "-o", "x.snap", "--json"]).ok().stdout_contains(genuine);
        run(&["recover", CANARY, "--from", "latest", "-o", "s.json", "--json"]).ok().stdout_contains(genuine);

        let says = [name.object(), AFTER];
        run(&["verify-restore", "--offline", name.object()]).fails(5, &says);
        assert!(!site.names().contains(&name.drill_record()), "no drill record");
        // The last resort: a person names it, and is warned.
        run(&["decrypt", name.object(), "-o", "x.snap"]).code(0).stderr_contains(AFTER);
        run(&["inspect", name.object()]).code(0).stderr_contains(AFTER).stdout_contains("refused");
        let recover = ["recover", CANARY, "--from", name.object(), "-o", "s.json"];
        run(&recover).code(0).stderr_contains(AFTER);
    }
}

/// Without a manifest, or as a file, only the header names time and key.
#[test]
fn the_header_of_a_backup_under_an_old_key_is_checked_too() {
    let (site, old, name) = (Site::new(), stranger(), newer(1));
    let today = format!("{{ key = \"env:OLD\", until = \"{}\" }}", Utc::now().format("%Y-%m-%d"));
    let forged = object(&site, &name, &old);
    site.put(name.object(), &forged);
    let file = site.file("copy.enc", &forged);
    let run = |args: &[&str]| tool(&site, &old, &today).args(args).env("VAULT_TOKEN", root(&site)).run();
    run(&["verify-restore", "--offline", name.object()]).fails(5, &[name.object(), AFTER]);
    let production = site.production.vault.address();
    let restore = ["restore", &file, "--address", &production, "--dry-run"];
    run(&restore).fails(5, &[&file, AFTER, "--unverified"]);
    run(&[&restore[..], &["--unverified"]].concat()).stderr_contains(AFTER);
    run(&["decrypt", &file, "-o", "x.snap"]).code(0).stderr_contains(AFTER);
    site.production.assert_untouched();
}

fn root(site: &Site) -> &str {
    site.production.vault.root_token()
}
