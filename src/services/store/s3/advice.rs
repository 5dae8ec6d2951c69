//! Messages and hints for failed requests. Pure.
//!
//! Codes: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>,
//! and those that other servers add.

use super::answer::BadAnswer;
use std::fmt::Display;

/// A message and its hint.
#[derive(Debug)]
pub(super) struct Advice {
    pub(super) what: String,
    /// Empty if there is nothing to do.
    pub(super) hint: String,
}

impl Advice {
    pub(super) fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }
}

pub(super) const SET_CREDENTIALS: &str =
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or attach a role to this machine";

/// Returns the advice if no source of AWS's default chain has credentials.
pub(super) fn no_credentials() -> Advice {
    let sources = "environment, profile files, web identity token, ECS container, EC2 instance metadata";
    Advice::new(format!("no AWS credentials found (tried: {sources})"), SET_CREDENTIALS)
}

/// Returns the advice for a profile that `AWS_PROFILE` names and no file defines.
pub(super) fn unknown_profile(profile: impl Display) -> Advice {
    let hint = "correct AWS_PROFILE, or define the profile in ~/.aws/config or ~/.aws/credentials of this user";
    Advice::new(profile.to_string(), hint)
}

/// Returns the advice for a response that is not from an S3 server: it has a body, but
/// no S3 error in it. A gateway in front of S3 may answer with its own page if S3 is
/// down, so this does not include 5xx. Nor does it include statuses that are handled.
pub(super) fn not_s3(status: u16, code: &str, body: &str) -> Option<Advice> {
    if !code.is_empty() || body.trim().is_empty() || matches!(status, 405 | 408 | 412 | 416 | 429 | 500..) {
        return None;
    }
    let text = body.to_lowercase();
    if text.contains("http request to an https server") || text.contains("plain http request was sent to https") {
        let hint = "write store.endpoint with https://";
        return Some(Advice::new("the endpoint expects HTTPS, but its URL begins with http://", hint));
    }
    Some(Advice::new(format!("the endpoint is not an S3 server: HTTP {status} without an S3 error"), CHECK_ENDPOINT))
}

const CHECK_ENDPOINT: &str = "check store.endpoint (or AWS_ENDPOINT_URL), and that no proxy answers in its place";

/// Returns the advice for a success with a response that cannot be used.
pub(super) fn bad_answer(bad: &BadAnswer) -> Advice {
    Advice::new(
        bad.to_string(),
        match bad {
            BadAnswer::Truncated(_) => "check that no proxy changes the store's responses, and run again",
            BadAnswer::NotS3(_) | BadAnswer::TooLarge(_) => CHECK_ENDPOINT,
        },
    )
}

/// Returns the hint for a request without a response; `why` is the message of the transport.
pub(super) fn no_answer(why: &str) -> &'static str {
    let why = why.to_lowercase();
    if why.contains("certificate") {
        "set store.ca_cert if a private authority signed the certificate"
    } else if why.contains("does not speak tls") {
        "write store.endpoint with http://, or use the port for HTTPS"
    } else if why.contains("dns error") || why.contains("failed to lookup") {
        "check store.endpoint and store.region; set store.path_style = true for servers other than AWS"
    } else {
        "check store.endpoint, the network, and HTTPS_PROXY"
    }
}

/// Returns the advice for an error response to a request that needs the permission
/// `action`. A response to HEAD has no body, so no `code`. `region` is the bucket's, if
/// the server sent it.
pub(super) fn refused(status: u16, code: &str, message: &str, region: Option<&str>, action: &str) -> Advice {
    match code {
        "" => by_status(status, region, action),
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => Advice::new(
            format!("denied: {action}"),
            "allow it in the policy of the credentials, and in that of the bucket",
        ),
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => other_region(region),
        _ if status == 301 => other_region(region),
        _ if message.contains("Object Lock") || message.contains("ObjectLock") => Advice::new(
            format!("{action} was refused"),
            "use a bucket with Object Lock, or remove store.object_lock_daily and store.object_lock_monthly",
        ),
        _ if code.starts_with("KMS") => {
            Advice::new("the KMS key cannot be used", "check store.kms_key_id and the key's policy")
        }
        _ => match by_code(code) {
            Some((what, hint)) => Advice::new(what, hint),
            None if status >= 500 || status == 429 => by_status(status, region, action),
            None => Advice::new(format!("{action} was refused"), ""),
        },
    }
}

fn by_code(code: &str) -> Option<(&'static str, &'static str)> {
    Some(match code {
        "NoSuchBucket" => ("no such bucket", "create it, or correct store.url"),
        "NoSuchKey" | "NotFound" => ("no such object", ""),
        "NoSuchVersion" => ("no such version of the object", ""),
        "NoSuchUpload" => ("the upload no longer exists: a lifecycle rule or another program aborted it", "run again"),
        "PreconditionFailed" | "ConditionalRequestConflict" => {
            ("another process changed it at the same time", "run again")
        }
        "InvalidObjectState" => ("the object is archived", "restore it from its storage class first"),
        "InvalidAccessKeyId" => ("unknown access key", "check AWS_ACCESS_KEY_ID or AWS_PROFILE"),
        "SignatureDoesNotMatch" => ("wrong secret key", "check AWS_SECRET_ACCESS_KEY"),
        _ if is_expired(code) => {
            ("the credentials have expired", "get new ones: the same source had none, or they were refused, too")
        }
        "RequestTimeTooSkewed" => ("this machine's clock differs from the store's", "set this machine's clock (NTP)"),
        "ServiceUnavailable" => OVERLOADED,
        _ if is_overload(code) => OVERLOADED,
        "QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull" | "XMinioAdminBucketQuotaExceeded" => FULL,
        _ => return None,
    })
}

/// Returns `true` for the codes of credentials that were valid before.
pub(super) fn is_expired(code: &str) -> bool {
    matches!(
        code,
        "ExpiredToken" | "ExpiredTokenException" | "InvalidToken" | "TokenRefreshRequired" | "RequestExpired"
    )
}

/// Returns `true` for the codes with which servers limit the rate of requests.
pub(super) fn is_overload(code: &str) -> bool {
    code.starts_with("SlowDown")
        || code.starts_with("TooManyRequests")
        || code.contains("Throttl")
        || matches!(code, "RequestLimitExceeded" | "BandwidthLimitExceeded" | "Busy")
}

const OVERLOADED: (&str, &str) = ("the store is overloaded", "run again later");
const FULL: (&str, &str) = ("the store is full", "free space there, or run vault-backup prune");

fn by_status(status: u16, region: Option<&str>, action: &str) -> Advice {
    match status {
        301 => other_region(region),
        // Without s3:ListBucket, S3 answers 403 for a missing object.
        403 => Advice::new(
            format!("denied: {action}"),
            format!(
                "allow {action} and s3:ListBucket in the policy; also check the credentials and this machine's clock"
            ),
        ),
        404 => Advice::new("no such object", ""),
        412 => Advice::new("another process changed it at the same time", "run again"),
        429 | 503 => Advice::new(OVERLOADED.0, OVERLOADED.1),
        507 => Advice::new(FULL.0, FULL.1),
        500.. => Advice::new(format!("the store failed with HTTP status {status}"), "run again later"),
        _ => Advice::new(format!("{action} failed with HTTP status {status}"), ""),
    }
}

fn other_region(region: Option<&str>) -> Advice {
    let hint = region.map_or("set store.region".to_owned(), |region| format!("set store.region = \"{region}\""));
    Advice::new("the bucket is in another region", hint)
}
