//! HTTP clients with the same TLS, timeouts and proxies for Vault, the store and webhooks.
//!
//! No client follows redirects: it would send tokens to the redirect's target. A whole
//! transfer has no timeout by default, because a snapshot may take hours. Connecting and
//! stalls have timeouts.

pub(crate) mod aws;
mod proxy;
mod rate;
mod reason;
mod retry;
mod tls;

pub use proxy::Proxy;
pub(crate) use rate::{MINIMUM_RATE, MinimumRate, StreamFailure, TooSlow, at_minimum_rate};
pub(crate) use reason::causes;
pub use reason::{TlsFailure, reason};
pub(crate) use retry::pause_until;
pub use tls::{TlsSettings, install_crypto};

use crate::base::error::{Error, Result};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HOST, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use url::{Host, Url};

/// Settings of a client.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// TLS: certificates of the server and of the client.
    pub tls: TlsSettings,
    /// Timeout of connecting, TLS handshake included, if any.
    pub connect_timeout: Option<Duration>,
    /// Timeout until the response begins, and between two reads of it, if any.
    pub idle_timeout: Option<Duration>,
    /// Timeout of a whole request, if any.
    pub total_timeout: Option<Duration>,
    /// Unix socket to connect to in place of the address's host, if any.
    pub unix_socket: Option<PathBuf>,
    /// Choice of the proxy.
    pub proxy: Proxy,
    /// Headers for every request.
    pub headers: HeaderMap,
}

/// Settings with their files and variables read, for clients that differ only in the
/// connect timeout. `tls.server_name` is not used.
pub(crate) struct ClientTemplate {
    options: Options,
    resources: ClientResources,
}

impl ClientTemplate {
    /// Reads the certificates and the variables of the proxies.
    ///
    /// # Errors
    /// `Usage` with the file that cannot be used.
    pub(crate) fn new(options: Options) -> Result<Self> {
        let resources = ClientResources::read(&options)?;
        Ok(Self { options, resources })
    }

    /// Returns a client with this connect timeout.
    ///
    /// # Errors
    /// `Usage` if it cannot be set up.
    pub(crate) fn client(&self, connect_timeout: Option<Duration>) -> Result<Client> {
        self.resources.client(&Options { connect_timeout, ..self.options.clone() })
    }

    /// Checks the proxy of a request to `address`.
    ///
    /// # Errors
    /// `Usage` with the variable whose proxy cannot be used.
    pub(crate) fn check(&self, address: &Url) -> Result<()> {
        self.resources.proxies.of(address).map(drop)
    }

    /// Returns the proxy of a request to `address`, without its credentials, if any.
    pub(crate) fn proxy_of(&self, address: &Url) -> Option<String> {
        self.resources.proxies.shown(address)
    }
}

/// Clients of servers that share settings.
pub struct Clients {
    options: Options,
    resources: ClientResources,
    shared: Mutex<Client>,
    /// One client per Unix socket, and with `tls.server_name` one per real host: reqwest
    /// pools connections by the URL's host, which is then the same for all.
    named: Mutex<HashMap<String, Client>>,
}

impl Clients {
    /// Reads the certificates and sets up the shared client.
    ///
    /// # Errors
    /// `Usage` with the file or the setting that cannot be used.
    pub fn new(options: Options) -> Result<Self> {
        if let Some(name) = &options.tls.server_name
            && !matches!(Host::parse(name), Ok(Host::Domain(_)))
        {
            return Err(Error::usage(format!("tls_server_name {name:?}: not a DNS name")));
        }
        let resources = ClientResources::read(&options)?;
        let shared = Mutex::new(resources.client(&options)?);
        Ok(Self { options, resources, shared, named: Mutex::default() })
    }

    /// Makes the next request to each address open a new connection: a load balancer sends
    /// all requests of one connection to the same server.
    ///
    /// # Errors
    /// `Usage` if the client cannot be set up.
    pub(crate) fn reconnect(&self) -> Result<()> {
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = self.resources.client(&self.options)?;
        self.named.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }

    /// Returns the client for `address`, and the URL to request in place of `address`.
    ///
    /// # Errors
    /// `Usage` if the client cannot be set up, or with the variable whose proxy cannot be used.
    pub fn of(&self, address: &Url) -> Result<(Client, Url)> {
        if address.scheme() == "unix" {
            return self.of_socket(Path::new(address.path()));
        }
        let (Some(name), "https", Some(host)) = (&self.options.tls.server_name, address.scheme(), address.host())
        else {
            self.resources.proxies.of(address)?;
            let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
            return Ok((shared, address.clone()));
        };
        let mut url = address.clone();
        url.set_host(Some(name)).map_err(|e| Error::usage(format!("tls_server_name {name:?}")).because(e))?;
        let authority = match address.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = named.get(&authority) {
            return Ok((client.clone(), url));
        }
        let client = self.resources.client_for(&self.options, &host, &authority)?;
        named.insert(authority, client.clone());
        Ok((client, url))
    }

    /// Returns the client for a Unix socket, and the URL to request.
    fn of_socket(&self, path: &Path) -> Result<(Client, Url)> {
        let url = Url::parse("http://localhost").map_err(|e| Error::unexpected("a socket's URL").because(e))?;
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let key = path.display().to_string();
        if let Some(client) = named.get(&key) {
            return Ok((client.clone(), url));
        }
        let options = Options { unix_socket: Some(path.to_owned()), ..self.options.clone() };
        let client = self.resources.client(&options)?;
        named.insert(key, client.clone());
        Ok((client, url))
    }

    /// Returns the proxy of a request to `address`, without its credentials, if any.
    pub(crate) fn proxy_of(&self, address: &Url) -> Option<String> {
        let direct = self.options.unix_socket.is_some()
            || (self.options.tls.server_name.is_some() && address.scheme() == "https");
        if direct { None } else { self.resources.proxies.shown(address) }
    }
}

/// Certificates and proxies of a client, as read.
struct ClientResources {
    tls: rustls::ClientConfig,
    proxies: proxy::ProxyRules,
}

impl ClientResources {
    fn read(options: &Options) -> Result<Self> {
        Ok(Self { tls: tls::client_config(&options.tls)?, proxies: options.proxy.rules() })
    }

    fn client(&self, options: &Options) -> Result<Client> {
        self.build(options, |builder| builder)
    }

    /// Returns a client that connects to `host`, while rustls requests and verifies the
    /// URL's host. A proxy would connect to the URL's host, so none is used.
    fn client_for(&self, options: &Options, host: &Host<&str>, authority: &str) -> Result<Client> {
        let header =
            HeaderValue::from_str(authority).map_err(|e| Error::usage(format!("address {authority}")).because(e))?;
        let resolver = match host {
            Host::Domain(name) => FixedHostResolver((*name).to_owned()),
            Host::Ipv4(address) => FixedHostResolver(address.to_string()),
            Host::Ipv6(address) => FixedHostResolver(address.to_string()),
        };
        let mut options = options.clone();
        options.headers.insert(HOST, header);
        self.build(&options, move |builder| builder.dns_resolver(resolver).no_proxy())
    }

    fn build(&self, options: &Options, adapt: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Result<Client> {
        let mut builder = Client::builder()
            .redirect(Policy::none())
            .user_agent(concat!("vault-backup/", env!("CARGO_PKG_VERSION")))
            .default_headers(options.headers.clone())
            .tls_backend_preconfigured(self.tls.clone())
            .proxy(self.proxies.for_reqwest());
        if let Some(limit) = options.connect_timeout {
            builder = builder.connect_timeout(limit);
        }
        if let Some(limit) = options.idle_timeout {
            builder = builder.read_timeout(limit);
        }
        if let Some(limit) = options.total_timeout {
            builder = builder.timeout(limit);
        }
        if let Some(path) = &options.unix_socket {
            builder = builder.unix_socket(path.as_path()).no_proxy();
        }
        adapt(builder).build().map_err(|e| Error::usage(format!("the HTTP client cannot be set up: {}", reason(&e))))
    }
}

/// Resolver that returns the addresses of one host for every name.
#[derive(Clone)]
struct FixedHostResolver(String);

impl Resolve for FixedHostResolver {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            // Port 0 means that of the URL.
            let found: Vec<_> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
