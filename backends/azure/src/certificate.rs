//! An application's certificate, as the proof that Microsoft Entra takes: a
//! short-lived statement signed with its key.
//!
//! The SDK's own needs OpenSSL; this signs with the library that TLS is made
//! with already.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PSS_SHA256, RsaKeyPair};
use azure_core::Uuid;
use azure_core::base64::encode_url_safe;
use azure_core::http::ClientMethodOptions;
use azure_identity::ClientAssertion;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use crate::auth::refuse;

/// How long a statement is good for.
const GOOD_FOR: Duration = Duration::from_secs(600);

/// A private key and its certificate's thumbprint.
pub(crate) struct Certificate {
    key: RsaKeyPair,
    thumbprint: String,
    client_id: String,
    audience: String,
}

/// Nothing of the key.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

impl Certificate {
    /// From a PEM file's text: an RSA private key, and the certificate (the
    /// first, where there is a chain).
    pub(crate) fn from_pem(
        text: &str,
        client_id: &str,
        audience: String,
    ) -> Result<Certificate, String> {
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|_| "holds no private key in PEM that can be read".to_owned())?;
        let certificate = CertificateDer::from_pem_slice(text.as_bytes())
            .map_err(|_| "holds no certificate in PEM that can be read".to_owned())?;
        let pair = match &key {
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            _ => return Err("its key is not RSA, which Microsoft Entra needs".to_owned()),
        };
        Ok(Certificate {
            key: pair.map_err(|e| format!("its key cannot be used: {e}; it must be RSA"))?,
            thumbprint: encode_url_safe(digest::digest(&digest::SHA256, &certificate)),
            client_id: client_id.to_owned(),
            audience,
        })
    }

    fn statement(&self, now: Duration) -> Result<String, String> {
        let header = json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint });
        let claims = json!({
            "aud": self.audience,
            "iss": self.client_id,
            "sub": self.client_id,
            "jti": Uuid::new_v4().to_string(),
            "nbf": now.as_secs(),
            "exp": now.saturating_add(GOOD_FOR).as_secs(),
        });
        let signed = format!(
            "{}.{}",
            encode_url_safe(header.to_string()),
            encode_url_safe(claims.to_string())
        );
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(
                &RSA_PSS_SHA256,
                &SystemRandom::new(),
                signed.as_bytes(),
                &mut signature,
            )
            .map_err(|e| format!("the certificate's key does not sign: {e}"))?;
        Ok(format!("{signed}.{}", encode_url_safe(signature)))
    }
}

#[async_trait]
impl ClientAssertion for Certificate {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.statement(now).map_err(refuse)
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair as Generated, KeySize};
    use aws_lc_rs::signature::{KeyPair, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
    use azure_core::base64;

    use super::*;

    #[test]
    fn a_statement_can_be_checked_with_the_public_key() {
        let key = Generated::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
        let pem = |what: &str, bytes: &[u8]| {
            format!(
                "-----BEGIN {what}-----\n{}\n-----END {what}-----\n",
                base64::encode(bytes)
            )
        };
        let text = pem("PRIVATE KEY", der.as_ref()) + &pem("CERTIFICATE", b"any certificate");
        let certificate = Certificate::from_pem(&text, "app", "https://login".into()).unwrap();
        assert!(!format!("{certificate:?}").contains("key"));

        let statement = certificate.statement(Duration::from_secs(1_000)).unwrap();
        let parts: Vec<&str> = statement.split('.').collect();
        let decode = |part: &str| base64::decode_url_safe(part).unwrap();
        let signed = format!("{}.{}", parts[0], parts[1]);
        UnparsedPublicKey::new(
            &RSA_PSS_2048_8192_SHA256,
            certificate.key.public_key().as_ref(),
        )
        .verify(signed.as_bytes(), &decode(parts[2]))
        .unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&decode(parts[1])).unwrap();
        assert_eq!(
            (&claims["iss"], &claims["exp"]),
            (&json!("app"), &json!(1_600))
        );

        let half = Certificate::from_pem(&pem("CERTIFICATE", b"x"), "app", String::new());
        assert_eq!(
            half.unwrap_err(),
            "holds no private key in PEM that can be read"
        );
    }
}
