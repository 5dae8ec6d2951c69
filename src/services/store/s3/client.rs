//! Sets up the SDK's client: endpoint, region and credentials as AWS's own tools find
//! them, no checksums besides our own, and more retries than the default.

use super::bounded::NameOperation;
use super::connector::LimitedClient;
use super::renewal::RenewableCache;
use super::retry::RetryRules;
use super::settings::S3Settings;
use crate::base::error::{Error, Result};
use crate::services::http::{self, ClientTemplate, TlsSettings};
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{self, ProfileFileRegionProvider};
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, ConfigLoader, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as ProvideCredentialsFuture;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    Builder, RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig,
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::shared::IntoShared;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Region if none is configured. Servers other than AWS accept it, and AWS answers with
/// the bucket's region.
const DEFAULT_REGION: Region = Region::from_static("us-east-1");

/// Attempts per request. The waits between them are random, up to 0.3 s, 0.6 s, 1.2 s, …,
/// so a server may be unreachable for some seconds.
pub(super) const ATTEMPTS: u32 = 6;
/// Longest wait before the second attempt.
pub(super) const FIRST_WAIT: Duration = Duration::from_millis(300);
/// Longest wait that a server can ask for with `Retry-After`.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Factor of the idle timeout for requests before whose answer the server moves data:
/// completing an upload, copying.
const SLOW_FACTOR: u32 = 5;

pub(super) async fn connect(settings: &S3Settings) -> Result<Client> {
    if let Some(endpoint) = &settings.endpoint {
        let url = url::Url::parse(endpoint).ok();
        if !url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.username().is_empty()) {
            return Err(Error::usage("store.endpoint must be an http:// or https:// URL without credentials"));
        }
    }
    let bundle = || std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()).map(PathBuf::from);
    let tls = TlsSettings { ca_cert: settings.ca_cert.clone().or_else(bundle), ..TlsSettings::default() };
    let http = ClientTemplate::new(http::Options { tls, ..http::Options::default() })?;
    let http = LimitedClient::new(http).into_shared();
    let cache = RenewableCache::new();
    let found = loader(settings, &http).identity_cache(cache.clone()).load().await;
    let mut config = Builder::from(&found)
        .force_path_style(settings.path_style)
        .interceptor(NameOperation)
        .retry_classifier(RetryRules { credentials: cache.clone() })
        // Each object has our own checksum. Many servers refuse those of the SDK.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if let Some(endpoint) = &settings.endpoint {
        config = config.endpoint_url(endpoint);
    }
    if let (None, Some(provider)) = (&settings.credentials, found.credentials_provider()) {
        let source = CredentialSource { settings: settings.clone(), http, cache, provider: Mutex::new(provider) };
        config = config.credentials_provider(source);
    }
    if found.region().is_none() {
        config = config.region(DEFAULT_REGION);
    }
    Ok(Client::from_conf(config.build()))
}

/// Returns the loader of the settings and credentials that AWS's own tools find.
fn loader(settings: &S3Settings, http: &SharedHttpClient) -> ConfigLoader {
    let timeouts =
        TimeoutConfig::builder().connect_timeout(settings.connect_timeout).read_timeout(settings.idle_timeout);
    let retries = RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(FIRST_WAIT);
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        .retry_config(retries.with_max_backoff(LONGEST_WAIT))
        .timeout_config(timeouts.build())
        // The connector limits stalls in both directions, also between body and answer.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(region) = region(settings) {
        loader = loader.region(region);
    }
    if let Ok(name) = AppName::new("vault-backup") {
        loader = loader.app_name(name);
    }
    if let Some(profiles) = http::aws::profiles() {
        loader = loader.profile_files(profiles);
    }
    if let Some(credentials) = &settings.credentials {
        loader = loader.credentials_provider(credentials.clone());
    }
    loader
}

/// Overrides the timeout of a single request that the server may take long to answer.
pub(super) fn slow_request(settings: &S3Settings) -> Builder {
    let timeouts = TimeoutConfig::builder().read_timeout(settings.idle_timeout * SLOW_FACTOR);
    Builder::default().timeout_config(timeouts.build())
}

/// Returns the sources of the region; `None` for all sources of AWS's tools. With an
/// endpoint, the instance metadata service is not asked: outside of AWS, waiting for it
/// only costs time.
fn region(settings: &S3Settings) -> Option<RegionProviderChain> {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let elsewhere = settings.endpoint.is_some() || set("AWS_ENDPOINT_URL") || set("AWS_ENDPOINT_URL_S3");
    if settings.region.is_none() && !elsewhere {
        return None;
    }
    let chain = RegionProviderChain::first_try(settings.region.clone().map(Region::new));
    Some(chain.or_else(EnvironmentVariableRegionProvider::new()).or_else(ProfileFileRegionProvider::new()))
}

/// AWS's usual credentials. An error names the profile of `AWS_PROFILE` if it does not
/// exist: the SDK then tries its other sources and reports only the last one.
struct CredentialSource {
    settings: S3Settings,
    http: SharedHttpClient,
    cache: RenewableCache,
    /// The SDK's chain. It reads the profile files only once.
    provider: Mutex<SharedCredentialsProvider>,
}

impl CredentialSource {
    fn provider(&self) -> SharedCredentialsProvider {
        self.provider.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialSource").finish_non_exhaustive()
    }
}

impl ProvideCredentials for CredentialSource {
    fn provide_credentials<'a>(&'a self) -> ProvideCredentialsFuture<'a>
    where
        Self: 'a,
    {
        ProvideCredentialsFuture::new(async {
            if self.cache.take_outdated() {
                let found = loader(&self.settings, &self.http).load().await;
                if let Some(provider) = found.credentials_provider() {
                    *self.provider.lock().unwrap_or_else(PoisonError::into_inner) = provider;
                }
            }
            match self.provider().provide_credentials().await {
                Err(error) => Err(unknown_profile().await.map_or(error, CredentialsError::invalid_configuration)),
                found => found,
            }
        })
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.provider().fallback_on_interrupt()
    }
}

/// A profile that `AWS_PROFILE` names and that AWS's configuration files do not define.
#[derive(Debug)]
pub(super) struct UnknownProfile(String);

impl fmt::Display for UnknownProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AWS profile {:?} is not defined", self.0)
    }
}

impl std::error::Error for UnknownProfile {}

async fn unknown_profile() -> Option<UnknownProfile> {
    let name = std::env::var("AWS_PROFILE").ok().filter(|name| !name.is_empty())?;
    // An unreadable file is an error of the provider itself.
    let profiles = profile::load(&Default::default(), &Default::default(), &Default::default(), None).await.ok()?;
    profiles.get_profile(&name).is_none().then_some(UnknownProfile(name))
}
