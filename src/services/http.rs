//! HTTP clients: TLS, timeouts and proxies, the same for Vault and for webhooks.
//!
//! Here: a `reqwest` client from settings, and under which name a server's
//! certificate is checked. TLS itself is `tls`, the choice of a proxy `proxy`. Not here:
//! what is sent (`vault`, `report`, `store`).
//!
//! No client follows redirects by itself: it would carry tokens to wherever the
//! redirect points. None limits a whole transfer unless asked to: a snapshot may
//! take hours, so connecting and standing still are what is limited.

mod proxy;
mod reason;
mod tls;

pub use proxy::Proxy;
pub use reason::{TlsFailure, reason};
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

/// What a client is built from.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// TLS, in both directions.
    pub tls: TlsSettings,
    /// Longest wait for a connection, TLS handshake included.
    pub connect_timeout: Option<Duration>,
    /// Longest wait for an answer to begin, or between two reads of it.
    pub idle_timeout: Option<Duration>,
    /// Longest time for a whole request; no limit if absent.
    pub total_timeout: Option<Duration>,
    /// Speak over this socket, whatever the address's host.
    pub unix_socket: Option<PathBuf>,
    /// The proxy.
    pub proxy: Proxy,
    /// Headers for every request.
    pub headers: HeaderMap,
}

/// Settings whose files and variables have been read, for clients that differ in one limit.
/// They have no name of their own to verify: `tls.server_name` is not used.
pub struct Template {
    options: Options,
    material: Material,
}

impl Template {
    /// Reads the certificates and the proxies' variables.
    ///
    /// # Errors
    /// `Usage` naming the file that cannot be used.
    pub fn new(options: Options) -> Result<Self> {
        let material = Material::read(&options)?;
        Ok(Self { options, material })
    }

    /// A client with this limit on connecting.
    ///
    /// # Errors
    /// `Usage` where it cannot be set up.
    pub fn client(&self, connect_timeout: Option<Duration>) -> Result<Client> {
        self.material.client(&Options { connect_timeout, ..self.options.clone() })
    }

    /// Makes sure that a request to `address` goes where the settings say.
    ///
    /// # Errors
    /// `Usage` naming the variable whose proxy cannot be used.
    pub fn check(&self, address: &Url) -> Result<()> {
        self.material.proxies.of(address).map(drop)
    }

    /// The proxy that a request to `address` goes through, without its credentials.
    pub fn proxy_of(&self, address: &Url) -> Option<String> {
        self.material.proxies.shown(address)
    }
}

/// Clients for servers that share settings: where a request to an address goes.
pub struct Clients {
    options: Options,
    material: Material,
    shared: Mutex<Client>,
    /// One client for each Unix socket; with `tls.server_name` also for each real host:
    /// connections are pooled by the URL's host, which is then the same for all.
    named: Mutex<HashMap<String, Client>>,
}

impl Clients {
    /// Reads the certificates and builds what every address can share.
    ///
    /// # Errors
    /// `Usage` naming the file or the setting that cannot be used.
    pub fn new(options: Options) -> Result<Self> {
        if let Some(name) = &options.tls.server_name
            && !matches!(Host::parse(name), Ok(Host::Domain(_)))
        {
            return Err(Error::usage(format!("tls_server_name {name:?}: not a DNS name")));
        }
        let material = Material::read(&options)?;
        let shared = Mutex::new(material.client(&options)?);
        Ok(Self { options, material, shared, named: Mutex::default() })
    }

    /// Has the next request to each address open a new connection. A load balancer keeps
    /// a connection at the server that it chose for it.
    ///
    /// # Errors
    /// `Usage` where the client cannot be built.
    pub fn reconnect(&self) -> Result<()> {
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = self.material.client(&self.options)?;
        self.named.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }

    /// The client for `address`, and the URL to ask it for in place of `address`.
    ///
    /// # Errors
    /// `Usage` where the client cannot be built, or names a variable whose proxy cannot be used.
    pub fn of(&self, address: &Url) -> Result<(Client, Url)> {
        if address.scheme() == "unix" {
            return self.of_socket(Path::new(address.path()));
        }
        let (Some(name), "https", Some(host)) = (&self.options.tls.server_name, address.scheme(), address.host())
        else {
            self.material.proxies.of(address)?;
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
        let client = self.material.client_for(&self.options, &host, &authority)?;
        named.insert(authority, client.clone());
        Ok((client, url))
    }

    /// The client for a Unix socket, and the URL to ask it for.
    fn of_socket(&self, path: &Path) -> Result<(Client, Url)> {
        let url = Url::parse("http://localhost").map_err(|e| Error::unexpected("a socket's URL").because(e))?;
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let key = path.display().to_string();
        if let Some(client) = named.get(&key) {
            return Ok((client.clone(), url));
        }
        let options = Options { unix_socket: Some(path.to_owned()), ..self.options.clone() };
        let client = self.material.client(&options)?;
        named.insert(key, client.clone());
        Ok((client, url))
    }

    /// The proxy that a request to `address` goes through, without its credentials.
    pub fn proxy_of(&self, address: &Url) -> Option<String> {
        let direct = self.options.unix_socket.is_some()
            || (self.options.tls.server_name.is_some() && address.scheme() == "https");
        if direct { None } else { self.material.proxies.shown(address) }
    }
}

/// A client's settings with what was read for them.
struct Material {
    tls: rustls::ClientConfig,
    proxies: proxy::Rules,
}

impl Material {
    fn read(options: &Options) -> Result<Self> {
        Ok(Self { tls: tls::client_config(&options.tls)?, proxies: options.proxy.rules() })
    }

    fn client(&self, options: &Options) -> Result<Client> {
        self.build(options, |builder| builder)
    }

    /// A client whose connections go to `host`, whatever host the URL names: the
    /// URL's is what rustls asks for and verifies. A proxy would be asked for the
    /// URL's host, so none is used.
    fn client_for(&self, options: &Options, host: &Host<&str>, authority: &str) -> Result<Client> {
        let header =
            HeaderValue::from_str(authority).map_err(|e| Error::usage(format!("address {authority}")).because(e))?;
        let resolver = match host {
            Host::Domain(name) => Fixed((*name).to_owned()),
            Host::Ipv4(address) => Fixed(address.to_string()),
            Host::Ipv6(address) => Fixed(address.to_string()),
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

/// Resolves every name to one host's addresses.
#[derive(Clone)]
struct Fixed(String);

impl Resolve for Fixed {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            // Port 0 stands for the URL's own.
            let found: Vec<_> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
