//! Deletes up to a thousand objects per request, with a result for each.

use super::Bucket;
use super::error::S3Failure;
use crate::base::error::{Error, Result};
use crate::services::store::Deleted;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::delete_objects::DeleteObjectsOutput;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use std::collections::HashMap;

/// Maximum number of keys of DeleteObjects.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html>
const BATCH: usize = 1000;

const ACTION: &str = "s3:DeleteObject";

impl Bucket {
    pub(super) async fn delete(&self, names: &[String]) -> Vec<Result<Deleted>> {
        let mut results = Vec::with_capacity(names.len());
        for batch in names.chunks(BATCH) {
            match self.delete_batch(batch).await {
                Ok(output) => results.extend(self.results(batch, output)),
                Err(failure) if failure.is_unsupported() => {
                    for name in batch {
                        results.push(self.delete_one(name).await);
                    }
                }
                Err(failure) => {
                    let error = failure.into_error();
                    let kind = error.kind();
                    results.extend(
                        batch.iter().map(|name| Err(Error::new(kind, format!("{}: {error}", self.locate(name))))),
                    );
                }
            }
        }
        results
    }

    async fn delete_batch(&self, names: &[String]) -> Result<DeleteObjectsOutput, S3Failure> {
        let failed = |e| S3Failure::new(ACTION, self.locate(""), &e);
        let identify = |name: &String| ObjectIdentifier::builder().key(self.key(name)).build();
        let objects = names.iter().map(identify).collect::<Result<Vec<_>, _>>();
        let delete = objects.and_then(|objects| Delete::builder().set_objects(Some(objects)).build());
        let delete = delete.map_err(|e| failed(SdkError::construction_failure(e)))?;
        self.client.delete_objects().bucket(&self.name).delete(delete).send().await.map_err(failed)
    }

    /// Returns one result for each of `names`. A name that is not in the response counts as
    /// not deleted.
    fn results(&self, names: &[String], output: DeleteObjectsOutput) -> Vec<Result<Deleted>> {
        let deleted = output.deleted.unwrap_or_default().into_iter();
        let deleted: HashMap<_, _> = deleted.filter_map(|d| Some((d.key?, ended(d.delete_marker)))).collect();
        let errors = output.errors.unwrap_or_default();
        let errors: HashMap<_, _> = errors.iter().filter_map(|error| Some((error.key.as_deref()?, error))).collect();
        let result = |name: &String| {
            let key = self.key(name);
            match errors.get(key.as_str()) {
                Some(error) => {
                    let (code, message) = (error.code.as_deref(), error.message.as_deref());
                    let (code, message) = (code.unwrap_or("?"), message.unwrap_or_default());
                    let failure = S3Failure::of_key(ACTION, self.locate(name), code, message);
                    // Some servers return this if another client deletes it at the same time.
                    if failure.is_missing() { Ok(Deleted::Gone) } else { Err(failure.into_error()) }
                }
                None => deleted.get(&key).copied().ok_or_else(|| {
                    Error::store(format!("{}: the store did not confirm its deletion", self.locate(name)))
                }),
            }
        };
        names.iter().map(result).collect()
    }

    /// Deletes one object, for servers without DeleteObjects.
    async fn delete_one(&self, name: &str) -> Result<Deleted> {
        let request = self.client.delete_object().bucket(&self.name).key(self.key(name));
        match request.send().await.map_err(|e| S3Failure::new(ACTION, self.locate(name), &e)) {
            Ok(output) => Ok(ended(output.delete_marker)),
            Err(failure) if failure.is_missing() => Ok(Deleted::Gone),
            Err(failure) => Err(failure.into_error()),
        }
    }
}

/// Returns the result of a deletion. No version is named, so a marker in the response is new.
fn ended(marker: Option<bool>) -> Deleted {
    if marker == Some(true) { Deleted::Hidden } else { Deleted::Gone }
}
