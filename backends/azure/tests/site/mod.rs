//! A site whose cloud is the emulator behind its socket, from a site file's
//! text, exactly as a site has it.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use slurmburst_azure::{AzureConfig, AzureKind, AzureProvider};
use slurmburst_azure_emulator::{Clock, Emulator, Settings};
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::kind::Surroundings;
use slurmburst_core::outcome::Outcome;
use slurmburst_core::provider::{
    Call, CallNode, CloudProvider, Context, DownMode, Generation, PowerDown,
};
use slurmburst_core::site::{Site, SiteContext};
use tokio::time::{Instant, sleep};

pub(crate) const CLUSTER: &str = "hpc1-7f3a9c";

pub(crate) fn cx() -> Context {
    Context::within(CLUSTER, Duration::from_secs(120))
}

/// The emulator, and a folder for a site's files.
pub(crate) struct Azure {
    pub(crate) emulator: Emulator,
    pub(crate) dir: tempfile::TempDir,
}

impl Azure {
    pub(crate) async fn start() -> Azure {
        let settings = Settings {
            token_life: Duration::from_secs(1_000_000),
            retry_after: None,
            ..Settings::default()
        };
        Azure {
            emulator: Emulator::start(settings, Clock::wall(100.0)).await.unwrap(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// The emulator's address for those that a proxy takes there.
    pub(crate) fn proxied(&self) -> String {
        let host = slurmburst_azure_emulator::PROXIED_HOST;
        self.emulator.endpoint().replace("localhost", host)
    }

    /// Keys of a provider at `address`, without `auth`.
    pub(crate) fn at(&self, address: &str) -> String {
        let settings = self.emulator.cloud().settings();
        format!(
            "subscription_id = \"{}\"\nresource_group = \"{}\"\nlocation = \"{}\"\n\
             cloud = \"custom\"\nendpoint = \"{address}\"\nauthority_host = \"{address}\"\n",
            settings.subscription(),
            settings.group,
            settings.location,
        )
    }

    pub(crate) fn trusted(&self) -> String {
        format!("ca_bundle = \"{}\"\n", self.emulator.ca_file().display())
    }

    /// `auth = "service-principal"` with the emulator's only application.
    pub(crate) fn principal(&self) -> String {
        let settings = self.emulator.cloud().settings();
        format!(
            "auth = \"service-principal\"\n{}",
            ids(&settings, settings.clients.keys().next().unwrap())
        )
    }

    /// The same with its right secret, in a file.
    pub(crate) fn with_secret(&self) -> String {
        let settings = self.emulator.cloud().settings();
        let secret = settings.clients.values().next().unwrap().clone();
        let file = self.file("secret", &format!("{secret}\n"), 0o600);
        format!("{}{}", self.principal(), path("client_secret_file", &file))
    }

    /// A site file with this provider and a group of nodes.
    pub(crate) fn site_file(&self, provider: &str) -> String {
        self.site_file_with(provider, "")
    }

    /// The same with more keys of its only placement.
    pub(crate) fn site_file_with(&self, provider: &str, placement: &str) -> String {
        let key = self.file("admin.pub", "ssh-ed25519 AAAA admin\n", 0o644);
        format!(
            r#"cluster_id = "{CLUSTER}"

[provider.azure]
kind = "azure"
{provider}
[[nodes]]
hostlist = "c[1-9]"
lifecycle = "create-delete"
  [nodes.azure]
  size = "Standard_D2s_v5"
  image = "almalinux:almalinux-hpc:9-hpc-gen2:latest"
  subnet_id = "{}"
  ssh_public_key_files = ["{}"]
  [[nodes.placement]]
  provider = "azure"
  {placement}
"#,
            self.emulator.cloud().settings().subnet_id(),
            key.display()
        )
    }

    /// The site of this provider.
    pub(crate) fn site(&self, provider: &str) -> Site {
        parse(&self.site_file(provider))
    }
}

pub(crate) fn ids(settings: &Settings, client: &str) -> String {
    format!(
        "tenant_id = \"{}\"\nclient_id = \"{client}\"\n",
        settings.tenant
    )
}

pub(crate) fn path(key: &str, path: &Path) -> String {
    format!("{key} = \"{}\"\n", path.display())
}

pub(crate) fn parse(text: &str) -> Site {
    let kinds: Vec<Arc<dyn slurmburst_core::kind::ProviderKind>> =
        vec![Arc::new(AzureKind::default())];
    let context = SiteContext {
        cluster_name: Some("hpc1".into()),
        ..SiteContext::default()
    };
    Site::parse(Path::new("slurmburst.toml"), text, &kinds, &context)
        .unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// The site's provider, in a hurry.
pub(crate) fn quick(site: &Site) -> AzureProvider {
    let around = Surroundings::new("azure", CLUSTER, "/nonexistent", "/nonexistent");
    let table = &site.provider("azure").unwrap().config;
    let mut config = AzureConfig::read(table, &around).unwrap();
    config.poll_interval = Duration::from_millis(50);
    config.consistency_window = Duration::ZERO;
    AzureProvider::new(config)
}

/// Polls what was accepted until it has happened.
pub(crate) async fn settle(provider: &dyn CloudProvider, mut outcome: Outcome) -> Outcome {
    let give_up = Instant::now() + Duration::from_secs(60);
    while let Outcome::Accepted(pending) = &outcome {
        assert!(Instant::now() < give_up, "never: {outcome:?}");
        sleep(pending.poll_after).await;
        let outcomes = provider.poll(&cx(), std::slice::from_ref(pending)).await;
        outcome = outcomes.into_iter().next().unwrap().1;
    }
    outcome
}

pub(crate) async fn down(provider: &dyn CloudProvider, node: &str, mode: DownMode) -> Outcome {
    let down = PowerDown {
        node: NodeName::new(node).unwrap(),
        generation: Generation(2),
        instance: None,
        mode,
    };
    let outcomes = provider.power_down(&cx(), &[down]).await;
    settle(provider, outcomes.into_iter().next().unwrap().1).await
}

pub(crate) fn provider(site: &Site) -> Arc<dyn CloudProvider> {
    Arc::clone(&site.provider("azure").unwrap().provider)
}

/// Creates a node at its group's first placement, as the converger would.
pub(crate) async fn create(
    cx: &Context,
    site: &Site,
    provider: &dyn CloudProvider,
    node: &str,
) -> Outcome {
    let name = NodeName::new(node).unwrap();
    let placement = site.policy.groups().first().unwrap().placements.first();
    let placement = placement.unwrap();
    let rendered = provider
        .render(placement, std::slice::from_ref(&name))
        .unwrap()
        .remove(0);
    let call = Call {
        id: format!("call-{node}"),
        token: format!("call-{node}"),
        placement: placement.as_ref().clone(),
        nodes: vec![CallNode {
            name,
            generation: Generation(1),
        }],
        request: rendered.request,
    };
    let outcomes = provider.power_up(cx, &[call]).await;
    outcomes.into_iter().next().unwrap().1
}
