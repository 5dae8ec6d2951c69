//! HTTP clients: TLS, timeouts and proxies, the same for Vault and for webhooks.
//!
//! Here: a `reqwest` client from settings, and under which name a server's
//! certificate is checked. TLS itself is `tls`, the choice of a proxy `proxy`. Not here:
//! what is sent (`vault`, `report`), and the store's client, which is the AWS SDK's own.
//!
//! No client follows redirects by itself: it would carry tokens to wherever the
//! redirect points. None limits a whole transfer unless asked to: a snapshot may
//! take hours, so connecting and standing still are what is limited.

mod proxy;
mod tls;

pub use proxy::{Proxy, is_loopback};
pub use tls::{TlsSettings, install_crypto};

use crate::error::{Error, Result};
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

/// A client without a name of its own to verify: `tls.server_name` is not used.
///
/// # Errors
/// `Usage` naming the file that cannot be used.
pub fn client(options: &Options) -> Result<Client> {
    Material::read(&options.tls)?.client(options)
}

/// The innermost reason of a failed request, without the URL: a webhook's path is a secret.
pub fn reason(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if error.is_timeout() {
        return if error.is_connect() { "no connection in time" } else { "no answer in time" }.to_owned();
    }
    if std::ptr::eq(innermost, error as &dyn std::error::Error as *const _) {
        return "the request failed".to_owned();
    }
    innermost.to_string()
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
        let material = Material::read(&options.tls)?;
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
    /// `Usage` where the client cannot be built.
    pub fn of(&self, address: &Url) -> Result<(Client, Url)> {
        if address.scheme() == "unix" {
            return self.of_socket(Path::new(address.path()));
        }
        let (Some(name), "https", Some(host)) = (&self.options.tls.server_name, address.scheme(), address.host())
        else {
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
        if direct { None } else { self.options.proxy.shown(address) }
    }
}

/// A client's settings with what was read for them.
struct Material {
    tls: rustls::ClientConfig,
}

impl Material {
    fn read(tls: &TlsSettings) -> Result<Self> {
        Ok(Self { tls: tls::client_config(tls)? })
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
            .tls_backend_preconfigured(self.tls.clone());
        builder = options.proxy.apply(builder);
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
