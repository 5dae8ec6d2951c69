//! What S3's refusals mean, and what to do about each. Pure.
//!
//! Codes: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>,
//! and those of the servers that have their own.

/// A refusal in plain words.
pub(super) struct Advice {
    pub(super) what: String,
    /// Empty where there is nothing to do.
    pub(super) hint: String,
}

impl Advice {
    fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }
}

pub(super) const NO_CREDENTIALS: &str =
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or run where a role is attached";

/// What to do where nobody answered; `why` is what the transport said.
pub(super) fn no_answer(why: &str) -> &'static str {
    let why = why.to_lowercase();
    if why.contains("certificate") {
        "if a private authority signed it, set store.ca_cert"
    } else if why.contains("dns error") || why.contains("failed to lookup") {
        "check store.endpoint and store.region; servers other than AWS mostly need store.path_style = true"
    } else {
        "check store.endpoint, the network, and HTTPS_PROXY"
    }
}

/// What a refusal of a request that needs the right `action` means. An answer to HEAD
/// has no body, hence no `code`. `region` is where the bucket is, if the server said.
pub(super) fn refused(status: u16, code: &str, message: &str, region: Option<&str>, action: &str) -> Advice {
    match code {
        "" => by_status(status, region, action),
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => {
            Advice::new(format!("denied: {action}"), "the credentials' policy, or the bucket's, must allow it")
        }
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => elsewhere(region),
        _ if status == 301 => elsewhere(region),
        _ if message.contains("Object Lock") || message.contains("ObjectLock") => Advice::new(
            format!("{action} was refused"),
            "store.object_lock_daily and _monthly need a bucket that was made with Object Lock",
        ),
        _ if code.starts_with("KMS") => {
            Advice::new("the KMS key cannot be used", "check store.kms_key_id and the key's policy")
        }
        _ => match by_code(code) {
            Some((what, hint)) => Advice::new(what, hint),
            None if status >= 500 => by_status(status, region, action),
            None => Advice::new(format!("{action} was refused"), ""),
        },
    }
}

fn by_code(code: &str) -> Option<(&'static str, &'static str)> {
    Some(match code {
        "NoSuchBucket" => ("there is no such bucket", "create it, or correct store.url; buckets are never made here"),
        "NoSuchKey" | "NotFound" => ("no such object", ""),
        "NoSuchVersion" => ("no such version of the object", ""),
        "NoSuchUpload" => ("the upload is gone", "a lifecycle rule or another program aborted it; run again"),
        "PreconditionFailed" | "ConditionalRequestConflict" => {
            ("it was changed by another at the same time", "run again")
        }
        "InvalidObjectState" => ("the object is archived", "restore it from its storage class first"),
        "InvalidAccessKeyId" => ("the store does not know the access key", "check AWS_ACCESS_KEY_ID or AWS_PROFILE"),
        "SignatureDoesNotMatch" => ("the secret key is wrong", "check AWS_SECRET_ACCESS_KEY"),
        "ExpiredToken" | "ExpiredTokenException" | "InvalidToken" | "TokenRefreshRequired" => {
            ("the credentials have expired", "get new ones")
        }
        "RequestTimeTooSkewed" => ("this machine's clock differs from the store's", "set the clock; is NTP running?"),
        "SlowDown" | "ServiceUnavailable" | "RequestLimitExceeded" | "Throttling" | "ThrottlingException" => OVERLOADED,
        "QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull" | "XMinioAdminBucketQuotaExceeded" => FULL,
        _ => return None,
    })
}

const OVERLOADED: (&str, &str) = ("the store is overloaded", "run again later");
const FULL: (&str, &str) = ("the store is full", "free space there, or run vault-backup prune");

fn by_status(status: u16, region: Option<&str>, action: &str) -> Advice {
    match status {
        301 => elsewhere(region),
        // S3 hides that an object is missing from those who may not list.
        403 => Advice::new(
            format!("denied: {action}"),
            format!("the policy must allow {action} and s3:ListBucket; credentials or clock may be wrong too"),
        ),
        404 => Advice::new("no such object", ""),
        412 => Advice::new("it was changed by another at the same time", "run again"),
        503 => Advice::new(OVERLOADED.0, OVERLOADED.1),
        507 => Advice::new(FULL.0, FULL.1),
        500.. => Advice::new(format!("the store failed with HTTP status {status}"), "run again later"),
        _ => Advice::new(format!("{action} failed with HTTP status {status}"), ""),
    }
}

fn elsewhere(region: Option<&str>) -> Advice {
    let hint = region.map_or("set store.region".to_owned(), |region| format!("set store.region = \"{region}\""));
    Advice::new("the bucket is in another region", hint)
}
