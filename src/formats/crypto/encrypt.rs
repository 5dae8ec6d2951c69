//! Encrypts a backup: takes plaintext in pieces of any size and emits ciphertext segment by segment.

use super::{Cipher, Header, Key, PREFIX, SALT, SEGMENT, STREAM_HEADER, TAG, keys};
use crate::base::error::{Error, Result};
use bytes::Bytes;
use ring::digest;
use ring::rand::SecureRandom;
use ring::{aead, rand};

/// The result of encrypting a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptedBackup {
    /// Size of the object, in bytes.
    pub size: u64,
    /// SHA-256 of the object.
    pub sha256: [u8; digest::SHA256_OUTPUT_LEN],
    /// Size of the plaintext, in bytes.
    pub plaintext_size: u64,
}

/// Encrypts one backup.
///
/// The sink receives the object's bytes in order: first the header together with
/// segment 0, then segment by segment, each in its own allocation. Without
/// [`Encryptor::finish`], the result cannot be decrypted.
pub struct Encryptor {
    cipher: Cipher,
    /// The piece that is being filled: the header (first piece only), then plaintext.
    piece: Vec<u8>,
    /// Start of the plaintext in `piece`.
    from: usize,
    /// Length of `piece` at which the segment is full.
    full: usize,
    /// Number of the segment in `piece`.
    index: u32,
    /// `true` if a piece was lost, so that the backup cannot be completed.
    broken: bool,
    digest: digest::Context,
    size: u64,
    plaintext_size: u64,
}

impl Encryptor {
    /// Starts a backup encrypted with `key`. Generates salt and nonce prefix, so that no
    /// two attempts share them.
    ///
    /// # Errors
    /// `Unexpected` if the header is too long or the system's random source fails.
    pub fn new(key: &Key, header: &Header) -> Result<Self> {
        let random = rand::SystemRandom::new();
        let (mut salt, mut prefix) = ([0; SALT], [0; PREFIX]);
        random.fill(&mut salt).and_then(|()| random.fill(&mut prefix)).map_err(|_| keys::no_random())?;
        Self::start(key, header.encode()?, &salt, prefix)
    }

    /// As [`Encryptor::new`] with fixed values, for the test vectors.
    #[cfg(test)]
    pub(super) fn with(key: &Key, body: &[u8], salt: &[u8; SALT], prefix: [u8; PREFIX]) -> Result<Self> {
        Self::start(key, super::header::frame(body)?, salt, prefix)
    }

    fn start(key: &Key, mut ad: Vec<u8>, salt: &[u8; SALT], prefix: [u8; PREFIX]) -> Result<Self> {
        let cipher = Cipher::new(key, salt, prefix, &ad)?;
        let full = ad.len() + SEGMENT - TAG;
        ad.reserve_exact(STREAM_HEADER + SEGMENT);
        let mut piece = ad;
        piece.push(STREAM_HEADER as u8);
        piece.extend(salt);
        piece.extend(prefix);
        let from = piece.len();
        let digest = digest::Context::new(&digest::SHA256);
        Ok(Self { cipher, piece, from, full, index: 0, broken: false, digest, size: 0, plaintext_size: 0 })
    }

    /// Takes the next piece of plaintext and passes completed segments to `sink`.
    ///
    /// # Errors
    /// The error of `sink`; after an error, every later call fails.
    /// `Unexpected` beyond 2^32 - 1 segments.
    pub fn write(&mut self, mut plaintext: &[u8], sink: &mut dyn FnMut(Bytes) -> Result<()>) -> Result<()> {
        while !plaintext.is_empty() {
            // A full segment waits for more data: the last one has another nonce.
            if self.piece.len() == self.full {
                self.encrypt_segment(false, sink)?;
                self.piece.reserve_exact(SEGMENT);
            }
            let (now, later) = plaintext.split_at(plaintext.len().min(self.full - self.piece.len()));
            self.piece.extend_from_slice(now);
            plaintext = later;
        }
        Ok(())
    }

    /// Encrypts the last segment.
    ///
    /// # Errors
    /// As [`Encryptor::write`].
    pub fn finish(mut self, sink: &mut dyn FnMut(Bytes) -> Result<()>) -> Result<EncryptedBackup> {
        self.encrypt_segment(true, sink)?;
        let mut sha256 = [0; digest::SHA256_OUTPUT_LEN];
        sha256.copy_from_slice(self.digest.finish().as_ref());
        Ok(EncryptedBackup { size: self.size, sha256, plaintext_size: self.plaintext_size })
    }

    fn encrypt_segment(&mut self, last: bool, sink: &mut dyn FnMut(Bytes) -> Result<()>) -> Result<()> {
        if std::mem::replace(&mut self.broken, true) {
            return Err(Error::unexpected("the backup's encryption already failed"));
        }
        let nonce = self
            .cipher
            .nonce(self.index, last)
            .ok_or_else(|| Error::unexpected("the snapshot is too large: a backup has at most 2^32 - 1 segments"))?;
        self.plaintext_size += (self.piece.len() - self.from) as u64;
        let tag = self
            .cipher
            .key
            .seal_in_place_separate_tag(nonce, aead::Aad::empty(), &mut self.piece[self.from..])
            .map_err(|_| Error::unexpected(format!("segment {} could not be encrypted", self.index)))?;
        self.piece.extend_from_slice(tag.as_ref());
        self.digest.update(&self.piece);
        self.size += self.piece.len() as u64;
        self.index += 1;
        (self.from, self.full) = (0, SEGMENT - TAG);
        sink(std::mem::take(&mut self.piece).into())?;
        self.broken = false;
        Ok(())
    }
}

impl EncryptedBackup {
    /// Returns the SHA-256 of the object as lower-case hex.
    pub fn sha256_hex(&self) -> String {
        hex::encode(self.sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::super::SourceServer;
    use super::super::header::frame;
    use super::*;
    use crate::base::secret::Secret;

    fn encryptor() -> Encryptor {
        let key = Key::from_hex(&Secret::new("5a".repeat(32))).unwrap();
        Encryptor::with(&key, b"{}", &[1; SALT], [2; PREFIX]).unwrap()
    }

    #[test]
    fn two_attempts_never_share_salt_or_nonce_prefix() {
        let key = Key::generate().unwrap();
        let time = chrono::DateTime::from_timestamp(0, 0).unwrap();
        let header =
            Header { key_id: key.id().into(), created_at: time, vault: SourceServer::default(), tool: "t".into() };
        let fronts = [(); 2].map(|()| Encryptor::new(&key, &header).unwrap().piece);
        let [one, two] = fronts.map(|front| front[front.len() - SALT - PREFIX..].to_vec());
        assert!(one[..SALT] != two[..SALT] && one[SALT..] != two[SALT..]);
    }

    #[test]
    fn a_header_that_is_too_long_is_refused() {
        assert!(frame(&[b' '; 4096]).is_ok());
        let error = frame(&[b' '; 4097]).unwrap_err();
        assert!(error.to_string().contains("would have 4097 bytes"), "{error}");
    }

    #[test]
    fn encryptor_refuses_everything_after_an_error_of_the_sink() {
        let (mut encryptor, mut calls) = (encryptor(), 0);
        let mut sink = |_| {
            calls += 1;
            if calls == 1 { Err(Error::store("upload")) } else { Ok(()) }
        };
        assert!(encryptor.write(&[0; 2 * SEGMENT], &mut sink).is_err());
        assert!(encryptor.write(&[0; 2 * SEGMENT], &mut sink).is_err());
        assert!(encryptor.finish(&mut sink).is_err());
        assert_eq!(calls, 1);
    }

    #[test]
    fn encryptor_refuses_more_than_2_32_minus_1_segments() {
        let (mut encryptor, mut sizes) = (encryptor(), Vec::new());
        encryptor.index = u32::MAX - 1;
        let mut sink = |piece: Bytes| {
            sizes.push(piece.len());
            Ok(())
        };
        encryptor.write(&[0; 2 * SEGMENT - 1000], &mut sink).unwrap();
        let error = encryptor.finish(&mut sink).unwrap_err();
        assert!(error.to_string().contains("at most 2^32 - 1 segments"), "{error}");
        assert_eq!(sizes.len(), 1);
    }
}
