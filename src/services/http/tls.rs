//! TLS of the HTTP clients: rustls on ring, with the system's and private certificate
//! authorities.
//!
//! A server certificate that is an exact copy of one in `ca_cert` is accepted even if it
//! is a CA certificate, as `openssl req -x509` creates it. OpenSSL and Go accept it too;
//! rustls alone does not.

use crate::base::error::{Error, Result};
use crate::base::regular_file;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_platform_verifier::Verifier;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Verification of servers, and the certificate of this client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM file of certificate authorities to trust in addition to the system's, if any.
    pub ca_cert: Option<PathBuf>,
    /// Directory of PEM files with further authorities, if any.
    pub ca_path: Option<PathBuf>,
    /// PEM text with further authorities, if any.
    pub ca_bytes: Option<String>,
    /// PEM file of the client's certificate chain, if any.
    pub client_cert: Option<PathBuf>,
    /// PEM file of the client certificate's key, if any.
    pub client_key: Option<PathBuf>,
    /// DNS name to send (SNI) and to verify in place of the address's host, if any.
    pub server_name: Option<String>,
    /// `true` to accept any certificate. For tests only.
    pub skip_verify: bool,
}

/// Makes ring the TLS provider of this process, unless it has one.
pub fn install_crypto() {
    if CryptoProvider::get_default().is_none() {
        // Another thread may have been faster. It installs the same provider.
        let _ = ring::default_provider().install_default();
    }
}

/// Reads the files of `settings` and returns the TLS configuration.
///
/// # Errors
/// `Usage` with the file that cannot be used.
pub(super) fn client_config(settings: &TlsSettings) -> Result<ClientConfig> {
    install_crypto();
    let provider = Arc::new(ring::default_provider());
    let unusable = |e: rustls::Error| Error::usage("TLS cannot be set up").because(e);
    let roots = roots(settings)?;
    let verifier: Arc<dyn ServerCertVerifier> = match settings.skip_verify {
        true => Arc::new(UnconditionalVerifier { accepted: true, provider: provider.clone() }),
        false => Arc::new(PinningVerifier { inner: verifier(&roots, &provider)?, pinned: roots }),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match (&settings.client_cert, &settings.client_key) {
        (Some(cert), Some(key)) => {
            let (chain, secret) = identity(cert, key)?;
            let what = || format!("client_cert {} with client_key {}", cert.display(), key.display());
            builder.with_client_auth_cert(chain, secret).map_err(|e| Error::usage(what()).because(e))
        }
        (None, None) => Ok(builder.with_no_client_auth()),
        _ => Err(Error::usage("client_cert and client_key: only one of them is set")),
    }
}

/// Returns a verifier that trusts the system's authorities and `roots`, or only `roots` on a
/// machine without any authority.
fn verifier(roots: &[CertificateDer<'static>], provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>> {
    match Verifier::new_with_extra_roots(roots.iter().cloned(), provider.clone()) {
        Ok(verifier) => Ok(Arc::new(verifier)),
        Err(_) => {
            let mut store = rustls::RootCertStore::empty();
            store.add_parsable_certificates(roots.iter().cloned());
            if store.is_empty() {
                // Nothing can be verified, but plain http still works.
                return Ok(Arc::new(UnconditionalVerifier { accepted: false, provider: provider.clone() }));
            }
            let built = rustls::client::WebPkiServerVerifier::builder_with_provider(store.into(), provider.clone());
            let built = built.build().map_err(|e| Error::usage("TLS cannot be set up").because(e))?;
            Ok(built)
        }
    }
}

fn roots(settings: &TlsSettings) -> Result<Vec<CertificateDer<'static>>> {
    let mut roots = Vec::new();
    if let Some(path) = &settings.ca_cert {
        roots.extend(certificates("ca_cert", path)?);
    }
    if let Some(directory) = &settings.ca_path {
        let fail =
            |e: std::io::Error| Error::usage(format!("ca_path {}: cannot be read", directory.display())).because(e);
        let mut files: Vec<_> = std::fs::read_dir(directory)
            .map_err(fail)?
            .map(|entry| Ok(entry.map_err(fail)?.path()))
            .collect::<Result<_>>()?;
        files.retain(|path| path.is_file());
        files.sort();
        let before = roots.len();
        for path in files {
            // The directory may contain keys and other files.
            roots.extend(pem(&read_file("ca_path", &path)?).unwrap_or_default());
        }
        if roots.len() == before {
            return Err(Error::usage(format!("ca_path {}: no PEM certificate in it", directory.display())));
        }
    }
    if let Some(pem) = &settings.ca_bytes {
        let parsed = self::pem(pem.as_bytes()).ok().filter(|found| !found.is_empty());
        roots.extend(parsed.ok_or_else(|| Error::usage("the variable for CACERT_BYTES contains no PEM certificate"))?);
    }
    Ok(roots)
}

fn read_file(what: &str, path: &Path) -> Result<Vec<u8>> {
    regular_file::read(path).map_err(|e| Error::usage(format!("{what} {}: cannot be read", path.display())).because(e))
}

fn pem(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    CertificateDer::pem_slice_iter(text).collect()
}

fn certificates(what: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let unusable = |why: &str| Error::usage(format!("{what} {}: {why}", path.display()));
    let found = pem(&read_file(what, path)?).map_err(|e| unusable(&e.to_string()))?;
    if found.is_empty() {
        return Err(unusable("no PEM certificate in it"));
    }
    // rustls ignores an authority that it cannot parse.
    let mut store = rustls::RootCertStore::empty();
    let (_, ignored) = store.add_parsable_certificates(found.iter().cloned());
    if ignored > 0 {
        return Err(unusable("one of its certificates cannot be parsed"));
    }
    Ok(found)
}

fn identity(cert: &Path, key: &Path) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let unusable =
        |why: String| Error::usage(format!("client_cert {} with client_key {}: {why}", cert.display(), key.display()));
    let secret = zeroize::Zeroizing::new(read_file("client_key", key)?);
    let secret =
        PrivateKeyDer::from_pem_slice(&secret).map_err(|_| unusable("the key is not a PEM private key".to_owned()))?;
    Ok((certificates("client_cert", cert)?, secret))
}

/// The usual verification, which also accepts the pinned certificates.
#[derive(Debug)]
struct PinningVerifier {
    inner: Arc<dyn ServerCertVerifier>,
    pinned: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for PinningVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // This was the only problem. The dates were checked before, the name is checked here.
            Err(error) if is_authority(&error) && self.pinned.iter().any(|cert| cert == end_entity) => {
                let certificate = rustls::server::ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&certificate, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Returns `true` if a certificate was refused because it is a CA certificate. webpki checks
/// that after the dates.
fn is_authority(error: &rustls::Error) -> bool {
    super::TlsFailure::of(error) == Some(super::TlsFailure::Authority)
}

/// Accepts or refuses every certificate without looking at it.
#[derive(Debug)]
struct UnconditionalVerifier {
    /// `true` to accept (`tls_skip_verify`), `false` to refuse as of an unknown issuer.
    accepted: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for UnconditionalVerifier {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.accepted {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(rustls::CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
