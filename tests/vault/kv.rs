//! Reading secrets from both KV versions.

use super::{assert_says, client, root, url};
use crate::support::vault::Vault;
use chrono::Utc;
use serde_json::json;
use vault_backup::base::error::Kind;
use vault_backup::base::secret::Secret;
use vault_backup::services::vault::SecretRead;

#[tokio::test(flavor = "multi_thread")]
async fn deleted_destroyed_and_missing_secrets_are_distinguished() {
    let vault = Vault::start();
    let (client, at, token) = (client(&vault), url(&vault.address()), root(&vault));
    vault.mount_kv("smtp", 2);
    vault.mount_kv("deep/old", 1);
    let begun = Utc::now() - chrono::TimeDelta::seconds(2);
    for _ in 0..3 {
        vault.put_secret("smtp", "tenant/admin", &json!({"password": "planted", "n": 1}));
    }
    vault.put_secret("deep/old", "a/b", &json!({"user": "planted"}));
    let read = async |path: &str| client.read_secret(&at, &token, path).await.unwrap();

    let found = read("smtp/tenant/admin").await;
    assert!(!format!("{found:?}").contains("planted"));
    let SecretRead::Found { data, version, created_time } = found else { panic!("{found:?}") };
    assert_eq!((data["password"].as_str(), data["n"].as_u64()), (Some("planted"), Some(1)));
    assert_eq!(version, Some(3));
    assert!((begun..Utc::now()).contains(&created_time.unwrap()));

    let found = read("/deep/old/a/b/").await;
    let SecretRead::Found { data, version: None, created_time: None } = found else { panic!("{found:?}") };
    assert_eq!(data["user"], "planted");

    for path in ["smtp/tenant/nobody", "smtp/tenant", "deep/old/a", "deep/old/a/b/c"] {
        assert!(matches!(read(path).await, SecretRead::Missing), "{path}");
    }
    vault.ok("DELETE", "smtp/data/tenant/admin", None);
    let gone = read("smtp/tenant/admin").await;
    assert!(matches!(gone, SecretRead::Deleted { version: 3, deletion_time: Some(_) }), "{gone:?}");
    vault.ok("POST", "smtp/destroy/tenant/admin", Some(json!({"versions": [3]})));
    let gone = read("smtp/tenant/admin").await;
    assert!(matches!(gone, SecretRead::Destroyed { version: 3 }), "{gone:?}");
    vault.ok("DELETE", "smtp/metadata/tenant/admin", None);
    assert!(matches!(read("smtp/tenant/admin").await, SecretRead::Missing));
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_paths_are_errors() {
    let vault = Vault::start();
    let (client, at) = (client(&vault), url(&vault.address()));
    vault.mount_kv("smtp", 2);
    vault.put_secret("smtp", "a", &json!({"k": "v"}));
    vault.policy("near", r#"path "smtp/data/other" { capabilities = ["read"] }"#);
    let near = Secret::new(vault.token(&["near"]));
    let error = client.read_secret(&at, &near, "smtp/a").await.unwrap_err();
    assert_says(&error, Kind::Vault, &["reading smtp/a", r#"path "smtp/data/a" { capabilities = ["read"] }"#]);
    let none = Secret::new(vault.token(&["nothing"]));
    let error = client.read_secret(&at, &none, "smtp/a").await.unwrap_err();
    assert_says(&error, Kind::Vault, &["permission denied, or no secrets engine is mounted at this path"]);
    let error = client.read_secret(&at, &root(&vault), "nowhere/a").await.unwrap_err();
    assert_says(&error, Kind::Vault, &["no secrets engine is mounted at this path"]);
    let error = client.read_secret(&at, &root(&vault), "cubbyhole/a").await.unwrap_err();
    assert_says(&error, Kind::Vault, &[r#"is of type "cubbyhole""#, "give a path in a KV engine"]);
}
