//! The entries of a snapshot's state.bin, as a stream.
//!
//! Here: the framing, its limits and its order. Not here: what the values hold
//! (`value`). Source: Vault `physical/raft/varint.go`, `physical/raft/fsm.go`
//! (`writeTo`) and the sdk's `StorageEntry`: for each entry its length as an
//! unsigned varint, then a protobuf message with field 1 key and field 2 value.
//! There is no end mark: the stream ends between two entries.

use crate::base::error::{Error, Kind, Result};
use std::io::{BufReader, ErrorKind, Read};
use std::ops::Range;
use zeroize::Zeroizing;

/// The longest entry that is read, in bytes. Vault's own limit for a value is
/// `max_entry_size`, 1 MiB unless configured.
const MAX_ENTRY: usize = 256 * 1024 * 1024;

/// The bytes that are read ahead.
const READ_AHEAD: usize = 64 * 1024;

/// The bytes that an entry's buffer begins with; it doubles as bytes arrive, so that
/// a false length costs nothing.
const FIRST_STEP: usize = 4 * 1024;

/// Field 1 of an entry, length-delimited.
const KEY: u8 = 0x0a;
/// Field 2 of an entry, length-delimited.
const VALUE: u8 = 0x12;

/// One entry, in a buffer that the next one overwrites.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// Its key: a path.
    pub(super) key: &'a str,
    /// Its value as stored; may be decrypted in place.
    pub(super) value: &'a mut [u8],
}

/// Reads the entries of a state.bin in turn, in constant memory (the largest
/// entry aside). They are in ascending order of their keys, or it is an error.
pub(super) struct Entries<R> {
    reader: BufReader<R>,
    /// Wiped when it is replaced or dropped: values are decrypted inside it.
    buffer: Zeroizing<Vec<u8>>,
    last: String,
    number: u64,
}

impl<R: Read> Entries<R> {
    /// Starts at the beginning of a state.bin.
    pub(super) fn new(state: R) -> Self {
        Self {
            reader: BufReader::with_capacity(READ_AHEAD, state),
            buffer: Zeroizing::new(Vec::new()),
            last: String::new(),
            number: 0,
        }
    }

    /// The next entry; `None` at the end.
    ///
    /// # Errors
    /// `Integrity` for bytes that are not such a stream; otherwise the reader's own.
    pub(super) fn read(&mut self) -> Result<Option<Entry<'_>>> {
        let Some(length) = self.length()? else { return Ok(None) };
        self.fill(length)?;
        let number = self.number;
        let (key, value) = split(&mut self.buffer[..length]).map_err(|why| malformed(number, why))?;
        if number > 1 && key <= self.last.as_str() {
            return Err(malformed(number, &format!("its key {key:?} does not come after {:?}", self.last)));
        }
        self.last.clear();
        self.last.push_str(key);
        Ok(Some(Entry { key, value }))
    }

    /// The length before an entry; `None` where the stream ends.
    fn length(&mut self) -> Result<Option<usize>> {
        let mut varint = [0; 10];
        let mut taken = 0;
        for byte in self.reader.by_ref().bytes().take(varint.len()) {
            varint[taken] = byte.map_err(|e| failed(self.number, e))?;
            taken += 1;
            if varint[taken - 1] < 0x80 {
                break;
            }
        }
        if taken == 0 {
            return Ok(None);
        }
        self.number += 1;
        let length = prost::decode_length_delimiter(&varint[..taken])
            .map_err(|_| malformed(self.number, "its length is malformed or cut"))?;
        if length > MAX_ENTRY {
            return Err(malformed(self.number, &format!("it claims {length} bytes, the limit is {MAX_ENTRY}")));
        }
        Ok(Some(length))
    }

    /// Reads an entry's `length` bytes into the buffer.
    fn fill(&mut self, length: usize) -> Result<()> {
        let mut have = 0;
        while have < length {
            if have == self.buffer.len() {
                let mut larger = Zeroizing::new(vec![0; length.clamp(FIRST_STEP, FIRST_STEP.max(2 * have))]);
                larger[..have].copy_from_slice(&self.buffer);
                self.buffer = larger;
            }
            let until = length.min(self.buffer.len());
            self.reader.read_exact(&mut self.buffer[have..until]).map_err(|e| failed(self.number, e))?;
            have = until;
        }
        Ok(())
    }
}

/// The error of a reader, in entry `number` or just after it.
fn failed(number: u64, error: std::io::Error) -> Error {
    let what = match error.kind() {
        ErrorKind::UnexpectedEof => format!("state.bin is cut within entry {number}"),
        _ => format!("reading state.bin at entry {number}"),
    };
    Error::from_io(error, Kind::Integrity, what)
}

fn malformed(number: u64, why: &str) -> Error {
    Error::integrity(format!("state.bin, entry {number}: {why}"))
}

/// Finds key and value in an entry's message, as its writer lays them out.
fn split(message: &mut [u8]) -> Result<(&str, &mut [u8]), &'static str> {
    let mut at = 0;
    let key = field(message, &mut at, KEY)?;
    let value = field(message, &mut at, VALUE)?;
    if at != message.len() {
        return Err("it has fields that this version does not know");
    }
    let (head, tail) = message.split_at_mut(value.start);
    let key = std::str::from_utf8(&head[key]).map_err(|_| "its key is not UTF-8")?;
    if key.is_empty() { Err("it has no key") } else { Ok((key, tail)) }
}

/// Where the content of the field with this `tag` lies if it begins at `at`, which
/// is moved past it; a field that is left out is empty.
fn field(message: &[u8], at: &mut usize, tag: u8) -> Result<Range<usize>, &'static str> {
    let Some((&found, mut rest)) = message[*at..].split_first() else { return Ok(*at..*at) };
    if found != tag {
        return Ok(*at..*at);
    }
    let length = prost::decode_length_delimiter(&mut rest).map_err(|_| "the length of a field is malformed")?;
    if length > rest.len() {
        return Err("a field does not end within it");
    }
    let start = message.len() - rest.len();
    *at = start + length;
    Ok(start..*at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn varint(mut n: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while n >= 0x80 {
            out.push((n as u8) | 0x80);
            n >>= 7;
        }
        out.push(n as u8);
        out
    }

    fn message(key: &str, value: &[u8]) -> Vec<u8> {
        [&[KEY][..], &varint(key.len()), key.as_bytes(), &[VALUE], &varint(value.len()), value].concat()
    }

    fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
        messages.iter().flat_map(|m| [varint(m.len()), m.clone()].concat()).collect()
    }

    fn read_all(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
        let mut entries = Entries::new(bytes);
        let mut all = Vec::new();
        while let Some(entry) = entries.read()? {
            all.push((entry.key.to_owned(), entry.value.to_vec()));
        }
        Ok(all)
    }

    #[test]
    fn reads_to_the_exact_end() {
        let large = vec![7; 3 * READ_AHEAD + 5];
        let bytes = framed(&[message("a", b"1"), message("b/c", &large), message("b/d", b"")]);
        let all = read_all(&bytes).unwrap();
        assert_eq!(all, [("a".into(), b"1".to_vec()), ("b/c".into(), large), ("b/d".into(), vec![])]);
        assert!(read_all(b"").unwrap().is_empty());
    }

    #[test]
    fn every_cut_is_an_error_or_between_entries() {
        let bytes = framed(&[message("a", b"12345"), message("b", &[1; 300])]);
        let first = framed(&[message("a", b"12345")]).len();
        for end in 0..bytes.len() {
            match read_all(&bytes[..end]) {
                Ok(all) => assert!(end == 0 && all.is_empty() || end == first && all.len() == 1, "{end}"),
                Err(e) => assert_eq!(e.kind(), Kind::Integrity, "{end}: {e}"),
            }
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let unknown = [message("a", b"1"), vec![0x18, 1]].concat();
        for (bytes, why) in [
            (framed(&[message("b", b""), message("a", b"")]), "does not come after"),
            (framed(&[message("a", b""), message("a", b"")]), "does not come after"),
            (framed(&[unknown]), "fields that this version does not know"),
            (framed(&[message("", b"1")]), "no key"),
            (framed(&[vec![KEY, 2, b'a']]), "does not end within it"),
            (framed(&[vec![KEY, 1, 0xff]]), "not UTF-8"),
            ([&varint(MAX_ENTRY + 1)[..], b"x"].concat(), "the limit is"),
            (vec![0xff; 11], "length is malformed"),
            (vec![0x80], "length is malformed or cut"),
            (vec![5, KEY], "is cut within entry 1"),
        ] {
            let e = read_all(&bytes).unwrap_err();
            assert_eq!(e.kind(), Kind::Integrity);
            assert!(e.to_string().contains(why), "{e}");
        }
    }

    #[test]
    fn errors_of_the_reader_keep_their_class() {
        struct Fails;
        impl Read for Fails {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(Error::store("gone").into_io())
            }
        }
        assert_eq!(Entries::new(Fails).read().unwrap_err().kind(), Kind::Store);
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_all(&bytes);
            let _ = read_all(&framed(&[bytes]));
        }
    }
}
