//! What goes over the wire: answers, Azure's error bodies, requests taken apart.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use serde_json::{Value, json};

/// An answer before it becomes HTTP. A refusal is an answer too, so handlers
/// return `Result<Answer, Answer>`.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<Value>,
}

pub(crate) type Handled = Result<Answer, Answer>;

impl Answer {
    pub(crate) fn json(status: u16, body: Value) -> Answer {
        Answer {
            status,
            headers: Vec::new(),
            body: Some(body),
        }
    }

    pub(crate) fn empty(status: u16) -> Answer {
        Answer {
            status,
            headers: Vec::new(),
            body: None,
        }
    }

    /// Azure's error body.
    pub(crate) fn error(status: u16, code: &str, message: impl Into<String>) -> Answer {
        let message: String = message.into();
        let answer = Answer::json(status, json!({"error": {"code": code, "message": message}}));
        answer.with("x-ms-error-code", code)
    }

    /// Azure's error body with the request's guilty field.
    pub(crate) fn invalid(target: &str, message: impl Into<String>) -> Answer {
        let message: String = message.into();
        Answer::json(
            400,
            json!({"error": {"code": "InvalidParameter", "message": message, "target": target}}),
        )
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn into_http(self) -> Response<Vec<u8>> {
        let mut response = Response::new(Vec::new());
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in &self.headers {
            if let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_str(value),
            ) {
                response.headers_mut().append(name, value);
            }
        }
        if let Some(body) = self.body {
            response.headers_mut().insert(
                "content-type",
                HeaderValue::from_static("application/json; charset=utf-8"),
            );
            *response.body_mut() = serde_json::to_vec(&body).unwrap_or_default();
        }
        response
    }
}

/// A request taken apart.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Whether it came over TLS.
    pub(crate) secure: bool,
    /// `https://host[:port]`, by which answers name this server.
    pub(crate) base: String,
    pub(crate) path: String,
    /// The query as sent, without its `?`.
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// The path's parts as sent, decoded.
    pub(crate) parts: Vec<String>,
}

impl Asked {
    pub(crate) fn new(request: Request<Vec<u8>>, secure: bool) -> Asked {
        let (head, body) = request.into_parts();
        let host = head
            .headers
            .get("host")
            .and_then(|h| h.to_str().ok())
            .map(str::to_string)
            .or_else(|| head.uri.authority().map(|a| a.to_string()))
            .unwrap_or_else(|| "localhost".to_string());
        let path = head.uri.path().to_string();
        Asked {
            method: head.method.as_str().to_string(),
            secure,
            base: format!("{}://{host}", if secure { "https" } else { "http" }),
            query: head.uri.query().unwrap_or_default().to_string(),
            parts: path
                .split('/')
                .filter(|part| !part.is_empty())
                .map(decode)
                .collect(),
            path,
            headers: head.headers,
            body,
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A query parameter, its name compared without case as Azure does.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        pairs(&self.query)
            .into_iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub(crate) fn api_version(&self) -> String {
        self.parameter("api-version").unwrap_or_default()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value, Answer> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Answer::error(
                400,
                "InvalidRequestContent",
                format!(
                    "The request content was invalid and could not be deserialized: '{error}'."
                ),
            )
        })
    }
}

/// The pairs of a query or of a form.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (
                decode(&key.replace('+', " ")),
                decode(&value.replace('+', " ")),
            )
        })
        .collect()
}

/// Undoes percent-encoding; what is not valid stays as it is.
pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = bytes
            .get(at + 1..at + 3)
            .filter(|_| byte == b'%')
            .and_then(|two| std::str::from_utf8(two).ok())
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        out.push(hex.unwrap_or(byte));
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Percent-encodes all but what needs no encoding anywhere.
pub(crate) fn encode(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
