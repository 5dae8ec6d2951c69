//! Partial reads, failing sources and hostile input.

use super::*;
use proptest::prelude::*;

#[test]
fn peek_reads_the_beginning_without_verifying() {
    let snapshot = whole();
    // Just enough for the request.
    let truncated = gzip(&snapshot.tar()[..1600]);
    assert_eq!(peek(&truncated[..]).unwrap().peers[0].id, "n1");
    let mut first = [0; 10];
    peek_state(&truncated[..], |state| {
        state.read_exact(&mut first).map_err(|e| Error::from_io(e, Kind::Unexpected, "x"))
    })
    .unwrap();
    assert_eq!(first, whole().member("state.bin")[..10]);
    let late = |_: &mut dyn Read| -> Result<()> { panic!("there is no state.bin") };
    for (bytes, says) in [
        (Vec::new(), "Vault sent nothing"),
        (b"<html>".to_vec(), "not gzip but HTML"),
        (gzip(&snapshot.tar()[..100]), "it ends before meta.json"),
        (gzip(&snapshot.tar()[..600]), "bytes into meta.json"),
        (snapshot.clone().without("meta.json").bytes(), "contains state.bin before meta.json"),
        (gzip(&snapshot.tar()[..1024]), "it ends before state.bin"),
        (snapshot.without("state.bin").bytes(), "contains SHA256SUMS before state.bin"),
    ] {
        let error = peek_state(&bytes[..], late).unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity);
        assert!(error.to_string().contains(says), "'{error}' does not contain '{says}'");
    }
}

/// Fails at its end.
struct Broken<'a>(&'a [u8]);

impl Read for Broken<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(Error::vault("https://v:8200: connection reset").into_io());
        }
        self.0.read(out)
    }
}

#[test]
fn a_source_error_is_not_an_end_of_data() {
    let bytes = whole().bytes();
    for size in 0..=bytes.len() {
        let error = check(BufReader::new(Broken(&bytes[..size]))).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string()),
            (Kind::Vault, "https://v:8200: connection reset".into()),
            "{size}"
        );
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000), compress: bool) {
        let bytes = if compress { gzip(&bytes) } else { bytes };
        prop_assert_eq!(check(&bytes[..]).unwrap_err().kind(), Kind::Integrity);
    }

    #[test]
    fn edited_tars_never_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let mut tar = whole().tar();
        for (at, byte) in edits {
            let at = at.index(tar.len());
            tar[at] = byte;
        }
        let _ = check(&gzip(&tar)[..]);
    }
}
