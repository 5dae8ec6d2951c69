//! A private certificate authority for one test.

use crate::support::process::temp_dir;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

/// A certificate authority whose files live as long as it does.
pub struct Ca {
    dir: TempDir,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    /// `true` if servers use the authority's own certificate.
    own: bool,
}

/// A certificate and its key, PEM files of its [`Ca`].
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate's path.
    pub cert: PathBuf,
    /// The private key's path.
    pub key: PathBuf,
}

impl Ca {
    /// Makes a new one, which only its users trust.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "vault-backup test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let dir = temp_dir();
        std::fs::write(dir.path().join("ca.pem"), &pem).unwrap();
        Self { dir, pem, issuer: Issuer::new(params, key), own: false }
    }

    /// An authority whose own certificate is a server's for `names`, too.
    pub fn self_signed(names: &[&str]) -> Self {
        Self::self_signed_until(names, 4000)
    }

    /// The same, valid until the beginning of `year`.
    pub fn self_signed_until(names: &[&str], year: i32) -> Self {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let dir = temp_dir();
        std::fs::write(dir.path().join("ca.pem"), &pem).unwrap();
        std::fs::write(dir.path().join("server.pem"), &pem).unwrap();
        std::fs::write(dir.path().join("server.key.pem"), key.serialize_pem()).unwrap();
        Self { dir, pem, issuer: Issuer::new(params, key), own: true }
    }

    /// The CA certificate, PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The path of the CA certificate.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A server certificate for 127.0.0.1, localhost and server.test, which has no address.
    pub fn server(&self) -> Identity {
        if self.own {
            let file = |name: &str| self.dir.path().join(name);
            return Identity { cert: file("server.pem"), key: file("server.key.pem") };
        }
        self.issue("server", &["127.0.0.1", "localhost", "server.test"], ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client certificate whose common name is `name`.
    pub fn client(&self, name: &str) -> Identity {
        self.issue(name, &[], ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// Returns the TLS settings of a server in this process, with a certificate of this CA.
    pub fn acceptor(&self) -> TlsAcceptor {
        let _ = ring::default_provider().install_default(); // another test may have been first
        let Identity { cert, key } = self.server();
        let chain = vec![CertificateDer::from_pem_file(cert).unwrap()];
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    fn issue(&self, name: &str, alt_names: &[&str], usage: ExtendedKeyUsagePurpose) -> Identity {
        let alt_names: Vec<String> = alt_names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(alt_names).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let file = |suffix: &str| self.dir.path().join(format!("{name}{suffix}"));
        let identity = Identity { cert: file(".pem"), key: file(".key.pem") };
        std::fs::write(&identity.cert, cert.pem()).unwrap();
        std::fs::write(&identity.key, key.serialize_pem()).unwrap();
        std::fs::set_permissions(&identity.key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        identity
    }
}
