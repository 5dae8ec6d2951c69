//! The reason of a failed request, as text, and the kind of a TLS failure.

use rustls::{AlertDescription, CertificateError, InvalidMessage};
use std::error::Error;

/// Kind of a failed TLS handshake that the user can fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFailure {
    /// The certificate is not trusted, has expired, or is for another name.
    Certificate,
    /// The certificate is that of a certificate authority.
    Authority,
    /// The server uses an algorithm or a TLS version that this program does not support.
    Unsupported,
    /// The server does not speak TLS.
    Plain,
}

impl TlsFailure {
    /// Returns the TLS failure among the causes of `error`, if any.
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        causes(error).into_iter().find_map(|cause| cause.downcast_ref().and_then(Self::from_rustls))
    }

    fn from_rustls(error: &rustls::Error) -> Option<Self> {
        use rustls::Error as Tls;
        match error {
            Tls::InvalidCertificate(
                CertificateError::UnsupportedSignatureAlgorithmContext { .. }
                | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
            ) => Some(Self::Unsupported),
            Tls::InvalidCertificate(CertificateError::Other(why)) if why.to_string() == "CaUsedAsEndEntity" => {
                Some(Self::Authority)
            }
            Tls::InvalidCertificate(_) => Some(Self::Certificate),
            Tls::InvalidMessage(InvalidMessage::InvalidContentType) => Some(Self::Plain),
            // The alerts of a server without a common version or algorithm.
            Tls::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion)
            | Tls::PeerIncompatible(_) => Some(Self::Unsupported),
            _ => None,
        }
    }
}

/// Returns the innermost reason of a failed request, without the URL: the path of a webhook is
/// a secret.
pub fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return if error.is_connect() { "connection timeout" } else { "response timeout" }.to_owned();
    }
    let causes = causes(error);
    let text = match causes.last() {
        Some(innermost) if causes.len() > 1 => innermost.to_string(),
        _ => return "the request failed".to_owned(),
    };
    match TlsFailure::of(error) {
        Some(TlsFailure::Plain) => "the server does not speak TLS on this port".to_owned(),
        Some(TlsFailure::Authority) => "invalid peer certificate: it is a CA certificate".to_owned(),
        Some(TlsFailure::Unsupported) => format!("unsupported TLS version or algorithm: {text}"),
        _ => text,
    }
}

/// Returns `error` and its causes, outermost first. An I/O error's `source` skips the error
/// inside it.
pub(crate) fn causes<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<std::io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_failures_are_classified() {
        let inside = |error: rustls::Error| std::io::Error::other(std::io::Error::other(error));
        let of = |error| TlsFailure::of(&inside(error));
        let alert = |alert| of(rustls::Error::AlertReceived(alert));
        assert_eq!(alert(AlertDescription::HandshakeFailure), Some(TlsFailure::Unsupported));
        assert_eq!(alert(AlertDescription::CertificateRequired), None);
        assert_eq!(of(CertificateError::Expired.into()), Some(TlsFailure::Certificate));
        let incompatible = rustls::PeerIncompatible::NoSignatureSchemesInCommon;
        assert_eq!(of(rustls::Error::PeerIncompatible(incompatible)), Some(TlsFailure::Unsupported));
        let plain = rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);
        assert_eq!(of(plain), Some(TlsFailure::Plain));
        assert_eq!(TlsFailure::of(&std::io::Error::other("x")), None);
    }
}
