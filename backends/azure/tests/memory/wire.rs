//! The Azure in memory as a transport.

use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Method, Request, StatusCode};
use azure_core::time::OffsetDateTime;
use serde_json::Value;
use tokio::time::sleep;

use super::{Cloud, Kind, TOKEN, refuse};

fn kind(method: Method, path: &str) -> Kind {
    let tail = path.rsplit('/').next().unwrap();
    match (method, tail) {
        (_, "start") => "start",
        (_, "deallocate") => "deallocate",
        (_, "instanceView") => "view",
        (_, "virtualMachines") if path.contains("resourceGroups") => "list",
        (_, "virtualMachines") => "statuses",
        (_, "networkInterfaces") => "nics",
        (_, "disks") => "disks",
        (_, "versions") => "images",
        _ if path.contains("/operations/") => "operation",
        _ if !path.contains("/virtualMachines/") => "part",
        (Method::Put, _) => "create",
        (Method::Delete, _) => "delete",
        (Method::Patch, _) => "tag",
        _ => "get",
    }
}

#[async_trait]
impl HttpClient for Cloud {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let url = request.url().clone();
        assert_eq!(
            url.host_str(),
            Some("management.azure.com"),
            "the token went elsewhere"
        );
        let bearer = request
            .headers()
            .get_optional_str(&HeaderName::from_static("authorization"));
        assert_eq!(bearer, Some(format!("Bearer {TOKEN}").as_str()));
        let path = url.path().to_owned();
        let kind = kind(request.method(), &path);
        let name = path
            .trim_end_matches("/start")
            .trim_end_matches("/deallocate")
            .trim_end_matches("/instanceView")
            .rsplit('/')
            .next()
            .unwrap()
            .to_owned();
        let body = match request.body() {
            Body::Bytes(bytes) if !bytes.is_empty() => serde_json::from_slice(bytes).unwrap(),
            _ => Value::Null,
        };
        let (answer, lost, slow) = {
            let mut state = self.state();
            *state.counts.entry(kind).or_default() += 1;
            *state.counts.entry("all").or_default() += 1;
            state.sent.push((kind, body.clone()));
            let refused = state.refuse.filter(|r| r.0 == kind);
            let answer = if state.bad_credentials {
                refuse(401, "InvalidAuthenticationToken", "")
            } else if state.expired > 0 {
                state.expired -= 1;
                refuse(401, "ExpiredAuthenticationToken", "")
            } else if let Some((_, status, code, detail, seconds)) = refused {
                state.refuse = None;
                let (status, mut headers, body) = refuse(status, code, detail);
                headers.push(("retry-after", seconds.to_string()));
                (status, headers, body)
            } else {
                state.answer(
                    kind,
                    request.method(),
                    &path,
                    &name,
                    url.query().unwrap_or(""),
                    request,
                    body,
                )
            };
            let lost = state.lose.take_if(|k| *k == kind).is_some();
            (
                answer,
                lost,
                state.slow.take_if(|(k, _)| *k == kind).map(|(_, by)| by),
            )
        };
        if let Some(by) = slow {
            sleep(by).await;
        }
        if lost {
            return Err(azure_core::Error::with_message(
                ErrorKind::Io,
                "connection reset",
            ));
        }
        let mut headers = Headers::new();
        for (name, value) in answer.1 {
            headers.insert(HeaderName::from_static(name), value);
        }
        let bytes = if answer.2.is_null() {
            Vec::new()
        } else {
            answer.2.to_string().into_bytes()
        };
        Ok(AsyncRawResponse::from_bytes(
            StatusCode::from(answer.0),
            headers,
            bytes,
        ))
    }
}

/// A credential that always has the same token.
#[derive(Debug)]
pub(crate) struct Fixed;

#[async_trait]
impl TokenCredential for Fixed {
    async fn get_token(
        &self,
        _: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        Ok(AccessToken::new(
            TOKEN,
            OffsetDateTime::now_utc() + Duration::from_secs(3600),
        ))
    }
}
