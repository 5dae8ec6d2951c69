//! Notifications: plain JSON, or what Slack's incoming webhooks take.

use super::delivery::{Courier, Message};
use super::{Event, EventOutcome};
use crate::base::error::Result;
use crate::base::secret::TextOrReference;
use serde::Deserialize;
use serde_json::{Value, json};

/// The shape of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// `{type, severity, message, timestamp, details}`.
    Webhook,
    /// `{text, attachments}`.
    Slack,
}

/// A webhook.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// What it takes.
    pub shape: Shape,
    /// Where it is; a secret as a whole.
    pub url: TextOrReference,
    /// Whether it is told of what was done.
    pub on_success: bool,
    /// Whether it is told of what failed, also in part.
    pub on_failure: bool,
}

impl Webhook {
    /// Whether it is to be told of this outcome.
    pub fn wants(&self, outcome: EventOutcome) -> bool {
        match outcome {
            EventOutcome::Success => self.on_success,
            EventOutcome::Partial => self.on_success || self.on_failure,
            EventOutcome::Failure => self.on_failure,
        }
    }
}

/// Sends `event` to `target`, which errors call webhook `number`.
///
/// # Errors
/// `Partial`.
pub async fn send(courier: &Courier, target: &Webhook, number: usize, event: &Event) -> Result<()> {
    let body = match target.shape {
        Shape::Webhook => event.notification(),
        Shape::Slack => slack(event),
    };
    let message = Message { content_type: "application/json", body: body.to_string() };
    courier.deliver(&format!("webhook {number}"), &target.url, |_| (), &message).await
}

/// A message with one attachment: <https://api.slack.com/reference/messaging/attachments>.
fn slack(event: &Event) -> Value {
    let color = match event.outcome {
        EventOutcome::Success => "good",
        EventOutcome::Partial => "warning",
        EventOutcome::Failure => "danger",
    };
    let field = |(name, value): (&String, &Value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        json!({"title": name, "value": escape(&text), "short": text.len() <= 40})
    };
    json!({
        "text": escape(&event.message),
        "attachments": [{
            "color": color,
            "title": event.notification_type(),
            "fields": event.details.iter().map(field).collect::<Vec<_>>(),
            "ts": event.ended_at.timestamp(),
        }],
    })
}

/// Slack's three control characters: <https://api.slack.com/reference/surfaces/formatting#escaping>.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
