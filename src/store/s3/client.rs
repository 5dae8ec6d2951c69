//! The SDK's client, as this program needs it: AWS's usual ways to find endpoint,
//! region and credentials, checksums of our own only, and patient retries.

use super::connector::IdleAwareClient;
use super::settings::Settings;
use crate::error::{Error, Result};
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::StalledStreamProtectionConfig;
use aws_sdk_s3::config::{Builder, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What servers other than AWS take where no region is set.
const NO_REGION: &str = "us-east-1";

/// How often a request is tried. With the waits between them, which are drawn at
/// random up to 0.3 s, 0.6 s, 1.2 s …, a server may be away for some seconds.
pub(super) const ATTEMPTS: u32 = 6;
pub(super) const FIRST_WAIT: Duration = Duration::from_millis(300);

/// Requests for which the server moves data before it answers may take so many times
/// the idle timeout: completing an upload, copying.
const SLOW: u32 = 10;

pub(super) async fn connect(settings: &Settings) -> Result<Client> {
    if let Some(endpoint) = &settings.endpoint {
        let url = url::Url::parse(endpoint).ok();
        if !url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.username().is_empty()) {
            return Err(Error::usage("store.endpoint must be an http:// or https:// URL without credentials"));
        }
    }
    let tls = TlsContext::builder().with_trust_store(trust(settings)?).build();
    let tls = tls.map_err(|e| Error::unexpected("TLS cannot be set up").because(e))?;
    let timeouts =
        TimeoutConfig::builder().connect_timeout(settings.connect_timeout).read_timeout(settings.idle_timeout);
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(IdleAwareClient::new(tls))
        .region(region(settings))
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(FIRST_WAIT))
        .timeout_config(timeouts.build())
        // The connector watches both directions, also between body and answer.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Ok(name) = AppName::new("vault-backup") {
        loader = loader.app_name(name);
    }
    if let Some(credentials) = &settings.credentials {
        loader = loader.credentials_provider(credentials.clone());
    }
    let mut config = Builder::from(&loader.load().await)
        .force_path_style(settings.path_style)
        // Each object has a checksum that we made; many servers refuse the SDK's own.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if let Some(endpoint) = &settings.endpoint {
        config = config.endpoint_url(endpoint);
    }
    Ok(Client::from_conf(config.build()))
}

/// An override for single requests that the server may take long to answer.
pub(super) fn patient(settings: &Settings) -> Builder {
    let timeouts = TimeoutConfig::builder().read_timeout(settings.idle_timeout * SLOW);
    Builder::default().timeout_config(timeouts.build())
}

/// The region as AWS's tools find it. With an endpoint the instance metadata service
/// is not asked: off AWS, it would only cost time until it turns out not to be there.
fn region(settings: &Settings) -> RegionProviderChain {
    let configured = RegionProviderChain::first_try(settings.region.clone().map(Region::new));
    let endpoint = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if settings.endpoint.is_some() || endpoint("AWS_ENDPOINT_URL") || endpoint("AWS_ENDPOINT_URL_S3") {
        configured
            .or_else(EnvironmentVariableRegionProvider::new())
            .or_else(ProfileFileRegionProvider::new())
            .or_else(Region::from_static(NO_REGION))
    } else {
        configured.or_default_provider().or_else(Region::from_static(NO_REGION))
    }
}

/// The system's roots, and those in the file that is set.
fn trust(settings: &Settings) -> Result<TrustStore> {
    let bundle = || std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()).map(PathBuf::from);
    Ok(match settings.ca_cert.clone().or_else(bundle) {
        Some(path) => TrustStore::default().with_pem_certificate(read_authorities(&path)?),
        None => TrustStore::default(),
    })
}

/// Reads PEM certificates; the TLS library would panic on what is refused here.
fn read_authorities(path: &Path) -> Result<Vec<u8>> {
    let fail = |why: &str| Error::usage(format!("certificate authorities in {}: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|e| fail("cannot be read").because(e))?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| fail("not PEM").because(anyhow::anyhow!("{e}")))?;
        roots.add(certificate).map_err(|e| fail("not a usable certificate").because(e))?;
    }
    if roots.is_empty() { Err(fail("no certificate in it")) } else { Ok(pem) }
}
