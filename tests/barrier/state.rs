//! Splits and reassembles a state.bin, without the code of the tool.

use crate::support::snapshot::{Synthetic, sha256};
use crate::support::vault::Vault;
use std::io::Read;

/// A snapshot's state.bin.
#[derive(Clone)]
pub struct State(Vec<u8>);

/// The members of a snapshot.
fn members(snapshot: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut tar = tar::Archive::new(flate2::read::MultiGzDecoder::new(snapshot));
    let read = |member: std::io::Result<tar::Entry<'_, _>>| {
        let (mut member, mut bytes) = (member.unwrap(), Vec::new());
        member.read_to_end(&mut bytes).unwrap();
        (String::from_utf8(member.path_bytes().into_owned()).unwrap(), bytes)
    };
    tar.entries().unwrap().map(read).collect()
}

/// Position of an entry.
pub struct Place {
    pub key: String,
    /// Offset of its value.
    pub value: usize,
    /// Length of its value.
    pub length: usize,
}

impl State {
    /// Takes a snapshot and returns its state.bin.
    pub fn of(vault: &Vault) -> Self {
        Self::read(&vault.snapshot())
    }

    /// Returns the state.bin of `snapshot`.
    pub fn read(snapshot: &[u8]) -> Self {
        let state = members(snapshot).into_iter().find(|(name, _)| name == "state.bin");
        Self(state.expect("a snapshot with a state.bin").1)
    }

    /// Returns `snapshot` with this state.bin and valid hashes.
    pub fn packed_into(&self, snapshot: &[u8]) -> Vec<u8> {
        let mut packed = Synthetic::whole(&self.0);
        let meta = members(snapshot).into_iter().find(|(name, _)| name == "meta.json").unwrap().1;
        let sums = format!("{}  meta.json\n{}  state.bin\n", sha256(&meta), sha256(&self.0));
        *packed.member("meta.json") = meta;
        *packed.member("SHA256SUMS") = sums.into_bytes();
        packed.bytes()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its entries, in order.
    pub fn places(&self) -> Vec<Place> {
        let mut at = 0;
        let mut places = Vec::new();
        while at < self.0.len() {
            let message = self.number(&mut at);
            let end = at + message;
            at += 1;
            let key = self.number(&mut at);
            let name = String::from_utf8(self.0[at..at + key].to_vec()).unwrap();
            at += key + 1;
            let length = if at > end { 0 } else { self.number(&mut at) };
            places.push(Place { key: name, value: at, length });
            at = end;
        }
        places
    }

    /// The unsigned varint at `at`, which is moved past it.
    fn number(&self, at: &mut usize) -> usize {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.0[*at];
            *at += 1;
            number |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return number;
            }
        }
    }

    /// The value of the entry `key`.
    pub fn value(&self, key: &str) -> &[u8] {
        let place = self.places().into_iter().find(|place| place.key == key).unwrap();
        &self.0[place.value..place.value + place.length]
    }

    /// Replaces the value of `key` by one of the same length.
    pub fn with(&self, key: &str, value: &[u8]) -> Self {
        let place = self.places().into_iter().find(|place| place.key == key).unwrap();
        assert_eq!(place.length, value.len(), "as long, so that no length changes");
        let mut changed = self.clone();
        changed.0[place.value..place.value + place.length].copy_from_slice(value);
        changed
    }

    /// Flips one bit of the byte at `offset`.
    pub fn flipped(&self, offset: usize) -> Self {
        let mut changed = self.clone();
        changed.0[offset] ^= 0x40;
        changed
    }
}
