//! Tests the archive check with a snapshot of a real Vault.

use crate::support::vault::Vault;
use vault_backup::base::error::Kind;
use vault_backup::formats::archive;

#[test]
fn archive_check_accepts_a_real_snapshot_and_refuses_every_truncation() {
    let vault = Vault::start();
    let snapshot = vault.snapshot();
    let (found, state_size) = archive::check_with(&snapshot[..], |meta, state| {
        assert_eq!(meta.id, "bolt-snapshot");
        Ok(std::io::copy(state, &mut std::io::sink()).unwrap())
    })
    .unwrap();
    assert_eq!((found.state_size, found.meta.size), (state_size, state_size));
    assert_eq!(found.plaintext_size, snapshot.len() as u64);
    assert!(found.meta.index > 0 && found.meta.term > 0);
    let [peer] = &found.meta.peers[..] else { panic!("one node, and {:?}", found.meta.peers) };
    let address = vault.address();
    let host = address.trim_start_matches("http://").split(':').next().unwrap();
    assert!(peer.id == vault.node_id() && peer.address.starts_with(host), "{peer:?}");

    for size in (0..snapshot.len()).step_by(97).chain([snapshot.len() - 1]) {
        let error = archive::check(&snapshot[..size]).unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity, "{size}: {error}");
    }
    let mut changed = snapshot.clone();
    changed[snapshot.len() / 2] ^= 1;
    assert_eq!(archive::check(&changed[..]).unwrap_err().kind(), Kind::Integrity);
}
