//! The proof of identity for a login by AWS IAM: a signed `sts:GetCallerIdentity` request, which Vault
//! forwards to AWS. Only the credential chain sends anything to AWS from here.
//!
//! Source: Vault's documentation, "AWS auth method", "IAM auth method".

use super::failure::RequestFailure;
use crate::base::error::Error;
use crate::services::http;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use std::time::SystemTime;

/// Header that a server may require, so that a request signed for one Vault is useless at another.
const SERVER_ID: &str = "X-Vault-AWS-IAM-Server-ID";
const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";

/// Signed request in the form that Vault accepts: each part in base64.
pub(super) struct Proof {
    url: String,
    headers: String,
    body: String,
}

/// STS endpoint that a request is signed for. Vault sends the request there, unless its administrator
/// configured another endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Endpoint {
    host: String,
    region: String,
}

impl Endpoint {
    /// Returns the endpoint of `region`, or the global one. GovCloud's endpoints (`us-gov-…`) are
    /// named like the others; those of China (`cn-…`) have another domain.
    fn of(region: Option<&str>) -> Self {
        let Some(region) = region else {
            return Self { host: "sts.amazonaws.com".to_owned(), region: "us-east-1".to_owned() };
        };
        let end = if region.starts_with("cn-") { ".cn" } else { "" };
        Self { host: format!("sts.{region}.amazonaws.com{end}"), region: region.to_owned() }
    }
}

impl Proof {
    /// Returns the body of the login request, without a role.
    pub(super) fn body(&self) -> serde_json::Value {
        serde_json::json!({
            "iam_http_request_method": "POST",
            "iam_request_url": self.url,
            "iam_request_headers": self.headers,
            "iam_request_body": self.body,
        })
    }
}

/// Signs a request for the STS endpoint of `region` with the credentials of AWS's default chain.
/// `server_id` is one of the signed headers.
pub(super) async fn identity_proof(server_id: Option<&str>, region: Option<&str>) -> Result<Proof, RequestFailure> {
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let mut loader = aws_config::defaults(aws_config::BehaviorVersion::latest()).http_client(http);
    if let Some(profiles) = http::aws::profiles() {
        loader = loader.profile_files(profiles);
    }
    let config = loader.load().await;
    let provider = config.credentials_provider().ok_or_else(|| failed(anyhow::anyhow!("the chain found none")))?;
    let credentials = provider.provide_credentials().await.map_err(failed)?;
    signed(&credentials.into(), SystemTime::now(), server_id, &Endpoint::of(region))
}

fn failed(cause: impl Into<anyhow::Error>) -> RequestFailure {
    Error::vault("no AWS credentials for the login")
        .because(cause)
        .hint("provide them through AWS's default chain: environment, profile, container or instance")
        .into()
}

fn signed(
    identity: &aws_smithy_runtime_api::client::identity::Identity,
    time: SystemTime,
    server_id: Option<&str>,
    endpoint: &Endpoint,
) -> Result<Proof, RequestFailure> {
    let params = v4::SigningParams::builder()
        .identity(identity)
        .region(&endpoint.region)
        .name("sts")
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .map_err(failed)?
        .into();
    let mut headers = BTreeMap::from([
        ("Content-Type".to_owned(), "application/x-www-form-urlencoded; charset=utf-8".to_owned()),
        ("Host".to_owned(), endpoint.host.clone()),
    ]);
    headers.extend(server_id.map(|id| (SERVER_ID.to_owned(), id.to_owned())));
    let url = format!("https://{}/", endpoint.host);
    let given = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let request = SignableRequest::new("POST", &url, given, SignableBody::Bytes(BODY.as_bytes())).map_err(failed)?;
    let (instructions, _) = sign(request, &params).map_err(failed)?.into_parts();
    headers.extend(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())));
    headers.insert("Content-Length".to_owned(), BODY.len().to_string());
    let headers = serde_json::to_vec(&headers).map_err(failed)?;
    Ok(Proof { url: STANDARD.encode(url), headers: STANDARD.encode(headers), body: STANDARD.encode(BODY) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_credential_types::Credentials;
    use std::time::Duration;

    /// The expected signature is botocore's, for the same request, credentials and time.
    #[test]
    fn signed_as_botocore_does() {
        let key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let credentials = Credentials::new("AKIDEXAMPLE", key, Some("session-token".into()), None, "test");
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_122_400); // 2025-11-26T02:00:00Z
        let proof = signed(&credentials.into(), time, None, &Endpoint::of(None)).unwrap();
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

    #[test]
    fn the_server_id_is_signed_for_a_regional_endpoint() {
        for (region, host) in [
            ("eu-central-1", "sts.eu-central-1.amazonaws.com"),
            ("us-gov-west-1", "sts.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn"),
        ] {
            let credentials = Credentials::new("AKIDEXAMPLE", "key", None, None, "test");
            let endpoint = Endpoint::of(Some(region));
            let proof =
                signed(&credentials.into(), SystemTime::UNIX_EPOCH, Some("vault.example.com"), &endpoint).unwrap();
            assert_eq!(STANDARD.decode(&proof.url).unwrap(), format!("https://{host}/").into_bytes());
            let headers: BTreeMap<String, String> =
                serde_json::from_slice(&STANDARD.decode(&proof.headers).unwrap()).unwrap();
            assert_eq!((&headers["Host"][..], &headers[SERVER_ID][..]), (host, "vault.example.com"));
            let signature = &headers["authorization"];
            assert!(signature.contains(&format!("/{region}/sts/aws4_request")), "{signature}");
            assert!(
                signature.contains("SignedHeaders=content-type;host;x-amz-date;x-vault-aws-iam-server-id"),
                "{signature}"
            );
        }
    }
}
