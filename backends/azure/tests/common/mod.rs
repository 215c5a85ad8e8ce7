//! The provider over the Azure in memory.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use slurmburst_azure::{Auth, AzureConfig, AzureProvider};
use slurmburst_core::bucket::MemoryBuckets;
use slurmburst_core::clock::Clock;
use slurmburst_core::conformance::Harness;
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::provider::{CloudProvider, Lifecycle, Market, OpKind, Placement, Template};
use slurmburst_core::wrap::{RetryOptions, StackOptions, stack};

use crate::memory::{Cloud, Fixed, TOKEN, arc};

pub(crate) const CLUSTER: &str = "hpc1-7f3a9c";

pub(crate) fn config() -> AzureConfig {
    let id = "00000000-0000-0000-0000-000000000001";
    let auth = Auth::ManagedIdentity { client_id: None };
    let mut config = AzureConfig::new("here", id, "rg", "westeurope", auth);
    config.poll_interval = Duration::from_millis(20);
    config.consistency_window = Duration::ZERO;
    config
}

pub(crate) fn provider(cloud: &Arc<Cloud>, config: AzureConfig) -> Arc<AzureProvider> {
    let transport: Arc<Cloud> = Arc::clone(cloud);
    Arc::new(AzureProvider::with_transport(
        config,
        transport,
        Some(Arc::new(Fixed)),
    ))
}

pub(crate) fn template_body() -> serde_json::Value {
    json!({
        "image": { "urn": ["almalinux", "almalinux-hpc", "8-hpc-gen2", "latest"] },
        "plan": null, "os_disk_size_gb": 64, "os_disk_sku": "Premium_LRS", "ephemeral_os_disk": false,
        "admin_username": "azureuser", "ssh_public_keys": ["ssh-ed25519 AAAA x"],
        "subnet_id": "/subscriptions/s/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/v/subnets/default",
        "network_security_group_id": null, "accelerated_networking": true, "public_ip": false,
        "private_ip": null, "capacity_reservation": null, "proximity_placement_group": null,
        "identity": [], "tags": {}, "custom_data_file": null, "max_price": null,
        "eviction": "Delete", "security_type": null, "max_lifetime_s": null, "extra": {},
    })
}

pub(crate) fn placement(lifecycle: Lifecycle) -> Placement {
    Placement {
        name: "here/d4".into(),
        provider: "here".into(),
        lifecycle,
        template: Template {
            region: None,
            zone: Some("1".into()),
            size: Some("Standard_D4s_v5".into()),
            market: Market::OnDemand,
            body: template_body(),
        },
    }
}

pub(crate) struct Memory {
    cloud: Arc<Cloud>,
    provider: Arc<dyn CloudProvider>,
    next: AtomicU64,
}

impl Memory {
    pub(crate) fn new(wrapped: bool) -> Memory {
        let cloud = arc();
        let bare: Arc<dyn CloudProvider> = provider(&cloud, config());
        let provider = match wrapped {
            false => bare,
            true => stack(
                bare,
                StackOptions {
                    dry_run: false,
                    buckets: Arc::new(MemoryBuckets::default()),
                    clock: Clock::system(),
                    kind: "azure".into(),
                    retry: RetryOptions::default(),
                },
            ),
        };
        Memory {
            cloud,
            provider,
            next: AtomicU64::new(1),
        }
    }
}

fn word(op: OpKind) -> Option<&'static str> {
    match op {
        OpKind::Create => Some("create"),
        OpKind::List => Some("list"),
        OpKind::Start => Some("start"),
        OpKind::Terminate => Some("delete"),
        _ => None,
    }
}

#[async_trait]
impl Harness for Memory {
    fn provider(&self) -> Arc<dyn CloudProvider> {
        Arc::clone(&self.provider)
    }

    fn cluster_id(&self) -> String {
        CLUSTER.into()
    }

    fn nodes(&self, count: usize) -> Vec<NodeName> {
        let first = self.next.fetch_add(count as u64, Ordering::Relaxed);
        (first..first + count as u64)
            .map(|n| NodeName::new(&format!("c{n}")).unwrap())
            .collect()
    }

    fn placement(&self, lifecycle: Lifecycle) -> Option<Placement> {
        Some(placement(lifecycle))
    }

    async fn remains(&self) -> usize {
        let state = self.cloud.state();
        let off = |m: &&crate::memory::Machine| m.power == "deallocated";
        let ours = |m: &&crate::memory::Machine| m.body["tags"]["slurmburst-cluster"] == CLUSTER;
        let machines = state.vms.values().filter(ours).filter(|m| !off(m)).count();
        let loose = |parts: &std::collections::BTreeMap<String, bool>| {
            parts
                .keys()
                .filter(|n| !state.vms.contains_key(n.split('-').next().unwrap()))
                .count()
        };
        machines + loose(&state.nics) + loose(&state.disks)
    }

    fn secrets(&self) -> Vec<String> {
        vec![TOKEN.into()]
    }

    async fn requests(&self) -> Option<u64> {
        Some(self.cloud.count("create") as u64)
    }

    async fn prepare(&self, nodes: &[NodeName]) -> bool {
        for node in nodes {
            self.cloud.state().make(
                node.as_str(),
                json!({ "slurmburst-cluster": CLUSTER }),
                "deallocated",
            );
        }
        true
    }

    async fn lose_next_reply(&self, op: OpKind) -> bool {
        self.cloud.state().lose = word(op);
        word(op).is_some()
    }

    async fn slow_next(&self, op: OpKind, by: Duration) -> bool {
        self.cloud.state().slow = word(op).map(|w| (w, by));
        word(op).is_some()
    }

    async fn throttle_next(&self, op: OpKind, after: Duration) -> bool {
        let refuse = word(op).map(|w| {
            (
                w,
                429,
                "OperationNotAllowed",
                "TooManyRequests",
                after.as_secs(),
            )
        });
        self.cloud.state().refuse = refuse;
        word(op).is_some()
    }

    async fn fail_next_for(&self, node: &NodeName) -> bool {
        self.cloud.state().fails = Some(node.to_string());
        true
    }

    async fn exhaust_capacity(&self) -> bool {
        self.cloud.state().no_room = true;
        true
    }

    async fn bad_credentials(&self) -> bool {
        self.cloud.state().bad_credentials = true;
        true
    }

    async fn other_clusters_instance(&self, node: &NodeName) -> bool {
        self.cloud.state().make(
            node.as_str(),
            json!({ "slurmburst-cluster": "them", "slurmburst-origin": "created" }),
            "running",
        );
        true
    }

    async fn other_clusters_instance_runs(&self) -> bool {
        self.cloud.state().vms.values().any(|m| {
            m.body["tags"]["slurmburst-cluster"] == "them"
                && m.power == "running"
                && m.next.is_none()
        })
    }

    async fn gap(&self) -> bool {
        self.cloud.state().gap = true;
        true
    }

    async fn tear_down(&self) {
        let mut state = self.cloud.state();
        state.gap = false;
        state.bad_credentials = false;
        state.no_room = false;
    }
}
