//! Sends one POST with a time limit and retries. Errors never contain the URL: all of it
//! may be a secret.

use crate::base::error::{Error, Result};
use crate::base::secret::TextOrReference;
use crate::services::http::{self, ClientTemplate};
use backon::{ExponentialBuilder, Retryable};
use reqwest::{StatusCode, header};
use std::time::Duration;
use url::Url;

/// Timeouts of sending a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// Timeout of one attempt, from connecting to the end of the response headers.
    pub attempt: Duration,
    /// Timeout of all attempts and the pauses between them.
    pub total: Duration,
    /// First pause between attempts; later ones are longer.
    pub pause: Duration,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self { attempt: Duration::from_secs(10), total: Duration::from_secs(30), pause: Duration::from_secs(1) }
    }
}

/// Attempts after the first one.
const RETRIES: usize = 3;

/// Request body and its content type.
#[derive(Clone, Debug)]
pub(crate) struct NotificationBody {
    /// `application/json` or `text/plain`.
    pub(crate) content_type: &'static str,
    /// Text of the body.
    pub(crate) body: String,
}

/// HTTP client for notifications.
pub(crate) struct Sender {
    template: ClientTemplate,
    client: reqwest::Client,
    retry: RetrySettings,
}

/// A failed attempt.
struct AttemptFailure {
    cause: String,
    /// `true` if another attempt may succeed.
    retryable: bool,
}

impl Sender {
    /// Sets up the client.
    ///
    /// # Errors
    /// `Partial` if that fails.
    pub(crate) fn new(retry: RetrySettings) -> Result<Self> {
        let limit = Some(retry.attempt);
        let options = http::Options { connect_timeout: limit, total_timeout: limit, ..http::Options::default() };
        let made = ClientTemplate::new(options).and_then(|template| Ok((template.client(limit)?, template)));
        let (client, template) = made.map_err(|e| Error::partial("no notification can be sent").because(e))?;
        Ok(Self { template, client, retry })
    }

    /// Sends `message` to the URL `to`, changed by `adapt`. Errors name `receiver` and the
    /// URL's host. A receiver may get a message twice: it is sent again if the response
    /// was lost.
    ///
    /// # Errors
    /// `Partial`, after the last attempt or the total timeout.
    pub(crate) async fn send(
        &self,
        receiver: &str,
        to: &TextOrReference,
        adapt: impl FnOnce(&mut Url),
        message: &NotificationBody,
    ) -> Result<()> {
        let failed = || Error::partial(format!("{receiver}: notification failed"));
        let url = to.read_shared().map_err(|e| failed().because(e))?;
        let mut url = Url::parse(url.expose().trim())
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| failed().because(anyhow::anyhow!("its URL does not begin with http:// or https://")))?;
        adapt(&mut url);
        self.template.check(&url).map_err(|e| failed().because(e))?;
        let host = url.host_str().unwrap_or_default();
        let attempts = (|| self.attempt(&url, message))
            .retry(ExponentialBuilder::default().with_min_delay(self.retry.pause).with_max_times(RETRIES))
            .when(|failure| failure.retryable);
        let cause = match tokio::time::timeout(self.retry.total, attempts).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(failure)) => failure.cause,
            Err(_) => format!("timeout after {} s", self.retry.total.as_secs_f32()),
        };
        Err(Error::partial(format!("{receiver} (host {host}): notification failed: {cause}")))
    }

    async fn attempt(&self, url: &Url, message: &NotificationBody) -> Result<(), AttemptFailure> {
        let request = self.client.post(url.clone()).header(header::CONTENT_TYPE, message.content_type);
        match request.body(message.body.clone()).send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(status_failure(answer.status())),
            Err(e) => {
                let via = self.template.proxy_of(url).map(|proxy| format!(" (via the proxy {proxy})"));
                Err(AttemptFailure { cause: http::reason(&e) + &via.unwrap_or_default(), retryable: true })
            }
        }
    }
}

fn status_failure(status: StatusCode) -> AttemptFailure {
    let temporary = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    let note = if status.is_redirection() { " (redirects are not followed)" } else { "" };
    AttemptFailure {
        cause: format!("HTTP {}{note}", status.as_u16()),
        retryable: status.is_server_error() || temporary.contains(&status),
    }
}
