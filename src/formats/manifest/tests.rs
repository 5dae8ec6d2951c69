use super::*;
use chrono::{TimeZone, Utc};
use zeroize::Zeroizing;

fn key(id: &str, byte: u8) -> MacKey {
    MacKey {
        key_id: Some(id.into()),
        manifest: Zeroizing::new([byte; 32]),
        drill: Some(Zeroizing::new([byte + 1; 32])),
        end: KeyEnd::Never,
    }
}

fn name() -> BackupName {
    BackupName::new(BackupType::Daily, Utc.with_ymd_and_hms(2025, 11, 26, 2, 0, 0).unwrap())
}

fn manifest() -> Manifest {
    Manifest {
        object: name().object().into(),
        size_bytes: 1000,
        sha256: "ab".repeat(32),
        plaintext_size_bytes: Some(900),
        plaintext_sha256: None,
        created_at: "2025-11-26T02:00:00Z".into(),
        backup_type: BackupType::Daily,
        key_id: "k1".into(),
        run_id: Some("r".into()),
        vault: VaultFacts { version: Some("1.21.4".into()), raft_index: Some(7), ..Default::default() },
        verification: Some(Verification::Full),
        tool: Some("vault-backup/0.1.0".into()),
    }
}

#[test]
fn manifest_round_trips() {
    let bytes = manifest().to_bytes(&key("k1", 1)).unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(text.starts_with("{\"backup_type\":\"daily\",\"created_at\""), "{text}");
    assert!(!text.contains("null") && !text.contains("plaintext_sha256"), "absent values are left out");
    let back = Manifest::from_bytes(&bytes, &name(), &[key("k0", 9), key("k1", 1)]).unwrap();
    assert_eq!(back, (manifest(), KeyEnd::Never));
}

#[test]
fn unknown_keys_are_covered_by_the_mac_and_ignored() {
    let mut value = serde_json::to_value(manifest()).unwrap();
    value["future"] = serde_json::json!({"a": [1]});
    let bytes = sign(&value, &key("k1", 1).manifest).unwrap();
    assert_eq!(Manifest::from_bytes(&bytes, &name(), &[key("k1", 1)]).unwrap().0, manifest());
    let edited = String::from_utf8(bytes).unwrap().replace("[1]", "[2]");
    assert!(matches!(Manifest::from_bytes(edited.as_bytes(), &name(), &[key("k1", 1)]), Err(DocumentError::Forged)));
}

#[test]
fn modified_foreign_and_malformed_manifests_are_rejected() {
    let keys = [key("k1", 1)];
    let good = manifest().to_bytes(&keys[0]).unwrap();
    let rejected = |bytes: &[u8], keys: &[MacKey]| Manifest::from_bytes(bytes, &name(), keys).unwrap_err();
    let edit = |from: &str, to: &str| String::from_utf8(good.clone()).unwrap().replace(from, to).into_bytes();

    assert!(matches!(rejected(&edit("1000", "1001"), &keys), DocumentError::Forged));
    assert!(matches!(rejected(&good, &[key("k2", 2)]), DocumentError::UnknownKey));
    assert!(matches!(rejected(&good, &[key("k1", 2)]), DocumentError::Forged));
    assert!(matches!(rejected(&good, &[]), DocumentError::UnknownKey));
    assert!(matches!(rejected(b"<html>", &keys), DocumentError::Malformed(_)));
    assert!(matches!(rejected(b"[]", &keys), DocumentError::Malformed(_)));
    assert!(matches!(rejected(&edit("\"schema\":1", "\"schema\":2"), &keys), DocumentError::Malformed(_)));
    assert!(matches!(rejected(&edit("\"mac\"", "\"mic\""), &keys), DocumentError::Malformed(_)));

    let other = name().as_monthly();
    assert!(matches!(Manifest::from_bytes(&good, &other, &keys), Err(DocumentError::OtherObject(_))));
}

#[test]
fn the_manifest_key_alone_verifies_manifests_but_not_drill_records() {
    let full = key("k1", 1);
    let alone = MacKey { key_id: None, manifest: full.manifest.clone(), drill: None, end: KeyEnd::Never };
    let bytes = manifest().to_bytes(&full).unwrap();
    assert!(Manifest::from_bytes(&bytes, &name(), std::slice::from_ref(&alone)).is_ok());

    let record = DrillRecord {
        object: name().object().into(),
        sha256: "ab".repeat(32),
        drilled_at: "2025-11-30T03:00:00Z".into(),
        mode: "offline".into(),
        staging_vault: None,
        canary: "smtp/test-tenant-id/admin".into(),
        canary_compared: None,
        durations_ms: [("open".to_owned(), 12)].into(),
        tool: "vault-backup/0.1.0".into(),
    };
    let bytes = record.to_bytes(&full).unwrap();
    assert_eq!(DrillRecord::from_bytes(&bytes, &name(), std::slice::from_ref(&full)).unwrap().0, record);
    assert!(matches!(
        DrillRecord::from_bytes(&bytes, &name(), std::slice::from_ref(&alone)),
        Err(DocumentError::UnknownKey)
    ));
    assert!(record.to_bytes(&alone).is_err());
    assert!(matches!(Manifest::from_bytes(&bytes, &name(), &[full]), Err(DocumentError::Forged)), "macs are separate");
}

#[test]
fn debug_output_never_contains_a_mac_key() {
    assert_eq!(format!("{:?}", key("k1", 7)), "MacKey { key_id: Some(\"k1\"), .. }");
}
