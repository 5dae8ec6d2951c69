//! Compares this machine's clock with the store's: names and retention depend on it.

use crate::base::error::{Error, Result};
use crate::formats::manifest::rfc3339;
use crate::services::store::Store;
use chrono::{TimeDelta, Utc};

/// Largest accepted difference of the two clocks.
const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// Returns the difference of this machine's clock from the store's, if the store has a clock.
///
/// # Errors
/// `Unexpected` with both times if they differ by more than five minutes; errors of the store.
pub(crate) async fn check(store: &dyn Store) -> Result<Option<TimeDelta>> {
    let Some(theirs) = store.clock().await? else { return Ok(None) };
    let ours = Utc::now();
    if (ours - theirs).abs() <= TOLERANCE {
        return Ok(Some(ours - theirs));
    }
    Err(Error::unexpected(format!("this machine's clock says {}, the store's {}", rfc3339(ours), rfc3339(theirs)))
        .hint("set this machine's clock (NTP): names and retention depend on it"))
}
