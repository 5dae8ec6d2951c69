//! The vectors in tests/vectors/vectors.json, and the edits that make the bad ones.
//! Shared by the unit tests of `crypto` and the integration tests.

use ring::digest::{SHA256, digest};
use serde::Deserialize;

const SEGMENT: usize = 1 << 20;
const STREAM_HEADER: usize = 40;

#[derive(Deserialize)]
pub(crate) struct Vectors {
    pub(crate) key: String,
    pub(crate) key_id: String,
    pub(crate) good: Vec<Good>,
    pub(crate) bad: Vec<Bad>,
}

#[derive(Deserialize)]
pub(crate) struct Good {
    pub(crate) name: String,
    pub(crate) header: Option<String>,
    pub(crate) salt: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) plaintext_size: usize,
    pub(crate) size: u64,
    pub(crate) sha256: String,
    pub(crate) object: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Bad {
    pub(crate) name: String,
    pub(crate) of: String,
    pub(crate) edit: Edit,
    pub(crate) says: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Edit {
    Keep(usize),
    Append(String),
    Flip(usize),
    Segments(Vec<usize>),
    Key(String),
}

impl Vectors {
    pub(crate) fn load() -> Self {
        let vectors: Self = serde_json::from_str(include_str!("../vectors/vectors.json")).unwrap();
        assert!(vectors.good.len() >= 15 && vectors.bad.len() >= 40, "vectors were lost");
        vectors
    }
}

impl Edit {
    /// The edited object, and the key to open it with.
    pub(crate) fn apply(&self, mut object: Vec<u8>, key: &str) -> (Vec<u8>, String) {
        let mut key = key.to_owned();
        match self {
            Edit::Keep(size) => object.truncate(*size),
            Edit::Append(tail) => object.extend(hex::decode(tail).unwrap()),
            Edit::Flip(at) => object[*at] ^= 1,
            Edit::Segments(order) => object = reorder(&object, order),
            Edit::Key(other) => key.clone_from(other),
        }
        (object, key)
    }
}

/// `object` with the segments that `order` names, in that order.
pub(crate) fn reorder(object: &[u8], order: &[usize]) -> Vec<u8> {
    let ad = 10 + usize::from(u16::from_be_bytes([object[8], object[9]]));
    let (front, stream) = object.split_at(ad + STREAM_HEADER);
    let (first, rest) = stream.split_at(stream.len().min(SEGMENT - STREAM_HEADER));
    let segments: Vec<_> = std::iter::once(first).chain(rest.chunks(SEGMENT)).collect();
    order.iter().fold(front.to_vec(), |mut object, &i| {
        object.extend(segments[i]);
        object
    })
}

/// The plaintext that all vectors of this size have.
pub(crate) fn plaintext(size: usize) -> Vec<u8> {
    let mut all = Vec::with_capacity(size + 32);
    for i in 0..size.div_ceil(32) as u64 {
        all.extend_from_slice(digest(&SHA256, &i.to_be_bytes()).as_ref());
    }
    all.truncate(size);
    all
}

pub(crate) fn sha256(data: &[u8]) -> Vec<u8> {
    digest(&SHA256, data).as_ref().to_vec()
}
