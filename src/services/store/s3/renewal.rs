//! Renews credentials that the store declares expired.
//!
//! The SDK renews credentials shortly before the end that their source names. A store may
//! end them earlier, and a source may name no end.

use aws_credential_types::Credentials;
use aws_sdk_s3::config::{ConfigBag, IdentityCache, RuntimeComponents};
use aws_smithy_runtime_api::client::identity::{
    IdentityFuture, ResolveCachedIdentity, SharedIdentityCache, SharedIdentityResolver,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The SDK's cache of credentials, which can be emptied. Clones share their state.
#[derive(Clone, Debug)]
pub(super) struct RenewableCache(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// `true` if the source must be set up again, because it may have cached its files.
    outdated: AtomicBool,
}

struct State {
    cache: SharedIdentityCache,
    /// The credentials that were returned last, if any.
    current: Option<KeyAndToken>,
    /// `true` if `current` follow a rejection, and no request with them has succeeded.
    renewed: bool,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("renewed", &self.renewed).finish_non_exhaustive()
    }
}

impl RenewableCache {
    pub(super) fn new() -> Self {
        let state = State { cache: IdentityCache::lazy().build(), current: None, renewed: false };
        Self(Arc::new(Shared { state: Mutex::new(state), outdated: AtomicBool::new(false) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns `true`, once after a rejection, if the source must be set up again.
    pub(super) fn take_outdated(&self) -> bool {
        self.0.outdated.swap(false, Ordering::Relaxed)
    }

    /// Records that the store declared the credentials of `request` expired. Returns `true`
    /// if another attempt uses others.
    pub(super) fn rejected(&self, request: &SentRequest) -> bool {
        *request.renewed.get_or_init(|| self.renew(request))
    }

    fn renew(&self, request: &SentRequest) -> bool {
        let mut state = self.state();
        if state.current.is_some() && state.current != request.signer {
            return true; // renewed meanwhile
        }
        if state.renewed {
            return false;
        }
        tracing::info!("the store declares the credentials expired: fetching them again");
        *state = State { cache: IdentityCache::lazy().build(), current: state.current.take(), renewed: true };
        self.0.outdated.store(true, Ordering::Relaxed);
        true
    }

    /// Records that the store accepted the credentials of `request`.
    pub(super) fn accepted(&self, request: &SentRequest) {
        let mut state = self.state();
        if state.renewed && state.current == request.signer && state.current.is_some() {
            state.renewed = false;
        }
    }

    fn returned(&self, credentials: Option<&Credentials>) {
        self.state().current = credentials.map(KeyAndToken::of);
    }
}

impl ResolveCachedIdentity for RenewableCache {
    fn resolve_cached_identity<'a>(
        &'a self,
        resolver: SharedIdentityResolver,
        components: &'a RuntimeComponents,
        config: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        IdentityFuture::new(async move {
            let cache = self.state().cache.clone();
            let identity = cache.resolve_cached_identity(resolver, components, config).await?;
            self.returned(identity.data::<Credentials>());
            Ok(identity)
        })
    }
}

/// Access key id and session token: the public parts of credentials, as in a request.
#[derive(Clone, PartialEq, Eq)]
struct KeyAndToken {
    key: String,
    token: Option<String>,
}

impl KeyAndToken {
    fn of(credentials: &Credentials) -> Self {
        Self { key: credentials.access_key_id().to_owned(), token: credentials.session_token().map(str::to_owned) }
    }

    fn of_request(request: &HttpRequest) -> Option<Self> {
        let (_, rest) = request.headers().get("authorization")?.split_once("Credential=")?;
        let (key, _) = rest.split_once('/')?;
        let token = request.headers().get("x-amz-security-token").map(str::to_owned);
        Some(Self { key: key.to_owned(), token })
    }
}

/// Facts about a request that its retry depends on. The connector attaches them to the
/// response, because the SDK does not keep the request.
#[derive(Clone)]
pub(super) struct SentRequest {
    signer: Option<KeyAndToken>,
    is_head: bool,
    /// Answer of [`RenewableCache::rejected`]: the SDK asks more than once about a response.
    renewed: Arc<OnceLock<bool>>,
}

impl SentRequest {
    pub(super) fn of(request: &HttpRequest) -> Self {
        Self { signer: KeyAndToken::of_request(request), is_head: request.method() == "HEAD", renewed: Arc::default() }
    }

    /// Returns `true` if the response has no body, and the credentials may have ended.
    pub(super) fn is_head_of_session(&self) -> bool {
        self.is_head && self.signer.as_ref().is_some_and(|signer| signer.token.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(credentials: &Credentials) -> SentRequest {
        let mut request = HttpRequest::empty();
        let key = credentials.access_key_id();
        request.headers_mut().insert("authorization", format!("AWS4-HMAC-SHA256 Credential={key}/20251126/x, S=y"));
        if let Some(token) = credentials.session_token() {
            request.headers_mut().insert("x-amz-security-token", token.to_owned());
        }
        SentRequest::of(&request)
    }

    fn credentials(token: &str) -> Credentials {
        Credentials::new("key", "secret", Some(token.to_owned()), None, "test")
    }

    #[test]
    fn credentials_are_renewed_once_until_the_new_ones_are_accepted() {
        let cache = RenewableCache::new();
        let [first, second, third] = ["1", "2", "3"].map(credentials);
        cache.returned(Some(&first));
        assert!(cache.rejected(&request(&first)) && cache.take_outdated() && !cache.take_outdated());
        cache.returned(Some(&second));
        assert!(cache.rejected(&request(&first)), "a request that was sent before the renewal");
        assert!(!cache.rejected(&request(&second)), "a second renewal without a success");
        cache.accepted(&request(&first));
        assert!(!cache.rejected(&request(&second)));
        cache.accepted(&request(&second));
        assert!(cache.rejected(&request(&second)), "after an hour of success");
        cache.returned(Some(&third));
        assert!(!cache.rejected(&request(&third)));
    }

    #[test]
    fn a_source_with_the_same_credentials_again_is_not_asked_forever() {
        let (cache, only) = (RenewableCache::new(), credentials("1"));
        cache.returned(Some(&only));
        assert!(cache.rejected(&request(&only)));
        cache.returned(Some(&only));
        assert!(!cache.rejected(&request(&only)));
    }
}
