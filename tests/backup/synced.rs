//! A disk that reports errors: the run says what is stored, and nothing else.

use crate::support::place::Place;
use crate::support::tool::Output;
use serde_json::Value;

/// A run of which each thread's `n`th fsync fails, and its line in the audit log.
fn audited(place: &Place, n: usize) -> (Output, Value) {
    let log = place.path().with_extension(format!("audit-{n}"));
    let config = place.path().with_extension(format!("toml-{n}"));
    std::fs::write(&config, format!("[audit]\nfile = {log:?}\n")).unwrap();
    let inject = format!("inject=fsync:error=EIO:when={n}");
    let trace = ["-f", "-qqq", "-o", "/dev/null", "-e", "trace=fsync", "-e", &inject];
    let tool = place.tool().arg("--config").arg(&config).args(["backup", "--kind", "daily", "--json"]);
    let output = tool.under("strace", &trace).run();
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    (output, serde_json::from_str(text.lines().next().unwrap_or("null")).unwrap())
}

/// The standings that `list` gives.
fn standings(place: &Place) -> Vec<String> {
    if !place.path().exists() {
        return Vec::new();
    }
    let listed = place.tool().args(["list", "--json"]).run().ok().json();
    listed["backups"].as_array().unwrap().iter().map(|one| one["standing"].as_str().unwrap().to_owned()).collect()
}

/// Objects are synced before they get their name, and their directory afterwards. Whichever
/// of these fails, the run's statement agrees with the store.
#[test]
fn a_failed_fsync_never_makes_the_run_state_what_is_not_true() {
    let mut codes = Vec::new();
    for n in 1.. {
        let place = Place::directory();
        let (output, event) = audited(&place, n);
        let standings = standings(&place);
        let said = output.json();
        match output.status {
            // No fsync is left to fail.
            Some(0) => {
                assert_eq!(standings, ["good"], "{output:?}");
                break;
            }
            Some(8) => {
                assert_eq!(standings, ["good"], "{output:?}");
                output.stderr_contains("the backup is good, but the store reported an error");
                output.stderr_contains("it was written, but its directory cannot be synced");
                assert!(said["object"].is_string() && said["problems"].is_array(), "{said}");
                assert!(event["details"]["problems"].is_array() && event["event"] != "vault_backup_failed", "{event}");
            }
            Some(4) => {
                assert!(!standings.contains(&"good".to_owned()), "{output:?}");
                let unverified = output.stderr.contains("uploaded and verified, but its manifest is not known to be");
                assert_eq!(standings, if unverified { vec!["unverified"] } else { vec![] }, "{output:?}");
                assert_eq!(event["event"], "vault_backup_failed", "{event}");
            }
            _ => panic!("{output:?}"),
        }
        let left = place.names().into_iter().filter(|name| name.contains(".tmp-")).count();
        assert_eq!(left, 0, "{:?}", place.names());
        codes.push(output.status.unwrap());
        assert!(n < 40, "{codes:?}");
    }
    assert!(codes.contains(&4), "{codes:?}");
}

/// The directory's fsync after the manifest got its name: the backup is good (exit 8).
#[test]
fn a_manifest_whose_directory_cannot_be_synced_is_reported_as_stored() {
    let place = Place::directory();
    // Its directories exist, so that only files and the day's directory are synced.
    let first = place.tool().args(["backup", "--kind", "daily", "--json"]).run().ok().json();
    let day = place.path().join(first["object"].as_str().unwrap()).parent().unwrap().to_owned();
    crate::support::place::next_second();
    let inject = "inject=fsync:error=EIO";
    let path = day.to_str().unwrap();
    let trace = ["-f", "-qqq", "-o", "/dev/null", "-P", path, "-e", "trace=fsync", "-e", inject];
    let output = place.tool().args(["backup", "--kind", "daily", "--json"]).under("strace", &trace).run();
    // Each fsync of the directory fails: the object's comes first, and the object is removed.
    output.fails(4, &["cannot be created", "it was removed again", "its directory cannot be synced"]);
    assert_eq!(place.names().len(), 2);
    assert_eq!(standings(&place), ["good"]);
}
