//! The proxy of a request: a configured one, or that of `HTTPS_PROXY` and its kin.
//!
//! Loopback is never reached through a proxy, as in Go's clients; nor is plain http where
//! requests carry tokens: the proxy could read them.

use reqwest::{ClientBuilder, NoProxy};
use std::net::IpAddr;
use url::{Host, Url};

/// Where requests may go through.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// The proxy; by the environment where absent.
    pub address: Option<Url>,
    /// Whether `http://` addresses go through it, too.
    pub plain_http: bool,
}

impl Default for Proxy {
    fn default() -> Self {
        Self { address: None, plain_http: true }
    }
}

/// Whether `url` is this machine: by its name or by its address.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.trim_end_matches('.').eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => {
            address.is_loopback() || matches!(address.to_canonical(), IpAddr::V4(v4) if v4.is_loopback())
        }
        None => false,
    }
}

impl Proxy {
    /// The proxy for `url`, not considering `NO_PROXY`.
    fn of(&self, url: &Url) -> Option<Url> {
        let https = url.scheme() == "https";
        if is_loopback(url) || !(https || self.plain_http) {
            return None;
        }
        // Under CGI, HTTP_PROXY is a header of the request.
        let cgi = std::env::var_os("REQUEST_METHOD").is_some();
        let names: &[&str] = match (https, cgi) {
            (true, _) => &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
            (false, false) => &["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"],
            (false, true) => &["http_proxy", "ALL_PROXY", "all_proxy"],
        };
        let variable = || names.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        let parse = |text: String| {
            Url::parse(&text).ok().filter(Url::has_host).or_else(|| Url::parse(&format!("http://{text}")).ok())
        };
        self.address.clone().or_else(|| variable().and_then(parse))
    }

    /// `builder` with this choice of a proxy instead of the default one.
    pub(super) fn apply(&self, builder: ClientBuilder) -> ClientBuilder {
        let choice = self.clone();
        let custom = reqwest::Proxy::custom(move |url| choice.of(url));
        // An address that was configured for Vault alone is meant whatever NO_PROXY says.
        let exceptions = if self.address.is_some() { None } else { NoProxy::from_env() };
        builder.no_proxy().proxy(custom.no_proxy(exceptions))
    }

    /// The proxy for `url` for messages: without its credentials.
    pub(super) fn shown(&self, url: &Url) -> Option<String> {
        let mut proxy = self.of(url)?;
        let _ = proxy.set_username("").and_then(|()| proxy.set_password(None));
        Some(proxy.as_str().trim_end_matches('/').to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_plain_http_are_reached_directly() {
        let url = |text: &str| Url::parse(text).unwrap();
        let proxy = |plain_http| Proxy { address: Some(url("http://user:planted@p:3128")), plain_http };
        for local in [
            "https://localhost:8200",
            "https://LOCALHOST.",
            "http://127.9.9.9",
            "https://[::1]:1",
            "https://[::ffff:127.0.0.1]",
        ] {
            assert!(is_loopback(&url(local)), "{local}");
            assert_eq!(proxy(true).of(&url(local)), None, "{local}");
        }
        assert_eq!(proxy(false).of(&url("http://vault:8200")), None);
        assert!(proxy(true).of(&url("http://hooks.example")).is_some());
        assert_eq!(proxy(false).shown(&url("https://vault:8200")).unwrap(), "http://p:3128");
        assert!(!is_loopback(&url("https://localhost.example")) && !is_loopback(&url("https://10.0.0.1")));
    }
}
