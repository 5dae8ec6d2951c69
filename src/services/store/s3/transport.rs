//! The SDK's requests over the HTTP client of [`crate::services::http`].

use crate::services::http::Template;
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

/// Sends requests as they are: no redirects, no limits but that on connecting.
pub(super) struct Transport {
    template: Arc<Template>,
    /// The client, or why there is none.
    client: Result<Client, String>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Transport {
    pub(super) fn new(template: Arc<Template>, connect_timeout: Option<Duration>) -> Self {
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
            let response = client.execute(request).await.map_err(|e| failure(e, &template, &url))?;
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
    // A URL's dot segments are resolved, which is another object, under a signature
    // that is not its.
    if request.url().path() != path {
        return Err(format!("{path}: an object of this name cannot be asked for").into());
    }
    Ok(request)
}

fn failure(error: reqwest::Error, template: &Template, url: &Url) -> ConnectorError {
    let (timeout, unsendable) = (error.is_timeout(), error.is_builder());
    let error: BoxError = match template.proxy_of(url) {
        Some(proxy) => Box::new(Via { proxy, source: error.without_url() }),
        None => Box::new(error.without_url()),
    };
    if timeout {
        ConnectorError::timeout(error)
    } else if unsendable {
        ConnectorError::user(error)
    } else {
        ConnectorError::io(error)
    }
}

/// A failure of a request that went through a proxy.
#[derive(Debug)]
struct Via {
    proxy: String,
    source: reqwest::Error,
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "via the proxy {}", self.proxy)
    }
}

impl std::error::Error for Via {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
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
    fn names_are_sent_as_they_were_signed() {
        for uri in ["http://s/b/daily/a%20b%2Bc%C3%A9", "http://s/b//x?prefix=a%2Fb", "http://s/b/%25~-_."] {
            assert_eq!(request(uri).unwrap().url().as_str(), uri);
        }
        for uri in ["http://s/b/x/../daily/y", "http://s/b/./x", "http://s/b/%2e%2e/x"] {
            assert!(request(uri).unwrap_err().to_string().contains("cannot be asked for"), "{uri}");
        }
    }
}
