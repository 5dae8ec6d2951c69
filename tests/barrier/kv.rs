//! Compares secrets with the API: versions, deletion, mounts, unusual names.

use super::{found, query, unlocked};
use crate::support::vault::Vault;
use serde_json::{Value, json};
use vault_backup::formats::barrier::{ListedSecret, MissingReason, SecretAnswer, SecretVersion};

/// A path encoded for a URL.
fn encoded(path: &str) -> String {
    let escape = |byte: u8| match byte {
        b'/' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    path.bytes().map(escape).collect()
}

#[test]
fn kv_versions_and_deletion_match_the_api() {
    let vault = Vault::start();
    vault.mount_kv("kv", 2);
    let write = |path: &str, n: u64| vault.put_secret("kv", path, &json!({"n": n}));
    for n in 1..=4 {
        write("four", n);
        write("gone", n);
    }
    vault.ok("POST", "kv/delete/four", Some(json!({"versions": [1, 2]})));
    vault.ok("POST", "kv/undelete/four", Some(json!({"versions": [2]})));
    vault.ok("PUT", "kv/destroy/four", Some(json!({"versions": [3]})));
    vault.ok("DELETE", "kv/data/gone", None);
    vault.ok("POST", "kv/metadata/few", Some(json!({"max_versions": 2, "custom_metadata": {"owner": "us"}})));
    for n in 1..=5 {
        write("few", n);
    }
    vault.ok("POST", "kv/metadata/empty", Some(json!({"max_versions": 2})));
    vault.ok("POST", "kv/metadata/expires", Some(json!({"delete_version_after": "1h"})));
    write("expires", 1);
    write("erased", 1);
    vault.ok("DELETE", "kv/metadata/erased", None);
    let (state, barrier) = unlocked(&vault);

    for path in ["four", "gone", "few", "empty", "expires", "erased", "never"] {
        for version in [None, Some(0), Some(1), Some(2), Some(3), Some(4), Some(5), Some(6)] {
            let asked = version.map(|v| format!("?version={v}")).unwrap_or_default();
            let (status, api) = vault.api("GET", &format!("kv/data/{path}{asked}"), None);
            let answer = barrier.find(state.bytes(), &query(&format!("kv/{path}"), version)).unwrap();
            let metadata = &api["data"]["metadata"];
            let same = |v: &SecretVersion| {
                let time = |t: Option<chrono::DateTime<chrono::Utc>>, api: &Value| {
                    let api = api.as_str().unwrap();
                    assert_eq!(t, (!api.is_empty()).then(|| api.parse().unwrap()));
                };
                time(v.created, &metadata["created_time"]);
                time(v.deletion, &metadata["deletion_time"]);
                assert_eq!(json!([v.number, v.destroyed]), json!([metadata["version"], metadata["destroyed"]]));
            };
            match &answer {
                SecretAnswer::Found(_, v) => {
                    assert_eq!((status, &found(&answer).0), (200, &api["data"]["data"]), "{path} {version:?}");
                    same(&v.unwrap());
                }
                SecretAnswer::Deleted(v) | SecretAnswer::Destroyed(v) => {
                    assert_eq!((status, &api["data"]["data"]), (404, &Value::Null), "{path} {version:?}");
                    same(v);
                }
                SecretAnswer::Missing(_) => {
                    assert_eq!((status, &api["data"]), (404, &Value::Null), "{path} {version:?}");
                }
            }
        }
    }

    let ask = |path: &str, version| barrier.find(state.bytes(), &query(path, version)).unwrap();
    assert!(matches!(ask("kv/four", Some(1)), SecretAnswer::Deleted(v) if v.number == 1));
    assert_eq!(found(&ask("kv/four", Some(2))), (json!({"n": 2}), Some(2)), "undeleted");
    assert!(matches!(ask("kv/four", Some(3)), SecretAnswer::Destroyed(v) if v.destroyed));
    assert!(matches!(ask("kv/gone", None), SecretAnswer::Deleted(v) if v.number == 4));
    assert_eq!(ask("kv/few", Some(3)), SecretAnswer::Missing(MissingReason::NoVersion(3)), "max_versions is passed");
    assert_eq!(found(&ask("kv/few", Some(4))), (json!({"n": 4}), Some(4)));
    assert_eq!(ask("kv/empty", None), SecretAnswer::Missing(MissingReason::NoVersion(0)));
    assert_eq!(ask("kv/erased", None), SecretAnswer::Missing(MissingReason::NoSecret));

    // The deletion time is compared with the time of the query.
    let mut later = query("kv/expires", None);
    assert_eq!(found(&barrier.find(state.bytes(), &later).unwrap()).1, Some(1));
    later.at += chrono::TimeDelta::hours(2);
    assert!(matches!(barrier.find(state.bytes(), &later).unwrap(), SecretAnswer::Deleted(_)));
    // A scan gives the same answers.
    let scanned = barrier.scan(state.bytes(), Some(&query("kv/four", Some(1)))).unwrap().answer;
    assert_eq!(scanned, Some(ask("kv/four", Some(1))));

    let listed = barrier.list(state.bytes(), "kv/four").unwrap();
    let [ListedSecret { path, current: Some(4), versions }] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!(path, "kv/four");
    let state_of = |v: &SecretVersion| (v.number, v.deletion.is_some(), v.destroyed);
    let states: Vec<_> = versions.iter().map(state_of).collect();
    assert_eq!(states, [(1, true, false), (2, false, false), (3, false, true), (4, false, false)]);
}

#[test]
fn unusual_names_and_mounts_are_found_and_listed() {
    let vault = Vault::start();
    let unusual =
        ["with space/and more", "Grüße/日本/🔑", "a+b&c=d%2F?#", "dots.and--dashes", "deep/er/and/deep/est/x"];
    for version in [1, 2] {
        let mount = format!("team/v{version}");
        vault.mount_kv(&mount, version);
        for path in unusual {
            vault.put_secret(&mount, &encoded(path), &json!({"path": path, "version": version}));
        }
    }
    // A mount below another mount's path, and a mount that replaces another.
    vault.mount_kv("team/v2-other", 1);
    vault.put_secret("team/v2-other", "a", &json!({"other": true}));
    for generation in 1..=2 {
        for version in [1, 2] {
            let mount = format!("again{version}");
            vault.mount_kv(&mount, version);
            vault.put_secret(&mount, "a", &json!({"generation": generation}));
            vault.put_secret(&mount, &format!("only-{generation}"), &json!({"x": 1}));
            if generation == 1 {
                vault.ok("DELETE", &format!("sys/mounts/{mount}"), None);
            }
        }
    }
    vault.ok("POST", "sys/mounts/local", Some(json!({"type": "kv", "local": true})));
    vault.put_secret("local", "a", &json!({"local": true}));
    let (state, barrier) = unlocked(&vault);
    barrier.scan(state.bytes(), None).unwrap();
    let ask = |path: &str| barrier.find(state.bytes(), &query(path, None)).unwrap();

    for version in [1, 2] {
        for path in unusual {
            let answer = ask(&format!("team/v{version}/{path}"));
            assert_eq!(found(&answer).0, json!({"path": path, "version": version}));
        }
        assert_eq!(found(&ask(&format!("again{version}/a"))).0, json!({"generation": 2}));
        assert_eq!(ask(&format!("again{version}/only-1")), SecretAnswer::Missing(MissingReason::NoSecret));
    }
    assert_eq!(found(&ask("/team/v2-other/a")).0, json!({"other": true}));
    assert_eq!(found(&ask("local/a")), (json!({"local": true}), None));
    assert_eq!(ask("team/v3/a"), SecretAnswer::Missing(MissingReason::NoMount));
    assert_eq!(ask("team"), SecretAnswer::Missing(MissingReason::NoMount));
    assert_eq!(ask("team/v2/"), SecretAnswer::Missing(MissingReason::NoSecret));
    assert!(
        matches!(ask("sys/policy/default"), SecretAnswer::Missing(MissingReason::NotKv(path, _)) if path == "sys/")
    );

    let names = |prefix: &str| -> Vec<String> {
        barrier.list(state.bytes(), prefix).unwrap().into_iter().map(|listed| listed.path).collect()
    };
    let mut all: Vec<String> = unusual.iter().flat_map(|p| [format!("team/v1/{p}"), format!("team/v2/{p}")]).collect();
    all.push("team/v2-other/a".into());
    all.sort();
    assert_eq!(names("team"), all);
    assert_eq!(names("team/"), all);
    assert_eq!(names("team/v2-other"), ["team/v2-other/a"]);
    assert_eq!(names("team/v2/Grüße/日本"), ["team/v2/Grüße/日本/🔑"]);
    assert_eq!(names("team/v1/deep/er/"), ["team/v1/deep/er/and/deep/est/x"]);
    assert_eq!(names("team/v2/dee"), Vec::<String>::new(), "prefixes end at a path segment");
    assert_eq!(names("").len(), all.len() + 4 + 1);
}

#[test]
fn large_and_exact_values_are_returned_unchanged() {
    let vault = Vault::start();
    let large = json!({"large": "ä".repeat(520_000)});
    let exact =
        json!({"big": 12_345_678_901_234_567_890_u64, "html": "<&>\u{2028}", "deep": [{"a": [null, true, 1.5]}]});
    for version in [1, 2] {
        let mount = format!("v{version}");
        vault.mount_kv(&mount, version);
        vault.put_secret(&mount, "large", &large);
        vault.put_secret(&mount, "exact", &exact);
    }
    let (state, barrier) = unlocked(&vault);
    for mount in ["v1", "v2"] {
        let ask = |path: &str| barrier.find(state.bytes(), &query(&format!("{mount}/{path}"), None)).unwrap();
        assert_eq!(found(&ask("large")).0, large);
        assert_eq!(Some(found(&ask("large")).0), vault.get_secret(mount, "large"));
        // Vault's API itself rounds large numbers in KV v2.
        assert_eq!(found(&ask("exact")).0, exact);
    }
    let scan = barrier.scan(state.bytes(), None).unwrap();
    assert!(scan.summary.largest.bytes > 1_000_000 && scan.summary.largest.key.starts_with("logical/"));
}
