//! This machine's clock beside the store's: names and retention go by it.

use crate::base::error::{Error, Result};
use crate::formats::manifest::rfc3339;
use crate::services::store::Store;
use chrono::{TimeDelta, Utc};

/// How far the two may be apart.
const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// Refuses to go on with a clock that is wrong, where the store has one of its own.
///
/// # Errors
/// `Unexpected` with both times; the store's.
pub async fn check(store: &dyn Store) -> Result<()> {
    let Some(theirs) = store.clock().await? else { return Ok(()) };
    let ours = Utc::now();
    if (ours - theirs).abs() <= TOLERANCE {
        return Ok(());
    }
    Err(Error::unexpected(format!("the clock here says {}, the store's {}", rfc3339(ours), rfc3339(theirs)))
        .hint("set this machine's clock (NTP): names and retention go by it"))
}
