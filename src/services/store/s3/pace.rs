//! Limits on slow servers: the idle timeout in both directions, and the minimum rate of a
//! response.
//!
//! The SDK's read timeout runs from the first byte of the request to the first byte of the
//! response, which aborts large parts on slow links. Here it limits the time without
//! progress. A request's body needs no minimum rate: its progress is measured in frames of
//! 256 KiB.

use crate::services::http::{MINIMUM_RATE, MinimumRate, TooSlow};
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::http::HttpConnectorFuture;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Factor of the idle timeout after a body was handed to the kernel: its last megabytes may
/// still be in the kernel's buffers, and the server may sync them.
const AFTER_BODY: u32 = 2;

/// Time and state of the last progress of a request's body.
pub(super) struct LastProgress(Mutex<(Instant, SendState)>);

#[derive(Clone, Copy, PartialEq)]
enum SendState {
    Sending,
    Sent,
}

impl LastProgress {
    pub(super) fn new() -> Self {
        Self(Mutex::new((Instant::now(), SendState::Sending)))
    }

    fn note(&self, stage: SendState) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), stage);
    }

    fn due(&self, idle: Duration) -> Instant {
        let (last, stage) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last + if stage == SendState::Sent { idle * AFTER_BODY } else { idle }
    }

    /// Waits for `answer` as long as the body makes progress.
    pub(super) async fn watch(
        &self,
        answer: HttpConnectorFuture,
        idle: Duration,
    ) -> Result<HttpResponse, ConnectorError> {
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
pub(super) struct ProgressBody {
    inner: SdkBody,
    progress: Arc<LastProgress>,
}

impl ProgressBody {
    pub(super) fn new(inner: SdkBody, progress: Arc<LastProgress>) -> Self {
        Self { inner, progress }
    }
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

/// A response's body that fails after the idle timeout, or below the minimum rate over one
/// idle timeout of waiting. Time in which the caller does not read does not count.
pub(super) struct PacedBody {
    inner: SdkBody,
    idle: Duration,
    rate: MinimumRate,
    /// Start of the current wait, and the timer of its end, if any.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl PacedBody {
    pub(super) fn new(inner: SdkBody, idle: Duration) -> Self {
        Self { inner, idle, rate: MinimumRate::new(MINIMUM_RATE, idle), waiting: None }
    }
}

impl Body for PacedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) {
            if let Some((since, _)) = this.waiting.take() {
                this.rate.waiting(since.elapsed());
            }
            let Some(Ok(frame)) = frame else { return Poll::Ready(frame) };
            let received = this.rate.received(frame.data_ref().map_or(0, Bytes::len));
            return Poll::Ready(Some(received.map(|()| frame).map_err(|slow: TooSlow| slow.into())));
        }
        let idle = this.idle;
        let start = || (Instant::now(), Box::pin(sleep_until(Instant::now() + idle)));
        let (_, timer) = this.waiting.get_or_insert_with(start);
        timer.as_mut().poll(cx).map(|()| Some(Err(stalled(idle))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(&self.inner)
    }
}
