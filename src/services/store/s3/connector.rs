//! The SDK's HTTP client, built on [`crate::services::http`], so TLS and proxies work as
//! for Vault, with an idle timeout for large bodies on slow links.
//!
//! The SDK's read timeout runs from the first byte of the request to the first byte of the
//! response, which aborts large parts on slow links. Here the same timeout limits the time
//! without a transferred byte, in both directions.

use super::transport::Transport;
use crate::services::http::ClientTemplate;
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Factor of the idle timeout after a body was handed to the kernel: its last megabytes may
/// still be in the kernel's buffers, and the server may sync them.
const AFTER_BODY: u32 = 2;

/// Client for the store and for the services that provide credentials.
pub(super) struct IdleAwareClient {
    template: Arc<ClientTemplate>,
    /// Connectors by connect timeout. Each has its own pool of connections.
    connectors: Mutex<HashMap<Option<Duration>, SharedHttpConnector>>,
}

impl fmt::Debug for IdleAwareClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdleAwareClient").finish_non_exhaustive()
    }
}

impl IdleAwareClient {
    pub(super) fn new(template: ClientTemplate) -> Self {
        Self { template: Arc::new(template), connectors: Mutex::default() }
    }

    fn connect(&self, timeout: Option<Duration>) -> SharedHttpConnector {
        SharedHttpConnector::new(Transport::new(Arc::clone(&self.template), timeout))
    }
}

impl HttpClient for IdleAwareClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let timeout = settings.connect_timeout();
        let inner = locked(&self.connectors).entry(timeout).or_insert_with(|| self.connect(timeout)).clone();
        match settings.read_timeout() {
            Some(idle) => SharedHttpConnector::new(IdleAware { inner, idle }),
            None => inner,
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct IdleAware {
    inner: SharedHttpConnector,
    idle: Duration,
}

impl HttpConnector for IdleAware {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let idle = self.idle;
        let progress = Arc::new(LastProgress::new());
        if request.body().content_length() != Some(0) {
            let inner = std::mem::replace(request.body_mut(), SdkBody::taken());
            let body = SdkBody::from_body_1_x(ProgressBody { inner, progress: Arc::clone(&progress) });
            *request.body_mut() = body;
        }
        let answer = self.inner.call(request);
        HttpConnectorFuture::new(async move {
            let response = progress.watch(answer, idle).await?;
            Ok(response.map(|inner| SdkBody::from_body_1_x(IdleLimitedBody::new(inner, idle))))
        })
    }
}

/// Time and state of the last progress of a request's body.
struct LastProgress(Mutex<(Instant, SendState)>);

#[derive(Clone, Copy, PartialEq)]
enum SendState {
    Sending,
    Sent,
}

impl LastProgress {
    fn new() -> Self {
        Self(Mutex::new((Instant::now(), SendState::Sending)))
    }

    fn note(&self, stage: SendState) {
        *locked(&self.0) = (Instant::now(), stage);
    }

    fn due(&self, idle: Duration) -> Instant {
        let (last, stage) = *locked(&self.0);
        last + if stage == SendState::Sent { idle * AFTER_BODY } else { idle }
    }

    /// Waits for `answer` as long as the body makes progress.
    async fn watch(&self, answer: HttpConnectorFuture, idle: Duration) -> Result<HttpResponse, ConnectorError> {
        let mut answer = std::pin::pin!(answer);
        loop {
            tokio::select! {
                biased;
                response = &mut answer => return response,
                () = sleep_until(self.due(idle)) => {}
            }
            if self.due(idle) <= Instant::now() {
                return Err(ConnectorError::timeout(stalled(idle)));
            }
        }
    }
}

fn stalled(idle: Duration) -> BoxError {
    format!("no data transferred for {} s", idle.as_secs_f32()).into()
}

/// A request's body that records its progress.
struct ProgressBody {
    inner: SdkBody,
    progress: Arc<LastProgress>,
}

impl Body for ProgressBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        if frame.is_ready() {
            self.progress.note(if self.inner.is_end_stream() { SendState::Sent } else { SendState::Sending });
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(&self.inner)
    }
}

/// A response's body that fails after the idle timeout. Time in which the caller does not
/// read does not count.
struct IdleLimitedBody {
    inner: SdkBody,
    idle: Duration,
    /// Timer of the current read, if any.
    timer: Option<Pin<Box<Sleep>>>,
}

impl IdleLimitedBody {
    fn new(inner: SdkBody, idle: Duration) -> Self {
        Self { inner, idle, timer: None }
    }
}

impl Body for IdleLimitedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) {
            this.timer = None;
            return Poll::Ready(frame);
        }
        let idle = this.idle;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + idle)));
        timer.as_mut().poll(cx).map(|()| Some(Err(stalled(idle))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(&self.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use futures_util::{StreamExt, stream};
    use http_body_util::{BodyExt, StreamBody};

    const IDLE: Duration = Duration::from_secs(1);

    /// Frames with a pause of `gap` before each; after the last one, the end or a stall.
    fn slow(frames: usize, gap: Duration, end: bool) -> SdkBody {
        let frames = stream::iter(0..frames).then(move |_| async move {
            tokio::time::sleep(gap).await;
            Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"x")))
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
        let idle_aware = IdleAware { inner: SharedHttpConnector::new(FakeServer(answer)), idle: IDLE };
        idle_aware.call(HttpRequest::new(request)).await
    }

    #[tokio::test]
    async fn a_slow_transfer_does_not_time_out() {
        let gap = IDLE / 4;
        let response = ask(slow(6, gap, true), Some(|| slow(6, IDLE / 4, true))).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "xxxxxx");
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
}
