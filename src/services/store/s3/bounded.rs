//! Reads and checks responses before the SDK does: it would read them into memory without
//! a limit. Only the content of an object is passed on as a stream.

use super::answer::{self, Answer, BadAnswer};
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use bytes::{Bytes, BytesMut};
use std::future::poll_fn;
use std::pin::Pin;

/// Largest body of a success that is not an object's content. A page of a listing has up to
/// 1,000 keys of 1 KiB, three times as long when URL-encoded.
const MAX_DOCUMENT_SIZE: usize = 8 * 1024 * 1024;

/// Largest body of an error. The rest is not read.
const MAX_ERROR_SIZE: usize = 64 * 1024;

/// Name of a request's operation, such as `GetObject`. Requests for credentials have none.
#[derive(Clone, Debug)]
pub(super) struct OperationName(String);

impl OperationName {
    pub(super) fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Adds the [`OperationName`] to each request to S3.
#[derive(Debug)]
pub(super) struct NameOperation;

#[dyn_dispatch_hint]
impl Intercept for NameOperation {
    fn name(&self) -> &'static str {
        "NameOperation"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), aws_sdk_s3::error::BoxError> {
        if let Some(metadata) = config.load::<Metadata>() {
            context.request_mut().add_extension(OperationName::new(metadata.name()));
        }
        Ok(())
    }
}

/// Reads `response` into memory and checks it, unless it is the content of an object.
pub(super) async fn receive(mut response: HttpResponse, operation: &str) -> Result<HttpResponse, ConnectorError> {
    let success = response.status().is_success();
    if success && operation == "GetObject" {
        return Ok(response);
    }
    let body = std::mem::replace(response.body_mut(), SdkBody::taken());
    let limit = if success { MAX_DOCUMENT_SIZE } else { MAX_ERROR_SIZE };
    let (body, complete) = collect(body, limit).await?;
    if success {
        if !complete {
            return Err(unusable(BadAnswer::TooLarge(format!("{} MiB", MAX_DOCUMENT_SIZE / 1024 / 1024))));
        }
        if let Answer::Error(code) = answer::check(operation, &body).map_err(unusable)? {
            return Ok(with_status(response, status_of(&code), body));
        }
    }
    *response.body_mut() = SdkBody::from(body);
    Ok(response)
}

fn with_status(mut response: HttpResponse, status: StatusCode, body: Bytes) -> HttpResponse {
    let mut changed = HttpResponse::new(status, SdkBody::from(body));
    std::mem::swap(changed.headers_mut(), response.headers_mut());
    changed
}

/// Returns the first `limit` bytes of `body`, and `true` if these are all.
async fn collect(mut body: SdkBody, limit: usize) -> Result<(Bytes, bool), ConnectorError> {
    use http_body::Body;
    let mut collected = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame.map_err(ConnectorError::io)?.into_data() else { continue };
        let room = limit - collected.len();
        collected.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return Ok((collected.freeze(), false));
        }
    }
    Ok((collected.freeze(), true))
}

/// Returns the error of an unusable response. Only a truncated one is requested again.
fn unusable(bad: BadAnswer) -> ConnectorError {
    match bad {
        BadAnswer::Truncated(_) => ConnectorError::io(bad.into()),
        _ => ConnectorError::other(bad.into(), None),
    }
}

/// Returns the status that an error with status 200 stands for, so that failures of the
/// server are retried.
fn status_of(code: &str) -> StatusCode {
    let status: u16 = match code {
        "SlowDown" | "ServiceUnavailable" | "Busy" => 503,
        "PreconditionFailed" => 412,
        "AccessDenied" => 403,
        _ if code.is_empty() || code.starts_with("Internal") => 500,
        _ => 400,
    };
    StatusCode::try_from(status).unwrap_or_else(|_| unreachable!("a constant"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::{BodyExt, StreamBody};

    /// A body of `size` bytes, or without an end.
    fn body(size: Option<usize>) -> SdkBody {
        let frames = size.map_or(usize::MAX, |size| size / 65_536);
        let frame = || Ok::<_, aws_sdk_s3::error::BoxError>(Frame::data(Bytes::from_static(&[b' '; 65_536])));
        SdkBody::from_body_1_x(BodyExt::boxed(StreamBody::new(stream::iter((0..frames).map(move |_| frame())))))
    }

    async fn answer(status: u16, operation: &str, body: SdkBody) -> Result<HttpResponse, ConnectorError> {
        receive(HttpResponse::new(status.try_into().unwrap(), body), operation).await
    }

    #[tokio::test]
    async fn a_body_without_an_end_is_refused_and_that_of_an_error_truncated() {
        for operation in ["ListObjectsV2", "PutObject", "HeadObject", "DeleteObjects", ""] {
            let error = answer(200, operation, body(None)).await.unwrap_err();
            assert!(format!("{error:?}").contains("8 MiB"), "{operation}: {error:?}");
            let response = answer(503, operation, body(None)).await.unwrap();
            assert_eq!(response.body().bytes().unwrap().len(), MAX_ERROR_SIZE);
        }
        let response = answer(200, "", body(Some(MAX_DOCUMENT_SIZE))).await.unwrap();
        assert_eq!(response.body().bytes().unwrap().len(), MAX_DOCUMENT_SIZE);
    }

    #[tokio::test]
    async fn only_the_content_of_an_object_is_streamed() {
        assert!(answer(200, "GetObject", body(None)).await.unwrap().body().bytes().is_none());
        assert!(answer(206, "GetObject", body(None)).await.unwrap().body().bytes().is_none());
        assert!(answer(404, "GetObject", body(None)).await.unwrap().body().bytes().is_some());
    }

    #[tokio::test]
    async fn an_error_with_status_200_gets_the_status_of_its_code() {
        for (code, status) in
            [("InternalError", 500), ("SlowDown", 503), ("PreconditionFailed", 412), ("NoSuchKey", 400)]
        {
            let body = format!("<Error><Code>{code}</Code></Error>");
            let response = answer(200, "CompleteMultipartUpload", SdkBody::from(body)).await.unwrap();
            assert_eq!(response.status().as_u16(), status, "{code}");
        }
    }

    #[tokio::test]
    async fn only_a_truncated_document_is_requested_again() {
        let error = answer(200, "ListObjectsV2", SdkBody::from("<ListBucketResult><Na")).await.unwrap_err();
        assert!(error.is_io(), "{error:?}");
        let error = answer(200, "ListObjectsV2", SdkBody::from("<html></html>")).await.unwrap_err();
        assert!(!error.is_io() && !error.is_timeout(), "{error:?}");
    }
}
