//! Reads the entries of a snapshot's state.bin as a stream: framing, limits and order.
//!
//! Not here: the contents of values (`value`). Source: Vault `physical/raft/varint.go`,
//! `physical/raft/fsm.go` (`writeTo`) and the sdk's `StorageEntry`: for each entry its
//! length as an unsigned varint, then a protobuf message with field 1 key and field 2
//! value. There is no end marker: the stream ends between two entries.

use crate::base::error::{Error, Kind, Result};
use std::io::{BufReader, ErrorKind, Read};
use std::ops::Range;
use zeroize::Zeroizing;

/// Maximum size of an entry, in bytes. Vault's limit for a value is `max_entry_size`, by
/// default 1 MiB.
const MAX_ENTRY: usize = 256 * 1024 * 1024;

/// Size of the read buffer, in bytes.
const READ_AHEAD: usize = 64 * 1024;

/// Initial size of an entry's buffer, in bytes. It doubles as data arrives, so that a
/// false length costs no memory.
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
    /// Its value as stored. It may be decrypted in place.
    pub(super) value: &'a mut [u8],
}

/// Reads the entries of a state.bin one by one, in constant memory except for the largest
/// entry. Keys that are not in ascending order are an error.
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

    /// Returns the next entry; `None` at the end.
    ///
    /// # Errors
    /// `Integrity` for a malformed stream, or the reader's error.
    pub(super) fn read(&mut self) -> Result<Option<Entry<'_>>> {
        let Some(length) = self.length()? else { return Ok(None) };
        self.fill(length)?;
        let number = self.number;
        let (key, value) = split(&mut self.buffer[..length]).map_err(|why| malformed(number, why))?;
        if number > 1 && key <= self.last.as_str() {
            return Err(malformed(number, &format!("its key {key:?} is not greater than {:?}", self.last)));
        }
        self.last.clear();
        self.last.push_str(key);
        Ok(Some(Entry { key, value }))
    }

    /// Reads the length of the next entry; `None` at the end of the stream.
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
            .map_err(|_| malformed(self.number, "its length is malformed or truncated"))?;
        if length > MAX_ENTRY {
            return Err(malformed(self.number, &format!("its size is {length} bytes, the limit is {MAX_ENTRY}")));
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

/// Converts an error of the reader in or just after entry `number`.
fn failed(number: u64, error: std::io::Error) -> Error {
    let what = match error.kind() {
        ErrorKind::UnexpectedEof => format!("state.bin is truncated in entry {number}"),
        _ => format!("state.bin, entry {number}: cannot be read"),
    };
    Error::from_io(error, Kind::Integrity, what)
}

fn malformed(number: u64, why: &str) -> Error {
    Error::integrity(format!("state.bin, entry {number}: {why}"))
}

/// Splits an entry's message into key and value, in the order in which Vault writes them.
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

/// Returns the range of the field with this `tag` if it begins at `at`, and moves `at`
/// past it. An absent field is empty.
fn field(message: &[u8], at: &mut usize, tag: u8) -> Result<Range<usize>, &'static str> {
    let Some((&found, mut rest)) = message[*at..].split_first() else { return Ok(*at..*at) };
    if found != tag {
        return Ok(*at..*at);
    }
    let length = prost::decode_length_delimiter(&mut rest).map_err(|_| "the length of a field is malformed")?;
    if length > rest.len() {
        return Err("a field extends beyond its end");
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
    fn entries_are_read_to_the_exact_end() {
        let large = vec![7; 3 * READ_AHEAD + 5];
        let bytes = framed(&[message("a", b"1"), message("b/c", &large), message("b/d", b"")]);
        let all = read_all(&bytes).unwrap();
        assert_eq!(all, [("a".into(), b"1".to_vec()), ("b/c".into(), large), ("b/d".into(), vec![])]);
        assert!(read_all(b"").unwrap().is_empty());
    }

    #[test]
    fn every_truncation_is_refused_unless_between_entries() {
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
    fn malformed_streams_are_refused_with_the_reason() {
        let unknown = [message("a", b"1"), vec![0x18, 1]].concat();
        for (bytes, why) in [
            (framed(&[message("b", b""), message("a", b"")]), "is not greater than"),
            (framed(&[message("a", b""), message("a", b"")]), "is not greater than"),
            (framed(&[unknown]), "fields that this version does not know"),
            (framed(&[message("", b"1")]), "no key"),
            (framed(&[vec![KEY, 2, b'a']]), "extends beyond its end"),
            (framed(&[vec![KEY, 1, 0xff]]), "not UTF-8"),
            ([&varint(MAX_ENTRY + 1)[..], b"x"].concat(), "the limit is"),
            (vec![0xff; 11], "length is malformed"),
            (vec![0x80], "length is malformed or truncated"),
            (vec![5, KEY], "is truncated in entry 1"),
        ] {
            let e = read_all(&bytes).unwrap_err();
            assert_eq!(e.kind(), Kind::Integrity);
            assert!(e.to_string().contains(why), "{e}");
        }
    }

    #[test]
    fn reader_errors_keep_their_class() {
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
