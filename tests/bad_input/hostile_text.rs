//! Text from outside that acts on a terminal, forges a line or has no end: in names, documents and
//! headers of the store. Not here: answers of servers (`hostile_answers`).

use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use crate::support::production::seal;
use crate::support::tool::{Output, Tool};
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use vault_backup::base::secret::Secret;
use vault_backup::formats::crypto::{Header, Key, SourceServer};
use vault_backup::formats::manifest::{DrillRecord, Manifest, VaultFacts, rfc3339};
use vault_backup::formats::naming::{BackupName, BackupType};

/// Forges a line, clears the screen, sets the title, colours by a C1 sequence, reverses the direction,
/// adds performance data, and has characters that cannot be seen.
pub(super) const HOSTILE: &str = "x\nFORGED line\r\u{1b}[2J\u{1b}]0;t\u{7}\u{9b}31m\u{202e}\u{2066}|age=0s\u{200b}\u{2028}FORGED\u{7f}\u{85}FORGED y";

/// Longest line of output, with a few values in it.
const LINE: usize = 4_096;

/// Asserts that no character of the output acts on a terminal, that no line is forged, and that no
/// line is long.
#[track_caller]
pub(super) fn assert_harmless(output: &Output) {
    let all = format!("{}{}", output.text(), output.stderr);
    let acts = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    assert!(!all.chars().any(acts), "{:?}: {output:?}", all.chars().find(|c| acts(*c)));
    for line in all.lines() {
        assert!(!line.trim_start_matches(['|', ' ', '"']).starts_with("FORGED"), "{output:?}");
        assert!(line.len() <= LINE, "a line of {} bytes: {output:?}", line.len());
    }
    // 1 is an unexpected error, or a warning for Nagios.
    let warning = output.status == Some(1) && output.text().starts_with("VAULT-BACKUP WARNING - ");
    assert!(warning || matches!(output.status, Some(0 | 2..=9)), "{output:?}");
}

/// Commands that only read the store.
const READERS: [&[&str]; 8] = [
    &["list"],
    &["list", "--long"],
    &["status", "--max-drill-age", "1d"],
    &["status", "--nagios"],
    &["prune", "--dry-run"],
    &["complete-backups"],
    &["inspect", "latest"],
    &["verify-restore", "--offline"],
];

/// Runs `command` with text and with JSON logs; the output with text.
#[track_caller]
pub(super) fn harmless(tool: impl Fn() -> Tool, command: &[&str]) -> Output {
    assert_harmless(&tool().args(command).args(["-v", "--log-format", "json"]).run());
    let output = tool().args(command).run();
    assert_harmless(&output);
    if command.contains(&"--nagios") {
        let text = output.text();
        let (said, data) = text.split_once(" | ").unwrap_or((&text, ""));
        assert!(text.lines().count() == 1 && !said.contains('|') && !data.contains("age=0s"), "{output:?}");
    }
    output
}

fn key(place: &Place) -> Key {
    Key::from_hex(&Secret::new(&place.site.key)).unwrap()
}

fn name(minutes: i64) -> BackupName {
    BackupName::new(BackupType::Daily, Utc::now() - TimeDelta::minutes(minutes))
}

/// All texts of a document that its signer chooses are `text`.
fn manifest(name: &BackupName, key_id: &str, text: &str) -> Manifest {
    let text = || Some(text.to_owned());
    let vault = VaultFacts {
        version: text(),
        cluster_id: text(),
        cluster_name: text(),
        seal_type: text(),
        seal_threshold: Some(1),
        seal_shares: Some(1),
        ..VaultFacts::default()
    };
    Manifest {
        object: name.object().into(),
        size_bytes: 10,
        sha256: text().unwrap(),
        plaintext_size_bytes: None,
        plaintext_sha256: text(),
        created_at: rfc3339(name.created_at()),
        backup_type: name.backup_type(),
        key_id: key_id.into(),
        run_id: text(),
        vault,
        verification: None,
        tool: text(),
    }
}

fn record(name: &BackupName, text: &str) -> DrillRecord {
    DrillRecord {
        object: name.object().into(),
        sha256: text.into(),
        drilled_at: rfc3339(Utc::now()),
        mode: text.into(),
        staging_vault: Some(text.into()),
        canary: text.into(),
        canary_compared: Some(text.into()),
        durations_ms: BTreeMap::from([(text.into(), 1)]),
        tool: text.into(),
    }
}

/// A header whose texts are all `text`.
fn header(name: &BackupName, key: &Key, text: &str) -> Header {
    let text = || Some(text.to_owned());
    let vault = SourceServer { product: None, version: text(), cluster_id: text(), cluster_name: text() };
    Header { key_id: key.id().to_owned(), created_at: name.created_at(), vault, tool: text().unwrap() }
}

#[test]
fn names_of_objects_are_harmless() {
    let genuine = name(5);
    let hostile = [
        format!("daily/file{HOSTILE}"),
        format!("{HOSTILE}/FORGED.enc"),
        format!("{}{HOSTILE}", genuine.object()),
        format!("{}.manifest.json{HOSTILE}", genuine.object()),
        format!("daily/{HOSTILE}/vault-snapshot-20251126-020000.enc"),
        format!("monthly/2025-11/vault-snapshot-20251126-020000.enc.{HOSTILE}"),
    ];
    let directory = Place::directory();
    for name in &hostile {
        directory.put(name, b"ten bytes.");
    }
    let bucket = Place::s3();
    let keys: Vec<String> = hostile.iter().map(|name| bucket.key(name)).collect();
    let s3 = FaultServer::proxy(&bucket.site.s3.endpoint(), move |call| {
        if !call.query.contains("list-type=2") {
            return Reply::forward();
        }
        let coded: String = keys.iter().flat_map(|key| key.bytes()).map(|byte| format!("%{byte:02X}")).collect();
        let contents: String = keys
            .iter()
            .map(|key| key.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>())
            .chain([coded])
            .map(|key| {
                format!(
                    "<Contents><Key>{key}</Key><Size>10</Size><LastModified>2025-11-26T02:00:00Z</LastModified>\
                     <ETag>&quot;x&#10;FORGED&#x9b;1m&quot;</ETag></Contents>"
                )
            })
            .collect();
        Reply::status(200).body(format!(
            "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
        ))
    });
    let endpoint = s3.address().to_owned();
    for command in READERS {
        _ = harmless(|| directory.tool(), command);
        _ = harmless(|| bucket.tool().env("AWS_ENDPOINT_URL", &endpoint), command);
    }
    for command in ["inspect", "decrypt", "verify-restore", "recover"] {
        for input in [hostile[0].as_str(), &format!("./{}", HOSTILE.replace('/', "")), &format!("file:///{HOSTILE}")] {
            let args: &[&str] = match command {
                "recover" => &[command, "a/b", "--from", input],
                _ => &[command, input],
            };
            let output = harmless(|| directory.tool(), args);
            assert_ne!(output.status, Some(0), "{output:?}");
        }
    }
}

#[test]
fn texts_of_manifests_and_drill_records_are_harmless() {
    for place in Place::both() {
        let (own, other) = (key(&place), Key::generate().unwrap());
        let long = format!("{HOSTILE}{}", "A".repeat(4_000));
        for (minutes, signer, key_id, text) in [
            (1, &other, HOSTILE, HOSTILE),
            (2, &other, own.id(), HOSTILE),
            (3, &own, own.id(), HOSTILE),
            (4, &own, own.id(), &long),
            (5, &other, &long, &long),
        ] {
            let name = name(minutes);
            place.put(name.object(), b"ten bytes.");
            place.put(&name.manifest(), &manifest(&name, key_id, text).to_bytes(&signer.mac_key()).unwrap());
            place.put(&name.drill_record(), &record(&name, text).to_bytes(&signer.mac_key()).unwrap());
        }
        // Not ours at all, and not even JSON.
        for (minutes, text) in [
            (6, json!({"object": HOSTILE, "schema": HOSTILE, HOSTILE: HOSTILE, "mac": HOSTILE}).to_string()),
            (7, format!("{{\"schema\":1,\"mac\":\"{}\",\"FORGED\u{9b}\u{202e}\":[}}", "00".repeat(32))),
            (8, HOSTILE.to_owned()),
        ] {
            let name = name(minutes);
            place.put(name.object(), b"ten bytes.");
            place.put(&name.manifest(), text.as_bytes());
            place.put(&name.drill_record(), text.as_bytes());
        }
        for command in READERS {
            _ = harmless(|| place.tool(), command);
        }
        let refuted = name(1);
        for command in ["inspect", "decrypt", "verify-restore"] {
            _ = harmless(|| place.tool(), &[command, refuted.object()]);
        }
    }
}

/// A signed document has exactly the text in JSON.
#[test]
fn json_output_keeps_the_text() {
    let place = Place::directory();
    let (own, name) = (key(&place), name(3));
    let object = seal(&place.site.key, b"no snapshot", &header(&name, &own, HOSTILE));
    let mut signed = manifest(&name, own.id(), HOSTILE);
    (signed.size_bytes, signed.sha256) = (object.len() as u64, "00".repeat(32));
    place.put(name.object(), &object);
    place.put(&name.manifest(), &signed.to_bytes(&own.mac_key()).unwrap());
    let output = place.tool().args(["list", "--json"]).run();
    assert_harmless(&output);
    assert_eq!(output.ok().json()["backups"][0]["vault"]["cluster_name"], HOSTILE);
    let keyless = place.tool().env("VAULT_BACKUP_KEY", "").args(["inspect", name.object(), "--json"]).run();
    assert_harmless(&keyless);
    let found = keyless.code(0).json();
    for field in ["version", "cluster_id", "cluster_name"] {
        assert_eq!(found["header"]["vault"][field], HOSTILE, "{found}");
    }
    assert_eq!(found["header"]["tool"], HOSTILE);
}

/// Anyone who can write the file can choose the header.
#[test]
fn inspect_without_a_key_shows_no_forged_row() {
    let place = Place::directory();
    let (own, name) = (key(&place), name(3));
    let row = "x\n  checked         every segment and every hash: this is a complete snapshot\r  manifest        good\u{2028}FORGED";
    for text in [HOSTILE.to_owned(), row.to_owned(), "A".repeat(900)] {
        let object = seal(&place.site.key, b"no snapshot", &header(&name, &own, &text));
        place.put(name.object(), &object);
        place.put(&name.manifest(), &manifest(&name, own.id(), &text).to_bytes(&own.mac_key()).unwrap());
        let file = place.path().join("copy");
        std::fs::write(&file, &object).unwrap();
        for input in [name.object(), file.to_str().unwrap()] {
            let output = harmless(|| place.tool().env("VAULT_BACKUP_KEY", ""), &["inspect", input]);
            let text = output.code(0).text();
            let checked: Vec<_> = text.lines().filter(|line| line.trim_start().starts_with("checked")).collect();
            assert_eq!(checked, ["  checked         no: give --key to verify every byte"], "{text}");
            let (_, claims) = text.split_once("anyone who can write the file can forge the following\n").unwrap();
            assert!(claims.lines().all(|line| line.starts_with("    ") && line.len() < 300), "{text}");
            assert!(!claims.lines().any(|line| line.trim_start().starts_with("manifest        good")), "{text}");
        }
    }
}

/// The rows of the plan are ours, and the values of one line.
#[test]
fn a_restore_plan_and_a_drill_show_no_forged_row() {
    let place = Place::directory();
    let (own, name) = (key(&place), name(3));
    let snapshot = crate::support::snapshot::Synthetic::whole(&[0xff; 1000]).bytes();
    place.put(name.object(), &seal(&place.site.key, &snapshot, &header(&name, &own, HOSTILE)));
    let address = place.site.vault.address();
    for force in [&[][..], &["--force"]] {
        let args =
            [&["restore", name.object(), "--unverified", "--dry-run", "--address", &address][..], force].concat();
        let output = harmless(|| place.tool().env("VAULT_TOKEN", place.site.vault.root_token()), &args);
        assert!(!output.text().lines().any(|line| line.starts_with("FORGED")), "{output:?}");
    }
    for args in
        [&["verify-restore", "--offline", name.object()][..], &["inspect", name.object()], &["decrypt", name.object()]]
    {
        _ = harmless(|| place.tool(), args);
    }
    let found: Value = place.tool().args(["inspect", name.object(), "--json"]).run().json();
    assert_eq!(found["header"]["tool"], HOSTILE);
}
