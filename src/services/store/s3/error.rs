//! Classifies failed requests and turns them into errors. The words and hints are in
//! `advice`.

use super::advice::{self, Advice};
use super::answer::BadAnswer;
use super::client::UnknownProfile;
use crate::base::error::{Error, Kind};
use crate::services::http::causes;
use aws_config::meta::ProviderChainError;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use std::error::Error as StdError;

/// A request that failed, retries included.
#[derive(Debug)]
pub(super) struct S3Failure {
    /// Permission that the request needs, such as `s3:PutObject`.
    action: &'static str,
    address: String,
    cause: S3FailureCause,
}

#[derive(Debug)]
enum S3FailureCause {
    /// An error response. `code` is empty if it has no body, such as a response to HEAD.
    Refused { status: u16, code: String, message: String, region: Option<String> },
    /// A response that is not from an S3 server.
    NotS3(Advice),
    /// A success with a response that cannot be used.
    BadAnswer(Advice),
    /// No credentials to sign the request with.
    NoCredentials(Advice),
    /// No usable response.
    NoAnswer { why: String },
}

impl S3Failure {
    /// Classifies `error`. `action` is the permission that the request needs, `address`
    /// its object.
    pub(super) fn new<E>(action: &'static str, address: String, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let cause = match (error.raw_response(), error.as_service_error()) {
            (Some(response), Some(service)) => {
                let (status, code) = (response.status().as_u16(), service.code().unwrap_or_default());
                let body = response.body().bytes().unwrap_or_default();
                match advice::not_s3(status, code, &String::from_utf8_lossy(body)) {
                    Some(advice) => S3FailureCause::NotS3(advice),
                    None => S3FailureCause::Refused {
                        status,
                        code: code.to_owned(),
                        message: service.message().unwrap_or_default().trim_end_matches('.').to_owned(),
                        region: response.headers().get("x-amz-bucket-region").map(str::to_owned),
                    },
                }
            }
            _ => {
                let chain = causes(error);
                let bad = chain.iter().find_map(|cause| cause.downcast_ref::<BadAnswer>());
                let bad = bad.map(|bad| S3FailureCause::BadAnswer(advice::bad_answer(bad)));
                bad.or_else(|| no_credentials(&chain))
                    .unwrap_or_else(|| S3FailureCause::NoAnswer { why: joined(&chain) })
            }
        };
        Self { action, address, cause }
    }

    /// The failure of one key, which DeleteObjects reports in a successful response.
    pub(super) fn of_key(action: &'static str, address: String, code: &str, message: &str) -> Self {
        let (code, message) = (code.to_owned(), message.to_owned());
        Self { action, address, cause: S3FailureCause::Refused { status: 200, code, message, region: None } }
    }

    fn code(&self) -> &str {
        match &self.cause {
            S3FailureCause::Refused { code, .. } => code,
            _ => "",
        }
    }

    fn status(&self) -> u16 {
        match &self.cause {
            S3FailureCause::Refused { status, .. } => *status,
            _ => 0,
        }
    }

    /// `true` if the object, or the version of it, does not exist.
    pub(super) fn is_missing(&self) -> bool {
        match self.code() {
            "" => self.status() == 404,
            code => matches!(code, "NoSuchKey" | "NotFound" | "NoSuchVersion"),
        }
    }

    /// `true` if a condition of the request failed: the name is taken, or the object changed.
    pub(super) fn is_condition(&self) -> bool {
        self.status() == 412 || matches!(self.code(), "PreconditionFailed" | "ConditionalRequestConflict")
    }

    pub(super) fn is_no_such_upload(&self) -> bool {
        self.code() == "NoSuchUpload"
    }

    /// `true` if the object ends before the requested range.
    pub(super) fn is_range(&self) -> bool {
        self.status() == 416
    }

    pub(super) fn is_denied(&self) -> bool {
        self.status() == 403
    }

    /// `true` if the server does not support this kind of request.
    pub(super) fn is_unsupported(&self) -> bool {
        matches!(self.status(), 405 | 501)
            || matches!(
                self.code(),
                "NotImplemented" | "MethodNotAllowed" | "InvalidRequest" | "MissingContentMD5" | "InvalidDigest"
            )
    }

    /// `true` if the bucket or the server has no Object Lock.
    pub(super) fn is_no_lock(&self) -> bool {
        self.code() == "ObjectLockConfigurationNotFoundError" || self.is_unsupported()
    }

    pub(super) fn is_skewed(&self) -> bool {
        self.code() == "RequestTimeTooSkewed"
    }

    /// `true` if the object of a create request may exist anyway: the response to an
    /// earlier attempt may have been lost.
    pub(super) fn may_have_happened(&self) -> bool {
        let lost = match &self.cause {
            S3FailureCause::Refused { status, .. } => *status >= 500,
            S3FailureCause::NoAnswer { .. } | S3FailureCause::BadAnswer(_) => true,
            S3FailureCause::NotS3(_) | S3FailureCause::NoCredentials(_) => false,
        };
        lost || self.is_condition() || self.is_no_such_upload()
    }

    /// Returns the error for the user.
    pub(super) fn into_error(self) -> Error {
        let (kind, cause, Advice { what, hint }) = match self.cause {
            S3FailureCause::NoAnswer { why } => {
                let hint = advice::no_answer(&why);
                (Kind::Store, None, Advice::new(why, hint))
            }
            S3FailureCause::NotS3(advice)
            | S3FailureCause::BadAnswer(advice)
            | S3FailureCause::NoCredentials(advice) => (Kind::Store, None, advice),
            S3FailureCause::Refused { status, ref code, ref message, ref region } => {
                let kind = if self.is_skewed() { Kind::Unexpected } else { Kind::Store };
                let cause = (!code.is_empty()).then(|| anyhow::anyhow!("{code}: {message}"));
                (kind, cause, advice::refused(status, code, message, region.as_deref(), self.action))
            }
        };
        let mut error = Error::new(kind, format!("{}: {what}", self.address));
        if let Some(cause) = cause {
            error = error.because(cause);
        }
        if hint.is_empty() { error } else { error.hint(hint) }
    }
}

/// Recognises missing credentials among the causes of a failure.
fn no_credentials(chain: &[&(dyn StdError + 'static)]) -> Option<S3FailureCause> {
    let failed = chain.iter().position(|cause| cause.is::<CredentialsError>())?;
    let chain = &chain[failed..];
    let unknown = chain.iter().find_map(|cause| cause.downcast_ref::<UnknownProfile>());
    let sources = chain.iter().any(|cause| cause.is::<ProviderChainError<CredentialsError>>());
    // The last source of AWS's chain is the instance metadata service (IMDS).
    let why = chain.last().map(ToString::to_string).unwrap_or_default();
    Some(S3FailureCause::NoCredentials(match unknown {
        Some(profile) => advice::unknown_profile(profile),
        None if sources || chain.iter().any(|cause| cause.to_string().contains("IMDS")) => advice::no_credentials(),
        None => Advice::new(format!("AWS credentials cannot be loaded: {why}"), advice::SET_CREDENTIALS),
    }))
}

/// Joins the causes, without repetitions and without the SDK's generic outer layers.
fn joined(chain: &[&(dyn StdError + 'static)]) -> String {
    const NOISE: [&str; 3] = ["dispatch failure", "io error", "timeout"];
    let mut parts: Vec<String> = Vec::new();
    for text in chain.iter().map(ToString::to_string) {
        let noise = NOISE.contains(&text.as_str()) && chain.len() > 1;
        if !text.is_empty() && !noise && !parts.iter().any(|before| before.contains(&text)) {
            parts.push(text);
        }
    }
    parts.join(": ")
}
