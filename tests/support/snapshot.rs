//! Snapshots built by hand, as Vault builds them, to be damaged one way at a time.
//! Shared by the unit tests of `archive` and the integration tests.

use flate2::{Compression, write::GzEncoder};
use ring::digest::{SHA256, digest};
use std::io::Write;

/// The members of a snapshot, in order; [`Synthetic::whole`] makes right ones.
#[derive(Clone)]
pub(crate) struct Synthetic {
    pub(crate) members: Vec<(&'static str, Vec<u8>)>,
}

impl Synthetic {
    /// Returns the snapshot that Vault would send with this state.bin.
    pub(crate) fn whole(state: &[u8]) -> Self {
        let meta = format!(
            r#"{{"Version":1,"ID":"bolt-snapshot","Index":37,"Term":3,"Peers":null,"Configuration":{{"Servers":[{{"Suffrage":0,"ID":"n1","Address":"127.0.0.1:8201"}}]}},"ConfigurationIndex":1,"Size":{}}}"#,
            state.len()
        );
        let members = vec![("meta.json", meta.into_bytes()), ("state.bin", state.to_vec())];
        let sums: String = members.iter().map(|(name, data)| format!("{}  {name}\n", sha256(data))).collect();
        let mut snapshot = Self { members };
        snapshot.members.push(("SHA256SUMS", sums.into_bytes()));
        snapshot.members.push(("SHA256SUMS.sealed", b"sealed by Vault".to_vec()));
        snapshot
    }

    /// The contents of a member, to be changed.
    pub(crate) fn member(&mut self, name: &str) -> &mut Vec<u8> {
        &mut self.members.iter_mut().find(|(member, _)| *member == name).unwrap().1
    }

    /// Without that member.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.members.retain(|(member, _)| *member != name);
        self
    }

    /// The tar, with its end marker.
    pub(crate) fn tar(&self) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, data) in &self.members {
            let mut header = tar::Header::new_ustar();
            header.set_size(data.len() as u64);
            header.set_mode(0o600);
            tar.append_data(&mut header, name, &data[..]).unwrap();
        }
        tar.into_inner().unwrap()
    }

    /// The snapshot: the tar, compressed.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        gzip(&self.tar())
    }
}

/// `data` as one gzip member.
pub(crate) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(data).unwrap();
    gzip.finish().unwrap()
}

/// Lower-case hex.
pub(crate) fn sha256(data: &[u8]) -> String {
    hex::encode(digest(&SHA256, data))
}
