//! What went wrong before Azure answered: no token, no connection, a server
//! that is not trusted. Each says what to do.

use std::error::Error as StdError;

use azure_core::error::ErrorKind as SdkKind;
use azure_core::http::Url;
use slurmburst_core::error::{Effect, Error, ErrorKind};

use crate::config::{Auth, AzureConfig};

/// The SDK's errors: what did not come as an answer of Azure's.
pub(crate) fn unsent(config: &AzureConfig, what: &str, error: &azure_core::Error) -> Error {
    if let Some(untrusted) = untrusted(what, error) {
        return untrusted;
    }
    match error.kind() {
        SdkKind::Connection => Error::new(
            ErrorKind::Connect,
            format!("{what}: {}{}", reason(error), way(config)),
        ),
        SdkKind::Credential => no_token(config, what, error),
        SdkKind::HttpResponse { status, .. } => Error::new(
            ErrorKind::Unavailable,
            format!("{what}: HTTP {status}: {}", said(error)),
        ),
        // The request may have arrived.
        SdkKind::Io => Error::new(
            ErrorKind::Timeout,
            format!("{what}: the connection broke: {}", reason(error)),
        ),
        _ => Error::new(ErrorKind::Unexpected, format!("{what}: {}", said(error))),
    }
}

/// A server whose certificate is not to be trusted was told nothing.
fn untrusted(what: &str, error: &azure_core::Error) -> Option<Error> {
    let why = causes(error)
        .map(ToString::to_string)
        .filter(|text| text.contains("peer certificate"))
        .last()?;
    let text = format!(
        "{what}: {}; where a proxy or a cloud of your own signs certificates, name its authority's file in ca_bundle",
        first_line(&why, 200)
    );
    Some(Error::new(ErrorKind::Connect, text).code("UntrustedCertificate"))
}

/// No token, so nothing was sent. Whether the credential is bad or its service
/// was not reached is inside.
fn no_token(config: &AzureConfig, what: &str, error: &azure_core::Error) -> Error {
    let said = said(error);
    let mut kind = ErrorKind::Auth;
    for sdk in causes(error).filter_map(|e| e.downcast_ref::<azure_core::Error>()) {
        match sdk.kind() {
            SdkKind::Connection | SdkKind::Io => kind = ErrorKind::Connect,
            SdkKind::HttpResponse { status, .. } if u16::from(*status) >= 500 => {
                kind = ErrorKind::Unavailable;
            }
            SdkKind::HttpResponse { status, .. } if u16::from(*status) == 429 => {
                kind = ErrorKind::Throttled;
            }
            _ => {}
        }
    }
    let text = match kind {
        ErrorKind::Auth => format!("{what}: no token: {said}; {}", remedy(&config.auth)),
        ErrorKind::Connect => {
            let why = reason(error);
            let (service, hint) = service(config);
            format!("{what}: no token: {service} was not reached: {why}{hint}")
        }
        _ => format!("{what}: no token: {said}; what gives tokens cannot just now"),
    };
    Error::new(kind, text).effect(Effect::None).code("NoToken")
}

/// What to do about a credential that is refused.
fn remedy(auth: &Auth) -> String {
    match auth {
        Auth::ManagedIdentity { client_id: None } => {
            "give this VM an identity: `az vm identity assign`".to_owned()
        }
        Auth::ManagedIdentity { .. } => {
            "check client_id, and that this VM has that identity: `az vm identity show`".to_owned()
        }
        Auth::WorkloadIdentity { token_file, .. } => format!(
            "check tenant_id and client_id, and that its federated credential is for the service account of {}",
            token_file.display()
        ),
        Auth::Secret { file, .. } => format!(
            "check tenant_id and client_id, and whether the secret in {} has expired: `az ad app credential list`",
            file.display()
        ),
        Auth::Certificate { file, .. } => format!(
            "check tenant_id and client_id, and that the certificate in {} is the application's and has not expired",
            file.display()
        ),
        Auth::AzureCli { .. } => {
            "log in as the user that the programs run as, SlurmUser: `az login`".to_owned()
        }
    }
}

/// What gives tokens, and what to do where it is not reached.
fn service(config: &AzureConfig) -> (String, String) {
    match &config.auth {
        Auth::ManagedIdentity { .. } => (
            "the metadata service (169.254.169.254)".to_owned(),
            "; managed-identity works on an Azure VM only: elsewhere take another auth".to_owned(),
        ),
        Auth::AzureCli { .. } => ("the Azure CLI".to_owned(), String::new()),
        _ => (config.authority_host.clone(), way(config)),
    }
}

/// Which way requests go, where it may be that which is wrong.
fn way(config: &AzureConfig) -> String {
    let proxy = config.proxy.as_deref().and_then(|p| Url::parse(p).ok());
    match proxy {
        Some(url) => format!(
            "; requests go through proxy = \"{}\"",
            url.origin().ascii_serialization()
        ),
        None => String::new(),
    }
}

/// An error and what is behind it, outermost first.
fn causes(error: &azure_core::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    std::iter::from_fn(move || {
        let now = next?;
        next = now.source();
        Some(now)
    })
}

/// Only its words: the answer inside may hold more than belongs in a log.
fn said(error: &azure_core::Error) -> String {
    first_line(&error.to_string(), 400)
}

/// The innermost cause, which says most.
fn reason(error: &azure_core::Error) -> String {
    let last = causes(error).last().map(ToString::to_string);
    first_line(&last.unwrap_or_default(), 200)
}

fn first_line(text: &str, most: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    let line: String = line.chars().take(most).collect();
    line.trim_end_matches('.').to_owned()
}
