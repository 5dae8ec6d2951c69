//! The configuration file as written: every section and key that there is, what
//! kind of value each takes, and nothing else.
//!
//! Here: the schema. Not here: defaults and the environment (`config`), what to
//! say of a file that does not fit (`explain`). Each key is described in
//! examples/config.toml and at the resolved section of the same name.

use super::values::{
    Address, Count, FilePath, KeyRef, Lock, MaybeSecret, MaybeSecretUrl, PartSize, Region, Retries, SecretRef, Server,
    Span, StorageClass, StoreUrl, Text,
};
use super::{self as resolved, Method, NotifyKind, NotifyOn, Sse, StagingMode};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use std::collections::BTreeMap;

/// Sections in which every key may be left out.
macro_rules! sections {
    ($($(#[$doc:meta])* $name:ident { $($(#[$how:meta])* $key:ident: $kind:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct $name { $($(#[$how])* pub(super) $key: $kind,)* }
    )*};
}

sections! {
    /// The whole file.
    File {
        vault: Vault,
        #[serde(deserialize_with = "store")]
        store: Store,
        encryption: Encryption,
        retention: Retention,
        staging: Option<Staging>,
        audit: Audit,
        notify: Vec<Notify>,
        ping: Ping,
        metrics: Metrics,
        run: Run,
    }

    /// `[vault]`
    Vault {
        addresses: Option<Vec<Server>>,
        proxy: Option<Address>,
        cluster_id: Option<Text>,
        namespace: Option<Text>,
        ca_cert: Option<FilePath>,
        ca_path: Option<FilePath>,
        client_cert: Option<FilePath>,
        client_key: Option<FilePath>,
        tls_server_name: Option<Text>,
        tls_skip_verify: Option<bool>,
        auth: resolved::Auth,
    }

    /// `[vault.auth]` and `[staging.auth]`
    Auth {
        method: Option<Method>,
        mount: Option<Text>,
        role: Option<Text>,
        role_id: Option<MaybeSecret>,
        secret_id: Option<SecretRef>,
        token: Option<SecretRef>,
        username: Option<Text>,
        password: Option<SecretRef>,
        jwt: Option<SecretRef>,
        server_id: Option<Text>,
        region: Option<Region>,
    }

    /// `[store]`
    Store {
        url: Option<StoreUrl>,
        endpoint: Option<Address>,
        region: Option<Text>,
        path_style: Option<bool>,
        ca_cert: Option<FilePath>,
        sse: Option<Sse>,
        kms_key_id: Option<Text>,
        storage_class: Option<StorageClass>,
        object_lock_daily: Option<Lock>,
        object_lock_monthly: Option<Lock>,
    }

    /// `[encryption]`
    Encryption {
        key: Option<KeyRef>,
        old_keys: Option<Vec<KeyRef>>,
        manifest_key: Option<KeyRef>,
    }

    /// `[retention]`
    Retention {
        daily_days: Option<Count>,
        monthly_months: Option<Count>,
        keep_daily: Option<Count>,
        keep_monthly: Option<Count>,
    }

    /// `[staging]`
    Staging {
        mode: Option<StagingMode>,
        address: Option<Server>,
        token: Option<SecretRef>,
        unseal_keys: Option<Vec<SecretRef>>,
        namespace_unseal_keys: Option<BTreeMap<String, Vec<SecretRef>>>,
        seal_key: Option<KeyRef>,
        canary: Option<Text>,
        canary_max_age: Option<Span>,
        wait: Option<Span>,
        seal_after: Option<bool>,
        vault_binary: Option<FilePath>,
        vault_config: Option<FilePath>,
        ca_cert: Option<FilePath>,
        auth: resolved::Auth,
    }

    /// `[audit]`
    Audit {
        file: Option<FilePath>,
    }

    /// `[ping]`
    Ping {
        url: Option<MaybeSecretUrl>,
    }

    /// `[metrics]`
    Metrics {
        textfile: Option<FilePath>,
    }

    /// `[run]`
    Run {
        deadline: Option<Span>,
        retries: Option<Retries>,
        connect_timeout: Option<Span>,
        idle_timeout: Option<Span>,
        lock_file: Option<FilePath>,
        part_size: Option<PartSize>,
    }
}

/// `[[notify]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Notify {
    #[serde(rename = "type")]
    pub(super) kind: NotifyKind,
    pub(super) url: MaybeSecretUrl,
    pub(super) on: Option<Vec<NotifyOn>>,
}

fn store<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Store, D::Error> {
    let store = Store::deserialize(deserializer)?;
    if store.kms_key_id.is_some() && store.sse != Some(Sse::Kms) {
        return Err(D::Error::custom("the key kms_key_id needs sse = \"aws:kms\""));
    }
    Ok(store)
}
