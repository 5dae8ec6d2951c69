//! Backups that are too large for a single PUT: multipart uploads.

use super::text;
use crate::support::fault::{FaultServer, Reply};
use crate::support::place::Place;
use crate::support::site::Site;
use crate::support::snapshot::sha256;
use serde_json::Value;
use std::sync::Arc;

const MIB: usize = 1 << 20;

/// Maximum size of a single PUT.
const SINGLE: usize = 32 * MIB;

#[test]
fn a_large_backup_is_uploaded_by_multipart_and_decrypts() {
    let site = Arc::new(Site::start());
    site.vault.fill(SINGLE + MIB);
    let place = Place::in_bucket(site.clone());
    let s3 = FaultServer::proxy(&site.s3.endpoint(), |_| Reply::forward());
    let tool = place.tool().env("AWS_ENDPOINT_URL", s3.address());
    std::fs::write(tool.home().join("config.toml"), "[run]\npart_size = \"5MiB\"\n").unwrap();
    let output = tool.args(["backup", "--json", "--config", "config.toml"]).run();
    output.ok();
    let said = output.json();

    let name = text(&said["object"]);
    let object = place.get(name);
    assert_eq!((said["size_bytes"].as_u64(), text(&said["sha256"])), (Some(object.len() as u64), &*sha256(&object)));
    assert!(object.len() > SINGLE);
    assert_eq!(place.get(text(&said["monthly_copy"])), object);
    sent_in_parts(&s3, object.len());
    let metadata = place.metadata(name);
    let keys: Vec<_> = metadata.keys().map(String::as_str).collect();
    assert_eq!(keys, ["key-id", "run-id", "timestamp", "vault_version"], "the checksum was not known beforehand");
    assert_eq!(metadata["run-id"], text(&said["run_id"]));
    assert_eq!(site.s3.incomplete_uploads(place.bucket()), [""; 0]);

    let found = inspected(&place, name);
    assert_eq!([&found["standing"], &found["checked"]["sha256"]], [&"good".into(), &said["sha256"]]);
    let output = place.tool().args(["decrypt", name, "-o", "-"]).run();
    output.ok().leaves(&[]);
    super::main_job::restores(&site, output.stdout);

    into_a_folder(site);
}

fn sent_in_parts(s3: &FaultServer, size: usize) {
    let calls = s3.calls();
    let sent = |query: &str| calls.iter().filter(|call| call.query.contains(query)).collect::<Vec<_>>();
    let parts = sent("partNumber=");
    assert_eq!(parts.len(), size.div_ceil(5 * MIB));
    let mut sizes: Vec<usize> = parts.iter().map(|call| call.header("content-length").parse().unwrap()).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    assert!(sizes[..sizes.len() - 1].iter().all(|part| *part == 5 * MIB), "{sizes:?}");
    assert_eq!(sizes.iter().sum::<usize>(), size);
    assert!(parts.iter().all(|call| !call.header("x-amz-checksum-crc32c").is_empty()));
    let completions: Vec<_> =
        calls.iter().filter(|call| call.method == "POST" && call.query.contains("uploadId=")).collect();
    assert_eq!(completions.len(), 1);
    assert_eq!(completions[0].header("if-none-match"), "*");
}

fn inspected(place: &Place, name: &str) -> Value {
    let output = place.tool().args(["inspect", name, "--json"]).run();
    output.ok();
    output.json()
}

fn into_a_folder(site: Arc<Site>) {
    let place = Place::directory_of(site);
    let said = place.backup();
    let name = text(&said["object"]);
    assert_eq!(text(&said["sha256"]), sha256(&place.get(name)));
    assert_eq!(inspected(&place, name)["standing"], "good");
}
