//! Pings in the style of healthchecks.io: a check that hears nothing raises the
//! alarm, so also a run that never happened is noticed.

use super::delivery::{Courier, Message};
use super::{Event, EventOutcome};
use crate::base::error::Result;
use crate::base::secret::TextOrReference;
use url::Url;

/// What a check is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal<'a> {
    /// A run has started.
    Start,
    /// It was done.
    Success,
    /// It failed, also in part; with the reason.
    Fail(&'a str),
}

impl<'a> Signal<'a> {
    /// What to tell of `event`.
    pub fn of(event: &'a Event) -> Self {
        match event.outcome {
            EventOutcome::Success => Signal::Success,
            EventOutcome::Partial | EventOutcome::Failure => Signal::Fail(&event.message),
        }
    }

    /// Appended to the URL's path: <https://healthchecks.io/docs/http_api/>.
    fn suffix(self) -> &'static str {
        match self {
            Signal::Start => "/start",
            Signal::Success => "",
            Signal::Fail(_) => "/fail",
        }
    }
}

/// Sends `signal` to the check at `url`.
///
/// # Errors
/// `Partial`.
pub async fn send(courier: &Courier, url: &TextOrReference, signal: Signal<'_>) -> Result<()> {
    let body = if let Signal::Fail(why) = signal { why } else { "" };
    let message = Message { content_type: "text/plain; charset=utf-8", body: body.to_owned() };
    courier.deliver("the ping", url, |url| append(url, signal.suffix()), &message).await
}

fn append(url: &mut Url, suffix: &str) {
    let path = format!("{}{suffix}", url.path().trim_end_matches('/'));
    url.set_path(&path);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appended_to_the_path() {
        for (base, start) in [
            ("https://hc.example.com/uuid", "https://hc.example.com/uuid/start"),
            ("https://hc.example.com/ping/slug/?create=1", "https://hc.example.com/ping/slug/start?create=1"),
            ("https://hc.example.com", "https://hc.example.com/start"),
        ] {
            let mut url = Url::parse(base).unwrap();
            append(&mut url, Signal::Start.suffix());
            assert_eq!(url.as_str(), start);
        }
        let mut url = Url::parse("https://hc.example.com/uuid").unwrap();
        append(&mut url, Signal::Success.suffix());
        assert_eq!(url.path(), "/uuid");
    }
}
