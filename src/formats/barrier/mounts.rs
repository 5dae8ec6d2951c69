//! The mount tables (`core/mounts` and others): map paths and entries to mounts.
//!
//! Not here: the contents of a mount (`kv`). Source: Vault `vault/mount.go` (`MountTable`,
//! `MountEntry`), `vault/mount_util.go` (`ViewPath`), `vault/auth.go`, `vault/audit.go`;
//! OpenBao `vault/mount.go`, which stores each mount in a separate entry
//! `core/mounts/<uuid>`. Mounts in namespaces other than the root are omitted.

use super::keyring::BarrierKeyring;
use super::{Values, json_fault, value};
use crate::base::error::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The tables: the entry with the table (or the prefix of its mounts' entries), the prefix
/// of the paths in it, and the prefix of its mounts' storage.
const TABLES: [(&str, &str, &str); 6] = [
    ("core/mounts", "", "logical/"),
    ("core/local-mounts", "", "logical/"),
    ("core/auth", "auth/", "auth/"),
    ("core/local-auth", "auth/", "auth/"),
    ("core/audit", "audit/", "audit/"),
    ("core/local-audit", "audit/", "audit/"),
];

/// One mount of the root namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Path with a `/` at the end: `secret/`, `auth/approle/`.
    pub path: String,
    /// Type: `kv`, `approle`, ….
    pub kind: String,
    /// Prefix of the keys of its entries, with a `/` at the end.
    pub storage: String,
    backend_uuid: String,
    version: Option<String>,
}

/// Storage layout of a KV mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KvStorage {
    /// Version 1: one entry per path, under this prefix.
    V1(String),
    /// Version 2: metadata, salt and versions, under this prefix.
    V2(String),
}

impl Mount {
    /// Returns its storage layout if it is a KV mount.
    ///
    /// # Errors
    /// `Drill` for an unknown version of KV.
    pub(super) fn kv(&self) -> Result<Option<KvStorage>> {
        if !matches!(self.kind.as_str(), "kv" | "generic") {
            return Ok(None);
        }
        match self.version.as_deref() {
            None | Some("" | "1") => Ok(Some(KvStorage::V1(self.storage.clone()))),
            Some("2") if !self.backend_uuid.is_empty() => {
                Ok(Some(KvStorage::V2(format!("{}{}/", self.storage, self.backend_uuid))))
            }
            Some("2") => Err(Error::drill(format!("mount {}: its backend_aware_uuid is missing", self.path))),
            Some(other) => Err(Error::drill(format!("mount {}: unknown KV version {other:?}", self.path))
                .hint("use a newer vault-backup (this version knows 1 and 2)")),
        }
    }
}

/// The mounts of the root namespace, by path.
#[derive(Clone, Debug, Default)]
pub struct Mounts(BTreeMap<String, Mount>);

impl Mounts {
    /// Returns `true` if the entry `name` is or belongs to a mount table.
    pub(super) fn is_table(name: &str) -> bool {
        table_of(name).is_some()
    }

    /// Reads the mount tables among `entries`, which are encrypted values by key. Also
    /// returns `true` if there are mounts in other namespaces.
    ///
    /// # Errors
    /// `Drill`, naming an entry that cannot be decrypted or is not a mount table.
    pub(super) fn read(entries: &mut Values, keyring: &BarrierKeyring) -> Result<(Self, bool)> {
        let (mut mounts, mut others) = (BTreeMap::new(), false);
        for (name, encrypted) in entries {
            let Some((table, shown, stored)) = table_of(name) else { continue };
            let (_, plain) = keyring.decrypt(name, encrypted)?;
            let parsed = parse(plain, name == table).map_err(|why| why.context(name))?;
            for entry in parsed {
                if entry.is_in_root() {
                    let mount = entry.mount(shown, stored);
                    mounts.insert(mount.path.clone(), mount);
                } else {
                    others = true;
                }
            }
        }
        Ok((Self(mounts), others))
    }

    /// Returns all mounts, ordered by path.
    pub fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.0.values()
    }

    /// Returns the mount with exactly this storage prefix, if any.
    pub fn stored_at(&self, storage: &str) -> Option<&Mount> {
        self.iter().find(|mount| mount.storage == storage)
    }

    /// Returns the mount of `path` and the rest of the path.
    pub(super) fn mount_of<'p>(&self, path: &'p str) -> Option<(&Mount, &'p str)> {
        let slashes = path.rmatch_indices('/').map(|(at, _)| at + 1);
        slashes.into_iter().find_map(|at| self.0.get(&path[..at]).map(|mount| (mount, &path[at..])))
    }
}

/// Returns the table that the entry `name` is or belongs to, if any.
fn table_of(name: &str) -> Option<(&'static str, &'static str, &'static str)> {
    TABLES.into_iter().find(|(table, ..)| match name.strip_prefix(table) {
        Some("") => true,
        Some(rest) => rest.strip_prefix('/').is_some_and(|uuid| !uuid.is_empty() && !uuid.contains('/')),
        None => false,
    })
}

/// The JSON of a mount. Fields that are not needed are ignored.
#[derive(Deserialize)]
struct EncodedMount {
    path: String,
    #[serde(rename = "type")]
    kind: String,
    uuid: String,
    #[serde(default)]
    backend_aware_uuid: String,
    #[serde(default)]
    namespace_id: String,
    #[serde(default)]
    options: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct EncodedMountTable {
    entries: Option<Vec<EncodedMount>>,
}

impl EncodedMount {
    fn is_in_root(&self) -> bool {
        matches!(self.namespace_id.as_str(), "" | "root")
    }

    fn mount(self, shown: &str, stored: &str) -> Mount {
        let storage = match self.kind.as_str() {
            "system" => "sys/".to_owned(),
            "token" => "sys/token/".to_owned(),
            _ => format!("{stored}{}/", self.uuid),
        };
        Mount {
            path: format!("{shown}{}", self.path),
            kind: self.kind,
            storage,
            backend_uuid: self.backend_aware_uuid,
            version: self.options.and_then(|mut options| options.remove("version")),
        }
    }
}

/// Parses a plaintext that is a whole table or a single mount.
///
/// # Errors
/// `Drill`, without the entry's name, if it is malformed.
fn parse(plain: &[u8], table: bool) -> Result<Vec<EncodedMount>> {
    let unpacked = value::decompress(plain).map_err(|e| Error::drill("cannot be decompressed").because(e))?;
    let json = unpacked.as_deref().unwrap_or(plain);
    if table {
        serde_json::from_slice(json).map(|table: EncodedMountTable| table.entries.unwrap_or_default())
    } else {
        serde_json::from_slice(json).map(|mount| vec![mount])
    }
    .map_err(|e| json_fault("mounts", &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(path: &str, kind: &str, more: &str) -> String {
        format!(r#"{{"table":"mounts","path":"{path}","type":"{kind}","uuid":"u-{path}","new_field":[1]{more}}}"#)
    }

    fn mounts(entries: &[String]) -> Mounts {
        let parsed = parse(format!(r#"{{"type":"mounts","entries":[{}]}}"#, entries.join(",")).as_bytes(), true);
        let found = parsed.unwrap().into_iter().filter(EncodedMount::is_in_root).map(|e| e.mount("", "logical/"));
        Mounts(found.map(|m| (m.path.clone(), m)).collect())
    }

    #[test]
    fn a_path_belongs_to_the_longest_matching_mount() {
        let mounts = mounts(&[encoded("a/", "kv", ""), encoded("a/b/", "kv", ""), encoded("sys/", "system", "")]);
        let found = |path| mounts.mount_of(path).map(|(mount, rest)| (mount.path.as_str(), rest));
        assert_eq!(found("a/b/c/d"), Some(("a/b/", "c/d")));
        assert_eq!(found("a/bc"), Some(("a/", "bc")));
        assert_eq!(found("a/b"), Some(("a/", "b")));
        assert_eq!(found("a/"), Some(("a/", "")));
        assert_eq!(found("a"), None);
        assert_eq!(found("b/a/c"), None);
        assert_eq!(mounts.stored_at("sys/").unwrap().path, "sys/");
        assert_eq!(mounts.stored_at("logical/u-a//").unwrap().path, "a/");
    }

    #[test]
    fn kv_versions_are_detected() {
        let kv = |kind: &str, more: &str| {
            let mounts = mounts(&[encoded("s/", kind, more)]);
            mounts.iter().next().unwrap().kv().map_err(|e| e.to_string())
        };
        let v1 = Ok(Some(KvStorage::V1("logical/u-s//".into())));
        assert_eq!(kv("kv", ""), v1);
        assert_eq!(kv("generic", r#","options":null"#), v1);
        assert_eq!(kv("kv", r#","options":{"version":"1"}"#), v1);
        let v2 = r#","options":{"version":"2"},"backend_aware_uuid":"w""#;
        assert_eq!(kv("kv", v2), Ok(Some(KvStorage::V2("logical/u-s//w/".into()))));
        assert_eq!(kv("pki", v2), Ok(None));
        assert!(kv("kv", r#","options":{"version":"3"}"#).unwrap_err().contains("unknown KV version \"3\""));
        assert!(kv("kv", r#","options":{"version":"2"}"#).unwrap_err().contains("backend_aware_uuid"));
    }

    #[test]
    fn mounts_of_other_namespaces_are_omitted() {
        let root = encoded("a/", "kv", r#","namespace_id":"root""#);
        let all = mounts(&[root, encoded("b/", "kv", r#","namespace_id":"x7Yz1""#)]);
        assert_eq!(all.iter().map(|m| m.path.as_str()).collect::<Vec<_>>(), ["a/"]);
    }

    #[test]
    fn entries_of_mount_tables_are_recognised() {
        for name in ["core/mounts", "core/local-auth", "core/audit", "core/mounts/0a1b"] {
            assert!(Mounts::is_table(name), "{name}");
        }
        for name in ["core/mounts/", "core/mounts/a/b", "core/mountsx", "core/authx", "logical/core/mounts"] {
            assert!(!Mounts::is_table(name), "{name}");
        }
        assert!(parse(br#"{"type":"mounts","entries":null}"#, true).unwrap().is_empty());
        assert_eq!(parse(encoded("a/", "kv", "").as_bytes(), false).unwrap().len(), 1);
        assert!(parse(b"G\x1f", true).is_err());
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes: Vec<u8>, path: String) {
            let _ = parse(&bytes, true);
            let _ = Mounts::default().mount_of(&path);
        }
    }
}
