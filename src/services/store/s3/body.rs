//! Request bodies: splits chunks of any size into parts and sends them without copying.

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Size of a frame. Progress is measured in frames, so a slow link must send one within the
/// idle timeout.
const STEP: usize = 256 * 1024;

/// Chunks that wait to be sent.
#[derive(Default)]
pub(super) struct PendingChunks {
    chunks: VecDeque<Bytes>,
    len: u64,
}

impl PendingChunks {
    pub(super) fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.len += chunk.len() as u64;
            self.chunks.push_back(chunk);
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Takes the first `size` bytes, or all if fewer are waiting.
    pub(super) fn take(&mut self, size: u64) -> RequestBody {
        let mut part = Vec::new();
        let mut wanted = size.min(self.len);
        self.len -= wanted;
        while wanted > 0
            && let Some(mut chunk) = self.chunks.pop_front()
        {
            let fits = usize::try_from(wanted).map_or(chunk.len(), |n| n.min(chunk.len()));
            if fits < chunk.len() {
                self.chunks.push_front(chunk.split_off(fits));
            }
            wanted -= fits as u64;
            part.push(chunk);
        }
        RequestBody { len: size_of_all(&part), chunks: part.into() }
    }
}

fn size_of_all(chunks: &[Bytes]) -> u64 {
    chunks.iter().map(|chunk| chunk.len() as u64).sum()
}

/// Body of one request. Clones share the bytes, so that a retry can send them again.
#[derive(Clone)]
pub(super) struct RequestBody {
    chunks: Arc<[Bytes]>,
    len: u64,
}

impl RequestBody {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn crc32c(&self) -> u32 {
        self.chunks.iter().fold(0, |crc, chunk| crc32c::crc32c_append(crc, chunk))
    }

    /// Returns the body for the SDK. A retry sends the same bytes.
    pub(super) fn to_stream(&self) -> ByteStream {
        let part = self.clone();
        let body = move || {
            SdkBody::from_body_1_x(ChunkedBody { chunks: Arc::clone(&part.chunks), next: 0, offset: 0, left: part.len })
        };
        ByteStream::new(SdkBody::retryable(body))
    }
}

struct ChunkedBody {
    chunks: Arc<[Bytes]>,
    /// Index of the current chunk, and the position in it.
    next: usize,
    offset: usize,
    left: u64,
}

impl Body for ChunkedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(chunk) = self.chunks.get(self.next) else { return Poll::Ready(None) };
        let end = chunk.len().min(self.offset + STEP);
        let step = chunk.slice(self.offset..end);
        if end == chunk.len() {
            self.next += 1;
            self.offset = 0;
        } else {
            self.offset = end;
        }
        self.left -= step.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(step))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pending(data: &[u8], sizes: &[usize]) -> PendingChunks {
        let mut pending = PendingChunks::default();
        let mut rest = Bytes::copy_from_slice(data);
        for size in sizes {
            pending.push(rest.split_to((*size).min(rest.len())));
        }
        pending.push(rest);
        pending
    }

    proptest! {
        #[test]
        fn parts_are_exact_and_lose_nothing(
            data in proptest::collection::vec(any::<u8>(), 0..2000),
            sizes in proptest::collection::vec(0usize..300, 0..20),
            size in 1u64..700,
        ) {
            let mut pending = pending(&data, &sizes);
            let mut seen = Vec::new();
            while pending.len() > 0 {
                let left = pending.len();
                let part = pending.take(size);
                prop_assert_eq!(part.len(), left.min(size));
                prop_assert_eq!(pending.len(), left - part.len());
                let bytes = part.chunks.concat();
                prop_assert_eq!(part.crc32c(), crc32c::crc32c(&bytes));
                seen.extend(bytes);
            }
            prop_assert_eq!(seen, data);
        }
    }

    #[tokio::test]
    async fn a_body_can_be_sent_again_and_shares_its_bytes() {
        let data: Vec<u8> = (0..STEP * 2 + 7).map(|i| i as u8).collect();
        let part = pending(&data, &[3, STEP + 1]).take(u64::MAX);
        let body = part.to_stream().into_inner();
        let again = body.try_clone().unwrap();
        for body in [body, again] {
            assert_eq!(body.content_length(), Some(data.len() as u64));
            assert_eq!(ByteStream::new(body).collect().await.unwrap().to_vec(), data);
        }
        let first = ByteStream::new(part.to_stream().into_inner()).next().await.unwrap().unwrap();
        assert_eq!(first.as_ptr(), part.chunks[0].as_ptr(), "not copied");
    }
}
