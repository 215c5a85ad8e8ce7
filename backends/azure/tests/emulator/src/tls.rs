//! A certificate authority and a server certificate, made at every start.

use std::io;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// The authority's certificate as PEM, and what serves with one of its own.
pub(crate) fn authority() -> io::Result<(String, TlsAcceptor)> {
    let wrong = |error: rcgen::Error| io::Error::other(error);
    let mut ca = CertificateParams::new(Vec::new()).map_err(wrong)?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.distinguished_name
        .push(rcgen::DnType::CommonName, "Azure emulator test CA");
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_key = KeyPair::generate().map_err(wrong)?;
    let ca_pem = ca.self_signed(&ca_key).map_err(wrong)?.pem();

    // The last is for clients behind a proxy: to this machine they would go directly.
    let names = ["localhost", "127.0.0.1", crate::PROXIED_HOST];
    let mut server = CertificateParams::new(names.map(str::to_owned).to_vec()).map_err(wrong)?;
    server
        .distinguished_name
        .push(rcgen::DnType::CommonName, "localhost");
    server.use_authority_key_identifier_extension = true;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate().map_err(wrong)?;
    let certificate = server
        .signed_by(&key, &Issuer::new(ca, ca_key))
        .map_err(wrong)?;

    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .map_err(io::Error::other)?;
    Ok((ca_pem, TlsAcceptor::from(Arc::new(config))))
}
