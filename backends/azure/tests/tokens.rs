//! Every `auth` over real TLS, from a site file's text to the emulator behind
//! its socket; and what goes wrong on the way: each its own error, which says
//! what to do and holds no secret.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails like this")]

mod site;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::http::{AsyncRawResponse, HttpClient, Request};
use futures::future::join_all;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use slurmburst_azure::{AzureConfig, AzureProvider};
use slurmburst_core::error::{Error, ErrorKind};
use slurmburst_core::kind::Surroundings;
use slurmburst_core::outcome::Outcome;
use slurmburst_core::provider::CloudProvider;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use site::{Azure, CLUSTER, create, cx, ids, path, provider};

/// Lists with this provider, which has to fail.
async fn refusal(provider: &dyn CloudProvider) -> Error {
    let error = provider.list(&cx()).await.unwrap_err();
    let said = format!("{error} {error:?}");
    for secret in ["s3cret", "wr0ng", "eyJ", "Bearer", "assertion="] {
        assert!(!said.contains(secret), "{said}");
    }
    error
}

fn says(error: &Error, kind: ErrorKind, code: &str, words: &[&str]) {
    let text = error.to_string();
    assert_eq!(
        (error.kind(), error.cloud_code()),
        (kind, Some(code)),
        "{text}"
    );
    for word in words {
        assert!(text.contains(word), "\"{text}\" should say \"{word}\"");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_secret_lists_and_creates_with_one_token() {
    let azure = Azure::start().await;
    let keys = azure.at(&azure.emulator.endpoint()) + &azure.trusted() + &azure.with_secret();
    let site = azure.site(&keys);
    let provider = provider(&site);
    assert!(provider.list(&cx()).await.unwrap().is_complete());
    let outcome = create(&cx(), &site, provider.as_ref(), "c1").await;
    assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
    let books = azure.emulator.cloud().books();
    assert_eq!((books.vms, books.count("PUT virtualMachines")), (1, 1));
    assert_eq!(books.count("token"), 1, "{:?}", books.calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_lists() {
    let azure = Azure::start().await;
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let certificate = CertificateParams::new(vec!["slurmburst".into()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let pem = key.serialize_pem() + &certificate.pem();
    let file = azure.file("certificate.pem", &pem, 0o640);
    let keys = azure.at(&azure.emulator.endpoint())
        + &azure.trusted()
        + &azure.principal()
        + &path("client_certificate_file", &file);
    let provider = provider(&azure.site(&keys));
    assert!(provider.list(&cx()).await.unwrap().is_complete());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_federated_token_lists_and_a_missing_one_is_named() {
    let azure = Azure::start().await;
    let settings = azure.emulator.cloud().settings();
    let file = azure.file("federated", "head.body.signature", 0o644);
    let keys = azure.at(&azure.emulator.endpoint())
        + &azure.trusted()
        + "auth = \"workload-identity\"\n"
        + &ids(&settings, settings.clients.keys().next().unwrap())
        + &path("federated_token_file", &file);
    let site = azure.site(&keys);
    assert!(provider(&site).list(&cx()).await.unwrap().is_complete());

    std::fs::remove_file(&file).unwrap();
    let error = refusal(provider(&azure.site(&keys)).as_ref()).await;
    let file = file.display().to_string();
    says(
        &error,
        ErrorKind::Auth,
        "NoToken",
        &[&file, "service account"],
    );
}

/// The metadata service has one address on every VM, where the tests have none:
/// this takes what goes there to the emulator's.
#[derive(Debug)]
struct OnAVm {
    network: reqwest::Client,
    /// The emulator's port; none on a machine that is no VM.
    port: Option<u16>,
    asked: AtomicUsize,
}

impl OnAVm {
    fn new(azure: &Azure, port: Option<u16>) -> Arc<OnAVm> {
        let ca = reqwest::Certificate::from_pem(azure.emulator.ca_pem().as_bytes()).unwrap();
        let network = reqwest::Client::builder().no_proxy().tls_certs_merge([ca]);
        Arc::new(OnAVm {
            network: network.build().unwrap(),
            port,
            asked: AtomicUsize::new(0),
        })
    }
}

#[async_trait]
impl HttpClient for OnAVm {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let mut request = request.clone();
        if request.url().host_str() == Some("169.254.169.254") {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let Some(port) = self.port else {
                let kind = azure_core::error::ErrorKind::Connection;
                return Err(azure_core::Error::with_message(kind, "no route to host"));
            };
            request.url_mut().set_host(Some("127.0.0.1")).unwrap();
            request.url_mut().set_port(Some(port)).unwrap();
        }
        self.network.execute_request(&request).await
    }
}

fn on_a_vm(azure: &Azure, more: &str, vm: &Arc<OnAVm>) -> AzureProvider {
    let keys = azure.at(&azure.emulator.endpoint()) + "auth = \"managed-identity\"\n" + more;
    let site = azure.site(&keys);
    let table = &site.provider("azure").unwrap().config;
    let around = Surroundings::new("azure", CLUSTER, "/etc/slurm/slurm.conf", "/nonexistent");
    let config = AzureConfig::read(table, &around).unwrap();
    AzureProvider::with_transport(config, Arc::clone(vm) as Arc<dyn HttpClient>, None)
}

fn imds_port(azure: &Azure) -> Option<u16> {
    azure
        .emulator
        .imds()
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_managed_identity_lists_by_itself_and_by_its_client_id() {
    let azure = Azure::start().await;
    let vm = OnAVm::new(&azure, imds_port(&azure));
    let named = azure.emulator.cloud().settings().managed_identity;
    for (asked, keys) in [String::new(), format!("client_id = \"{named}\"\n")]
        .iter()
        .enumerate()
    {
        let provider = on_a_vm(&azure, keys, &vm);
        assert!(provider.list(&cx()).await.unwrap().is_complete());
        assert!(provider.list(&cx()).await.unwrap().is_complete());
        assert_eq!(
            vm.asked.load(Ordering::Relaxed),
            asked + 1,
            "one token each"
        );
    }
    let other = "client_id = \"44444444-4444-4444-4444-444444444444\"\n";
    let error = refusal(&on_a_vm(&azure, other, &vm)).await;
    says(
        &error,
        ErrorKind::Auth,
        "NoToken",
        &["check client_id", "az vm identity show"],
    );
}

/// The SDK asks again and again, for over a minute; here time is tokio's.
#[tokio::test(start_paused = true)]
async fn a_machine_that_is_no_vm_is_told_so() {
    let azure = Azure::start().await;
    let vm = OnAVm::new(&azure, None);
    let error = refusal(&on_a_vm(&azure, "", &vm)).await;
    let words = ["169.254.169.254", "was not reached", "on an Azure VM only"];
    says(&error, ErrorKind::Connect, "NoToken", &words);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_refused_or_unreadable_is_its_own_error() {
    let azure = Azure::start().await;
    let base = azure.at(&azure.emulator.endpoint()) + &azure.trusted();
    let file = azure.file("wrong", "wr0ng", 0o600);
    let keys = base.clone() + &azure.principal() + &path("client_secret_file", &file);
    let site = azure.site(&keys);
    let error = refusal(provider(&site).as_ref()).await;
    let file_name = file.display().to_string();
    let words = [
        "AADSTS7000215",
        &file_name,
        "expired",
        "az ad app credential list",
    ];
    says(&error, ErrorKind::Auth, "NoToken", &words);
    let logins = azure.emulator.cloud().books().count("token");
    assert_eq!(logins, 1, "four lists, one login");

    // It goes between the reading of the site file and its use.
    let provider_of_old = provider(&azure.site(&keys));
    std::fs::remove_file(&file).unwrap();
    let error = refusal(provider_of_old.as_ref()).await;
    says(
        &error,
        ErrorKind::Auth,
        "NoToken",
        &["cannot read", &file_name],
    );

    let keys = base
        + &azure
            .with_secret()
            .replace("11111111-1111", "99999999-1111");
    let error = refusal(provider(&azure.site(&keys)).as_ref()).await;
    says(
        &error,
        ErrorKind::Auth,
        "NoToken",
        &["AADSTS90002", "check tenant_id"],
    );
    assert_eq!(azure.emulator.cloud().books().count("virtualMachines"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_nodes_are_not_a_hundred_logins() {
    let azure = Azure::start().await;
    let wrong = azure.file("wrong", "wr0ng", 0o600);
    let keys = azure.at(&azure.emulator.endpoint())
        + &azure.trusted()
        + &azure.principal()
        + &path("client_secret_file", &wrong);
    let site = azure.site(&keys);
    let (provider, cx) = (provider(&site), cx());
    let nodes: Vec<String> = (1..=100).map(|n| format!("c{n}")).collect();
    let all = nodes
        .iter()
        .map(|node| create(&cx, &site, provider.as_ref(), node));
    for outcome in join_all(all).await {
        let Outcome::Failed(error) = outcome else {
            panic!("{outcome:?}");
        };
        says(&error, ErrorKind::Auth, "NoToken", &["AADSTS7000215"]);
    }
    let logins = azure.emulator.cloud().books().count("token");
    assert!(logins <= 10, "{logins} logins with a wrong secret");
    // It is put right while the program runs.
    azure.with_secret();
    std::fs::copy(azure.dir.path().join("secret"), &wrong).unwrap();
    sleep(Duration::from_secs(6)).await;
    assert!(provider.list(&cx).await.unwrap().is_complete());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expires_under_way_is_replaced_with_the_secret_of_now() {
    let azure = Azure::start().await;
    let cloud = azure.emulator.cloud();
    let keys = azure.at(&azure.emulator.endpoint()) + &azure.trusted() + &azure.with_secret();
    let site = azure.site(&keys);
    let provider = provider(&site);
    provider.list(&cx()).await.unwrap();
    cloud.expire_tokens();
    let outcome = create(&cx(), &site, provider.as_ref(), "c1").await;
    assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");

    // The secret was renewed meanwhile, here and there.
    cloud.expire_tokens();
    cloud.change(|s| s.clients.values_mut().for_each(|v| *v = "s3cret-2".into()));
    azure.file("secret", "s3cret-2", 0o600);
    provider.list(&cx()).await.unwrap();

    // And there alone.
    cloud.expire_tokens();
    cloud.change(|s| s.clients.values_mut().for_each(|v| *v = "s3cret-3".into()));
    let error = refusal(provider.as_ref()).await;
    says(
        &error,
        ErrorKind::Auth,
        "NoToken",
        &["AADSTS7000215", "has expired"],
    );
    assert_eq!(cloud.books().vms, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_an_unknown_authority_gets_no_secret() {
    let azure = Azure::start().await;
    let keys = azure.at(&azure.emulator.endpoint()) + &azure.with_secret();
    let error = refusal(provider(&azure.site(&keys)).as_ref()).await;
    says(
        &error,
        ErrorKind::Connect,
        "UntrustedCertificate",
        &["ca_bundle"],
    );
    assert!(azure.emulator.cloud().books().calls.is_empty());
}

#[derive(Default)]
struct Proxy {
    tunnels: AtomicUsize,
    refuses: bool,
}

impl Proxy {
    /// Its address.
    async fn start(self: &Arc<Proxy>) -> String {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let proxy = Arc::clone(self);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let proxy = Arc::clone(&proxy);
                tokio::spawn(async move { proxy.serve(client).await });
            }
        });
        address
    }

    /// Takes a client to the port that it names, on this machine.
    async fn serve(&self, client: TcpStream) -> std::io::Result<()> {
        let mut client = BufReader::new(client);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            client.read_line(&mut head).await?;
        }
        let target = head
            .strip_prefix("CONNECT ")
            .and_then(|t| t.split(' ').next());
        let (host, port) = target.and_then(|t| t.rsplit_once(':')).unwrap();
        assert_eq!(host, slurmburst_azure_emulator::PROXIED_HOST);
        if self.refuses {
            return client.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await;
        }
        self.tunnels.fetch_add(1, Ordering::Relaxed);
        let mut server = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).await?;
        client
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .await?;
        copy_bidirectional(&mut client, &mut server)
            .await
            .map(|_| ())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_through_the_proxy_of_the_site_file() {
    let azure = Azure::start().await;
    let base = azure.at(&azure.proxied()) + &azure.trusted() + &azure.with_secret();
    let proxy = Arc::new(Proxy::default());
    let address = proxy.start().await;
    let site = azure.site(&format!("{base}proxy = \"{address}\"\n"));
    let through = provider(&site);
    assert!(through.list(&cx()).await.unwrap().is_complete());
    let outcome = create(&cx(), &site, through.as_ref(), "c1").await;
    assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
    assert!(proxy.tunnels.load(Ordering::Relaxed) >= 1);

    let strict = Arc::new(Proxy {
        refuses: true,
        ..Proxy::default()
    });
    let nobody = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let gone = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    for address in [strict.start().await, gone] {
        let keys = format!("{base}proxy = \"{address}\"\n");
        let error = refusal(provider(&azure.site(&keys)).as_ref()).await;
        let words = ["was not reached", &format!("proxy = \"{address}\"")];
        says(&error, ErrorKind::Connect, "NoToken", &words);
    }
}

const SITE: &str = "SLURMBURST_TEST_SITE_FILE";

/// Run by the next test, in a process whose PATH begins with a program `az`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "part of the_azure_cli_is_asked_for_a_token"]
async fn with_an_az_in_path() {
    let Some(file) = std::env::var_os(SITE) else {
        return;
    };
    let site = site::parse(&std::fs::read_to_string(file).unwrap());
    match provider(&site).list(&cx()).await {
        Ok(listing) => println!("listed, complete: {}", listing.is_complete()),
        Err(error) => println!("{} {error}", error.cloud_code().unwrap_or("")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_azure_cli_is_asked_for_a_token() {
    let azure = Azure::start().await;
    let endpoint = azure.emulator.endpoint();
    let subscription = azure.emulator.cloud().settings().subscription().to_owned();
    let token = azure.emulator.cloud().token();
    let keys = azure.at(&endpoint) + &azure.trusted() + "auth = \"azure-cli\"\n";
    let file = azure.file("slurmburst.toml", &azure.site_file(&keys), 0o644);
    let asked = format!(
        "account get-access-token --output json --scope {endpoint}/.default --subscription {subscription}"
    );
    let good = format!(
        "#!/bin/sh\n[ \"$*\" = \"{asked}\" ] || {{ echo \"asked: $*\" >&2; exit 2; }}\n\
         echo '{{\"accessToken\":\"{token}\",\"expires_on\":4102444800}}'\n"
    );
    let logged_out =
        "#!/bin/sh\necho \"ERROR: Please run 'az login' to setup account.\" >&2\nexit 1\n";
    let old = format!("#!/bin/sh\necho '{{\"accessToken\":\"{token}\"}}'\n");
    for (az, words) in [
        (good.as_str(), vec!["listed, complete: true"]),
        (
            logged_out,
            vec!["NoToken", "auth: ", "Please run 'az login'", "SlurmUser"],
        ),
        (&old, vec!["NoToken", "must be 2.54 or newer"]),
    ] {
        azure.file("az", az, 0o755);
        let run = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "with_an_az_in_path", "--ignored", "--nocapture"])
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", azure.dir.path().display()),
            )
            .env(SITE, &file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(run.status.success(), "{said}");
        for word in words {
            assert!(said.contains(word), "{said}\nshould say {word}");
        }
        assert!(!said.contains(&token), "{said}");
    }
}
