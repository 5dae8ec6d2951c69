//! Reads a file as a stream, one chunk ahead of the consumer.

use super::joined;
use crate::base::error::{Error, Result};
use crate::services::store::Head;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, try_unfold};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use tokio::task::{JoinHandle, spawn_blocking};

/// Size of a read: one segment of the encrypted format.
const CHUNK: u64 = 1024 * 1024;

/// Returns the properties of a file. A rewritten or changed file gets another entity tag.
pub(super) fn describe(meta: &Metadata) -> Head {
    let etag = format!("{:x}-{:x}-{:x}.{:x}", meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec());
    Head { size: meta.len(), modified: meta.modified().ok().map(Into::into), etag: Some(etag), ..Head::default() }
}

/// Returns the first `length` bytes of `file`.
pub(super) fn stream(file: File, length: u64, address: String) -> BoxStream<'static, Result<Bytes>> {
    let reader = PrefetchReader { reading: read(file, length), position: 0, length, address };
    try_unfold(reader, PrefetchReader::next).boxed()
}

struct PrefetchReader {
    reading: JoinHandle<io::Result<(File, Vec<u8>)>>,
    position: u64,
    length: u64,
    address: String,
}

impl PrefetchReader {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        if self.position == self.length {
            return Ok(None);
        }
        let fail = |e| Error::store(format!("{}: cannot be read", self.address)).because(e);
        let (file, chunk) = joined((&mut self.reading).await)?.map_err(fail)?;
        if chunk.is_empty() {
            let (position, length) = (self.position, self.length);
            return Err(Error::store(format!("{}: ended after {position} of {length} bytes", self.address)));
        }
        self.position += chunk.len() as u64;
        self.reading = read(file, self.length - self.position);
        Ok(Some((chunk.into(), self)))
    }
}

fn read(mut file: File, left: u64) -> JoinHandle<io::Result<(File, Vec<u8>)>> {
    spawn_blocking(move || {
        let size = left.min(CHUNK);
        let mut chunk = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        (&mut file).take(size).read_to_end(&mut chunk)?;
        Ok((file, chunk))
    })
}
