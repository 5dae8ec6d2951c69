//! The SDK's client, as this program needs it: AWS's usual ways to find endpoint,
//! region and credentials, checksums of our own only, and patient retries.

use super::connector::IdleAwareClient;
use super::settings::S3Settings;
use crate::base::error::{Error, Result};
use crate::services::http::{self, Template, TlsSettings};
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    Builder, RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig,
};
use std::path::PathBuf;
use std::time::Duration;

/// What is said where no region is set: servers other than AWS take it, and AWS
/// answers where the bucket is.
const ANY_REGION: Region = Region::from_static("us-east-1");

/// How often a request is tried. With the waits between them, which are drawn at
/// random up to 0.3 s, 0.6 s, 1.2 s …, a server may be away for some seconds.
pub(super) const ATTEMPTS: u32 = 6;
pub(super) const FIRST_WAIT: Duration = Duration::from_millis(300);

/// Requests for which the server moves data before it answers may take so many times
/// the idle timeout: completing an upload, copying.
const SLOW: u32 = 5;

pub(super) async fn connect(settings: &S3Settings) -> Result<Client> {
    if let Some(endpoint) = &settings.endpoint {
        let url = url::Url::parse(endpoint).ok();
        if !url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.username().is_empty()) {
            return Err(Error::usage("store.endpoint must be an http:// or https:// URL without credentials"));
        }
    }
    let bundle = || std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()).map(PathBuf::from);
    let tls = TlsSettings { ca_cert: settings.ca_cert.clone().or_else(bundle), ..TlsSettings::default() };
    let http = Template::new(http::Options { tls, ..http::Options::default() })?;
    let timeouts =
        TimeoutConfig::builder().connect_timeout(settings.connect_timeout).read_timeout(settings.idle_timeout);
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(IdleAwareClient::new(http))
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(FIRST_WAIT))
        .timeout_config(timeouts.build())
        // The connector watches both directions, also between body and answer.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(region) = region(settings) {
        loader = loader.region(region);
    }
    if let Ok(name) = AppName::new("vault-backup") {
        loader = loader.app_name(name);
    }
    if let Some(credentials) = &settings.credentials {
        loader = loader.credentials_provider(credentials.clone());
    }
    let found = loader.load().await;
    let mut config = Builder::from(&found)
        .force_path_style(settings.path_style)
        // Each object has a checksum that we made; many servers refuse the SDK's own.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if let Some(endpoint) = &settings.endpoint {
        config = config.endpoint_url(endpoint);
    }
    if found.region().is_none() {
        config = config.region(ANY_REGION);
    }
    Ok(Client::from_conf(config.build()))
}

/// An override for single requests that the server may take long to answer.
pub(super) fn patient(settings: &S3Settings) -> Builder {
    let timeouts = TimeoutConfig::builder().read_timeout(settings.idle_timeout * SLOW);
    Builder::default().timeout_config(timeouts.build())
}

/// Where to look for the region; `None` for everywhere that AWS's tools look. Where
/// there is an endpoint, the instance metadata service is not asked: off AWS, it would
/// only cost time until it turns out not to be there.
fn region(settings: &S3Settings) -> Option<RegionProviderChain> {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let elsewhere = settings.endpoint.is_some() || set("AWS_ENDPOINT_URL") || set("AWS_ENDPOINT_URL_S3");
    if settings.region.is_none() && !elsewhere {
        return None;
    }
    let chain = RegionProviderChain::first_try(settings.region.clone().map(Region::new));
    Some(chain.or_else(EnvironmentVariableRegionProvider::new()).or_else(ProfileFileRegionProvider::new()))
}
