//! Pings in the style of healthchecks.io. A check alerts on missing pings, so it also
//! reports runs that never started.

use super::delivery::{NotificationBody, Sender};
use super::{Event, EventOutcome};
use crate::base::error::Result;
use crate::base::secret::TextOrReference;
use url::Url;

/// Signal to a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PingSignal<'a> {
    /// The run has started.
    Start,
    /// The run succeeded.
    Success,
    /// The run failed, or succeeded only in part; with the reason.
    Fail(&'a str),
}

impl<'a> PingSignal<'a> {
    /// Returns the signal for `event`.
    pub(crate) fn of(event: &'a Event) -> Self {
        match event.outcome {
            EventOutcome::Success => PingSignal::Success,
            EventOutcome::Partial | EventOutcome::Failure => PingSignal::Fail(&event.message),
        }
    }

    /// Returns the suffix of the URL's path: <https://healthchecks.io/docs/http_api/>.
    fn suffix(self) -> &'static str {
        match self {
            PingSignal::Start => "/start",
            PingSignal::Success => "",
            PingSignal::Fail(_) => "/fail",
        }
    }
}

/// Sends `signal` to the check at `url`.
///
/// # Errors
/// `Partial`.
pub(crate) async fn send(sender: &Sender, url: &TextOrReference, signal: PingSignal<'_>) -> Result<()> {
    let body = if let PingSignal::Fail(why) = signal { why } else { "" };
    let message = NotificationBody { content_type: "text/plain; charset=utf-8", body: body.to_owned() };
    sender.send("ping", url, |url| append(url, signal.suffix()), &message).await
}

fn append(url: &mut Url, suffix: &str) {
    let path = format!("{}{suffix}", url.path().trim_end_matches('/'));
    url.set_path(&path);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_is_appended_to_the_path() {
        for (base, start) in [
            ("https://hc.example.com/uuid", "https://hc.example.com/uuid/start"),
            ("https://hc.example.com/ping/slug/?create=1", "https://hc.example.com/ping/slug/start?create=1"),
            ("https://hc.example.com", "https://hc.example.com/start"),
        ] {
            let mut url = Url::parse(base).unwrap();
            append(&mut url, PingSignal::Start.suffix());
            assert_eq!(url.as_str(), start);
        }
        let mut url = Url::parse("https://hc.example.com/uuid").unwrap();
        append(&mut url, PingSignal::Success.suffix());
        assert_eq!(url.path(), "/uuid");
    }
}
