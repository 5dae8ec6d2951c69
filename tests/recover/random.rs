//! Random secrets: `recover` prints the same data as Vault's API.

use crate::barrier::many::in_parallel;
use crate::support::process::temp_dir;
use crate::support::tool::{Tool, tool};
use crate::support::vault::Vault;
use proptest::collection::btree_map;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use std::path::Path;

const COUNT: usize = 1000;

/// JSON objects of all shapes.
fn objects() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        // Few digits, because serde_json does not parse all floats exactly; never whole numbers,
        // because the API of KV v2 drops the `.0`.
        any::<i32>().prop_map(|n| Value::from(f64::from(n | 1) / 64.0)),
        ".{0,40}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 20, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            btree_map(".{1,10}", inner, 0..5).prop_map(|map| map.into_iter().collect()),
        ]
    });
    btree_map(".{1,20}", value, 1..6).prop_map(|map| map.into_iter().collect())
}

/// Secrets in KV v1 and v2, in directories of all depths: mount, path, data.
fn secrets() -> Vec<(&'static str, String, Value)> {
    let mut runner = TestRunner::deterministic();
    let secret = |n: usize| {
        let directory = "[a-z0-9]{1,4}(/[a-z0-9]{1,4}){0,3}".new_tree(&mut runner).unwrap().current();
        let data = objects().new_tree(&mut runner).unwrap().current();
        (["v1", "v2"][n % 2], format!("{directory}/{n}"), data)
    };
    (0..COUNT).map(secret).collect()
}

fn recover(vault: &Vault, snapshot: &Path) -> Tool {
    tool().args(["recover", "--share", "env:SHARE", "--from"]).arg(snapshot).env("SHARE", &vault.shares()[0])
}

#[test]
fn recovers_a_thousand_secrets_as_the_api_returns_them() {
    let vault = Vault::builder().shares(1, 1).start();
    vault.mount_kv("v1", 1);
    vault.mount_kv("v2", 2);
    let secrets = secrets();
    in_parallel(COUNT, |n| vault.put_secret(secrets[n].0, &secrets[n].1, &secrets[n].2));
    let dir = temp_dir();
    let snapshot = dir.path().join("vault.snap");
    std::fs::write(&snapshot, vault.snapshot()).unwrap();

    in_parallel(COUNT, |n| {
        let (mount, path, written) = &secrets[n];
        let printed = recover(&vault, &snapshot).arg(format!("{mount}/{path}")).run().ok().json();
        assert_eq!(Some(&printed), vault.get_secret(mount, path).as_ref(), "{mount}/{path}");
        assert_eq!(&printed, written, "{mount}/{path}");
    });

    let listed = recover(&vault, &snapshot).args(["--list", ""]).run().ok().text();
    let mut paths: Vec<String> = secrets.iter().map(|(mount, path, _)| format!("{mount}/{path}")).collect();
    paths.sort_unstable();
    let named: Vec<&str> = listed.lines().filter_map(|line| line.split("  versions").next()).collect();
    assert_eq!(named, paths);
}
