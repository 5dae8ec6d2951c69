//! One small request to Vault with a JSON response: URL, headers, limits of size and time, retries.
//!
//! Not here: streams (`snapshot`, `restore`) and the wording of failures (`failure`).

use super::failure::RequestFailure;
use super::{Client, checked_token};
use crate::base::secret::Secret;
use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Response};
use rustify::endpoint::Endpoint;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use url::Url;
use vaultrs::api::EndpointMiddleware;
use zeroize::Zeroizing;

/// Marks a request as intended: agents and proxies may require it.
pub(super) const REQUEST_HEADER: HeaderName = HeaderName::from_static("x-vault-request");
const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE_HEADER: HeaderName = HeaderName::from_static("x-vault-namespace");

/// Size limit of a response, in bytes. A secret in Vault has at most 1 MiB.
const MAX_ANSWER: usize = 4 << 20;

/// Size limit of the response that refuses a snapshot, in bytes.
pub(super) const MAX_REFUSAL: usize = 64 << 10;

/// Number of JSON objects that a response may contain. In memory, the smallest object is a hundred
/// times as large as in the response.
const MAX_OBJECTS: usize = 1 << 16;

/// Longest pause before a retry, whatever `Retry-After` says.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Request to Vault.
#[derive(Clone)]
pub(super) struct Call<'a> {
    method: Method,
    path: &'a str,
    token: Option<&'a Secret>,
    namespaced: bool,
    body: Option<Zeroizing<Vec<u8>>>,
    accepts: fn(u16) -> bool,
}

impl<'a> Call<'a> {
    fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, token: None, namespaced: false, body: None, accepts: is_success }
    }

    /// GET `v1/<path>`. Retried if the failure may be temporary.
    pub(super) fn get(path: &'a str) -> Self {
        Self::new(Method::GET, path)
    }

    /// PUT `v1/<path>`. Retried only if Vault did not process it.
    pub(super) fn put(path: &'a str) -> Self {
        Self::new(Method::PUT, path)
    }

    /// DELETE `v1/<path>`. Retried only if Vault did not process it.
    pub(super) fn delete(path: &'a str) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// Adds `token`.
    pub(super) fn token(self, token: &'a Secret) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Uses the configured namespace. Not for Raft and other requests of the root namespace: OpenBao
    /// refuses those with a namespace.
    pub(super) fn namespaced(self) -> Self {
        Self { namespaced: true, ..self }
    }

    /// Adds `body` as JSON.
    pub(super) fn json(self, body: &impl Serialize) -> Result<Self, RequestFailure> {
        let body = serde_json::to_vec(body).map_err(RequestFailure::unsendable)?;
        Ok(Self { body: Some(Zeroizing::new(body)), ..self })
    }

    /// Accepts responses with further statuses.
    pub(super) fn accepting(self, accepts: fn(u16) -> bool) -> Self {
        Self { accepts, ..self }
    }
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

/// Accepted response.
pub(super) struct ApiResponse {
    /// HTTP status.
    pub(super) status: u16,
    body: Zeroizing<Vec<u8>>,
}

impl ApiResponse {
    /// Parses the body.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, RequestFailure> {
        if self.body.iter().filter(|b| **b == b'{').count() > MAX_OBJECTS {
            return Err(RequestFailure::foreign(self.status, "the response is too complex for Vault"));
        }
        // serde's message may quote the body, which may be a secret.
        serde_json::from_slice(&self.body)
            .map_err(|_| RequestFailure::foreign(self.status, "the response is not from Vault"))
    }
}

/// Pauses of a short series of retries. Longer outages are left to the next run.
pub(super) struct Pauses {
    usual: backon::ExponentialBackoff,
    /// Further pauses for a server that is only too busy.
    busy: backon::ExponentialBackoff,
}

impl Default for Pauses {
    fn default() -> Self {
        let series = |times| {
            let first = ExponentialBuilder::default().with_min_delay(Duration::from_millis(200)).with_factor(3.0);
            first.with_max_delay(Duration::from_secs(5)).with_max_times(times).with_jitter().build()
        };
        Self { usual: series(2), busy: series(5) }
    }
}

impl Pauses {
    /// Returns the pause after `failure`, which is not shorter than the server asks for; `None` after
    /// the last attempt.
    pub(super) fn after(&mut self, failure: &RequestFailure) -> Option<Duration> {
        let pause = if failure.is_busy() { self.busy.next() } else { self.usual.next() }?;
        Some(pause.max(failure.retry_after().unwrap_or_default().min(LONGEST_PAUSE)))
    }
}

/// Repeats `attempt` as long as `again` is true of its failure.
pub(super) async fn retried<T>(
    again: impl Fn(&RequestFailure) -> bool,
    attempt: impl AsyncFn() -> Result<T, RequestFailure>,
) -> Result<T, RequestFailure> {
    let mut pauses = Pauses::default();
    loop {
        let failure = match attempt().await {
            Err(failure) if again(&failure) => failure,
            ended => return ended,
        };
        let Some(pause) = pauses.after(&failure) else { return Err(failure) };
        tokio::time::sleep(pause).await;
    }
}

/// Returns the body of a small response.
///
/// # Errors
/// `Foreign` if it is longer than `max` bytes, or does not end within `limit`.
pub(super) async fn small_body(
    response: &mut Response,
    max: usize,
    limit: Duration,
) -> Result<Zeroizing<Vec<u8>>, RequestFailure> {
    let status = response.status().as_u16();
    let read = async {
        let mut body = Zeroizing::new(Vec::with_capacity(4096));
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > max {
                return Err(RequestFailure::foreign(status, "the response is too long for Vault"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    };
    let late = || format!("the response did not end within {} s (run.idle_timeout)", limit.as_secs_f64());
    tokio::time::timeout(limit, read).await.unwrap_or_else(|_| Err(RequestFailure::foreign(status, &late())))
}

impl Client {
    /// Sends the request, with retries.
    pub(super) async fn call(&self, address: &Url, call: Call<'_>) -> Result<ApiResponse, RequestFailure> {
        let repeatable = call.method == Method::GET;
        let again = |failure: &RequestFailure| failure.surely_not_done() || (repeatable && failure.may_pass());
        retried(again, async || self.attempt(address, call.clone()).await).await
    }

    async fn attempt(&self, address: &Url, call: Call<'_>) -> Result<ApiResponse, RequestFailure> {
        let mut request = self.request(call.method, address, call.path, call.token)?;
        if let (true, Some(namespace)) = (call.namespaced, &self.settings.namespace) {
            request = request.header(NAMESPACE_HEADER, namespace);
        }
        if let Some(body) = call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_vec());
        }
        self.answered(request.send().await?, call.accepts).await
    }

    /// Sends a request that vaultrs defines, once. `namespaced` requests carry the configured namespace.
    /// vaultrs's own client would read a response of any length.
    pub(super) async fn execute(
        &self,
        address: &Url,
        token: &Secret,
        namespaced: bool,
        endpoint: impl Endpoint,
    ) -> Result<ApiResponse, RequestFailure> {
        let (client, mut origin) = self.clients.of(address)?;
        // vaultrs puts the API version in front of the whole path.
        let prefix = origin.path().trim_matches('/').to_owned();
        origin.set_path("");
        let middleware = EndpointMiddleware {
            token: if token.expose().is_empty() { String::new() } else { checked_token(token)?.to_owned() },
            version: if prefix.is_empty() { "v1".to_owned() } else { format!("{prefix}/v1") },
            wrap: None,
            namespace: self.settings.namespace.clone().filter(|_| namespaced),
        };
        let request = endpoint.with_middleware(&middleware).request(origin.as_str());
        let request = reqwest::Request::try_from(request.map_err(RequestFailure::unsendable)?);
        let response = client.execute(request.map_err(RequestFailure::unsendable)?).await?;
        self.answered(response, is_success).await
    }

    async fn answered(&self, mut response: Response, accepts: fn(u16) -> bool) -> Result<ApiResponse, RequestFailure> {
        let body = small_body(&mut response, MAX_ANSWER, self.settings.idle_timeout).await?;
        let status = response.status().as_u16();
        // The page of a gateway is not a response of Vault, whatever its status.
        let speaks = is_success(status) || body.starts_with(b"{");
        if speaks && accepts(status) {
            Ok(ApiResponse { status, body })
        } else {
            Err(RequestFailure::refused(&response, &body))
        }
    }

    /// Builds a request to `v1/<path>` of `address` with `token`.
    pub(super) fn request(
        &self,
        method: Method,
        address: &Url,
        path: &str,
        token: Option<&Secret>,
    ) -> Result<reqwest::RequestBuilder, RequestFailure> {
        let (client, base) = self.clients.of(address)?;
        prepared(&client, method, base, path, token)
    }
}

/// Builds a request as [`Client::request`] does, with the given HTTP client.
pub(super) fn prepared(
    client: &reqwest::Client,
    method: Method,
    mut url: Url,
    path: &str,
    token: Option<&Secret>,
) -> Result<reqwest::RequestBuilder, RequestFailure> {
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().push("v1").extend(path.split('/'));
    }
    let mut request = client.request(method, url);
    if let Some(token) = token.filter(|token| !token.expose().is_empty()) {
        let mut value = HeaderValue::from_str(checked_token(token)?).map_err(RequestFailure::unsendable)?;
        value.set_sensitive(true);
        request = request.header(TOKEN_HEADER, value);
    }
    Ok(request)
}
