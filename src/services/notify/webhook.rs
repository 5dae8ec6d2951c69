//! Notifications: plain JSON, or a message for Slack's incoming webhooks.

use super::delivery::{NotificationBody, Sender};
use super::{Event, EventOutcome, EventSource};
use crate::base::error::Result;
use crate::base::secret::TextOrReference;
use crate::base::text::{printable_json, value};
use serde::Deserialize;
use serde_json::{Value, json};

/// Format of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WebhookFormat {
    /// `{type, severity, message, timestamp, host, cluster, store, details}`.
    Webhook,
    /// `{text, attachments}`.
    Slack,
}

/// A webhook.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Format of its messages.
    pub format: WebhookFormat,
    /// Its URL, all of which is a secret.
    pub url: TextOrReference,
    /// `true` if it gets successes.
    pub on_success: bool,
    /// `true` if it gets failures.
    pub on_failure: bool,
}

impl Webhook {
    /// Returns `true` if it gets this outcome.
    pub(crate) fn wants(&self, outcome: EventOutcome) -> bool {
        match outcome {
            EventOutcome::Success => self.on_success,
            EventOutcome::Partial => self.on_success || self.on_failure,
            EventOutcome::Failure => self.on_failure,
        }
    }
}

/// Sends `event` of `source` to `target`, which is webhook `number` in errors.
///
/// # Errors
/// `Partial`.
pub(crate) async fn send(
    sender: &Sender,
    target: &Webhook,
    number: usize,
    source: &EventSource,
    event: &Event,
) -> Result<()> {
    let body = match target.format {
        WebhookFormat::Webhook => event.notification(source),
        WebhookFormat::Slack => slack(event, source),
    };
    let message =
        NotificationBody { content_type: "application/json", body: printable_json(&body.to_string()).into_owned() };
    sender.send(&format!("webhook {number}"), &target.url, |_| (), &message).await
}

/// Returns a message with one attachment: <https://api.slack.com/reference/messaging/attachments>.
fn slack(event: &Event, source: &EventSource) -> Value {
    let color = match event.outcome {
        EventOutcome::Success => "good",
        EventOutcome::Partial => "warning",
        EventOutcome::Failure => "danger",
    };
    let field = |(name, detail): (&str, &Value)| {
        let text = value(&detail.as_str().map_or_else(|| detail.to_string(), str::to_owned));
        json!({"title": name, "value": escape(&text), "short": text.len() <= 40})
    };
    let source_fields = source.keys().into_iter().filter(|(_, detail)| !detail.is_null());
    let source_fields: Vec<_> = source_fields.map(|(name, detail)| field((name, &detail))).collect();
    let details = event.details.iter().map(|(name, detail)| field((name, detail)));
    json!({
        "text": escape(&format!("{}: {}", source.host, event.message)),
        "attachments": [{
            "color": color,
            "title": event.notification_type(),
            "fields": source_fields.into_iter().chain(details).collect::<Vec<_>>(),
            "ts": event.ended_at.timestamp(),
        }],
    })
}

/// Escapes Slack's three control characters: <https://api.slack.com/reference/surfaces/formatting#escaping>.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
