//! Lost responses of the store: metadata shows the owner of an object, and reading it back proves it.

use super::text;
use crate::support::fault::{Call, FaultServer, Reply};
use crate::support::place::Place;
use crate::support::process::{PATIENCE, wait_for};
use crate::support::snapshot::Synthetic;
use crate::support::tool::{Output, Tool};
use bytes::Bytes;
use ring::rand::{SecureRandom, SystemRandom};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::block_in_place;

/// A snapshot that does not compress and is too large for one put.
pub(crate) fn large() -> Bytes {
    let mut state = vec![0; 33 << 20];
    SystemRandom::new().fill(&mut state).unwrap();
    Synthetic::whole(&state).bytes().into()
}

/// The requests that create an object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Request {
    /// The listing that finds a free name.
    Names,
    Put,
    Begin,
    Part,
    Complete,
    Manifest,
    ReadBack,
}

impl Request {
    pub(crate) fn is(self, call: &Call) -> bool {
        let is_object = call.path.ends_with(".enc");
        let has = |name: &str| call.query.contains(name);
        match self {
            Self::Names => call.method == "GET" && has("list-type=2") && has("vault-snapshot-"),
            Self::Put => is_object && call.method == "PUT" && !has("partNumber="),
            Self::Begin => is_object && call.method == "POST" && has("uploads"),
            Self::Part => is_object && call.method == "PUT" && has("partNumber="),
            Self::Complete => is_object && call.method == "POST" && has("uploadId="),
            Self::Manifest => call.method == "PUT" && call.path.ends_with(".manifest.json"),
            Self::ReadBack => is_object && call.method == "GET",
        }
    }
}

/// The store behind a proxy that answers the first such request with `once`.
pub(super) fn first(
    place: &Place,
    request: Request,
    once: impl Fn(&Call) -> Reply + Send + Sync + 'static,
) -> FaultServer {
    let done = AtomicBool::new(false);
    FaultServer::proxy(&place.site.s3.endpoint(), move |call| {
        match request.is(call) && !done.swap(true, Ordering::Relaxed) {
            true => once(call),
            false => Reply::forward(),
        }
    })
}

pub(super) fn through(place: &Place, s3: &FaultServer) -> Tool {
    place.tool().env("AWS_ENDPOINT_URL", s3.address()).args(["backup", "--kind", "daily", "--json"])
}

/// The size of a snapshot decides which of these requests creates its object.
pub(super) fn made_by(place: &Place, request: Request) -> Option<FaultServer> {
    matches!(request, Request::Begin | Request::Part | Request::Complete).then(|| place.site.vault_sending(large()))
}

pub(super) fn run(place: &Place, request: Request, once: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Output {
    let (vault, s3) = (made_by(place, request), first(place, request, once));
    let tool = through(place, &s3);
    match vault {
        Some(vault) => tool.env("VAULT_ADDR", vault.address()).run(),
        None => tool.run(),
    }
}

#[test]
fn a_lost_response_of_the_store_is_resolved_by_metadata() {
    for request in [Request::Put, Request::Part, Request::Complete, Request::Manifest] {
        let place = Place::s3();
        let output = run(&place, request, |_| Reply::lose());
        output.ok().leaves(&[]);
        let name = text(&output.json()["object"]).to_owned();
        assert_eq!(place.names(), [name.clone(), format!("{name}.manifest.json")], "{request:?}");
        assert_eq!(place.site.s3.incomplete_uploads(place.bucket()), [""; 0], "{request:?}");
        place.tool().args(["inspect", &name]).run().ok().stdout_contains("good");
    }
}

#[test]
fn a_short_outage_of_the_store_is_retried() {
    for request in [Request::Names, Request::Put, Request::Begin, Request::Part, Request::ReadBack] {
        let place = Place::s3();
        run(&place, request, |_| Reply::close()).ok();
        assert_eq!(place.names().len(), 2, "{request:?}");
    }
}

/// The store behind a proxy: it starts an upload, but responds only after `signalled`.
pub(crate) fn begins_late(place: &Arc<Place>, signalled: &Arc<AtomicBool>) -> FaultServer {
    let (beginning, late) = (place.clone(), signalled.clone());
    FaultServer::proxy(&place.site.s3.endpoint(), move |call| {
        if call.method != "POST" || !call.query.contains("uploads") {
            return Reply::forward();
        }
        let name = call.path.split_once("/prod/").unwrap().1;
        let id = block_in_place(|| {
            let id = beginning.abandon_upload(name);
            wait_for("the signal", PATIENCE, || late.load(Ordering::SeqCst).then_some(()));
            id
        });
        let result = "InitiateMultipartUploadResult";
        Reply::status(200).body(format!("<{result}><UploadId>{id}</UploadId></{result}>"))
    })
}
