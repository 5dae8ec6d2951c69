//! The proxy of a request: configured, or from `HTTPS_PROXY` or `ALL_PROXY`.
//!
//! Only https uses a proxy, as a tunnel. A request over plain http does not, whatever it is for:
//! the proxy could read tokens, AWS session tokens, and the URLs of webhooks, which are secrets.
//! Loopback addresses never use a proxy, as in Go's clients, and neither do link-local addresses,
//! which mean another machine from there.

use crate::base::error::{Error, Result};
use hyper_util::client::proxy::matcher::Matcher;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use url::{Host, Url};

/// Choice of the proxy.
#[derive(Clone, Debug, Default)]
pub struct Proxy {
    /// Proxy to use in place of the environment's, if any.
    pub address: Option<Url>,
}

impl Proxy {
    /// Reads the environment and returns the rules.
    pub(super) fn rules(&self) -> ProxyRules {
        match &self.address {
            // NO_PROXY does not apply to a proxy configured for Vault alone.
            Some(address) => ProxyRules { proxy: Some(parse("vault.proxy", address.as_str())), exempt: None },
            None => ProxyRules::from(&|name| std::env::var(name).ok()),
        }
    }
}

/// A proxy, or the error of an invalid setting.
type ProxyChoice = std::result::Result<Url, InvalidProxy>;

/// A setting that is not a proxy. An error only if the proxy would be used.
#[derive(Clone)]
struct InvalidProxy {
    why: String,
    hint: &'static str,
}

/// The proxy for https, and the exempt hosts.
#[derive(Clone, Default)]
pub(super) struct ProxyRules {
    proxy: Option<ProxyChoice>,
    /// Matches every host that `NO_PROXY` does not name, if set.
    exempt: Option<Arc<Matcher>>,
}

impl ProxyRules {
    fn from(environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let lookup = |names: &[&'static str]| {
            let set = |name: &'static str| environment(name).map(|value| (name, value.trim().to_owned()));
            names.iter().copied().filter_map(set).find(|(_, value)| !value.is_empty())
        };
        let proxy = lookup(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]);
        let no_proxy = lookup(&["NO_PROXY", "no_proxy"]);
        Self {
            proxy: proxy.map(|(name, value)| parse(name, &value)),
            exempt: no_proxy
                .map(|(_, hosts)| Arc::new(Matcher::builder().all("http://proxy.invalid").no(hosts).build())),
        }
    }

    /// Returns the proxy for `url` with its credentials, if any.
    ///
    /// # Errors
    /// `Usage` with the variable that is not a proxy.
    pub(super) fn of(&self, url: &Url) -> Result<Option<&Url>> {
        let choice = self.proxy.as_ref().filter(|_| url.scheme() == "https");
        let exempt = || self.exempt.as_ref().is_some_and(|matcher| is_exempt(matcher, url));
        match choice.filter(|_| !is_local(url) && !exempt()) {
            None => Ok(None),
            Some(Ok(proxy)) => Ok(Some(proxy)),
            Some(Err(invalid)) => Err(Error::usage(&invalid.why).hint(invalid.hint)),
        }
    }

    /// Returns the proxy for `url` without its credentials, for messages.
    pub(super) fn shown(&self, url: &Url) -> Option<String> {
        let mut proxy = self.of(url).ok()??.clone();
        let _ = proxy.set_username("").and_then(|()| proxy.set_password(None));
        Some(proxy.as_str().trim_end_matches('/').to_owned())
    }

    /// Returns the rules for reqwest, for addresses that [`ProxyRules::of`] accepts.
    pub(super) fn for_reqwest(&self) -> reqwest::Proxy {
        let rules = self.clone();
        reqwest::Proxy::custom(move |url| rules.of(url).ok().flatten().cloned())
    }
}

/// Parses the proxy in the variable `name`. Errors do not repeat the value: it may contain a password.
fn parse(name: &str, value: &str) -> ProxyChoice {
    // Like curl and Go, read HOST:PORT as http://HOST:PORT.
    let text = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    match Url::parse(&text).ok().filter(Url::has_host) {
        Some(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        Some(url) => Err(InvalidProxy {
            why: format!("{name}: {}:// proxies are not supported", url.scheme()),
            hint: "use an http:// or https:// proxy, or exempt the host with NO_PROXY",
        }),
        None => Err(InvalidProxy {
            why: format!("{name}: not a proxy URL"),
            hint: "write it as http://HOST:PORT, or unset it",
        }),
    }
}

fn is_exempt(matcher: &Matcher, url: &Url) -> bool {
    url.as_str().parse().is_ok_and(|uri| matcher.intercept(&uri).is_none())
}

/// Returns `true` if `url` is this machine or has a link-local address.
fn is_local(url: &Url) -> bool {
    let local = |ip: Ipv4Addr| ip.is_loopback() || ip.is_link_local();
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(ip)) => local(ip),
        Some(Host::Ipv6(ip)) => match ip.to_canonical() {
            IpAddr::V4(ip) => local(ip),
            IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
        },
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Kind;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn rules(variables: &[(&str, &str)]) -> ProxyRules {
        ProxyRules::from(&|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    fn through(rules: &ProxyRules, address: &str) -> Option<String> {
        rules.of(&url(address)).unwrap().map(ToString::to_string)
    }

    #[test]
    fn https_uses_the_proxy_of_the_environment_and_plain_http_none() {
        let found = rules(&[("HTTPS_PROXY", "http://u:planted@tls:3128"), ("http_proxy", "plain:81")]);
        assert_eq!(through(&found, "https://v:8200").as_deref(), Some("http://u:planted@tls:3128/"));
        assert_eq!(found.shown(&url("https://v:8200")).unwrap(), "http://tls:3128");
        let all = rules(&[("ALL_PROXY", "http://all:1"), ("https_proxy", "http://tls:1"), ("HTTPS_PROXY", "")]);
        assert_eq!(through(&all, "https://v").as_deref(), Some("http://tls:1/"));
        for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
            assert_eq!(through(&rules(&[(name, "http://p")]), "http://v"), None, "{name}");
        }
    }

    #[test]
    fn no_proxy_exempts_hosts() {
        let found = rules(&[("ALL_PROXY", "http://p"), ("NO_PROXY", "corp.example, 10.0.0.0/8")]);
        for direct in ["https://v.corp.example", "https://corp.example:8200", "https://10.1.2.3:8200"] {
            assert_eq!(through(&found, direct), None, "{direct}");
            assert_eq!(found.shown(&url(direct)), None, "{direct}");
        }
        assert!(through(&found, "https://corp.example.org").is_some());
        let chosen = Proxy { address: Some(url("http://p")) }.rules();
        assert!(through(&chosen, "https://v:8200").is_some());
        assert_eq!(through(&chosen, "http://v:8200"), None, "plain http is reached directly");
    }

    #[test]
    fn loopback_and_link_local_addresses_use_no_proxy() {
        let found = rules(&[("ALL_PROXY", "http://p")]);
        for host in [
            "localhost",
            "LOCALHOST.",
            "vault.localhost",
            "127.9.9.9",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "169.254.169.254",
            "[fe80::1]",
        ] {
            for scheme in ["http", "https"] {
                assert_eq!(through(&found, &format!("{scheme}://{host}:8200")), None, "{host}");
            }
        }
        for host in ["localhost.example", "notlocalhost", "10.0.0.1", "[2001:db8::1]"] {
            assert!(through(&found, &format!("https://{host}")).is_some(), "{host}");
        }
    }

    #[test]
    fn invalid_proxies_are_refused_without_repeating_the_value() {
        for (bad, expected) in [
            ("http://", "not a proxy URL"),
            ("http://u:planted@ x", "not a proxy URL"),
            ("socks5://u:planted@p:1080", "socks5:// proxies are not supported"),
        ] {
            let found = rules(&[("ALL_PROXY", bad)]);
            assert!(found.of(&url("https://localhost")).is_ok(), "it is not used");
            let error = found.of(&url("https://v")).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage);
            let text = error.to_string();
            assert!(text.starts_with(&format!("ALL_PROXY: {expected}")) && !text.contains("planted"), "{text}");
        }
    }
}
