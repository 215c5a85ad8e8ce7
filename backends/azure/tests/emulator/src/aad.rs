//! Tokens: the directory's endpoints, the metadata service of a VM, and the
//! check of what a call brings.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::wire::{Answer, Asked, Handled, pairs};
use crate::world::World;

impl World {
    /// `GET /metadata/endpoints`: how this cloud's parts are called.
    pub(crate) fn endpoints(&self, base: &str, asked: &Asked) -> Answer {
        let cloud = json!({
            "name": "slurmburst-emulator", "portal": base, "resourceManager": base,
            "authentication": {"loginEndpoint": base, "audiences": [base, "https://management.core.windows.net/"],
                "tenant": "common", "identityProvider": "AAD"},
            "graphAudience": base, "graph": base, "microsoftGraphResourceId": base, "batch": base, "media": base,
            "vmImageAliasDoc": format!("{base}/aliases.json"), "gallery": base, "sqlManagement": base,
            "activeDirectoryDataLake": base,
            "suffixes": {"storage": "storage.invalid", "keyVaultDns": "vault.invalid", "sqlServerHostname": "sql.invalid"},
        });
        let many = asked.api_version().as_str() >= "2022-09-01" || asked.api_version().is_empty();
        Answer::json(200, if many { cloud } else { json!([cloud]) })
    }

    pub(crate) fn openid(&self, asked: &Asked, tenant: &str) -> Handled {
        self.tenant_is(tenant)?;
        let at = format!("{}/{tenant}", asked.base);
        Ok(Answer::json(
            200,
            json!({
                "token_endpoint": format!("{at}/oauth2/v2.0/token"),
                "authorization_endpoint": format!("{at}/oauth2/v2.0/authorize"),
                "device_authorization_endpoint": format!("{at}/oauth2/v2.0/devicecode"),
                "jwks_uri": format!("{at}/discovery/v2.0/keys"),
                "issuer": format!("{at}/v2.0"),
                "response_types_supported": ["code", "id_token"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }),
        ))
    }

    fn tenant_is(&self, tenant: &str) -> Result<(), Answer> {
        if [self.settings.tenant.as_str(), "common", "organizations"].contains(&tenant) {
            return Ok(());
        }
        let text = format!(
            "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."
        );
        Err(refused(400, "invalid_request", 90002, &text))
    }

    /// `POST /{tenant}/oauth2/v2.0/token`.
    pub(crate) fn token(&mut self, asked: &Asked, tenant: &str) -> Handled {
        self.tenant_is(tenant)?;
        let form = pairs(&String::from_utf8_lossy(&asked.body));
        let field = |name: &str| {
            form.iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.clone())
                .unwrap_or_default()
        };
        let client = field("client_id");
        if field("grant_type") != "client_credentials" {
            return Err(refused(
                400,
                "unsupported_grant_type",
                70003,
                "The app requested an unsupported grant type.",
            ));
        }
        let Some(secret) = self.settings.clients.get(&client) else {
            let text =
                format!("Application with identifier '{client}' was not found in the directory.");
            return Err(refused(400, "unauthorized_client", 700_016, &text));
        };
        // A signed assertion (certificate or workload identity) is taken as
        // good if it looks like one: its keys are not the emulator's matter.
        let asserted = field("client_assertion").split('.').count() == 3;
        if !asserted && field("client_secret") != *secret {
            let text = "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID.";
            return Err(refused(401, "invalid_client", 7_000_215, text));
        }
        let scope = field("scope");
        let audience = scope
            .split(' ')
            .find_map(|s| s.strip_suffix("/.default"))
            .unwrap_or_default()
            .to_string();
        let token = self.issue(&client, &audience);
        let life = self.settings.token_life.as_secs();
        Ok(Answer::json(
            200,
            json!({"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": token}),
        ))
    }

    /// `GET /metadata/identity/oauth2/token`, over plain HTTP.
    pub(crate) fn identity(&mut self, asked: &Asked) -> Handled {
        if !asked
            .header("metadata")
            .is_some_and(|v| v.eq_ignore_ascii_case("true"))
        {
            return Err(Answer::json(
                400,
                json!({"error": "invalid_request", "error_description": "Required metadata header not specified"}),
            ));
        }
        let Some(resource) = asked.parameter("resource") else {
            return Err(Answer::json(
                400,
                json!({"error": "invalid_request", "error_description": "Required audience parameter not specified"}),
            ));
        };
        let client = self.settings.managed_identity.clone();
        if asked
            .parameter("client_id")
            .is_some_and(|wanted| wanted != client)
        {
            return Err(Answer::json(
                400,
                json!({"error": "invalid_request", "error_description": "Identity not found"}),
            ));
        }
        let token = self.issue(&client, &resource);
        let (now, life) = (
            self.clock.unix(self.now),
            self.settings.token_life.as_secs(),
        );
        Ok(Answer::json(
            200,
            json!({
                "access_token": token, "client_id": client, "expires_in": life.to_string(), "expires_on": (now + life).to_string(),
                "ext_expires_in": life.to_string(), "not_before": now.to_string(), "resource": resource, "token_type": "Bearer",
            }),
        ))
    }

    pub(crate) fn issue(&mut self, principal: &str, audience: &str) -> String {
        let until = self.now + self.settings.token_life;
        let claims = json!({
            "aud": audience, "iss": format!("https://sts.windows.net/{}/", self.settings.tenant), "tid": self.settings.tenant,
            "appid": principal, "oid": principal, "sub": principal, "jti": self.uuid(),
            "iat": self.clock.unix(self.now), "nbf": self.clock.unix(self.now), "exp": self.clock.unix(until),
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let token = format!(
            "{}.{}.{}",
            part(&json!({"typ": "JWT", "alg": "RS256"})),
            part(&claims),
            URL_SAFE_NO_PAD.encode("emulated")
        );
        self.tokens.insert(
            token.clone(),
            (principal.to_string(), audience.to_string(), until),
        );
        token
    }

    /// Who calls, or the 401.
    pub(crate) fn principal(&self, asked: &Asked) -> Result<String, Answer> {
        let refused = |code: &str, message: &str| {
            Answer::error(401, code, message).with(
                "www-authenticate",
                format!("Bearer authorization_uri=\"{}/{}\", error=\"invalid_token\", error_description=\"{message}\"", asked.base, self.settings.tenant),
            )
        };
        let Some(token) = asked
            .header("authorization")
            .and_then(|h| h.split_once(' '))
            .filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token)
        else {
            return Err(refused(
                "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is missing.",
            ));
        };
        let Some((principal, audience, until)) = self.tokens.get(token) else {
            return Err(refused(
                "InvalidAuthenticationToken",
                "The access token is invalid.",
            ));
        };
        if *until <= self.now {
            return Err(refused(
                "ExpiredAuthenticationToken",
                "The access token expiry UTC time is earlier than current UTC time.",
            ));
        }
        let known = [
            "https://management.core.windows.net",
            "https://management.azure.com",
            asked.base.as_str(),
        ];
        if !known.contains(&audience.trim_end_matches('/')) {
            return Err(refused(
                "InvalidAuthenticationTokenAudience",
                &format!(
                    "The access token has been obtained for wrong audience or resource '{audience}'."
                ),
            ));
        }
        Ok(principal.clone())
    }
}

/// A refusal of the directory.
fn refused(status: u16, error: &str, code: u32, text: &str) -> Answer {
    Answer::json(
        status,
        json!({
            "error": error, "error_description": format!("AADSTS{code}: {text}"), "error_codes": [code],
            "timestamp": "2026-01-01 00:00:00Z", "trace_id": "00000000-0000-0000-0000-000000000000",
            "correlation_id": "00000000-0000-0000-0000-000000000000",
        }),
    )
}
