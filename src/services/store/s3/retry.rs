//! Decides which failed requests are repeated, in addition to the SDK's rules, and how long
//! the server wants to be left alone.

use super::advice::{is_expired, is_overload};
use super::answer::error_code;
use super::renewal::{RenewableCache, SentRequest};
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::retries::classifiers::{
    ClassifyRetry, RetryAction, RetryClassifierPriority, RetryReason,
};
use aws_smithy_types::retry::ErrorKind;
use chrono::{DateTime, Utc};
use std::time::{Duration, SystemTime};

/// The rules of this program.
#[derive(Debug)]
pub(super) struct RetryRules {
    pub(super) credentials: RenewableCache,
}

impl ClassifyRetry for RetryRules {
    fn name(&self) -> &'static str {
        "RetryRules"
    }

    /// After all of the SDK's, whose verdict it refines.
    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }

    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        self.classify_retry_v2(context, &RetryAction::NoActionIndicated)
    }

    fn classify_retry_v2(&self, context: &InterceptorContext, previous: &RetryAction) -> RetryAction {
        let Some(response) = context.response() else { return RetryAction::NoActionIndicated };
        let request = response.extension::<SentRequest>();
        if context.output_or_error().is_none_or(|end| end.is_ok()) {
            request.inspect(|request| self.credentials.accepted(request));
            return RetryAction::NoActionIndicated;
        }
        if request.is_some_and(|it| names_expired_credentials(it, response) && self.credentials.rejected(it)) {
            return RetryAction::retryable_error_with_explicit_delay(ErrorKind::TransientError, Duration::ZERO);
        }
        let (kind, asked) = match previous {
            RetryAction::RetryIndicated(RetryReason::RetryableError { kind, retry_after }) => {
                (Some(*kind), *retry_after)
            }
            _ => (None, None),
        };
        let Some(kind) = kind.or_else(|| temporary(response)) else { return RetryAction::NoActionIndicated };
        match asked.or_else(|| retry_after(response, SystemTime::now().into())) {
            Some(wait) => RetryAction::retryable_error_with_explicit_delay(kind, wait),
            None => RetryAction::retryable_error(kind),
        }
    }
}

/// Returns the kind of a failure that may not happen again.
fn temporary(response: &HttpResponse) -> Option<ErrorKind> {
    let code = error_code(response.body().bytes().unwrap_or_default()).unwrap_or_default();
    match response.status().as_u16() {
        429 | 509 => Some(ErrorKind::ThrottlingError),
        _ if is_overload(&code) => Some(ErrorKind::ThrottlingError),
        408 => Some(ErrorKind::TransientError),
        _ if matches!(
            code.as_str(),
            "InternalError" | "ServiceUnavailable" | "OperationAborted" | "RequestTimeout"
        ) =>
        {
            Some(ErrorKind::TransientError)
        }
        _ => None,
    }
}

/// Returns `true` if the store declares the credentials expired. The response to HEAD has
/// no body: S3 then answers 400 to a session that has ended.
fn names_expired_credentials(request: &SentRequest, response: &HttpResponse) -> bool {
    match error_code(response.body().bytes().unwrap_or_default()) {
        Some(code) => is_expired(&code),
        None => matches!(response.status().as_u16(), 400 | 403) && request.is_head_of_session(),
    }
}

/// Returns the time that `Retry-After` asks for, in seconds or as a date. The SDK limits it.
fn retry_after(response: &HttpResponse, now: DateTime<Utc>) -> Option<Duration> {
    let value = response.headers().get("retry-after")?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    // By the server's clock, if it sent its time.
    let date = |text: &str| DateTime::parse_from_rfc2822(text).ok();
    let now = response.headers().get("date").and_then(date).map_or(now, |date| date.to_utc());
    Some((date(value)?.to_utc() - now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_s3::primitives::SdkBody;
    use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
    use chrono::TimeZone;

    fn response(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> HttpResponse {
        let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
        headers.iter().for_each(|(name, value)| drop(response.headers_mut().insert(*name, *value)));
        response
    }

    #[test]
    fn overload_and_timeouts_are_temporary() {
        for (status, code, kind) in [
            (429, "", Some(ErrorKind::ThrottlingError)),
            (429, "Unknown", Some(ErrorKind::ThrottlingError)),
            (400, "SlowDownWrite", Some(ErrorKind::ThrottlingError)),
            (403, "RequestLimitExceeded", Some(ErrorKind::ThrottlingError)),
            (408, "", Some(ErrorKind::TransientError)),
            (400, "RequestTimeout", Some(ErrorKind::TransientError)),
            (409, "OperationAborted", Some(ErrorKind::TransientError)),
            (400, "InvalidRequest", None),
            (403, "AccessDenied", None),
            (404, "", None),
            (412, "PreconditionFailed", None),
        ] {
            let body = format!("<Error><Code>{code}</Code></Error>");
            let body: &'static str = if code.is_empty() { "" } else { body.leak() };
            assert_eq!(temporary(&response(status, &[], body)), kind, "{status} {code}");
        }
    }

    #[test]
    fn retry_after_is_in_seconds_or_a_date() {
        let now = Utc.with_ymd_and_hms(2025, 11, 26, 2, 0, 0).unwrap();
        let asked = |headers: &[(&'static str, &'static str)]| retry_after(&response(503, headers, ""), now);
        assert_eq!(asked(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        let date = ("retry-after", "Wed, 26 Nov 2025 02:00:09 GMT");
        assert_eq!(asked(&[date]), Some(Duration::from_secs(9)));
        assert_eq!(asked(&[date, ("date", "Wed, 26 Nov 2025 02:00:05 GMT")]), Some(Duration::from_secs(4)));
        assert_eq!(asked(&[("retry-after", "Wed, 26 Nov 2025 01:00:00 GMT")]), Some(Duration::ZERO));
        for none in ["", "-1", "soon"] {
            assert_eq!(asked(&[("retry-after", none)]), None, "{none}");
        }
    }

    #[test]
    fn expired_credentials_are_recognised_also_without_a_body() {
        let mut head = HttpRequest::empty();
        head.set_method("HEAD").unwrap();
        let expired = |request: &HttpRequest, response: &HttpResponse| {
            names_expired_credentials(&SentRequest::of(request), response)
        };
        head.headers_mut().insert("authorization", "AWS4-HMAC-SHA256 Credential=k/20251126/x, S=y");
        assert!(!expired(&head, &response(400, &[], "")), "permanent credentials");
        head.headers_mut().insert("x-amz-security-token", "t");
        assert!(expired(&head, &response(400, &[], "")));
        assert!(!expired(&head, &response(404, &[], "")));
        let get = HttpRequest::empty();
        for (code, is_expired) in [("ExpiredToken", true), ("RequestExpired", true), ("AccessDenied", false)] {
            let body: &'static str = format!("<Error><Code>{code}</Code></Error>").leak();
            assert_eq!(expired(&get, &response(400, &[], body)), is_expired, "{code}");
        }
    }
}
