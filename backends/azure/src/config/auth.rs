//! Who the provider is: the `auth` key and those that belong to it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use slurmburst_core::config::{ConfigError, ConfigTable};

use super::read_file;

const AUTHS: [&str; 4] = [
    "managed-identity",
    "workload-identity",
    "service-principal",
    "azure-cli",
];

/// How the provider says who it is. Chosen, never tried in turn: a credential
/// that happens to be lying about must not decide whose money is spent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Auth {
    /// The identity of the VM that this runs on; of several, the one with this client id.
    ManagedIdentity {
        /// A user-assigned identity's client id.
        client_id: Option<String>,
    },
    /// A Kubernetes service account's token, exchanged.
    WorkloadIdentity {
        /// The tenant.
        tenant_id: String,
        /// The application's client id.
        client_id: String,
        /// The file that Kubernetes keeps the token in.
        token_file: PathBuf,
    },
    /// An application with a secret.
    Secret {
        /// The tenant.
        tenant_id: String,
        /// The application's client id.
        client_id: String,
        /// Where the secret is.
        file: PathBuf,
    },
    /// An application with a certificate.
    Certificate {
        /// The tenant.
        tenant_id: String,
        /// The application's client id.
        client_id: String,
        /// A PEM file with the private key and the certificate.
        file: PathBuf,
    },
    /// Whoever is logged in to the Azure CLI. For trying things out.
    AzureCli {
        /// The tenant, where it is not the login's own.
        tenant_id: Option<String>,
    },
}

pub(super) fn auth(table: &ConfigTable) -> Result<Auth, ConfigError> {
    let word = table.word("auth", &AUTHS)?.ok_or_else(|| {
        let all = AUTHS.map(|w| format!("\"{w}\"")).join(", ");
        table.error("auth", format!("is required: one of {all}"))
    })?;
    let allowed: &[&str] = match word {
        "managed-identity" => &["client_id"],
        "workload-identity" => &["tenant_id", "client_id", "federated_token_file"],
        "service-principal" => &[
            "tenant_id",
            "client_id",
            "client_secret_file",
            "client_certificate_file",
        ],
        _ => &["tenant_id"],
    };
    for key in [
        "tenant_id",
        "client_id",
        "client_secret_file",
        "client_certificate_file",
        "federated_token_file",
    ] {
        // The tenant may be stated anywhere: it names the directory, and harms nothing.
        if key != "tenant_id" && !allowed.contains(&key) && table.str(key)?.is_some() {
            let message = format!("is not used with auth = \"{word}\"; take it out");
            return Err(table.key_error(key, message));
        }
    }
    let tenant = guid_or_domain(table)?;
    let client = guid(table, "client_id")?;
    let needed = |value: Option<String>, key: &str| {
        value.ok_or_else(|| table.error(key, format!("is required with auth = \"{word}\"")))
    };
    Ok(match word {
        "managed-identity" => Auth::ManagedIdentity { client_id: client },
        "workload-identity" => {
            let file = table.path_of("federated_token_file")?;
            // What the webhook of workload identity mounts.
            let usual = PathBuf::from("/var/run/secrets/azure/tokens/azure-identity-token");
            Auth::WorkloadIdentity {
                tenant_id: needed(tenant, "tenant_id")?,
                client_id: needed(client, "client_id")?,
                token_file: file.unwrap_or(usual),
            }
        }
        "service-principal" => {
            let tenant_id = needed(tenant, "tenant_id")?;
            let client_id = needed(client, "client_id")?;
            let secret = table.path_of("client_secret_file")?;
            let certificate = table.path_of("client_certificate_file")?;
            match (secret, certificate) {
                (Some(file), None) => {
                    let text = secret_file(table, "client_secret_file", &file)?;
                    if text.trim().is_empty() {
                        let message = format!("{} is empty", file.display());
                        return Err(table.error("client_secret_file", message));
                    }
                    Auth::Secret {
                        tenant_id,
                        client_id,
                        file,
                    }
                }
                (None, Some(file)) => {
                    let text = secret_file(table, "client_certificate_file", &file)?;
                    if !text.contains("PRIVATE KEY-----")
                        || !text.contains("-----BEGIN CERTIFICATE-----")
                    {
                        let message = format!(
                            "{} must hold the private key and the certificate in PEM; from PKCS#12: `openssl pkcs12 -in FILE -nodes`",
                            file.display()
                        );
                        return Err(table.error("client_certificate_file", message));
                    }
                    Auth::Certificate {
                        tenant_id,
                        client_id,
                        file,
                    }
                }
                (Some(_), Some(_)) => {
                    let message = "is given beside client_secret_file; take one of them out";
                    return Err(table.key_error("client_certificate_file", message));
                }
                (None, None) => {
                    let message = "is required with auth = \"service-principal\" (or client_certificate_file)";
                    return Err(table.error("client_secret_file", message));
                }
            }
        }
        _ => Auth::AzureCli { tenant_id: tenant },
    })
}

/// A file that only its owner and group may read, for a secret.
fn secret_file(table: &ConfigTable, key: &str, path: &Path) -> Result<String, ConfigError> {
    let text = read_file(table, key, path)?;
    let mode = fs::metadata(path).map_or(0, |m| m.mode());
    if mode & 0o007 != 0 {
        let message = format!(
            "{} can be used by others (mode {:03o}): `chmod o= {}`, and take a new secret if others log in here",
            path.display(),
            mode & 0o777,
            path.display()
        );
        return Err(table.error(key, message));
    }
    Ok(text)
}

pub(super) fn guid(table: &ConfigTable, key: &str) -> Result<Option<String>, ConfigError> {
    match table.str(key)? {
        Some(id) if !is_guid(id) => {
            let message = format!(
                "must be an id such as \"00000000-0000-0000-0000-000000000000\", is \"{id}\""
            );
            Err(table.error(key, message))
        }
        other => Ok(other.map(str::to_ascii_lowercase)),
    }
}

/// A tenant is named by its id or by one of its domains.
fn guid_or_domain(table: &ConfigTable) -> Result<Option<String>, ConfigError> {
    match table.str("tenant_id")? {
        Some(id)
            if id.is_empty()
                || !id
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.') =>
        {
            let message = format!("must be the tenant's id or domain, is \"{id}\"");
            Err(table.error("tenant_id", message))
        }
        other => Ok(other.map(str::to_owned)),
    }
}

fn is_guid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|p| p.len()).eq([8, 4, 4, 4, 12])
        && parts
            .iter()
            .all(|p| p.chars().all(|c| c.is_ascii_hexdigit()))
}
