//! `[provider.NAME]` with `kind = "azure"`.

mod auth;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use azure_core::http::Url;
use slurmburst_core::config::{ConfigError, ConfigTable};
use slurmburst_core::kind::Surroundings;

use self::auth::{auth, guid};

pub use self::auth::Auth;

const KEYS: [&str; 18] = [
    "subscription_id",
    "resource_group",
    "location",
    "tenant_id",
    "auth",
    "client_id",
    "client_secret_file",
    "client_certificate_file",
    "federated_token_file",
    "cloud",
    "endpoint",
    "authority_host",
    "audience",
    "api_version",
    "ca_bundle",
    "proxy",
    "match",
    "kind",
];

/// The first whose description promises never to write onto a machine that is there.
const OLDEST_API: &str = "2024-07-01";

/// How a machine that carries no tag of ours is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Match {
    /// Not at all: machines made by hand are adopted first, which tags them.
    #[default]
    Tag,
    /// By its name, for sites where tags may not be written.
    Name,
}

/// What the provider is told by the site file.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AzureConfig {
    /// The NAME of `[provider.NAME]`.
    pub name: String,
    /// The subscription that pays.
    pub subscription_id: String,
    /// The resource group that holds the machines.
    pub resource_group: String,
    /// The region, as Azure writes it: `westeurope`.
    pub location: String,
    /// Who we are.
    pub auth: Auth,
    /// Where Resource Manager answers, without a slash at the end.
    pub endpoint: String,
    /// Where tokens come from.
    pub authority_host: String,
    /// What tokens are for.
    pub audience: String,
    /// The version of the Compute API.
    pub api_version: String,
    /// Further authorities that may sign the servers' certificates, PEM.
    pub ca_bundle: Option<PathBuf>,
    /// The proxy that requests go through.
    pub proxy: Option<String>,
    /// How a machine without tags is known.
    pub matching: Match,
    /// How long to wait before asking how far something has come, where Azure
    /// does not say.
    pub poll_interval: Duration,
    /// How long after a change a listing may still miss it.
    pub consistency_window: Duration,
}

impl AzureConfig {
    /// The public cloud, with everything else at its default.
    pub fn new(
        name: impl Into<String>,
        subscription_id: impl Into<String>,
        resource_group: impl Into<String>,
        location: impl Into<String>,
        auth: Auth,
    ) -> AzureConfig {
        let cloud = Cloud::PUBLIC;
        AzureConfig {
            name: name.into(),
            subscription_id: subscription_id.into(),
            resource_group: resource_group.into(),
            location: location.into(),
            auth,
            endpoint: cloud.endpoint.to_owned(),
            authority_host: cloud.authority.to_owned(),
            audience: cloud.audience.to_owned(),
            api_version: OLDEST_API.to_owned(),
            ca_bundle: None,
            proxy: None,
            matching: Match::Tag,
            poll_interval: Duration::from_secs(10),
            consistency_window: Duration::from_secs(10),
        }
    }

    /// Reads `[provider.NAME]`. Looks at the files that it names, and makes no call.
    ///
    /// # Errors
    /// The first unknown, missing or wrong key.
    pub fn read(table: &ConfigTable, around: &Surroundings) -> Result<AzureConfig, ConfigError> {
        table.only(&KEYS)?;
        let subscription_id = guid(table, "subscription_id")?.ok_or_else(|| {
            table.error(
                "subscription_id",
                "is required: `az account show --query id`",
            )
        })?;
        let mut config = AzureConfig::new(
            &around.provider,
            subscription_id,
            resource_group(table)?,
            location(table)?,
            auth(table)?,
        );
        let cloud = Cloud::read(table)?;
        config.endpoint = address(table, "endpoint", cloud.endpoint)?;
        config.authority_host = address(table, "authority_host", cloud.authority)?;
        config.audience = match table.str("audience")? {
            Some(audience) if !audience.is_empty() => audience.trim_end_matches('/').to_owned(),
            _ if cloud.audience.is_empty() => config.endpoint.clone(),
            _ => cloud.audience.to_owned(),
        };
        if let Some(version) = table.str("api_version")? {
            if !is_api_version(version) {
                let message = format!("must be a date such as \"2024-07-01\", is \"{version}\"");
                return Err(table.error("api_version", message));
            }
            // Dates in this form are in the order of time.
            if version < OLDEST_API {
                let message = format!(
                    "must be {OLDEST_API} or newer, is \"{version}\": an older one may overwrite a machine that is there"
                );
                return Err(table.error("api_version", message));
            }
            version.clone_into(&mut config.api_version);
        }
        config.ca_bundle = table.path_of("ca_bundle")?;
        if let Some(path) = &config.ca_bundle {
            let text = read_file(table, "ca_bundle", path)?;
            if !text.contains("-----BEGIN CERTIFICATE-----") {
                let message = format!("{} holds no certificate in PEM", path.display());
                return Err(table.error("ca_bundle", message));
            }
        }
        if let Some(proxy) = table.str("proxy")? {
            let good = Url::parse(proxy)
                .is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
            if !good {
                let message = "must be the address of a proxy, such as \"http://proxy:3128\"";
                return Err(table.error("proxy", message));
            }
            // A site file is no secret.
            if Url::parse(proxy).is_ok_and(|u| !u.username().is_empty() || u.password().is_some()) {
                let message = "names a user or password, which others would read here; let the proxy know this machine by its address";
                return Err(table.error("proxy", message));
            }
            config.proxy = Some(proxy.to_owned());
        }
        if table.word("match", &["tag", "name"])? == Some("name") {
            config.matching = Match::Name;
        }
        Ok(config)
    }

    /// Who is rate limited together.
    pub(crate) fn principal(&self) -> String {
        let who = match &self.auth {
            Auth::ManagedIdentity { client_id } => {
                client_id.as_deref().unwrap_or("system-assigned")
            }
            Auth::WorkloadIdentity { client_id, .. }
            | Auth::Secret { client_id, .. }
            | Auth::Certificate { client_id, .. } => client_id,
            Auth::AzureCli { .. } => "azure-cli",
        };
        format!("{}/{}/{who}", self.subscription_id, self.location)
    }
}

impl fmt::Display for AzureConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "azure({})", self.name)
    }
}

/// Where a national cloud answers.
struct Cloud {
    endpoint: &'static str,
    authority: &'static str,
    audience: &'static str,
}

impl Cloud {
    const PUBLIC: Cloud = Cloud {
        endpoint: "https://management.azure.com",
        authority: "https://login.microsoftonline.com",
        audience: "https://management.azure.com",
    };

    fn read(table: &ConfigTable) -> Result<Cloud, ConfigError> {
        Ok(
            match table.word("cloud", &["public", "usgov", "china", "custom"])? {
                Some("usgov") => Cloud {
                    endpoint: "https://management.usgovcloudapi.net",
                    authority: "https://login.microsoftonline.us",
                    audience: "https://management.usgovcloudapi.net",
                },
                Some("china") => Cloud {
                    endpoint: "https://management.chinacloudapi.cn",
                    authority: "https://login.chinacloudapi.cn",
                    audience: "https://management.chinacloudapi.cn",
                },
                Some("custom") => {
                    for key in ["endpoint", "authority_host"] {
                        if table.str(key)?.is_none() {
                            return Err(table.error(key, "is required with cloud = \"custom\""));
                        }
                    }
                    Cloud {
                        endpoint: "",
                        authority: "",
                        audience: "",
                    }
                }
                _ => Cloud::PUBLIC,
            },
        )
    }
}

/// An https address without a path, or the cloud's own.
fn address(table: &ConfigTable, key: &str, default: &str) -> Result<String, ConfigError> {
    let Some(text) = table.str(key)? else {
        return Ok(default.to_owned());
    };
    let good = Url::parse(text).is_ok_and(|u| {
        u.scheme() == "https"
            && u.has_host()
            && u.username().is_empty()
            && u.password().is_none()
            && matches!(u.path(), "" | "/")
            && u.query().is_none()
            && u.fragment().is_none()
    });
    if !good {
        let message =
            "must be an https address without a path, such as \"https://management.azure.com\"";
        return Err(table.error(key, message));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn read_file(table: &ConfigTable, key: &str, path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path)
        .map_err(|e| table.error(key, format!("cannot read {}: {e}", path.display())))
}

fn resource_group(table: &ConfigTable) -> Result<String, ConfigError> {
    let name = table.required("resource_group")?;
    let word = |c: char| c.is_alphanumeric() || "-_.()".contains(c);
    if !(1..=90).contains(&name.chars().count()) || !name.chars().all(word) || name.ends_with('.') {
        let message = format!(
            "must be 1 to 90 letters, digits and -_.() and not end with a dot, is \"{name}\""
        );
        return Err(table.error("resource_group", message));
    }
    Ok(name.to_owned())
}

fn location(table: &ConfigTable) -> Result<String, ConfigError> {
    let name = table.required("location")?;
    if name.is_empty()
        || !name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    {
        let message = format!(
            "must be a region's short name such as \"westeurope\", is \"{name}\": `az account list-locations --query \"[].name\"`"
        );
        return Err(table.error("location", message));
    }
    Ok(name.to_owned())
}

fn is_api_version(text: &str) -> bool {
    let date = text.strip_suffix("-preview").unwrap_or(text);
    let parts: Vec<&str> = date.split('-').collect();
    parts.iter().map(|p| p.len()).eq([4, 2, 2])
        && parts.iter().all(|p| p.chars().all(|c| c.is_ascii_digit()))
}
