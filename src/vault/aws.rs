//! The proof of identity for a login by AWS IAM.
//!
//! Here: a signed `sts:GetCallerIdentity` request, which Vault sends on to AWS in
//! our name. Not here: the login itself. Nothing is sent to AWS from here except
//! by the credential chain.
//! Source: Vault's documentation, "AWS auth method", "IAM auth method".

use super::failure::Failure;
use crate::error::Error;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use std::time::SystemTime;

/// Where Vault sends the request, unless its administrator set another endpoint.
const STS: &str = "https://sts.amazonaws.com/";
/// The region of the global endpoint.
const REGION: &str = "us-east-1";
const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";

/// A signed request in the form that Vault takes: each part in base64.
pub(super) struct Proof {
    pub(super) url: String,
    pub(super) headers: String,
    pub(super) body: String,
}

/// Signs with the credentials of AWS's default chain.
pub(super) async fn identity_proof() -> Result<Proof, Failure> {
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest()).http_client(http).load().await;
    let provider = config.credentials_provider().ok_or_else(|| failed(anyhow::anyhow!("there are none")))?;
    let credentials = provider.provide_credentials().await.map_err(failed)?;
    signed(&credentials.into(), SystemTime::now())
}

fn failed(cause: impl Into<anyhow::Error>) -> Failure {
    Error::vault("the AWS credentials for the login")
        .because(cause)
        .hint("they come from AWS's default chain: environment, profile, container, instance")
        .into()
}

fn signed(identity: &aws_smithy_runtime_api::client::identity::Identity, time: SystemTime) -> Result<Proof, Failure> {
    let params = v4::SigningParams::builder()
        .identity(identity)
        .region(REGION)
        .name("sts")
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .map_err(failed)?
        .into();
    let mut headers = BTreeMap::from([
        ("Content-Type".to_owned(), "application/x-www-form-urlencoded; charset=utf-8".to_owned()),
        ("Host".to_owned(), "sts.amazonaws.com".to_owned()),
    ]);
    let given = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let request = SignableRequest::new("POST", STS, given, SignableBody::Bytes(BODY.as_bytes())).map_err(failed)?;
    let (instructions, _) = sign(request, &params).map_err(failed)?.into_parts();
    headers.extend(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())));
    headers.insert("Content-Length".to_owned(), BODY.len().to_string());
    let headers = serde_json::to_vec(&headers).map_err(failed)?;
    Ok(Proof { url: STANDARD.encode(STS), headers: STANDARD.encode(headers), body: STANDARD.encode(BODY) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_credential_types::Credentials;
    use std::time::Duration;

    /// The signature is botocore's for the same request, credentials and time.
    #[test]
    fn signed_as_botocore_does() {
        let key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let credentials = Credentials::new("AKIDEXAMPLE", key, Some("session-token".into()), None, "test");
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_122_400); // 2025-11-26T02:00:00Z
        let proof = signed(&credentials.into(), time).unwrap();
        let text = |part: &str| String::from_utf8(STANDARD.decode(part).unwrap()).unwrap();
        assert_eq!(text(&proof.url), "https://sts.amazonaws.com/");
        assert_eq!(text(&proof.body), "Action=GetCallerIdentity&Version=2011-06-15");
        let headers: BTreeMap<String, String> = serde_json::from_str(&text(&proof.headers)).unwrap();
        let expected = [
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20251126/us-east-1/sts/aws4_request, \
                 SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, \
                 Signature=d6d8d0cfee8ee496e255c39eadfd61344a28715bd3eb0eb8b4494ee759d5e870",
            ),
            ("content-length", "43"),
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("host", "sts.amazonaws.com"),
            ("x-amz-date", "20251126T020000Z"),
            ("x-amz-security-token", "session-token"),
        ];
        let given = headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()));
        assert_eq!(given.collect::<BTreeMap<_, _>>(), expected.map(|(n, v)| (n.to_owned(), v)).into());
    }
}
