//! Requests that failed: what kind of failure it is, and as which error it is shown.
//! What each means, and what to do, is in `advice`.

use super::advice::{self, Advice};
use crate::base::error::{Error, Kind};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use std::error::Error as StdError;

/// A request that failed for good, after all its retries.
#[derive(Debug)]
pub(super) struct S3Failure {
    /// The right it needs: `s3:PutObject`.
    action: &'static str,
    address: String,
    answer: Refusal,
}

#[derive(Debug)]
enum Refusal {
    /// The server said no. `code` is empty where the answer had no body, as to HEAD.
    Refused { status: u16, code: String, message: String, region: Option<String> },
    /// There was no answer, or none that could be understood.
    None { why: String, no_credentials: bool },
}

impl S3Failure {
    /// `action` is the right that the request needs; `address` what it was about.
    pub(super) fn new<E>(action: &'static str, address: String, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let refusal = match (error.raw_response(), error.as_service_error()) {
            (Some(response), Some(service)) => Some(Refusal::Refused {
                status: response.status().as_u16(),
                code: service.code().unwrap_or_default().to_owned(),
                message: service.message().unwrap_or_default().trim_end_matches('.').to_owned(),
                region: response.headers().get("x-amz-bucket-region").map(str::to_owned),
            }),
            _ => None,
        };
        let answer = refusal.unwrap_or_else(|| {
            let chain = causes(error);
            let no_credentials = chain.iter().any(|cause| cause.is::<CredentialsError>());
            Refusal::None { why: said_once(&chain), no_credentials }
        });
        Self { action, address, answer }
    }

    /// One key's failure, as DeleteObjects reports it in the body of a success.
    pub(super) fn of_key(action: &'static str, address: String, code: &str, message: &str) -> Self {
        let (code, message) = (code.to_owned(), message.to_owned());
        Self { action, address, answer: Refusal::Refused { status: 200, code, message, region: None } }
    }

    fn code(&self) -> &str {
        match &self.answer {
            Refusal::Refused { code, .. } => code,
            Refusal::None { .. } => "",
        }
    }

    fn status(&self) -> u16 {
        match &self.answer {
            Refusal::Refused { status, .. } => *status,
            Refusal::None { .. } => 0,
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
            Refusal::Refused { status, .. } => *status >= 500,
            Refusal::None { no_credentials, .. } => !no_credentials,
        };
        lost || self.is_condition() || self.is_no_such_upload()
    }

    /// As the error that is shown.
    pub(super) fn into_error(self) -> Error {
        let address = &self.address;
        match &self.answer {
            Refusal::None { why, no_credentials: true } => {
                Error::store(format!("{address}: no AWS credentials: {why}")).hint(advice::NO_CREDENTIALS)
            }
            Refusal::None { why, .. } => Error::store(format!("{address}: {why}")).hint(advice::no_answer(why)),
            Refusal::Refused { status, code, message, region } => {
                let Advice { what, hint } = advice::refused(*status, code, message, region.as_deref(), self.action);
                let kind = if self.is_skewed() { Kind::Unexpected } else { Kind::Store };
                let mut error = Error::new(kind, format!("{address}: {what}"));
                if !code.is_empty() {
                    error = error.because(anyhow::anyhow!("{code}: {message}"));
                }
                if hint.is_empty() { error } else { error.hint(hint) }
            }
        }
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
    const NOISE: [&str; 6] = [
        "dispatch failure",
        "io error",
        "error sending request",
        "client error (Connect)",
        "client error (SendRequest)",
        "timeout",
    ];
    let mut said: Vec<String> = Vec::new();
    for text in chain.iter().map(ToString::to_string) {
        let noise = NOISE.contains(&text.as_str()) && chain.len() > 1;
        if !text.is_empty() && !noise && !said.iter().any(|before| before.contains(&text)) {
            said.push(text);
        }
    }
    said.join(": ")
}
