//! One small request to Vault with a JSON response: URL, headers, limits and retries.
//!
//! Not here: streams (`snapshot`, `restore`) and the wording of failures (`failure`).

use super::failure::RequestFailure;
use super::{Client, checked_token};
use crate::base::secret::Secret;
use backon::{ExponentialBuilder, Retryable};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use url::Url;
use zeroize::Zeroizing;

/// Marks a request as intended: agents and proxies may require it.
pub(super) const REQUEST_HEADER: HeaderName = HeaderName::from_static("x-vault-request");
const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE_HEADER: HeaderName = HeaderName::from_static("x-vault-namespace");

/// Size limit of a response, in bytes. A secret in Vault has at most 1 MiB.
const MAX_ANSWER: usize = 4 << 20;

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
        // serde's message may quote the body, which may be a secret.
        serde_json::from_slice(&self.body)
            .map_err(|_| RequestFailure::foreign(self.status, "the response is not from Vault"))
    }
}

/// Returns the delays of a short series of retries. Longer outages are left to the next run.
pub(super) fn backoff() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_factor(3.0)
        .with_max_times(2)
        .with_jitter()
}

impl Client {
    /// Sends the request, with retries.
    pub(super) async fn call(&self, address: &Url, call: Call<'_>) -> Result<ApiResponse, RequestFailure> {
        let repeatable = call.method == Method::GET;
        (|| self.attempt(address, call.clone()))
            .retry(backoff())
            .when(|failure| failure.surely_not_done() || (repeatable && failure.may_pass()))
            .await
    }

    async fn attempt(&self, address: &Url, call: Call<'_>) -> Result<ApiResponse, RequestFailure> {
        let mut request = self.request(call.method, address, call.path, call.token)?;
        if let (true, Some(namespace)) = (call.namespaced, &self.settings.namespace) {
            request = request.header(NAMESPACE_HEADER, namespace);
        }
        if let Some(body) = call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_vec());
        }
        let mut response = request.send().await?;
        let status = response.status().as_u16();
        let mut body = Zeroizing::new(Vec::with_capacity(4096));
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(RequestFailure::foreign(status, "the response is too long for Vault"));
            }
            body.extend_from_slice(&chunk);
        }
        // The page of a gateway is not a response of Vault, whatever its status.
        let speaks = is_success(status) || body.starts_with(b"{");
        if speaks && (call.accepts)(status) {
            Ok(ApiResponse { status, body })
        } else {
            Err(RequestFailure::refused(status, &body))
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
