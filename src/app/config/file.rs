//! The schema of the configuration file: every section and key, and the type of its value.
//!
//! Sections without an environment variable are deserialised into their final form. `config`
//! applies defaults and environment variables to the others; `explain` words the errors.
//! Each key is documented in examples/config.toml.

use super::auth::{self, Method};
use super::values::{self, Deadline, read};
use super::{EncryptionSection, StagingSection};
use crate::base::secret::{Reference, TextOrReference};
use crate::formats::retention::Policy;
use crate::services::notify::webhook::{Webhook, WebhookFormat};
use crate::services::store::Location;
use crate::services::store::s3::{ObjectLock, Sse};
use crate::services::vault;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// Defines sections in which every key is optional. `as` names the function that reads a value.
macro_rules! sections {
    ($($(#[$doc:meta])* $name:ident { $($key:ident: $kind:ty $(as $read:literal)?,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct $name { $($(#[serde(deserialize_with = $read)])? pub(super) $key: $kind,)* }
    )*};
}

sections! {
    /// The whole file.
    File {
        vault: Vault,
        store: Store as "store",
        encryption: EncryptionSection,
        retention: Retention,
        staging: Option<StagingSection>,
        audit: Audit,
        notify: Vec<Notify>,
        ping: Ping,
        metrics: Metrics,
        run: Run,
    }

    /// `[vault]`
    Vault {
        addresses: Vec<Url> as "read::servers",
        proxy: Option<Url> as "read::address",
        cluster_id: Option<String> as "read::text",
        namespace: Option<String> as "read::text",
        ca_cert: Option<PathBuf> as "read::path",
        ca_path: Option<PathBuf> as "read::path",
        client_cert: Option<PathBuf> as "read::path",
        client_key: Option<PathBuf> as "read::path",
        tls_server_name: Option<String> as "read::text",
        tls_skip_verify: Option<bool>,
        auth: Option<vault::Auth> as "auth::read",
    }

    /// `[vault.auth]` and `[staging.auth]`
    AuthKeys {
        method: Option<Method>,
        mount: Option<String> as "read::text",
        role: Option<String> as "read::text",
        role_id: Option<TextOrReference>,
        secret_id: Option<Reference>,
        token: Option<Reference>,
        username: Option<String> as "read::text",
        password: Option<Reference>,
        jwt: Option<Reference>,
        server_id: Option<String> as "read::text",
        region: Option<String> as "read::region",
    }

    /// `[store]`
    Store {
        url: Option<Location> as "read::location",
        endpoint: Option<Url> as "read::address",
        region: Option<String> as "read::text",
        path_style: Option<bool>,
        ca_cert: Option<PathBuf> as "read::path",
        sse: Option<Sse>,
        kms_key_id: Option<String> as "read::text",
        storage_class: Option<String> as "read::storage_class",
        object_lock_daily: Option<ObjectLock> as "read::object_lock",
        object_lock_monthly: Option<ObjectLock> as "read::object_lock",
    }

    /// `[retention]`
    Retention {
        daily_days: Option<u32> as "values::count",
        monthly_months: Option<u32> as "values::count",
        keep_daily: Option<u32> as "values::count",
        keep_monthly: Option<u32> as "values::count",
    }

    /// `[audit]`
    Audit {
        file: Option<PathBuf> as "read::path",
    }

    /// `[ping]`
    Ping {
        url: Option<TextOrReference> as "read::secret_url",
    }

    /// `[metrics]`
    Metrics {
        textfile: Option<PathBuf> as "read::path",
    }

    /// `[run]`
    Run {
        deadline: Option<Deadline> as "read::deadline",
        retries: Option<u32> as "values::retries",
        connect_timeout: Option<Duration> as "read::duration",
        idle_timeout: Option<Duration> as "read::duration",
        lock_file: Option<PathBuf> as "read::path",
        part_size: Option<u64> as "read::part_size",
    }
}

/// `[[notify]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Notify {
    #[serde(rename = "type")]
    format: WebhookFormat,
    #[serde(deserialize_with = "read::secret_url")]
    url: TextOrReference,
    on: Option<Vec<NotifyOn>>,
}

/// Result of a run, for `notify.on`.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum NotifyOn {
    Success,
    Failure,
}

impl From<Notify> for Webhook {
    fn from(file: Notify) -> Self {
        let wants = |outcome: NotifyOn| file.on.as_ref().is_none_or(|on| on.contains(&outcome));
        let (on_success, on_failure) = (wants(NotifyOn::Success), wants(NotifyOn::Failure));
        Self { format: file.format, url: file.url, on_success, on_failure }
    }
}

impl From<Retention> for Policy {
    fn from(file: Retention) -> Self {
        let Policy { daily_days, monthly_months, .. } = Policy::default();
        let daily_days = file.daily_days.unwrap_or(daily_days);
        let monthly_months = file.monthly_months.unwrap_or(monthly_months);
        Self {
            daily_days,
            monthly_months,
            keep_daily: file.keep_daily.unwrap_or(daily_days),
            keep_monthly: file.keep_monthly.unwrap_or(monthly_months),
        }
    }
}

fn store<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Store, D::Error> {
    let store = Store::deserialize(from)?;
    if store.kms_key_id.is_some() && store.sse != Some(Sse::Kms) {
        return Err(serde::de::Error::custom("the key kms_key_id needs sse = \"aws:kms\""));
    }
    Ok(store)
}
