//! Properties of arbitrary plaintexts, orders of segments, bytes and headers.

use super::*;
use proptest::prelude::*;
use std::sync::LazyLock;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn round_trip(
        segments in 0usize..3, around in -20i64..20, piece in 1usize..3_000_000, reads in 4096usize..2_000_000,
    ) {
        let full = if segments == 0 { 0 } else { FIRST + (segments - 1) * LATER };
        let plain = plaintext((full as i64 + around).max(0) as usize);
        let encryptor = Encryptor::new(&some_key(), &some_header()).unwrap();
        let (object, encrypted) = encrypt_with(encryptor, &plain, piece);
        prop_assert_eq!(encrypted.size, object.len() as u64);
        prop_assert_eq!(encrypted.sha256.as_slice(), vectors::sha256(&object));
        let reader = io::BufReader::with_capacity(reads, &object[..]);
        let mut decryptor = Decryptor::new(reader, &Keyring::new(some_key(), Vec::new())).unwrap();
        let mut out: Vec<u8> = Vec::new();
        while let Some(segment) = decryptor.next_segment().unwrap() {
            out.extend(segment);
        }
        prop_assert!(out == plain);
        prop_assert_eq!((decryptor.size(), decryptor.plaintext_size()), (encrypted.size, encrypted.plaintext_size));
    }

    #[test]
    fn any_other_order_of_segments_is_refused(order in prop::collection::vec(0usize..4, 0..6)) {
        static ENCRYPTED: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
            let plain = plaintext(FIRST + 2 * LATER + 50);
            let object = encrypt(&plain);
            (plain, object)
        });
        prop_assume!(order != [0, 1, 2, 3]);
        let (plain, object) = &*ENCRYPTED;
        let (released, end) = decrypt_all(&reorder(object, &order), &Keyring::new(some_key(), Vec::new()), Layouts::Any);
        prop_assert!(plain.starts_with(&released));
        prop_assert_eq!(end.unwrap_err().kind(), Kind::Integrity);
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), magic: bool) {
        let object = if magic { [MAGIC.as_slice(), &bytes].concat() } else { bytes };
        let end = decrypt_all(&object, &Keyring::new(some_key(), Vec::new()), Layouts::Any).1;
        prop_assert_eq!(end.unwrap_err().kind(), Kind::Integrity);
    }

    #[test]
    fn headers_round_trip(secs in 0i64..4_000_000_000, name in ".{0,200}", version: Option<String>) {
        let header = Header {
            created_at: DateTime::from_timestamp(secs, 0).unwrap(),
            vault: SourceServer { product: None, version, cluster_id: None, cluster_name: Some(name) },
            ..some_header()
        };
        let framed = header.encode().unwrap();
        prop_assert_eq!(Header::peek(&framed[..]).unwrap(), Some(header));
    }
}
