//! Rules for the canary, a known secret that a restored Vault must return.
//!
//! Not here: reading it (`vault`, `barrier`).

mod value;

pub(crate) use value::{CanaryValue, FoundCanary, StoredCanary};

use crate::base::error::{Error, Result};
use crate::formats::manifest::rfc3339;
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// Maximum time by which a secret in the snapshot may be newer than `created_at`: the run
/// starts before the snapshot is taken, and clocks differ.
const TOLERANCE: TimeDelta = TimeDelta::minutes(10);

/// The state of the canary's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CanaryState {
    /// A secret, with the time of its version on KV v2.
    Secret(Option<DateTime<Utc>>),
    /// Nothing.
    Missing,
    /// A version that was deleted.
    Deleted,
    /// A version that was destroyed.
    Destroyed,
}

/// Compares the canary with the backup's time.
///
/// # Errors
/// `Drill` naming the problem; `Usage` for `max_age` on KV v1, which stores no time.
pub(crate) fn check(path: &str, found: CanaryState, backup: DateTime<Utc>, max_age: Option<Duration>) -> Result<()> {
    let failed = |what: String| Error::drill(format!("the canary {path} {what}"));
    let written = match found {
        CanaryState::Missing => {
            let hint = match path.split_once("/data/") {
                Some((mount, rest)) => format!("write the path without data/, as in `vault kv get`: {mount}/{rest}"),
                None => "write it to production before the next backup".to_owned(),
            };
            return Err(failed("is not in the restored Vault".into()).hint(hint));
        }
        CanaryState::Deleted => {
            return Err(
                failed("was deleted in this backup".into()).hint("undelete it in production, or set staging.canary")
            );
        }
        CanaryState::Destroyed => {
            return Err(failed("was destroyed in this backup".into())
                .hint("write it again in production, or set staging.canary"));
        }
        CanaryState::Secret(None) if max_age.is_some() => {
            return Err(Error::usage(format!("the canary {path} is on KV v1, which stores no time"))
                .hint("unset staging.canary_max_age, or move the canary to a KV v2 mount"));
        }
        CanaryState::Secret(None) => return Ok(()),
        CanaryState::Secret(Some(written)) => written,
    };
    if written > backup + TOLERANCE {
        return Err(failed(format!(
            "was written at {}, after this backup of {}: it does not come from the backup",
            rfc3339(written),
            rfc3339(backup)
        )));
    }
    let age = (backup - written).to_std().unwrap_or_default();
    match max_age {
        Some(limit) if age > limit => Err(failed(format!(
            "was written at {}, more than staging.canary_max_age before this backup of {}",
            rfc3339(written),
            rfc3339(backup)
        ))
        .hint("check the job that renews it in production; if it works, this backup contains old data")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Kind;

    #[test]
    fn canary_must_exist_and_be_older_than_the_backup_but_not_too_old() {
        let backup = DateTime::parse_from_rfc3339("2025-11-26T02:00:00Z").unwrap().to_utc();
        let at = |minutes| CanaryState::Secret(Some(backup + TimeDelta::minutes(minutes)));
        let day = Some(Duration::from_hours(24));
        for (found, max_age, outcome) in [
            (at(-60), None, None),
            (at(10), None, None),
            (at(11), None, Some(Kind::Drill)),
            (at(-60 * 24), day, None),
            (at(-60 * 24 - 1), day, Some(Kind::Drill)),
            (CanaryState::Secret(None), None, None),
            (CanaryState::Secret(None), day, Some(Kind::Usage)),
            (CanaryState::Missing, None, Some(Kind::Drill)),
            (CanaryState::Deleted, None, Some(Kind::Drill)),
            (CanaryState::Destroyed, None, Some(Kind::Drill)),
        ] {
            let result = check("smtp/x", found, backup, max_age);
            assert_eq!(result.as_ref().err().map(Error::kind), outcome, "{found:?} {result:?}");
        }
        let error = check("kv/data/app", CanaryState::Missing, backup, None).unwrap_err();
        assert!(error.next_step().is_some_and(|hint| hint.contains("without data/") && hint.ends_with("kv/app")));
    }
}
