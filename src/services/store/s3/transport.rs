//! Sends the SDK's requests with the HTTP client of [`crate::services::http`].

use crate::services::http::{ClientTemplate, reason};
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::{Headers, StatusCode};
use reqwest::{Body, Client, Request};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Connector that sends requests unchanged, without redirects, limited only in connecting.
pub(super) struct Transport {
    template: Arc<ClientTemplate>,
    /// The client, or the error of setting it up.
    client: Result<Client, String>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Transport {
    pub(super) fn new(template: Arc<ClientTemplate>, connect_timeout: Option<Duration>) -> Self {
        let client = template.client(connect_timeout).map_err(|e| e.to_string());
        Self { template, client }
    }
}

impl HttpConnector for Transport {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (template, client) = (Arc::clone(&self.template), self.client.clone());
        HttpConnectorFuture::new(async move {
            let client = client.map_err(|why| ConnectorError::user(why.into()))?;
            let request = converted(request).map_err(ConnectorError::user)?;
            let url = request.url().clone();
            template.check(&url).map_err(|e| ConnectorError::user(e.to_string().into()))?;
            let response = client.execute(request).await.map_err(|e| failure(&e, &template, &url))?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = SdkBody::from_body_1_x(Body::from(response));
            let unreadable = |e: BoxError| ConnectorError::other(e, None);
            let mut response = HttpResponse::new(StatusCode::from(status), body);
            *response.headers_mut() = Headers::try_from(headers).map_err(|e| unreadable(e.into()))?;
            Ok(response)
        })
    }
}

fn converted(request: HttpRequest) -> Result<Request, BoxError> {
    let request = request.try_into_http1x()?;
    let path = request.uri().path().to_owned();
    let request = Request::try_from(request.map(Body::wrap))?;
    // Resolving dot segments changes the path to another object, which the signature
    // does not cover.
    if request.url().path() != path {
        return Err(format!("{path}: an object with this name cannot be requested").into());
    }
    Ok(request)
}

/// Names the endpoint, and the proxy, of a request that failed.
fn failure(error: &reqwest::Error, template: &ClientTemplate, url: &Url) -> ConnectorError {
    let endpoint = url.origin().ascii_serialization();
    let proxy = template.proxy_of(url).map(|proxy| format!(" (via the proxy {proxy})")).unwrap_or_default();
    let cause: BoxError = format!("endpoint {endpoint}{proxy}: {}", reason(error)).into();
    if error.is_timeout() {
        ConnectorError::timeout(cause)
    } else if error.is_builder() {
        ConnectorError::user(cause)
    } else {
        ConnectorError::io(cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str) -> Result<Request, BoxError> {
        let mut request = HttpRequest::new(SdkBody::empty());
        request.set_uri(uri).unwrap();
        converted(request)
    }

    #[test]
    fn paths_are_sent_as_signed_and_dot_segments_are_refused() {
        for uri in ["http://s/b/daily/a%20b%2Bc%C3%A9", "http://s/b//x?prefix=a%2Fb", "http://s/b/%25~-_."] {
            assert_eq!(request(uri).unwrap().url().as_str(), uri);
        }
        for uri in ["http://s/b/x/../daily/y", "http://s/b/./x", "http://s/b/%2e%2e/x"] {
            assert!(request(uri).unwrap_err().to_string().contains("cannot be requested"), "{uri}");
        }
    }
}
