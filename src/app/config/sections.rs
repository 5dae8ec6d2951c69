//! The small sections: `[retention]`, `[audit]`, `[[notify]]`, `[ping]`, `[metrics]`, `[run]`.

use super::{Environment, Overrides, file};
use crate::base::secret::TextOrReference;
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

/// `[retention]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionSection {
    /// Daily backups are kept for so many days.
    pub daily_days: u32,
    /// Monthly backups are kept for so many calendar months.
    pub monthly_months: u32,
    /// So many newer good daily backups must remain.
    pub keep_daily: u32,
    /// So many newer good monthly backups must remain.
    pub keep_monthly: u32,
}

impl From<file::Retention> for RetentionSection {
    fn from(file: file::Retention) -> Self {
        let daily_days = file.daily_days.map_or(30, |v| v.0);
        let monthly_months = file.monthly_months.map_or(12, |v| v.0);
        Self {
            daily_days,
            monthly_months,
            keep_daily: file.keep_daily.map_or(daily_days, |v| v.0),
            keep_monthly: file.keep_monthly.map_or(monthly_months, |v| v.0),
        }
    }
}

/// `[audit]`
#[derive(Clone, Debug, Default)]
pub struct AuditSection {
    /// The file that audit lines are appended to; none by default.
    pub file: Option<PathBuf>,
}

/// `[[notify]]`
#[derive(Clone, Debug)]
pub struct NotifySection {
    /// The shape of the message.
    pub kind: NotifyKind,
    /// Where it is posted to.
    pub url: TextOrReference,
    /// Which outcomes are told.
    pub on: Vec<NotifyOn>,
}

/// The shapes of notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotifyKind {
    /// Plain JSON.
    Webhook,
    /// What Slack's incoming webhooks take.
    Slack,
}

/// How a run ended, for `notify.on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotifyOn {
    /// Done.
    Success,
    /// Failed, or done in part.
    Failure,
}

impl From<file::Notify> for NotifySection {
    fn from(file: file::Notify) -> Self {
        let on = file.on.unwrap_or_else(|| vec![NotifyOn::Success, NotifyOn::Failure]);
        Self { kind: file.kind, url: file.url.0, on }
    }
}

/// `[ping]`
#[derive(Clone, Debug, Default)]
pub struct PingSection {
    /// The check's URL, to which `/start` and `/fail` are appended.
    pub url: Option<TextOrReference>,
}

/// `[metrics]`
#[derive(Clone, Debug, Default)]
pub struct MetricsSection {
    /// The file that node_exporter's textfile collector reads.
    pub textfile: Option<PathBuf>,
}

/// `[run]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSection {
    /// After which a run gives up; none by default.
    pub deadline: Option<Duration>,
    /// How often a backup begins again after its leader was lost.
    pub retries: u32,
    /// The longest wait for a connection.
    pub connect_timeout: Duration,
    /// The longest silence on a connection.
    pub idle_timeout: Duration,
    /// The lock of `backup`, `prune` and `restore`; by default one for each store.
    pub lock_file: PathBuf,
    /// The size of an upload's part, in bytes.
    pub part_size: u64,
}

impl RunSection {
    pub(super) fn resolve(
        file: file::Run,
        overrides: &Overrides,
        store: Option<&Url>,
        environment: Environment<'_>,
    ) -> Self {
        let default_lock = || {
            let directory = environment("XDG_RUNTIME_DIR").unwrap_or_else(|| "/run/lock".to_owned());
            Path::new(&directory).join(lock_name(store))
        };
        Self {
            deadline: overrides.deadline.or(file.deadline.map(|v| v.0)),
            retries: file.retries.map_or(1, |v| v.0),
            connect_timeout: file.connect_timeout.map_or(Duration::from_secs(10), |v| v.0),
            idle_timeout: file.idle_timeout.map_or(Duration::from_mins(1), |v| v.0),
            lock_file: file.lock_file.map_or_else(default_lock, |v| v.0),
            part_size: file.part_size.map_or(8 << 20, |v| v.0),
        }
    }
}

/// The default name of the lock file of `store`: backups of two clusters on one host do
/// not wait for each other. A slash at the end of the URL makes no difference.
fn lock_name(store: Option<&Url>) -> String {
    let Some(url) = store else { return "vault-backup.lock".to_owned() };
    let hash = digest(&SHA256, url.as_str().trim_end_matches('/').as_bytes());
    format!("vault-backup-{}.lock", hex::encode(&hash.as_ref()[..4]))
}
