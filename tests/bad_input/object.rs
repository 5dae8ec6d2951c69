//! Objects and manifests that were modified in the store.

use crate::support::place::Place;
use crate::support::snapshot::Synthetic;
use crate::support::tool::Output;
use crate::support::vectors::{plaintext, reorder};

/// A store with one backup, of four segments.
fn stored(place: &Place) -> (String, Vec<u8>) {
    let name = place.backup_of(Synthetic::whole(&plaintext(7 << 19)).bytes());
    let object = place.get(&name);
    assert_eq!(object.len().div_ceil(1 << 20), 4);
    (name, object)
}

/// The object with `old` replaced by `new`, of the same length, in its header.
fn header(object: &[u8], old: &str, new: &str) -> Vec<u8> {
    let at = object.windows(old.len()).position(|part| part == old.as_bytes()).unwrap();
    let mut edited = object.to_vec();
    edited[at..at + old.len()].copy_from_slice(new.as_bytes());
    edited
}

fn flipped(object: &[u8], at: usize) -> Vec<u8> {
    let mut edited = object.to_vec();
    edited[at] ^= 1;
    edited
}

/// Each modified object, and the expected error.
fn edits(place: &Place, object: &[u8]) -> Vec<(Vec<u8>, String)> {
    let says = |text: &str| text.to_owned();
    let other = "0".repeat(64);
    let cluster = place.site.vault.cluster_id();
    let end = object.len();
    let three = reorder(object, &[0, 1, 2]).len();
    vec![
        (
            header(object, &cluster, &"f".repeat(cluster.len())),
            says("segment 0 of the backup: authentication failed: the header or the data"),
        ),
        (header(object, &place.site.key_id(), &other), format!("wrong key: the backup is encrypted with key {other}")),
        (header(object, "\"created_at\":\"2", "\"created_at\":\"1"), says("its header names another time: 1")),
        (header(object, "\"key_id\"", "\"KEY_ID\""), says("header")),
        (flipped(object, 0), says("does not start with VLTBKUP1")),
        (flipped(object, 9), says("header")),
        (flipped(object, 1 << 19), says("segment 0 of the backup: authentication failed")),
        (flipped(object, 5 << 19), says("segment 2 of the backup: authentication failed: it was modified or moved")),
        (flipped(object, end - 1), says("the last segment 3 of the backup: authentication failed")),
        (reorder(object, &[1, 0, 2, 3]), says("segment 0 of the backup: authentication failed")),
        (reorder(object, &[0, 2, 1, 3]), says("segment 1 of the backup: authentication failed")),
        (reorder(object, &[0, 2, 3]), says("segment 1 of the backup: authentication failed")),
        (reorder(object, &[0, 1, 1, 2, 3]), says("segment 2 of the backup: authentication failed")),
        (reorder(object, &[0, 1, 2]), says("the backup is truncated: it ends after segment 2, but more must follow")),
        (object[..three + 7].to_vec(), says("the backup is truncated: it ends 7 bytes into segment 3")),
        (object[..end - 1].to_vec(), says("the last segment 3")),
        ([object, b"more"].concat(), says("the last segment 3")),
        ([object, object].concat(), says("segment 3 of the backup: authentication failed")),
        (object[..60].to_vec(), says("header")),
        (Vec::new(), says("is empty")),
        (b"not a backup at all, but long enough to be one".to_vec(), says("does not start with VLTBKUP1")),
    ]
}

#[test]
fn a_modified_object_is_never_decrypted() {
    std::thread::scope(|scope| {
        for place in Place::both() {
            scope.spawn(move || {
                let (name, object) = stored(&place);
                for (edited, says) in edits(&place, &object) {
                    place.put(&name, &edited);
                    let commands: &[&str] = if place.is_s3() { &["decrypt"] } else { &["decrypt", "inspect"] };
                    for command in commands {
                        let output = place.tool().args([command, &*name]).run();
                        refused(&output, &format!("{}/{name}: ", place.url()), &says);
                    }
                }
                // A changed size shows in the listing already.
                place.put(&name, &object[1..]);
                place.tool().arg("status").run().code(9).stdout_contains("no good daily backup");
            });
        }
    });
}

/// Exit code 5 with one error, and before it a warning if the size already differs.
fn refused(output: &Output, address: &str, says: &str) {
    output.code(5).stdout_is("").leaves(&[]);
    let lines: Vec<_> = output.stderr.lines().filter(|line| !line.starts_with("hint: ")).collect();
    let (error, warnings) = lines.split_last().unwrap();
    assert!(
        error.starts_with(&format!("vault-backup: error: {address}")) && error.contains(says),
        "no {says:?}: {output:?}"
    );
    assert!(warnings.len() <= 1 && warnings.iter().all(|line| line.contains("its manifest is invalid")), "{output:?}");
}

#[test]
fn stdout_gets_only_the_segments_before_the_damage() {
    let place = Place::directory();
    let (name, object) = stored(&place);
    place.put(&name, &flipped(&object, 5 << 19));
    let output = place.tool().args(["decrypt", &name, "-o", "-"]).run();
    output.fails(5, &["segment 2"]).leaves(&[]);
    place.put(&name, &object);
    let whole = place.tool().args(["decrypt", &name, "-o", "-"]).run();
    whole.ok();
    assert!(output.stdout.len() > 1 << 20 && output.stdout.len() < whole.stdout.len());
    assert!(whole.stdout.starts_with(&output.stdout));
}

#[test]
fn a_renamed_object_is_refused() {
    for place in Place::both() {
        let name = place.backup()["object"].as_str().unwrap().to_owned();
        let (object, manifest) = (place.get(&name), place.get(&format!("{name}.manifest.json")));
        let other = "daily/2025-01-02/vault-snapshot-20250102-030405.enc";
        place.put(other, &object);
        for command in ["decrypt", "inspect"] {
            let output = place.tool().args([command, other]).run();
            output.fails(5, &[other, "its header names another time:", "renamed"]).leaves(&[]);
        }
        // Its own manifest is not valid for the new name.
        place.put(&format!("{other}.manifest.json"), &manifest);
        let listing = place.tool().args(["list", "--json"]).run();
        let listing = listing.ok().json();
        let entry = listing["backups"].as_array().unwrap().iter().find(|entry| entry["object"] == other).unwrap();
        assert_eq!(entry["standing"], "refused");
        assert!(entry["reason"].as_str().unwrap().contains("another object"), "{entry}");
        let output = place.tool().args(["decrypt", other]).run();
        output.code(5).stderr_contains("its manifest is invalid: it belongs to another object").leaves(&[]);
    }
}

/// An invalid manifest is only a warning: the segments are authentic.
#[test]
fn an_edited_manifest_is_a_warning() {
    let place = Place::directory();
    let name = place.backup()["object"].as_str().unwrap().to_owned();
    let manifest_name = format!("{name}.manifest.json");
    let manifest = String::from_utf8(place.get(&manifest_name)).unwrap();
    for (edited, why) in [
        (manifest.replace("\"full\"", "\"head\""), "invalid MAC"),
        (manifest.replace("\"schema\":1", "\"schema\":2"), "schema is not 1"),
        (manifest.replace("\"mac\"", "\"cam\""), "it has no `mac`"),
        (manifest[..100].to_owned(), "malformed: "),
        (String::new(), "malformed: "),
        (manifest.replace("{\"", "{\"object\":\"x\",\""), "malformed: "),
    ] {
        place.put(&manifest_name, edited.as_bytes());
        let output = place.tool().args(["decrypt", &name, "-o", "x.snap"]).run();
        output
            .code(0)
            .stderr_contains(&format!("{}/{name}: its manifest is invalid: ", place.url()))
            .stderr_contains(why);
        assert_eq!(output.leaves(&["x.snap"]).stderr.lines().count(), 1, "{output:?}");
        place.tool().args(["inspect", &name]).run().code(0).stdout_contains("refused").stderr_contains(why);
        place.tool().arg("list").run().ok().stdout_contains("refused");
        place.tool().arg("status").run().code(9).stderr_is("").stdout_contains("no good daily backup");
    }
}

#[test]
fn wrong_checksum_metadata_fails_inspect_and_warns_in_decrypt() {
    let place = Place::s3();
    let name = place.backup()["object"].as_str().unwrap().to_owned();
    let mut metadata = place.metadata(&name);
    metadata.insert("checksum".into(), "0".repeat(64));
    place.set_metadata(&name, &metadata);
    let output = place.tool().args(["inspect", &name]).run();
    output.fails(5, &[&name, "its SHA-256 is not the one in its metadata"]).stdout_is("");
    // The segments are authentic, so `decrypt` only warns: it may be the last copy.
    let output = place.tool().args(["decrypt", &name, "-o", "x.snap"]).run();
    output.code(0).stderr_contains("its SHA-256 is not the one in its metadata").leaves(&["x.snap"]);
}
