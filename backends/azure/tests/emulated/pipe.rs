//! Requests handed to the emulator in the process, in place of a network.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request, StatusCode};
use slurmburst_azure::{AzureConfig, AzureKind, AzureProvider};
use slurmburst_azure_emulator::Cloud;
use slurmburst_core::config::{ConfigError, ConfigTable};
use slurmburst_core::kind::{Operator, ProviderKind, Surroundings};
use slurmburst_core::provider::{CloudProvider, Lifecycle, Template};

/// How long a request is on its way, and its answer.
const ONE_WAY: Duration = Duration::from_millis(20);

/// A way to the emulator: Resource Manager's, and the directory's.
#[derive(Debug, Clone)]
pub(crate) struct Pipe {
    cloud: Cloud,
    kind: AzureKind,
}

impl Pipe {
    pub(crate) fn new(cloud: Cloud) -> Pipe {
        Pipe {
            cloud,
            kind: AzureKind::default(),
        }
    }
}

#[async_trait]
impl HttpClient for Pipe {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        tokio::time::sleep(ONE_WAY).await;
        let mut asked = http::Request::builder()
            .method(request.method().as_ref())
            .uri(request.url().as_str())
            .header("host", request.url().host_str().unwrap());
        for (name, value) in request.headers().iter() {
            asked = asked.header(name.as_str(), value.as_str());
        }
        let body = match request.body() {
            Body::Bytes(bytes) => bytes.to_vec(),
            Body::SeekableStream(_) => panic!("a body that is a stream"),
        };
        let answer = self.cloud.respond(asked.body(body).unwrap()).await;
        tokio::time::sleep(ONE_WAY).await;
        let cut = || azure_core::Error::with_message(ErrorKind::Io, "the connection was cut");
        let answer = answer.ok_or_else(cut)?;
        let mut headers = Headers::new();
        for (name, value) in answer.headers() {
            let name = HeaderName::from(name.as_str().to_owned());
            headers.insert(name, value.to_str().unwrap().to_owned());
        }
        let status = StatusCode::from(answer.status().as_u16());
        Ok(AsyncRawResponse::from_bytes(
            status,
            headers,
            answer.into_body(),
        ))
    }
}

/// `kind = "azure"`, whose requests go through the pipe.
impl ProviderKind for Pipe {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn provider(
        &self,
        config: &ConfigTable,
        around: &Surroundings,
    ) -> Result<Arc<dyn CloudProvider>, ConfigError> {
        let config = AzureConfig::read(config, around)?;
        let pipe = Arc::new(self.clone());
        let provider = AzureProvider::with_transport(config, pipe, None);
        Ok(Arc::new(self.kind.of_this_site(provider)))
    }

    fn template(&self, config: &ConfigTable, of: Lifecycle) -> Result<Template, ConfigError> {
        self.kind.template(config, of)
    }

    fn operator(
        &self,
        _: &ConfigTable,
        _: &Surroundings,
    ) -> Result<Option<Arc<dyn Operator>>, ConfigError> {
        Ok(None)
    }
}
