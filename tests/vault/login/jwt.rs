//! Login by JWT.

use super::in_and_out;
use crate::support::vault::Vault;
use crate::vault::{assert_says, client};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use vault_backup::base::error::Kind;
use vault_backup::base::secret::Secret;
use vault_backup::services::vault::Auth;

/// Issuer of JSON web tokens (ES256).
struct Issuer(EcdsaKeyPair);

impl Issuer {
    fn new() -> Self {
        let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let key = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(kind, key.as_ref(), &random).unwrap())
    }

    /// Returns the public key in PEM. The DER prefix says that a P-256 point follows (RFC 5480).
    fn pem(&self) -> String {
        let mut der = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
        der.extend_from_slice(self.0.public_key().as_ref());
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    fn token(&self, audience: &str) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({"iss": "https://ci.example.com", "sub": "backup", "aud": audience,
            "iat": 1_700_000_000, "exp": 4_000_000_000_u64});
        let signed = format!("{}.{}", part(&json!({"alg": "ES256", "typ": "JWT"})), part(&claims));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn login_with_jwt() {
    let (vault, issuer) = (Vault::start(), Issuer::new());
    vault.enable_auth("jwt");
    let config = json!({"jwt_validation_pubkeys": [issuer.pem()], "bound_issuer": "https://ci.example.com",
        "default_role": "backup"});
    vault.ok("POST", "auth/jwt/config", Some(config));
    let role =
        json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "token_policies": ["backup"]});
    vault.ok("POST", "auth/jwt/role/backup", Some(role));
    let client = client(&vault);
    let auth = |role: Option<&str>, jwt: String| Auth::Jwt {
        mount: "jwt".into(),
        role: role.map(str::to_owned),
        jwt: Secret::new(jwt).into(),
    };
    for role in [Some("backup"), None] {
        let info = in_and_out(&client, &vault, &auth(role, issuer.token("vault"))).await;
        assert_eq!(info.policies, ["backup", "default"]);
    }
    let node = client.leader().await.unwrap();
    let wrong = [
        (Some("backup"), issuer.token("elsewhere")),
        (Some("backup"), Issuer::new().token("vault")),
        (Some("nobody"), issuer.token("vault")),
    ];
    for (role, jwt) in wrong {
        let error = client.login(&node, &auth(role, jwt.clone())).await.unwrap_err();
        assert_says(&error, Kind::Vault, &["login by JWT at auth/jwt", "check vault.auth"]);
        assert!(!error.to_string().contains(&jwt), "{error}");
    }
}
