//! A store with backups of a production Vault.

use super::Production;
use crate::support::tool::{Output, Tool, tool};
use aes_gcm::aead::{AeadInPlace, consts::U16};
use aes_gcm::{AesGcm, KeyInit, aes::Aes256};
use chrono::{TimeDelta, Utc};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use vault_backup::base::secret::Secret;
use vault_backup::formats::crypto::{Encryptor, Header, Key, SourceServer};
use vault_backup::formats::naming::{BackupName, BackupType};

/// A test's own store, audit log and configuration, next to a [`Production`].
pub struct Site {
    /// Whose backups these are.
    pub production: Arc<Production>,
    pub(super) dir: TempDir,
}

impl Site {
    /// The shared production's.
    pub fn new() -> Self {
        Production::shared().site()
    }

    /// The store's URL.
    pub fn store(&self) -> String {
        format!("file://{}", self.path("store").display())
    }

    /// A file of the test's.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file of the test's; its path, as an argument.
    pub fn file(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    /// An object's bytes.
    pub fn get(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path("store").join(name)).unwrap()
    }

    /// An object that is a JSON document, if it is there.
    pub fn json(&self, name: &str) -> Option<Value> {
        let bytes = std::fs::read(self.path("store").join(name)).ok()?;
        Some(serde_json::from_slice(&bytes).unwrap())
    }

    /// Writes an object, also over another.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.path("store").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// All names in the store, in order.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut directories = vec![self.path("store")];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => directories.push(path),
                    false => names.push(path.strip_prefix(self.path("store")).unwrap().to_str().unwrap().to_owned()),
                }
            }
        }
        names.sort();
        names
    }

    /// Puts `snapshot` into the store as a backup made a minute ago, or a little earlier if that name is
    /// taken, without a manifest; its name.
    pub fn seal(&self, snapshot: &[u8]) -> String {
        let (now, taken) = (Utc::now(), self.names());
        let mut names = (60..).map(|age| BackupName::new(BackupType::Daily, now - TimeDelta::seconds(age)));
        let name = names.find(|name| !taken.iter().any(|taken| taken == name.object())).unwrap();
        let header = Header {
            key_id: Key::from_hex(&Secret::new(&self.production.key)).unwrap().id().to_owned(),
            created_at: name.created_at(),
            vault: SourceServer::default(),
            tool: "test/1".into(),
        };
        self.put(name.object(), &seal(&self.production.key, snapshot, &header));
        name.object().to_owned()
    }

    /// Stores `snapshot` in the legacy format, as the previous service did, and returns its name.
    pub fn seal_older(&self, snapshot: &[u8]) -> String {
        let name = Utc::now().format("daily/%Y-%m-%d/vault-snapshot-%Y-%m-%dT%H-%M-%S-%3fZ.enc").to_string();
        self.put(&name, &seal_older(&self.production.key, snapshot));
        name
    }

    /// The binary with a configuration that has all but `[staging]`, which is `staging`,
    /// and that logs to the audit file `audit.log`. It knows the shares by their numbers: `env:SHARE0`, ….
    pub fn tool(&self, staging: &str) -> Tool {
        self.tool_of(&[self.production.vault.address()], staging)
    }

    /// [`Site::tool`] with other `vault.addresses`.
    pub fn tool_of(&self, addresses: &[String], staging: &str) -> Tool {
        let config = self.path("config.toml");
        let text = format!(
            "[vault]\naddresses = {addresses:?}\n[store]\nurl = {:?}\n[encryption]\nkey = \"env:KEY\"\n\
             [audit]\nfile = {:?}\n{staging}\n",
            self.store(),
            self.path("audit.log"),
        );
        std::fs::write(&config, text).unwrap();
        let tool = tool().arg("--config").arg(config);
        self.production.armed(tool)
    }

    /// The audit log's lines.
    pub fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("audit.log")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Asserts that a run left no file, and did nothing to production.
    #[track_caller]
    pub fn assert_clean(&self, output: &Output) {
        output.leaves(&[]);
        self.production.assert_untouched();
    }
}

/// `snapshot` encrypted under the key of these hex digits, in format 1.
pub fn seal(key: &str, snapshot: &[u8], header: &Header) -> Vec<u8> {
    let key = Key::from_hex(&Secret::new(key)).unwrap();
    let (mut object, mut encryptor) = (Vec::new(), Encryptor::new(&key, header).unwrap());
    let mut sink = |piece: bytes::Bytes| {
        object.extend(piece);
        Ok(())
    };
    encryptor.write(snapshot, &mut sink).unwrap();
    encryptor.finish(&mut sink).unwrap();
    object
}

/// Returns `snapshot` in the legacy format: IV, tag, ciphertext.
pub fn seal_older(key: &str, snapshot: &[u8]) -> Vec<u8> {
    let (iv, mut ciphertext) = ([7; 16], snapshot.to_vec());
    let cipher = AesGcm::<Aes256, U16>::new_from_slice(&hex::decode(key).unwrap()).unwrap();
    let tag = cipher.encrypt_in_place_detached(&iv.into(), &[], &mut ciphertext).unwrap();
    [&iv[..], &tag[..], &ciphertext[..]].concat()
}
