//! The emulator as the conformance tests see it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use slurmburst_azure_emulator::{Act, Clock as AzureClock, Cloud, Fault, Settings};
use slurmburst_core::bucket::MemoryBuckets;
use slurmburst_core::clock::Clock;
use slurmburst_core::conformance::Harness;
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::kind::ProviderKind;
use slurmburst_core::provider::{Chore, CloudProvider, Context, Lifecycle, OpKind, Placement};
use slurmburst_core::wrap::{RetryOptions, StackOptions, stack};
use tempfile::TempDir;

use super::{CLUSTER, Pipe, Plan, by_hand, name};

/// A machine is made by one request; its path says whose.
const CREATE: (&str, &str) = ("PUT", "virtualMachines/");

pub(crate) struct Emulated {
    cloud: Cloud,
    provider: Arc<dyn CloudProvider>,
    placement: Placement,
    clients: BTreeMap<String, String>,
    next: AtomicUsize,
    /// Creates fail, and leave what only a reconcile removes.
    leaves: AtomicBool,
    /// Holds the secret's file.
    _dir: TempDir,
}

impl Emulated {
    /// Stops tokio's clock: from here on time passes only while all wait.
    pub(crate) fn new(wrapped: bool) -> Emulated {
        tokio::time::pause();
        let plan = Plan {
            settings: Settings {
                page_size: 2,
                ..Settings::default()
            },
            ..Plan::default()
        };
        let cloud = Cloud::new(plan.settings.clone(), AzureClock::tokio());
        let dir = tempfile::tempdir().unwrap();
        plan.write(dir.path());
        let kind: Arc<dyn ProviderKind> = Arc::new(Pipe::new(cloud.clone()));
        let site = plan.site(dir.path(), &kind, "");
        let bare = Arc::clone(&site.providers[0].provider);
        let around = StackOptions {
            dry_run: false,
            buckets: Arc::new(MemoryBuckets::default()),
            clock: Clock::tokio(super::world::T0),
            kind: "azure".into(),
            retry: RetryOptions::default(),
        };
        Emulated {
            provider: if wrapped { stack(bare, around) } else { bare },
            placement: Placement::clone(&site.policy.groups()[0].placements[0]),
            clients: plan.settings.clients,
            next: AtomicUsize::new(1),
            leaves: AtomicBool::new(false),
            cloud,
            _dir: dir,
        }
    }

    fn next_create(&self, act: Act) -> bool {
        let (method, path) = CREATE;
        self.cloud.fault(Fault::new(act).on(method, path).times(1));
        true
    }

    /// What a reconcile does, once the NIC of a failed create is not reserved any more.
    async fn reconcile(&self) {
        tokio::time::sleep(Duration::from_secs(180)).await;
        let cx = Context::within(CLUSTER, self.patience());
        let listing = self.provider.list(&cx).await.unwrap();
        let chores: Vec<Chore> = listing.leftovers.into_iter().map(Chore::Delete).collect();
        self.provider.tidy(&cx, &chores).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
}

#[async_trait]
impl Harness for Emulated {
    fn provider(&self) -> Arc<dyn CloudProvider> {
        Arc::clone(&self.provider)
    }

    fn cluster_id(&self) -> String {
        CLUSTER.into()
    }

    fn nodes(&self, count: usize) -> Vec<NodeName> {
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        // None is the beginning of another.
        (first..first + count)
            .map(|n| name(&format!("c{n:04}")))
            .collect()
    }

    fn placement(&self, lifecycle: Lifecycle) -> Option<Placement> {
        let placement = self.placement.clone();
        Some(Placement {
            lifecycle,
            ..placement
        })
    }

    async fn remains(&self) -> usize {
        if self.leaves.load(Ordering::Relaxed) {
            self.reconcile().await;
        }
        let (books, vms) = (self.cloud.books(), self.cloud.vms());
        let off = vms.iter().filter(|(_, p, _)| p == "deallocated").count();
        // A machine has one of each.
        let loose = (books.nics + books.disks).saturating_sub(2 * vms.len());
        vms.len() - off + loose
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(3_600)
    }

    fn secrets(&self) -> Vec<String> {
        self.clients.values().cloned().collect()
    }

    async fn requests(&self) -> Option<u64> {
        Some(self.cloud.books().count("PUT virtualMachines"))
    }

    async fn prepare(&self, nodes: &[NodeName]) -> bool {
        by_hand::make(
            &self.cloud,
            nodes,
            &json!({ "slurmburst-cluster": CLUSTER }),
        )
        .await;
        by_hand::deallocate(&self.cloud, nodes).await;
        true
    }

    async fn lose_next_reply(&self, op: OpKind) -> bool {
        op == OpKind::Create && self.next_create(Act::LoseReply)
    }

    async fn slow_next(&self, op: OpKind, by: Duration) -> bool {
        op == OpKind::Create && self.next_create(Act::Delay(by.as_secs_f64()))
    }

    async fn throttle_next(&self, op: OpKind, after: Duration) -> bool {
        op == OpKind::Create && self.next_create(Act::ArmThrottle(after.as_secs()))
    }

    async fn fail_next_for(&self, node: &NodeName) -> bool {
        let fault = Fault::answer(400, "InvalidParameter", "as the test wants it");
        let path = format!("virtualMachines/{node}");
        self.cloud.fault(fault.on("PUT", &path).times(1));
        true
    }

    async fn exhaust_capacity(&self) -> bool {
        self.cloud.exhaust("Standard_D2s_v5", None);
        self.leaves.store(true, Ordering::Relaxed);
        true
    }

    async fn bad_credentials(&self) -> bool {
        self.cloud.change(|s| s.clients.clear());
        self.cloud.expire_tokens();
        true
    }

    async fn other_clusters_instance(&self, node: &NodeName) -> bool {
        let tags = json!({ "slurmburst-cluster": "them", "slurmburst-origin": "created" });
        by_hand::make(&self.cloud, std::slice::from_ref(node), &tags).await;
        true
    }

    async fn other_clusters_instance_runs(&self) -> bool {
        self.cloud
            .vms()
            .iter()
            .any(|(_, power, _)| power == "running")
    }

    async fn gap(&self) -> bool {
        let fault = Fault::answer(503, "ServiceUnavailable", "not now");
        self.cloud.fault(fault.on("GET", "networkInterfaces"));
        true
    }

    async fn tear_down(&self) {
        self.cloud.heal();
        self.cloud.change(|s| s.clients.clone_from(&self.clients));
    }
}
