//! The emulator behind its sockets, without Python, under a paused clock: a
//! runtime whose time jumps does not disturb connections on loopback.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use slurmburst_azure_emulator::{Act, Clock, Emulator, Fault, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// One request on a connection of its own; what came back until its end.
async fn ask(azure: &Emulator, request: String) -> String {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(azure.ca_pem().as_bytes()).unwrap();
    roots.add(ca).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let port = azure
        .endpoint()
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    // A connection that is cut ends in an error, with what came until then.
    let _ = stream.read_to_end(&mut got).await;
    String::from_utf8(got).unwrap()
}

fn get(path: &str, token: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n"
    )
}

fn body(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test(start_paused = true)]
async fn tls_and_a_paused_clock() {
    let azure = Emulator::start(Settings::default(), Clock::tokio())
        .await
        .unwrap();
    let settings = azure.cloud().settings();
    let endpoints = body(
        &ask(
            &azure,
            get("/metadata/endpoints?api-version=2022-09-01", ""),
        )
        .await,
    );
    assert_eq!(endpoints["resourceManager"], "https://localhost");
    let (client, secret) = settings.clients.first_key_value().unwrap();
    let form = format!(
        "grant_type=client_credentials&client_id={client}&client_secret={secret}&scope=https://localhost/.default"
    );
    let login = format!(
        "POST /{}/oauth2/v2.0/token HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{form}",
        settings.tenant,
        form.len()
    );
    let token = body(&ask(&azure, login).await)["access_token"]
        .as_str()
        .unwrap()
        .to_string();
    let list = format!(
        "/subscriptions/{}/providers/Microsoft.Compute/virtualMachines?api-version=2024-07-01",
        settings.subscription()
    );
    assert!(
        ask(&azure, get(&list, "nobody"))
            .await
            .starts_with("HTTP/1.1 401")
    );
    assert_eq!(
        body(&ask(&azure, get(&list, &token)).await),
        json!({"value": []})
    );

    // Cut before and after: not a byte comes back.
    for act in [Act::Reset, Act::LoseReply] {
        azure.cloud().fault(Fault::new(act).times(1));
        assert_eq!(ask(&azure, get(&list, &token)).await, "");
    }
    azure.cloud().fault(Fault::new(Act::Delay(30.0)).times(1));
    let before = azure.cloud().clock().now();
    assert!(
        ask(&azure, get(&list, &token))
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(azure.cloud().clock().now() - before >= Duration::from_secs(30));
    // And the token dies of age.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(
        ask(&azure, get(&list, &token))
            .await
            .contains("ExpiredAuthenticationToken")
    );
}
