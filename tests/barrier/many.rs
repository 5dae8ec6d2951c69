//! Finds and lists many secrets.

use super::{found, query, unlocked};
use crate::support::vault::Vault;
use serde_json::json;

/// Number of concurrent requests.
const WRITERS: usize = 16;

/// Runs `work` for every number below `count`, several at a time.
pub fn in_parallel(count: usize, work: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let work = &work;
            scope.spawn(move || (writer..count).step_by(WRITERS).for_each(work));
        }
    });
}

#[test]
fn twenty_thousand_secrets_are_listed_and_found() {
    const COUNT: usize = 20_000;
    let vault = Vault::start();
    vault.mount_kv("v1", 1);
    vault.mount_kv("v2", 2);
    // KV v2 takes Vault three times as long.
    let is_v2 = |n: usize| n % 4 == 3;
    in_parallel(COUNT, |n| {
        let (path, body) = match is_v2(n) {
            true => (format!("v2/data/directory-{}/{n}", n % 7), json!({"data": {"n": n}})),
            false => (format!("v1/directory-{}/{n}", n % 7), json!({"n": n})),
        };
        vault.ok("POST", &path, Some(body));
    });
    let (state, barrier) = unlocked(&vault);
    let scan = barrier.scan(state.bytes(), None).unwrap();
    assert_eq!(scan.summary.total.entries, state.places().len() as u64);
    assert_eq!(barrier.list(state.bytes(), "").unwrap().len(), COUNT);
    for n in [0, 3, 9_998, 9_999, 19_998, 19_999] {
        let path = format!("v{}/directory-{}/{n}", if is_v2(n) { 2 } else { 1 }, n % 7);
        assert_eq!(found(&barrier.find(state.bytes(), &query(&path, None)).unwrap()).0, json!({"n": n}));
    }
}
