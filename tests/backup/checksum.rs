//! `--verify head`: the checksum that the store reports is compared with the one computed here.

use super::raced::{Request, made_by};
use super::text;
use crate::support::fault::{Call, FaultServer, Reply};
use crate::support::place::Place;
use crate::support::tool::Output;
use std::sync::Arc;
use tokio::task::block_in_place;

/// Returns `true` for the request that asks for the checksum.
fn asks(call: &Call) -> bool {
    call.method == "HEAD" && !call.header("x-amz-checksum-mode").is_empty()
}

/// Runs a backup whose request for the checksum `answer` answers, given the object's size. With
/// `junk`, the store then has other bytes of that size.
fn backup(request: Request, junk: bool, answer: fn(usize) -> Reply) -> (Arc<Place>, Output) {
    let place = Arc::new(Place::s3());
    let behind = place.clone();
    let s3 = FaultServer::proxy(&place.site.s3.endpoint(), move |call| match asks(call) {
        true => block_in_place(|| {
            let name = call.path.split_once("/prod/").unwrap().1;
            let size = behind.get(name).len();
            if junk {
                behind.put(name, &vec![7; size]);
            }
            answer(size)
        }),
        false => Reply::forward(),
    });
    let tool = place.tool().env("AWS_ENDPOINT_URL", s3.address());
    let tool = tool.args(["backup", "--kind", "daily", "--verify", "head", "--json"]);
    let output = match made_by(&place, request) {
        Some(vault) => tool.env("VAULT_ADDR", vault.address()).run(),
        None => tool.run(),
    };
    assert_eq!(s3.calls().iter().filter(|call| asks(call)).count(), 1);
    (place, output)
}

fn head(size: usize) -> Reply {
    Reply::status(200).header("content-length", &size.to_string()).header("etag", "\"same\"")
}

/// The checksums of other bytes.
const SHA256: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const CRC32C: &str = "AAAAAA==";

#[test]
fn an_object_that_differs_from_the_upload_is_refused() {
    type Attack = (Request, bool, fn(usize) -> Reply, i32, &'static [&'static str]);
    let attacks: [Attack; 7] = [
        (
            Request::Put,
            false,
            |n| head(n).header("x-amz-checksum-sha256", SHA256),
            5,
            &["sent, the store has sha256:AAA"],
        ),
        (Request::Part, false, |n| head(n).header("x-amz-checksum-crc32c", "AAAAAA==-7"), 5, &["crc32c:AAAAAA==-7"]),
        (Request::Put, false, |n| head(n + 1), 5, &["size mismatch"]),
        (Request::Put, false, |_| Reply::status(404), 4, &["disappeared"]),
        // Other bytes, and the answer has nothing that shows it: the object is read back.
        (Request::Put, true, head, 5, &["does not start with VLTBKUP1"]),
        (Request::Part, true, head, 5, &["does not start with VLTBKUP1"]),
        (Request::Put, true, |_| Reply::forward(), 5, &[]),
    ];
    for (n, (request, junk, answer, code, says)) in attacks.into_iter().enumerate() {
        let (place, output) = backup(request, junk, answer);
        output.fails(code, says).stderr_contains("uploaded, but not verified");
        assert_eq!(place.names().len(), 1, "attack {n}: no manifest");
        place.tool().arg("status").run().code(9);
    }
}

#[test]
fn a_store_without_a_comparable_checksum_has_the_object_read_back() {
    type Answer = (Request, fn(usize) -> Reply);
    let answers: [Answer; 6] = [
        (Request::Put, head),
        (Request::Put, |n| head(n).header("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=")),
        (Request::Put, |n| head(n).header("x-amz-checksum-crc32c", CRC32C)),
        (Request::Put, |n| head(n).header("x-amz-checksum-sha256", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=-1")),
        // The CRC32C of all bytes, in place of that of the parts.
        (Request::Part, |n| head(n).header("x-amz-checksum-crc32c", CRC32C)),
        (Request::Part, head),
    ];
    for (n, (request, answer)) in answers.into_iter().enumerate() {
        let (place, output) = backup(request, false, answer);
        let said = output.ok().json();
        assert_eq!(said["verification"], "full", "answer {n}");
        let manifest = place.json(&format!("{}.manifest.json", text(&said["object"])));
        assert_eq!(manifest["verification"], "full", "answer {n}");
    }
    let place = Place::directory();
    let output = place.tool().args(["backup", "--kind", "daily", "--verify", "head", "--json", "-v"]).run();
    assert_eq!(output.code(0).json()["verification"], "full");
    output.stderr_contains("the store reports no checksum that can be compared, so it is read back");
}

#[test]
fn the_checksum_of_a_real_server_is_compared() {
    for request in [Request::Put, Request::Part] {
        let (_place, output) = backup(request, false, |_| Reply::forward());
        assert_eq!(output.ok().json()["verification"], "head", "{request:?}");
    }
}
