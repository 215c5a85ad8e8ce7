//! A small Resource Manager client: one request, one answer, no retries.
//!
//! It sends over azure_core's pipeline, which adds the token; it adds what the
//! project needs of a client: a deadline, the refusals told apart, and a token
//! that goes to no host but Resource Manager's.

use std::fmt;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::policies::Policy;
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::{
    ClientOptions, Context as SdkContext, HttpClient, Method, Pipeline, PipelineSendOptions,
    Request, RetryOptions, Transport, Url,
};
use azure_core::time::{OffsetDateTime, parse_rfc7231};
use serde_json::Value;
use slurmburst_core::error::{Effect, Error, ErrorKind, Result};
use slurmburst_core::provider::Context;
use tokio::sync::RwLock;
use tokio::time::timeout_at;

use crate::api::{self, Paged, Unreadable};
use crate::auth;
use crate::config::AzureConfig;
use crate::error::{Refused, refused, unreadable};
use crate::pace::{Class, Pace, is_of_one_machine};
use crate::token::Held;
use crate::unsent::unsent;

const CONNECT: Duration = Duration::from_secs(15);
const READ: Duration = Duration::from_secs(60);

/// Compute lets one machine be changed four times a minute.
const OWN_BUCKET: Duration = Duration::from_secs(15);

/// More pages than any list has; a server that never ends must not keep us.
const MOST_PAGES: u32 = 10_000;

/// What is asked of Resource Manager.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    /// What it is for, for errors: `create c1`.
    pub(crate) what: &'a str,
    pub(crate) method: Method,
    pub(crate) url: &'a str,
    pub(crate) body: Option<&'a Value>,
    /// Only if there is nothing of that name.
    pub(crate) if_absent: bool,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(what: &'a str, method: Method, url: &'a str) -> Ask<'a> {
        Ask {
            what,
            method,
            url,
            body: None,
            if_absent: false,
        }
    }
}

/// An answer that is no refusal.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// Where to ask how far it has come. Used as it is: it is signed.
    pub(crate) operation: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) request_id: Option<String>,
}

/// A transport of the caller's, and a credential where it does not answer for
/// the token service too.
pub(crate) type Given = (Arc<dyn HttpClient>, Option<Arc<dyn TokenCredential>>);

/// The way to Resource Manager, with the credential for it.
#[derive(Debug)]
struct Line {
    token: Arc<Held>,
    scope: String,
    pipeline: Pipeline,
    /// Whether its credential was taken once.
    is_taken: AtomicBool,
}

/// Resource Manager, as this provider is allowed to see it.
pub(crate) struct Client {
    config: Arc<AzureConfig>,
    endpoint: Option<Url>,
    /// Given by a test; otherwise made when first needed.
    given: Option<Given>,
    transport: OnceLock<Arc<dyn HttpClient>>,
    /// Made anew when a token has run out.
    line: RwLock<Option<Arc<Line>>>,
    pace: Pace,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("endpoint", &self.config.endpoint)
            .finish_non_exhaustive()
    }
}

impl Client {
    pub(crate) fn new(config: Arc<AzureConfig>, given: Option<Given>) -> Client {
        Client {
            endpoint: Url::parse(&config.endpoint).ok(),
            config,
            given,
            transport: OnceLock::new(),
            line: RwLock::new(None),
            pace: Pace::default(),
        }
    }

    /// Asks, until the deadline.
    pub(crate) async fn ask(&self, cx: &Context, ask: &Ask<'_>) -> Result<Reply> {
        self.ours(ask.url, ask.what)?;
        let class = Class::of(ask.method);
        match timeout_at(cx.deadline(), self.pace.turn(class)).await {
            Ok(turn) => turn?,
            // Not sent yet.
            Err(_) => return Err(too_late(ask.what).effect(Effect::None)),
        }
        let Ok(line) = timeout_at(cx.deadline(), self.ready(ask.what)).await else {
            return Err(too_late(ask.what).effect(Effect::None));
        };
        let sent = timeout_at(cx.deadline(), self.send(line?, ask)).await;
        sent.unwrap_or_else(|_| Err(too_late(ask.what)))
    }

    async fn send(&self, line: Arc<Line>, ask: &Ask<'_>) -> Result<Reply> {
        match self.send_once(&line, ask).await {
            // The token has run out or was withdrawn: Azure did nothing, and a new
            // one may do.
            Err(error) if is_of_the_token(&error) => {
                let mut held = self.line.write().await;
                if held.as_ref().is_some_and(|l| Arc::ptr_eq(l, &line)) {
                    *held = None;
                }
                drop(held);
                // One that was never taken is the credential's fault.
                let was_good = line.is_taken.load(Ordering::Relaxed);
                if !was_good && error.cloud_code() != Some("ExpiredAuthenticationToken") {
                    return Err(error);
                }
                let fresh = self.ready(ask.what).await?;
                self.send_once(&fresh, ask).await
            }
            other => other,
        }
    }

    async fn send_once(&self, line: &Line, ask: &Ask<'_>) -> Result<Reply> {
        let url = Url::parse(ask.url).map_err(|e| bad_url(ask.what, &e.to_string()))?;
        let mut request = Request::new(url, ask.method);
        request.insert_header("accept", "application/json");
        if ask.if_absent {
            request.insert_header("if-none-match", "*");
        }
        match ask.body {
            Some(body) => {
                request.insert_header("content-type", "application/json");
                request.set_body(body.to_string().into_bytes());
            }
            None if ask.method == Method::Post => request.insert_header("content-length", "0"),
            None => {}
        }
        let raw = PipelineSendOptions {
            skip_checks: true,
            ..PipelineSendOptions::default()
        };
        let answer = line
            .pipeline
            .send(&SdkContext::new(), &mut request, Some(raw))
            .await;
        let (status, headers, body) = answer
            .map_err(|e| unsent(&self.config, ask.what, &e))?
            .deconstruct();
        let status = u16::from(status);
        let retry_after = retry_after(&headers);
        let request_id = text(&headers, "x-ms-request-id");
        self.pace.heard(Class::of(ask.method), &headers);
        if status != 401 {
            line.is_taken.store(true, Ordering::Relaxed);
        }
        let body = body.as_ref().to_vec();
        if !(200..300).contains(&status) {
            let with = Refused {
                status,
                retry_after,
                request_id: request_id.as_deref(),
            };
            let fault = api::fault(&body);
            let error = refused(ask.what, &with, &fault);
            if error.kind() == ErrorKind::Throttled && is_of_one_machine(&headers) {
                // The others need not wait.
                return Err(own_bucket(ask.what, &error));
            }
            if error.kind() == ErrorKind::Throttled {
                self.pace.throttled(Class::of(ask.method), error.delay());
            }
            return Err(error);
        }
        // Not `Location`: it says that something has ended, and not how.
        let operation = text(&headers, "azure-asyncoperation");
        Ok(Reply {
            status,
            body,
            operation,
            retry_after,
            request_id,
        })
    }

    /// GET, read by `parse`.
    pub(crate) async fn get<T>(
        &self,
        cx: &Context,
        what: &str,
        url: &str,
        parse: impl Fn(&[u8]) -> Result<T, Unreadable>,
    ) -> Result<T> {
        let reply = self.ask(cx, &Ask::new(what, Method::Get, url)).await?;
        parse(&reply.body).map_err(|e| unreadable(what, &e))
    }

    /// GET, all pages.
    pub(crate) async fn all<T>(
        &self,
        cx: &Context,
        what: &str,
        url: &str,
        parse: impl Fn(&[u8]) -> Result<Paged<T>, Unreadable>,
    ) -> Result<Vec<T>> {
        let (all, _) = self.pages(cx, what, url, parse).await?;
        Ok(all)
    }

    /// GET, all pages; and how many there were.
    pub(crate) async fn pages<T>(
        &self,
        cx: &Context,
        what: &str,
        url: &str,
        parse: impl Fn(&[u8]) -> Result<Paged<T>, Unreadable>,
    ) -> Result<(Vec<T>, u32)> {
        let mut all = Vec::new();
        let mut next = Some(url.to_owned());
        for pages in 0..MOST_PAGES {
            let Some(url) = next.take() else {
                return Ok((all, pages));
            };
            let (items, link) = self.get(cx, what, &url, &parse).await?;
            all.extend(items);
            if link.as_deref() == Some(&url) {
                break;
            }
            next = link;
        }
        Err(Error::new(
            ErrorKind::Unexpected,
            format!("{what}: its pages do not end"),
        ))
    }

    /// The token goes to Resource Manager and nowhere else, whatever an answer says.
    fn ours(&self, url: &str, what: &str) -> Result<()> {
        let url = Url::parse(url).map_err(|e| bad_url(what, &e.to_string()))?;
        let same = self.endpoint.as_ref().is_some_and(|e| {
            e.scheme() == url.scheme()
                && e.host() == url.host()
                && e.port_or_known_default() == url.port_or_known_default()
                && url.username().is_empty()
                && url.password().is_none()
        });
        if same {
            return Ok(());
        }
        let host = url.host_str().unwrap_or("no host");
        Err(bad_url(
            what,
            &format!(
                "Azure named an address at {host}, which is not {}; the token is not sent there",
                self.config.endpoint
            ),
        ))
    }

    /// The way, with a good token at hand.
    async fn ready(&self, what: &str) -> Result<Arc<Line>> {
        let line = self.line().await?;
        let renewed = line.token.renew(&line.scope).await;
        renewed.map_err(|e| unsent(&self.config, what, &e))?;
        Ok(line)
    }

    async fn line(&self) -> Result<Arc<Line>> {
        if let Some(line) = self.line.read().await.as_ref() {
            return Ok(Arc::clone(line));
        }
        let mut held = self.line.write().await;
        if let Some(line) = held.as_ref() {
            return Ok(Arc::clone(line));
        }
        let transport = self.transport()?;
        let given = self
            .given
            .as_ref()
            .and_then(|(_, credential)| credential.clone());
        let credential = match given {
            Some(credential) => credential,
            None => auth::credential(&self.config, &transport),
        };
        let token = Arc::new(Held::new(credential));
        let scope = format!("{}/.default", self.config.audience);
        let bearer: Arc<dyn Policy> = Arc::new(BearerTokenAuthorizationPolicy::new(
            Arc::<Held>::clone(&token),
            [scope.clone()],
        ));
        let options = ClientOptions {
            retry: RetryOptions::none(),
            transport: Some(Transport::new(transport)),
            ..ClientOptions::default()
        };
        let name = option_env!("CARGO_PKG_NAME");
        let version = option_env!("CARGO_PKG_VERSION");
        let line = Arc::new(Line {
            token,
            scope,
            is_taken: AtomicBool::new(false),
            pipeline: Pipeline::new(name, version, options, Vec::new(), vec![bearer], None),
        });
        *held = Some(Arc::clone(&line));
        Ok(line)
    }

    fn transport(&self) -> Result<Arc<dyn HttpClient>> {
        if let Some((transport, _)) = &self.given {
            return Ok(Arc::clone(transport));
        }
        if let Some(transport) = self.transport.get() {
            return Ok(Arc::clone(transport));
        }
        let made: Arc<dyn HttpClient> = Arc::new(http_client(&self.config)?);
        Ok(Arc::clone(self.transport.get_or_init(|| made)))
    }
}

fn http_client(config: &AzureConfig) -> Result<reqwest::Client> {
    let invalid = |what: String| Error::new(ErrorKind::Invalid, what);
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .read_timeout(READ)
        // An answer does not say where the token goes next.
        .redirect(reqwest::redirect::Policy::none());
    if let Some(path) = &config.ca_bundle {
        let what = |e: &dyn fmt::Display| invalid(format!("ca_bundle {}: {e}", path.display()));
        let pem = fs::read(path).map_err(|e| what(&e))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| what(&e))?;
        builder = builder.tls_certs_merge(certificates);
    }
    builder = match &config.proxy {
        Some(proxy) => {
            let all = reqwest::Proxy::all(proxy)
                .map_err(|_| invalid("proxy: its address cannot be used".to_owned()))?;
            // The metadata service, which knows the machine's identity, is on the machine.
            let direct = reqwest::NoProxy::from_string("169.254.169.254,localhost,127.0.0.1");
            builder.proxy(all.no_proxy(direct))
        }
        // Only what the site file says: the environment differs from program to program.
        None => builder.no_proxy(),
    };
    builder
        .build()
        .map_err(|e| invalid(format!("the HTTPS client cannot be made: {e}")))
}

/// Whether a request was refused for its token, and not for its sender.
fn is_of_the_token(error: &Error) -> bool {
    matches!(
        error.cloud_code(),
        Some(
            "ExpiredAuthenticationToken"
                | "InvalidAuthenticationToken"
                | "AuthenticationFailed"
                | "HTTP 401"
        )
    )
}

/// A machine is asked for too much of too often: nothing but it has to wait.
fn own_bucket(what: &str, refusal: &Error) -> Error {
    let text = format!("{what}: too many requests for this one machine");
    Error::new(ErrorKind::Conflict, text)
        .effect(Effect::None)
        .code("TooManyRequests")
        .retry_after(refusal.delay().unwrap_or(OWN_BUCKET))
}

fn too_late(what: &str) -> Error {
    Error::new(
        ErrorKind::Timeout,
        format!("{what}: no answer at the deadline"),
    )
}

fn bad_url(what: &str, why: &str) -> Error {
    Error::new(ErrorKind::Unexpected, format!("{what}: {why}"))
        .effect(Effect::None)
        .code("ForeignAddress")
}

pub(crate) fn text(headers: &Headers, name: &'static str) -> Option<String> {
    let value = headers.get_optional_str(&HeaderName::from_static(name))?;
    (!value.is_empty()).then(|| value.to_owned())
}

/// How long Azure said to wait, in any of its ways.
fn retry_after(headers: &Headers) -> Option<Duration> {
    for name in ["retry-after-ms", "x-ms-retry-after-ms"] {
        if let Some(ms) = text(headers, name).and_then(|v| v.trim().parse().ok()) {
            return Some(Duration::from_millis(ms));
        }
    }
    let value = text(headers, "retry-after")?;
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = parse_rfc7231(value.trim()).ok()?;
    Duration::try_from(until - OffsetDateTime::now_utc()).ok()
}
