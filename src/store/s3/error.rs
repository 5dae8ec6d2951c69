//! What S3's failures mean, and what to do about each.
//!
//! Codes: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>,
//! and those of the servers that have their own.

use crate::error::{Error, Kind};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use std::error::Error as StdError;

/// A request that failed for good, after all its retries.
#[derive(Debug)]
pub(super) struct Failure {
    /// The right it needs: `s3:PutObject`.
    action: &'static str,
    address: String,
    answer: Answer,
}

#[derive(Debug)]
enum Answer {
    /// The server said no. `code` is empty where the answer had no body, as to HEAD.
    Refused { status: u16, code: String, message: String, region: Option<String> },
    /// There was no answer, or none that could be understood.
    None { why: String, no_credentials: bool },
}

impl Failure {
    /// `action` is the right that the request needs; `address` what it was about.
    pub(super) fn new<E>(action: &'static str, address: String, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let refusal = match (error.raw_response(), error.as_service_error()) {
            (Some(response), Some(service)) => Some(Answer::Refused {
                status: response.status().as_u16(),
                code: service.code().unwrap_or_default().to_owned(),
                message: service.message().unwrap_or_default().to_owned(),
                region: response.headers().get("x-amz-bucket-region").map(str::to_owned),
            }),
            _ => None,
        };
        let answer = refusal.unwrap_or_else(|| {
            let chain = causes(error);
            let no_credentials = chain.iter().any(|cause| cause.is::<CredentialsError>());
            Answer::None { why: said_once(&chain), no_credentials }
        });
        Self { action, address, answer }
    }

    fn code(&self) -> &str {
        match &self.answer {
            Answer::Refused { code, .. } => code,
            Answer::None { .. } => "",
        }
    }

    fn status(&self) -> u16 {
        match &self.answer {
            Answer::Refused { status, .. } => *status,
            Answer::None { .. } => 0,
        }
    }

    /// There is no such object, or version of it.
    pub(super) fn is_missing(&self) -> bool {
        match self.code() {
            "" => self.status() == 404,
            code => matches!(code, "NoSuchKey" | "NotFound" | "NoSuchVersion"),
        }
    }

    /// A condition of the request does not hold: the name is taken, or the object changed.
    pub(super) fn is_condition(&self) -> bool {
        self.status() == 412 || matches!(self.code(), "PreconditionFailed" | "ConditionalRequestConflict")
    }

    pub(super) fn is_no_such_upload(&self) -> bool {
        self.code() == "NoSuchUpload"
    }

    /// The asked-for bytes are not there: the object is shorter.
    pub(super) fn is_range(&self) -> bool {
        self.status() == 416
    }

    pub(super) fn is_denied(&self) -> bool {
        self.status() == 403
    }

    /// The server does not know such requests, or not in this form.
    pub(super) fn is_unsupported(&self) -> bool {
        matches!(self.status(), 405 | 501)
            || matches!(
                self.code(),
                "NotImplemented" | "MethodNotAllowed" | "InvalidRequest" | "MissingContentMD5" | "InvalidDigest"
            )
    }

    /// The bucket has no Object Lock, or the server doesn't know of any.
    pub(super) fn is_no_lock(&self) -> bool {
        self.code() == "ObjectLockConfigurationNotFoundError" || self.is_unsupported()
    }

    pub(super) fn is_skewed(&self) -> bool {
        self.code() == "RequestTimeTooSkewed"
    }

    /// Whether the request, a create, may nevertheless have had its effect: an
    /// earlier attempt's answer may have been lost.
    pub(super) fn may_have_happened(&self) -> bool {
        let lost = match &self.answer {
            Answer::Refused { status, .. } => *status >= 500,
            Answer::None { no_credentials, .. } => !no_credentials,
        };
        lost || self.is_condition() || self.is_no_such_upload()
    }

    /// As the error that is shown.
    pub(super) fn into_error(self) -> Error {
        let (what, hint) = match &self.answer {
            Answer::None { why, no_credentials: true } => (format!("no AWS credentials: {why}"), NO_CREDENTIALS.into()),
            Answer::None { why, .. } => (why.clone(), no_answer(why).into()),
            Answer::Refused { code, .. } if code.is_empty() => by_status(self.status(), self.action),
            Answer::Refused { code, .. } => by_code(code, self.status(), self.action),
        };
        let (hint, said) = match &self.answer {
            Answer::Refused { region: Some(region), .. } if is_elsewhere(self.code(), self.status()) => {
                (format!("set store.region = \"{region}\""), None)
            }
            Answer::Refused { code, message, .. } if !code.is_empty() => (hint, Some(format!("{code}: {message}"))),
            _ => (hint, None),
        };
        let kind = if self.is_skewed() { Kind::Unexpected } else { Kind::Store };
        let mut error = Error::new(kind, format!("{}: {what}", self.address));
        if let Some(said) = said {
            error = error.because(anyhow::anyhow!(said));
        }
        if hint.is_empty() { error } else { error.hint(hint) }
    }
}

/// One key's failure, as DeleteObjects reports it in the body of a success.
pub(super) fn refused_key(action: &'static str, address: String, code: &str, message: &str) -> Error {
    let (code, message) = (code.to_owned(), message.to_owned());
    Failure { action, address, answer: Answer::Refused { status: 200, code, message, region: None } }.into_error()
}

const NO_CREDENTIALS: &str =
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or run where a role is attached";

fn is_elsewhere(code: &str, status: u16) -> bool {
    status == 301
        || matches!(
            code,
            "PermanentRedirect"
                | "AuthorizationHeaderMalformed"
                | "IllegalLocationConstraintException"
                | "TemporaryRedirect"
        )
}

/// What a code means, and what to do.
fn by_code(code: &str, status: u16, action: &str) -> (String, String) {
    let (what, hint) = match code {
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => {
            (format!("denied: {action}"), format!("the credentials' policy, or the bucket's, must allow {action}"))
        }
        "NoSuchBucket" => {
            ("there is no such bucket".into(), "create it, or correct store.url; buckets are never made here".into())
        }
        "NoSuchKey" | "NotFound" => ("no such object".into(), String::new()),
        "NoSuchVersion" => ("no such version of the object".into(), String::new()),
        "NoSuchUpload" => {
            ("the upload is gone".into(), "a lifecycle rule or another program aborted it; run again".into())
        }
        "InvalidAccessKeyId" => {
            ("the store does not know the access key".into(), "check AWS_ACCESS_KEY_ID or AWS_PROFILE".into())
        }
        "SignatureDoesNotMatch" => ("the secret key is wrong".into(), "check AWS_SECRET_ACCESS_KEY".into()),
        "ExpiredToken" | "ExpiredTokenException" | "InvalidToken" | "TokenRefreshRequired" => {
            ("the credentials have expired".into(), "get new ones".into())
        }
        "RequestTimeTooSkewed" => {
            ("this machine's clock differs from the store's".into(), "set the clock; is NTP running?".into())
        }
        "SlowDown" | "ServiceUnavailable" | "RequestLimitExceeded" | "Throttling" | "ThrottlingException" => {
            ("the store is overloaded".into(), "run again later".into())
        }
        "QuotaExceeded"
        | "NoSpaceLeftOnDevice"
        | "InsufficientStorage"
        | "XMinioStorageFull"
        | "XMinioAdminBucketQuotaExceeded" => {
            ("the store is full".into(), "free space there, or run vault-backup prune".into())
        }
        "InvalidObjectState" => ("the object is archived".into(), "restore it from its storage class first".into()),
        "PreconditionFailed" | "ConditionalRequestConflict" => {
            ("it was changed by another at the same time".into(), "run again".into())
        }
        _ if is_elsewhere(code, status) => ("the bucket is in another region".into(), "set store.region".into()),
        _ if status == 507 => by_status(507, action),
        _ if code.starts_with("KMS") => {
            ("the KMS key cannot be used".into(), "check store.kms_key_id and the key's policy".into())
        }
        _ if status >= 500 => ("the store failed".into(), "run again later".into()),
        _ => (format!("{action} was refused"), String::new()),
    };
    (what, hint)
}

/// What a status means where the answer says nothing else.
fn by_status(status: u16, action: &str) -> (String, String) {
    match status {
        301 => by_code("PermanentRedirect", status, action),
        403 => {
            let (what, hint) = by_code("AccessDenied", status, action);
            // S3 hides that an object is missing from those who may not list.
            (what, format!("{hint}, and s3:ListBucket; the credentials or the clock may be wrong too"))
        }
        404 => by_code("NoSuchKey", status, action),
        412 => by_code("PreconditionFailed", status, action),
        507 => by_code("InsufficientStorage", status, action),
        503 => by_code("SlowDown", status, action),
        _ => (format!("{action} failed with HTTP status {status}"), String::new()),
    }
}

/// What to do where nobody answered.
fn no_answer(why: &str) -> &'static str {
    let why = why.to_lowercase();
    if why.contains("certificate") {
        "if a private authority signed it, set store.ca_cert"
    } else if why.contains("dns error") || why.contains("failed to lookup") {
        "check store.endpoint and store.region; servers other than AWS mostly need store.path_style = true"
    } else {
        "check store.endpoint, the network, and HTTPS_PROXY"
    }
}

/// `error` and what caused it, outermost first. An I/O error's `source` passes over
/// what it holds.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> Vec<&'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<std::io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
        None => error.source(),
    })
    .collect()
}

/// The innermost causes; the SDK's outer layers only say that something failed.
fn said_once(chain: &[&(dyn StdError + 'static)]) -> String {
    const NOISE: [&str; 4] = ["dispatch failure", "io error", "client error (Connect)", "timeout"];
    let mut said: Vec<String> = Vec::new();
    for text in chain.iter().map(ToString::to_string) {
        let noise = NOISE.contains(&text.as_str()) && chain.len() > 1;
        if !text.is_empty() && !noise && !said.iter().any(|before| before.contains(&text)) {
            said.push(text);
        }
    }
    said.join(": ")
}
