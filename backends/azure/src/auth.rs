//! From the site file's choice to a credential. One is chosen; none is tried.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::http::{ClientOptions, HttpClient, RetryOptions, Transport};
use azure_core::time::OffsetDateTime;
use azure_identity::{
    ClientAssertionCredential, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use serde::Deserialize;
use tokio::process::Command;

use crate::certificate::Certificate;
use crate::config::{Auth, AzureConfig};

/// Where packages install the Azure CLI. slurmctld's programs have no PATH.
const AZ: [&str; 3] = ["/usr/bin/az", "/usr/local/bin/az", "/opt/az/bin/az"];

/// How long the Azure CLI may take.
const AZ_LIMIT: Duration = Duration::from_secs(30);

/// The credential of the site file, with its secret read anew.
///
/// # Errors
/// Its file cannot be read, or is not what it should be.
pub(crate) fn credential(
    config: &AzureConfig,
    transport: &Arc<dyn HttpClient>,
) -> azure_core::Result<Arc<dyn TokenCredential>> {
    let mut cloud = CustomConfiguration::default();
    cloud.authority_host.clone_from(&config.authority_host);
    let client_options = ClientOptions {
        // What fails is retried outside, where the deadline is known.
        retry: RetryOptions::none(),
        transport: Some(Transport::new(Arc::clone(transport))),
        cloud: Some(Arc::new(CloudConfiguration::from(cloud))),
        ..ClientOptions::default()
    };
    Ok(match &config.auth {
        Auth::ManagedIdentity { client_id } => {
            ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                user_assigned_id: client_id.clone().map(UserAssignedId::ClientId),
                client_options,
            }))?
        }
        Auth::WorkloadIdentity {
            tenant_id,
            client_id,
            token_file,
        } => WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
            credential_options: ClientAssertionCredentialOptions { client_options },
            client_id: Some(client_id.clone()),
            tenant_id: Some(tenant_id.clone()),
            token_file_path: Some(token_file.clone()),
        }))?,
        Auth::Secret {
            tenant_id,
            client_id,
            file,
        } => {
            let secret = Secret::new(read(file)?.trim().to_owned());
            let options = ClientSecretCredentialOptions { client_options };
            ClientSecretCredential::new(tenant_id, client_id.clone(), secret, Some(options))?
        }
        Auth::Certificate {
            tenant_id,
            client_id,
            file,
        } => {
            let audience = format!("{}/{tenant_id}/oauth2/v2.0/token", config.authority_host);
            let certificate = Certificate::from_pem(&read(file)?, client_id, audience)
                .map_err(|why| refuse(format!("{}: {why}", file.display())))?;
            ClientAssertionCredential::new(
                tenant_id.clone(),
                client_id.clone(),
                certificate,
                Some(ClientAssertionCredentialOptions { client_options }),
            )?
        }
        Auth::AzureCli { tenant_id } => Arc::new(AzureCli {
            subscription: config.subscription_id.clone(),
            tenant: tenant_id.clone(),
        }),
    })
}

fn read(path: &Path) -> azure_core::Result<String> {
    fs::read_to_string(path).map_err(|e| refuse(format!("cannot read {}: {e}", path.display())))
}

pub(crate) fn refuse(message: String) -> azure_core::Error {
    azure_core::Error::with_message(ErrorKind::Credential, message)
}

/// Whoever is logged in to the Azure CLI. The SDK's own asks a shell for it;
/// this runs the program.
#[derive(Debug)]
struct AzureCli {
    subscription: String,
    tenant: Option<String>,
}

#[derive(Deserialize)]
struct AzToken {
    #[serde(rename = "accessToken")]
    token: Secret,
    /// Seconds since 1970.
    expires_on: i64,
}

#[async_trait]
impl TokenCredential for AzureCli {
    async fn get_token(
        &self,
        scopes: &[&str],
        _options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let Some(az) = AZ.map(PathBuf::from).into_iter().find(|p| p.exists()) else {
            return Err(refuse(format!(
                "the Azure CLI is at none of {}",
                AZ.join(", ")
            )));
        };
        let mut command = Command::new(&az);
        command.args(["account", "get-access-token", "--output", "json", "--scope"]);
        command.arg(scopes.join(" "));
        match &self.tenant {
            // The CLI takes one or the other.
            Some(tenant) => command.args(["--tenant", tenant]),
            None => command.args(["--subscription", &self.subscription]),
        };
        command
            .kill_on_drop(true)
            .stdin(std::process::Stdio::null());
        let ran = tokio::time::timeout(AZ_LIMIT, command.output()).await;
        let out = ran
            .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))
            .map_err(|e| refuse(format!("{} could not be run: {e}", az.display())))?;
        if !out.status.success() {
            let said = String::from_utf8_lossy(&out.stderr);
            let line = said
                .lines()
                .find(|l| !l.trim().is_empty())
                .unwrap_or("it gave no reason");
            return Err(refuse(format!(
                "the Azure CLI gave no token: {line}; try `az login`"
            )));
        }
        // The text holds the token: an error must not quote it.
        let token: AzToken = serde_json::from_slice(&out.stdout).map_err(|_| {
            refuse("the Azure CLI's answer is no token; it must be 2.54 or newer".into())
        })?;
        let expires = OffsetDateTime::from_unix_timestamp(token.expires_on)
            .map_err(|_| refuse("the Azure CLI's token ends at no time".into()))?;
        Ok(AccessToken::new(token.token, expires))
    }
}
