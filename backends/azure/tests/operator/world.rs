//! An emulator, and an operator that talks to it over TLS.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use slurmburst_azure::{Auth, AzureConfig, AzureOperator, AzureProvider};
use slurmburst_azure_emulator::{Clock, Cloud, Emulator, Settings};
use slurmburst_core::error::Error;
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::kind::{Action, MachineInfo, Operator};
use slurmburst_core::outcome::{Outcome, Outcomes};
use slurmburst_core::policy::Group;
use slurmburst_core::provider::{
    Call, CallNode, CloudProvider, Context, Generation, Lifecycle, Market, Pending, Placement,
    Template,
};

pub(crate) const CLUSTER: &str = "hpc1-7f3a9c";
pub(crate) const SIZE: &str = "Standard_D4s_v5";

/// An emulator whose hour takes ten seconds, and who talks to it.
pub(crate) struct World {
    pub(crate) azure: Emulator,
    pub(crate) dir: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new(settings: Settings) -> World {
        let azure = Emulator::start(settings, Clock::wall(360.0)).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret"), "s3cret\n").unwrap();
        World { azure, dir }
    }

    pub(crate) fn cloud(&self) -> &Cloud {
        self.azure.cloud()
    }

    pub(crate) fn config(&self) -> AzureConfig {
        let settings = self.cloud().settings();
        let auth = Auth::Secret {
            tenant_id: settings.tenant.clone(),
            client_id: settings.clients.keys().next().unwrap().clone(),
            file: self.dir.path().join("secret"),
        };
        let mut config = AzureConfig::new(
            "here",
            settings.subscription(),
            &settings.group,
            &settings.location,
            auth,
        );
        config.endpoint = self.azure.endpoint();
        config.authority_host = self.azure.endpoint();
        config.audience = self.azure.endpoint();
        config.ca_bundle = Some(self.azure.ca_file());
        config.poll_interval = Duration::from_millis(50);
        config.consistency_window = Duration::ZERO;
        config
    }

    pub(crate) fn operator(&self) -> AzureOperator {
        AzureOperator::new(AzureProvider::new(self.config()), CLUSTER)
    }

    pub(crate) fn placement(&self, lifecycle: Lifecycle, change: Value) -> Placement {
        let mut body = json!({
            "image": { "urn": ["almalinux", "almalinux-hpc", "9-hpc-gen2", "latest"] },
            "plan": null, "os_disk_size_gb": null, "os_disk_sku": null, "ephemeral_os_disk": false,
            "admin_username": "azureuser", "ssh_public_keys": ["ssh-ed25519 AAAA x"],
            "subnet_id": self.cloud().settings().subnet_id(),
            "network_security_group_id": null, "accelerated_networking": false, "public_ip": false,
            "private_ip": null, "capacity_reservation": null, "proximity_placement_group": null,
            "identity": [], "tags": {}, "custom_data_file": null, "max_price": null,
            "eviction": "Delete", "security_type": null, "max_lifetime_s": null, "extra": {},
        });
        for (key, value) in change.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        Placement {
            name: "here/d4".into(),
            provider: "here".into(),
            lifecycle,
            template: Template {
                region: None,
                zone: Some("1".into()),
                size: Some(SIZE.into()),
                market: Market::OnDemand,
                body,
            },
        }
    }

    pub(crate) fn group(&self, nodes: &str, placement: Placement) -> Group {
        Group {
            nodes: nodes.parse().unwrap(),
            lifecycle: placement.lifecycle,
            placements: vec![Arc::new(placement)],
        }
    }

    /// A machine that slurmburst creates, up.
    pub(crate) async fn create(&self, node: &str) {
        let provider = AzureProvider::new(self.config());
        let placement = self.placement(Lifecycle::CreateDelete, json!({}));
        let rendered = provider
            .render(&placement, &[name(node)])
            .unwrap()
            .remove(0);
        let call = Call {
            id: format!("call-{node}"),
            token: format!("call-{node}"),
            placement,
            nodes: vec![CallNode {
                name: name(node),
                generation: Generation(5),
            }],
            request: rendered.request,
        };
        let mut outcomes = provider.power_up(&cx(), &[call]).await;
        for _ in 0..600 {
            match only(outcomes) {
                Outcome::Accepted(pending) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    outcomes = provider.poll(&cx(), &[pending]).await;
                }
                Outcome::Done(_) => return,
                other => panic!("{other:?}"),
            }
        }
        panic!("it never came up");
    }

    /// A machine that somebody makes by hand, up.
    pub(crate) async fn by_hand(&self, node: &str, tags: Value) {
        assert_eq!(self.cloud().make_vm(node, SIZE, tags).await, 201);
        self.cloud().advance(Duration::from_secs(100));
    }

    pub(crate) fn tags(&self, machines: &[MachineInfo], node: &str) -> Value {
        json!(of(machines, node).tags)
    }
}

pub(crate) fn cx() -> Context {
    Context::within(CLUSTER, Duration::from_secs(60))
}

pub(crate) fn name(node: &str) -> NodeName {
    NodeName::new(node).unwrap()
}

pub(crate) fn only(outcomes: Outcomes) -> Outcome {
    assert_eq!(outcomes.len(), 1);
    outcomes.into_iter().next().unwrap().1
}

pub(crate) fn of<'a>(machines: &'a [MachineInfo], node: &str) -> &'a MachineInfo {
    machines
        .iter()
        .find(|m| m.name == node)
        .unwrap_or_else(|| panic!("{node}: {machines:#?}"))
}

pub(crate) fn failure(outcome: Outcome) -> Error {
    match outcome {
        Outcome::Failed(error) => error,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn act(operator: &AzureOperator, action: Action, node: &str) -> Outcome {
    let mut outcome = only(operator.act(&cx(), action, &[name(node)]).await);
    for _ in 0..600 {
        let Outcome::Accepted(pending) = &outcome else {
            return outcome;
        };
        tokio::time::sleep(Duration::from_millis(50)).await;
        let kept = serde_json::to_string(pending).unwrap();
        let pending: Pending = serde_json::from_str(&kept).unwrap();
        outcome = only(operator.progress(&cx(), &[pending]).await);
    }
    panic!("it never ended");
}
