//! From the site file's choice to a credential. One is chosen; none is tried.

use std::fmt;
use std::fs;
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
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::certificate::Certificate;
use crate::config::{Auth, AzureConfig};

/// Where packages install the Azure CLI. slurmctld's programs have no PATH.
const AZ: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/opt/az/bin"];

/// How long a token may take to come. The SDK asks a metadata service that is
/// not there for more than a minute.
const LIMIT: Duration = Duration::from_secs(30);

/// How long nobody asks again.
const SHARED_FOR: Duration = Duration::from_secs(5);

/// The credential of the site file.
pub(crate) fn credential(
    config: &Arc<AzureConfig>,
    transport: &Arc<dyn HttpClient>,
) -> Arc<dyn TokenCredential> {
    Arc::new(InTime {
        config: Arc::clone(config),
        transport: Arc::clone(transport),
        state: Mutex::default(),
    })
}

/// The SDK's credential, with its secret read anew.
fn chosen(
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

/// A credential that answers in time. What fails, fails for all that ask just
/// then: a thousand nodes are not a thousand logins with a wrong secret. After
/// that the secret is read anew.
#[derive(Debug)]
struct InTime {
    config: Arc<AzureConfig>,
    transport: Arc<dyn HttpClient>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    credential: Option<Arc<dyn TokenCredential>>,
    failed: Option<(Instant, Shared)>,
}

#[derive(Debug, Clone)]
struct Shared(Arc<azure_core::Error>);

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Shared {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.0.as_ref())
    }
}

#[async_trait]
impl TokenCredential for InTime {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let mut state = self.state.lock().await;
        let recent = |(at, _): &&(Instant, Shared)| at.elapsed() < SHARED_FOR;
        if let Some((_, error)) = state.failed.as_ref().filter(recent) {
            return Err(azure_core::Error::new(ErrorKind::Credential, error.clone()));
        }
        let asked = timeout(LIMIT, async {
            let credential = match &state.credential {
                Some(credential) => Arc::clone(credential),
                None => chosen(&self.config, &self.transport)?,
            };
            let token = credential.get_token(scopes, options).await?;
            Ok((credential, token))
        });
        let asked = asked.await.unwrap_or_else(|_| {
            let late = format!("no answer in {} s", LIMIT.as_secs());
            Err(azure_core::Error::with_message(ErrorKind::Io, late))
        });
        match asked {
            Ok((credential, token)) => {
                state.credential = Some(credential);
                Ok(token)
            }
            Err(error) => {
                let error = Shared(Arc::new(error));
                state.credential = None;
                state.failed = Some((Instant::now(), error.clone()));
                Err(azure_core::Error::new(ErrorKind::Credential, error))
            }
        }
    }
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
        let Some(az) = az() else {
            return Err(refuse(format!(
                "the Azure CLI is neither in PATH nor in {}",
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
        let out = command
            .output()
            .await
            .map_err(|e| refuse(format!("{} could not be run: {e}", az.display())))?;
        if !out.status.success() {
            let said = String::from_utf8_lossy(&out.stderr);
            let line = said
                .lines()
                .find(|l| !l.trim().is_empty())
                .unwrap_or("it gave no reason");
            return Err(refuse(format!("the Azure CLI gave none: {line}")));
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

/// The Azure CLI that a person here would run, or else the installed one.
fn az() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let named = std::env::split_paths(&path).filter(|p| p.is_absolute());
    let all = named.chain(AZ.iter().map(PathBuf::from));
    all.map(|folder| folder.join("az")).find(|az| az.is_file())
}
