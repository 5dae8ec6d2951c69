//! One POST to somebody who is to be told: bounded in time, tried again, and
//! without the URL in anything that is said: it may be a secret as a whole.

use crate::base::error::{Error, Result};
use crate::base::secret::TextOrReference;
use crate::services::http::{self, Template};
use backon::{ExponentialBuilder, Retryable};
use reqwest::{StatusCode, header};
use std::time::Duration;
use url::Url;

/// How long to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For one attempt, from connecting to the end of the answer's head.
    pub attempt: Duration,
    /// For all attempts and the pauses between them.
    pub total: Duration,
    /// The first pause; later ones are longer.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempt: Duration::from_secs(10), total: Duration::from_secs(30), pause: Duration::from_secs(1) }
    }
}

/// How often a message is sent again.
const RETRIES: usize = 3;

/// What goes out: content type and body.
#[derive(Clone, Debug)]
pub struct Message {
    /// `application/json` or `text/plain`.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

/// Delivers messages.
pub struct Courier {
    template: Template,
    client: reqwest::Client,
    patience: Patience,
}

/// Why an attempt failed, and whether another could succeed.
struct Failed {
    why: String,
    again: bool,
}

impl Courier {
    /// A courier of this patience.
    ///
    /// # Errors
    /// `Partial` where no client can be set up.
    pub fn new(patience: Patience) -> Result<Self> {
        let limit = Some(patience.attempt);
        let options = http::Options { connect_timeout: limit, total_timeout: limit, ..http::Options::default() };
        let made = Template::new(options).and_then(|template| Ok((template.client(limit)?, template)));
        let (client, template) = made.map_err(|e| Error::partial("no notification can be sent").because(e))?;
        Ok(Self { template, client, patience })
    }

    /// Delivers `message` to the URL that `adapt` makes of `to`; `whom` names the
    /// receiver in errors, and the URL's host is added. A receiver may get a
    /// message twice: where its answer was lost, it is sent again.
    ///
    /// # Errors
    /// `Partial`, after the last attempt or at the end of patience.
    pub async fn deliver(
        &self,
        whom: &str,
        to: &TextOrReference,
        adapt: impl FnOnce(&mut Url),
        message: &Message,
    ) -> Result<()> {
        let url = to.read().map_err(|e| Error::partial(format!("{whom} could not be told")).because(e))?;
        let mut url = Url::parse(url.expose().trim())
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| Error::partial(format!("{whom} could not be told: its URL is not an http(s):// one")))?;
        adapt(&mut url);
        self.template.check(&url).map_err(|e| Error::partial(format!("{whom} could not be told")).because(e))?;
        let host = url.host_str().unwrap_or_default();
        let attempts = (|| self.attempt(&url, message))
            .retry(ExponentialBuilder::default().with_min_delay(self.patience.pause).with_max_times(RETRIES))
            .when(|failed| failed.again);
        let why = match tokio::time::timeout(self.patience.total, attempts).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(failed)) => failed.why,
            Err(_) => format!("not within {} s", self.patience.total.as_secs_f32()),
        };
        Err(Error::partial(format!("{whom} (host {host}) could not be told: {why}")))
    }

    async fn attempt(&self, url: &Url, message: &Message) -> Result<(), Failed> {
        let request = self.client.post(url.clone()).header(header::CONTENT_TYPE, message.content_type);
        match request.body(message.body.clone()).send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(refusal(answer.status())),
            Err(e) => {
                let via = self.template.proxy_of(url).map(|proxy| format!(" (via the proxy {proxy})"));
                Err(Failed { why: http::reason(&e) + &via.unwrap_or_default(), again: true })
            }
        }
    }
}

fn refusal(status: StatusCode) -> Failed {
    let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    let note = if status.is_redirection() { "; redirects are not followed" } else { "" };
    Failed {
        why: format!("it answered {}{note}", status.as_u16()),
        again: status.is_server_error() || passing.contains(&status),
    }
}
