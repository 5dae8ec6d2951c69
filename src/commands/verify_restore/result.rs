//! The end of a drill: the comparison of the canary, the drill record and the result.

use super::stage::{self, Mode};
use crate::app::context::Context;
use crate::app::output;
use crate::base::error::Result;
use crate::commands::CommandResult;
use crate::formats::crypto::Keyring;
use crate::formats::manifest::{DrillRecord, Manifest, rfc3339};
use crate::pipeline::drill::canary::{CanaryValue, FoundCanary, StoredCanary};
use crate::pipeline::drill::{Steps, record};
use crate::pipeline::object::Chosen;
use crate::services::store::Store;
use chrono::{DateTime, Utc};

/// The result of comparing the canary's value.
pub(super) struct CheckedCanary {
    /// Origin of the value that it was compared with, if it was.
    pub(super) compared: Option<&'static str>,
    /// Its hash for `staging.canary_hash`, if that is defined.
    pub(super) hash: Option<String>,
}

/// Compares the canary that staging returned with the backup and the configured hash. Warns if
/// neither is possible.
pub(super) fn compared(
    context: &Context,
    keyring: &Keyring,
    chosen: &Chosen,
    served: &CanaryValue,
    (stored, found): (StoredCanary, FoundCanary),
) -> Result<CheckedCanary> {
    let staging = &context.config()?.staging;
    let unread = stored.compare(&staging.canary, served, found)?;
    let hashed = served.check_hash(&staging.canary, staging.canary_hash.as_deref(), keyring)?;
    let compared = match (&unread, hashed) {
        (None, _) => Some("backup"),
        (Some(_), true) => Some("hash"),
        (Some(why), false) => {
            tracing::warn!(
                "{}: the canary {} was read from staging, but not compared with the backup: {why} (set \
                 staging.canary_hash to compare it)",
                chosen.address,
                staging.canary
            );
            None
        }
    };
    Ok(CheckedCanary { compared, hash: served.hash(keyring) })
}

/// Writes the drill record, the only object that a later run may replace.
pub(super) async fn record(
    context: &Context,
    store: &dyn Store,
    chosen: &Chosen,
    keyring: &Keyring,
    (manifest, canary): (Option<&Manifest>, &CheckedCanary),
    mode: Mode,
    steps: &Steps,
) -> Result<DateTime<Utc>> {
    let now = Utc::now();
    let Some(manifest) = manifest else {
        tracing::warn!(
            "{}: the restore drill passed, but no drill record was written because the backup has no manifest",
            chosen.address
        );
        return Ok(now);
    };
    let record = DrillRecord {
        object: chosen.name.object().to_owned(),
        sha256: manifest.sha256.clone(),
        drilled_at: rfc3339(now),
        mode: mode.as_str().to_owned(),
        staging_vault: (mode != Mode::Offline).then(|| stage::name(context, mode)),
        canary: context.config()?.staging.canary.clone(),
        canary_compared: canary.compared.map(str::to_owned),
        durations_ms: steps.0.clone(),
        tool: crate::TOOL.to_owned(),
    };
    let bytes = record.to_bytes(&keyring.primary().mac_key())?;
    record::write(store, &chosen.name, bytes, &context.stop).await?;
    Ok(now)
}

pub(super) fn passed(
    context: &Context,
    chosen: &Chosen,
    checked: &CheckedCanary,
    mode: Mode,
    steps: &Steps,
    at: DateTime<Utc>,
) -> CommandResult {
    let mut outcome = CommandResult::default();
    let canary = context.config().map(|c| c.staging.canary.clone()).unwrap_or_default();
    outcome.set("backup_tested", chosen.name.object());
    outcome.set("staging_vault", stage::name(context, mode));
    outcome.set("mode", mode.as_str());
    outcome.set("canary", &canary);
    outcome.set("canary_compared", checked.compared);
    outcome.set("canary_hash", &checked.hash);
    outcome.set("drilled_at", rfc3339(at));
    outcome.set("durations_ms", &steps.0);
    outcome.figures.newest_drill = Some(at);
    outcome.closing = format!(
        "{}: restored into {}, canary {canary} read back, in {}",
        chosen.name,
        stage::name(context, mode),
        output::duration(context.elapsed()),
    );
    outcome
}
