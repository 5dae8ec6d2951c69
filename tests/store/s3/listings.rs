//! Listings that are incomplete or have no end: each is an error, never a shorter listing.

use super::answering;
use crate::support::fault::Reply;
use std::sync::Arc;
use vault_backup::base::error::{Error, Kind};
use vault_backup::services::store::Store;

/// The kinds of listing, by the root element of the response, and an entry of each.
const KINDS: [(&str, &str); 3] = [
    ("ListBucketResult", "<Contents><Key>vault/x</Key><Size>1</Size></Contents>"),
    ("ListVersionsResult", "<Version><Key>vault/x</Key><VersionId>1</VersionId><Size>1</Size></Version>"),
    (
        "ListMultipartUploadsResult",
        "<Upload><Key>vault/x</Key><UploadId>1</UploadId><Initiated>2020-01-01T00:00:00Z</Initiated></Upload>",
    ),
];

/// Requests the listing whose response has the element `root`.
async fn list(store: &Arc<dyn Store>, root: &str) -> Result<usize, Error> {
    match root {
        "ListBucketResult" => Ok(store.list("", |_| true).await?.objects.len()),
        "ListVersionsResult" => Ok(store.versions("x").await?.len()),
        // None is old enough to be aborted.
        _ => Ok(store.abort_abandoned(chrono::DateTime::UNIX_EPOCH, |_| true).await?.len()),
    }
}

/// Returns the error of a listing with this response.
async fn error(root: &str, body: String) -> String {
    let (_server, store) = answering(move |_| Reply::status(200).body(body.clone())).await;
    let error = list(&store, root).await.expect_err(root);
    assert_eq!(error.kind(), Kind::Store, "{root}: {error}");
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn incomplete_listings_are_errors() {
    for (root, entry) in KINDS {
        let whole = format!("<{root}><IsTruncated>false</IsTruncated>{entry}</{root}>");
        let said = error(root, format!("<{root}>{entry}</{root}>")).await;
        assert!(said.contains("has no <IsTruncated>"), "{said}");
        let said = error(root, whole.replace("false", "true")).await;
        assert!(said.contains("the listing is truncated"), "no marker: {said}");
        for end in [0, 1, 30, whole.len() - entry.len() - 20, whole.len() - 5, whole.len() - 1] {
            let said = error(root, whole[..end].to_owned()).await;
            assert!(said.contains("truncated"), "{end} bytes: {said}");
        }
        for (other, _) in KINDS.into_iter().filter(|(other, _)| *other != root) {
            let said = error(root, whole.replace(root, other)).await;
            assert!(said.contains("not an S3 server"), "{said}");
        }
        let (_server, store) = answering(move |_| Reply::status(200).body(whole.clone())).await;
        assert_eq!(list(&store, root).await.unwrap(), usize::from(root != "ListMultipartUploadsResult"));
    }
}

/// Each has the same markers as the page before.
#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_repeats_a_marker_is_an_error() {
    let markers = "<NextContinuationToken>t</NextContinuationToken><NextKeyMarker>vault/x</NextKeyMarker>\
                   <NextVersionIdMarker>1</NextVersionIdMarker><NextUploadIdMarker>1</NextUploadIdMarker>";
    for (root, entry) in KINDS {
        let said = error(root, format!("<{root}><IsTruncated>true</IsTruncated>{markers}{entry}</{root}>")).await;
        assert!(said.contains("does not advance"), "{said}");
    }
}
