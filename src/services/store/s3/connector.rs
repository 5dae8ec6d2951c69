//! The SDK's HTTP client, built on [`crate::services::http`], so TLS and proxies work as
//! for Vault, with limits on slow servers (`pace`) and on responses (`bounded`).

use super::bounded::{OperationName, receive};
use super::pace::{LastProgress, PacedBody, ProgressBody};
use super::renewal::SentRequest;
use super::transport::Transport;
use crate::services::http::ClientTemplate;
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Idle timeout of requests for which the SDK has none.
const DEFAULT_IDLE: Duration = Duration::from_secs(60);

/// Client for the store and for the services that provide credentials.
pub(super) struct LimitedClient {
    template: Arc<ClientTemplate>,
    /// Connectors by connect timeout. Each has its own pool of connections.
    connectors: Mutex<HashMap<Option<Duration>, SharedHttpConnector>>,
}

impl fmt::Debug for LimitedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitedClient").finish_non_exhaustive()
    }
}

impl LimitedClient {
    pub(super) fn new(template: ClientTemplate) -> Self {
        Self { template: Arc::new(template), connectors: Mutex::default() }
    }

    fn connect(&self, timeout: Option<Duration>) -> SharedHttpConnector {
        SharedHttpConnector::new(Transport::new(Arc::clone(&self.template), timeout))
    }
}

impl HttpClient for LimitedClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let timeout = settings.connect_timeout();
        let mut connectors = self.connectors.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = connectors.entry(timeout).or_insert_with(|| self.connect(timeout)).clone();
        let idle = settings.read_timeout().unwrap_or(DEFAULT_IDLE);
        SharedHttpConnector::new(LimitedConnector { inner, idle })
    }
}

#[derive(Debug)]
struct LimitedConnector {
    inner: SharedHttpConnector,
    idle: Duration,
}

impl HttpConnector for LimitedConnector {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let idle = self.idle;
        let progress = Arc::new(LastProgress::new());
        if request.body().content_length() != Some(0) {
            let inner = std::mem::replace(request.body_mut(), SdkBody::taken());
            let body = SdkBody::from_body_1_x(ProgressBody::new(inner, Arc::clone(&progress)));
            *request.body_mut() = body;
        }
        let operation = request.extension::<OperationName>().cloned();
        let sent = SentRequest::of(&request);
        let answer = self.inner.call(request);
        HttpConnectorFuture::new(async move {
            let response = progress.watch(answer, idle).await?;
            let response = response.map(|inner| SdkBody::from_body_1_x(PacedBody::new(inner, idle)));
            let mut response = receive(response, operation.as_ref().map_or("", OperationName::as_str)).await?;
            response.add_extension(sent);
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use bytes::Bytes;
    use futures_util::{StreamExt, stream};
    use http_body::Frame;
    use http_body_util::{BodyExt, StreamBody};

    type BoxError = Box<dyn std::error::Error + Send + Sync>;

    const IDLE: Duration = Duration::from_secs(1);

    /// Frames of 1 KiB with a pause of `gap` before each; after the last one, the end or a stall.
    fn slow(frames: usize, gap: Duration, end: bool) -> SdkBody {
        trickle(frames, 1024, gap, end)
    }

    fn trickle(frames: usize, size: usize, gap: Duration, end: bool) -> SdkBody {
        let frames = stream::iter(0..frames).then(move |_| async move {
            tokio::time::sleep(gap).await;
            Ok::<_, BoxError>(Frame::data(Bytes::from_static(&[b'x'; 1024]).slice(..size)))
        });
        let rest = stream::iter((!end).then_some(())).then(|()| std::future::pending());
        SdkBody::from_body_1_x(BodyExt::boxed(StreamBody::new(frames.chain(rest))))
    }

    /// Reads the request to its end, then responds, or does not.
    #[derive(Debug)]
    struct FakeServer(Option<fn() -> SdkBody>);

    impl HttpConnector for FakeServer {
        fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
            let answer = self.0;
            HttpConnectorFuture::new(async move {
                let body = request.body_mut();
                while let Some(frame) = body.frame().await {
                    frame.map_err(ConnectorError::io)?;
                }
                match answer {
                    Some(answer) => Ok(HttpResponse::new(200.try_into().unwrap(), answer())),
                    None => std::future::pending().await,
                }
            })
        }
    }

    async fn ask(request: SdkBody, answer: Option<fn() -> SdkBody>) -> Result<HttpResponse, ConnectorError> {
        let limited = LimitedConnector { inner: SharedHttpConnector::new(FakeServer(answer)), idle: IDLE };
        let mut request = HttpRequest::new(request);
        request.add_extension(OperationName::new("GetObject"));
        limited.call(request).await
    }

    #[tokio::test]
    async fn a_slow_transfer_does_not_time_out() {
        let gap = IDLE / 4;
        let response = ask(slow(6, gap, true), Some(|| slow(6, IDLE / 4, true))).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), 6 * 1024);
    }

    #[tokio::test]
    async fn a_stalled_request_times_out() {
        assert!(ask(slow(1, IDLE / 4, false), None).await.unwrap_err().is_timeout());
    }

    #[tokio::test]
    async fn a_request_without_a_response_times_out() {
        for body in [SdkBody::empty(), SdkBody::from("sent")] {
            assert!(ask(body, None).await.unwrap_err().is_timeout());
        }
    }

    #[tokio::test]
    async fn a_stalled_response_times_out() {
        let mut body = ask(SdkBody::empty(), Some(|| slow(1, IDLE / 4, false))).await.unwrap().into_body();
        assert!(body.frame().await.unwrap().is_ok());
        // Time without a read does not count.
        tokio::time::sleep(IDLE * 2).await;
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(error.to_string().contains("no data transferred for 1 s"), "{error}");
    }

    /// A byte at a time never reaches the idle timeout.
    #[tokio::test]
    async fn a_response_below_the_minimum_rate_is_a_stall() {
        let response = ask(SdkBody::empty(), Some(|| trickle(1000, 1, IDLE / 4, true))).await.unwrap();
        let error = response.into_body().collect().await.unwrap_err();
        assert!(error.to_string().contains("4 bytes in 1 s"), "{error}");
    }
}
