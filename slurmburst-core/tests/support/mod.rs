//! The simulated cloud as a conformance harness. Time is tokio's, paused.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use slurmburst_core::bucket::MemoryBuckets;
use slurmburst_core::clock::Clock;
use slurmburst_core::conformance::Harness;
use slurmburst_core::error::{Error, ErrorKind};
use slurmburst_core::fake::{FakeCloud, FakeOptions, Fault, Trouble};
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::provider::*;
use slurmburst_core::wrap::{RetryOptions, StackOptions, stack};

pub(crate) const SECRET: &str = "hunter2-is-not-to-be-seen";

pub(crate) struct FakeHarness {
    pub(crate) fake: Arc<FakeCloud>,
    pub(crate) provider: Arc<dyn CloudProvider>,
    used: AtomicUsize,
    foreign: Mutex<Option<String>>,
}

/// A cloud that is slow, late and talks in pages.
pub(crate) fn options() -> FakeOptions {
    FakeOptions {
        delay: Duration::from_millis(200),
        boot_delay: Duration::from_secs(20),
        stop_delay: Duration::from_secs(5),
        consistency_window: Duration::from_secs(3),
        page_size: 2,
        clock: Clock::tokio(1_700_000_000_000),
        ..FakeOptions::default()
    }
}

impl FakeHarness {
    /// A harness over a cloud, with something around it.
    pub(crate) fn new(
        options: FakeOptions,
        around: impl FnOnce(Arc<FakeCloud>) -> Arc<dyn CloudProvider>,
    ) -> FakeHarness {
        let fake = Arc::new(FakeCloud::new(options));
        FakeHarness {
            provider: around(Arc::clone(&fake)),
            fake,
            used: AtomicUsize::new(0),
            foreign: Mutex::default(),
        }
    }

    pub(crate) fn bare() -> FakeHarness {
        tokio::time::pause();
        FakeHarness::new(options(), |fake| fake)
    }

    pub(crate) fn stacked() -> FakeHarness {
        tokio::time::pause();
        let writes = CallClass {
            name: "writes".into(),
            ops: vec![
                OpKind::Create,
                OpKind::Start,
                OpKind::Deallocate,
                OpKind::Terminate,
            ],
            cost: Cost::PerNode,
            burst: 3.0,
            per_second: 1.0,
        };
        let options = FakeOptions {
            classes: vec![writes],
            ..options()
        };
        let clock = options.clock.clone();
        FakeHarness::new(options, |fake| {
            stack(
                fake,
                StackOptions {
                    dry_run: false,
                    buckets: Arc::new(MemoryBuckets::default()),
                    clock,
                    kind: "fake".into(),
                    retry: RetryOptions::default(),
                },
            )
        })
    }

    fn fault(&self, fault: Fault) -> bool {
        self.fake.fault(fault);
        true
    }
}

#[async_trait]
impl Harness for FakeHarness {
    fn provider(&self) -> Arc<dyn CloudProvider> {
        Arc::clone(&self.provider)
    }

    fn cluster_id(&self) -> String {
        "hpc1".into()
    }

    fn nodes(&self, count: usize) -> Vec<NodeName> {
        let from = self.used.fetch_add(count, Ordering::Relaxed);
        (from..from + count)
            .map(|i| NodeName::new(&format!("c{i}")).unwrap())
            .collect()
    }

    fn placement(&self, lifecycle: Lifecycle) -> Option<Placement> {
        Some(Placement {
            name: "fake/a".into(),
            provider: "fake".into(),
            lifecycle,
            template: Template {
                zone: Some("a".into()),
                ..Template::default()
            },
        })
    }

    async fn remains(&self) -> usize {
        let now = self.fake.now_ms();
        self.fake
            .read(|b| b.billed("hpc1", now).count() + b.leftovers())
            .unwrap()
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(120)
    }

    fn more_than_a_page(&self) -> usize {
        5
    }

    fn secrets(&self) -> Vec<String> {
        vec![SECRET.into()]
    }

    async fn requests(&self) -> Option<u64> {
        Some(self.fake.read(|b| b.requests()).unwrap())
    }

    async fn prepare(&self, nodes: &[NodeName]) -> bool {
        for node in nodes {
            self.fake.make("hpc1", node, Owner::Adopted).unwrap();
        }
        true
    }

    async fn lose_next_reply(&self, op: OpKind) -> bool {
        self.fault(Fault::new(Trouble::LoseReply).on(op))
    }

    async fn slow_next(&self, op: OpKind, by: Duration) -> bool {
        self.fault(Fault::new(Trouble::Slow(by)).on(op))
    }

    async fn throttle_next(&self, op: OpKind, after: Duration) -> bool {
        let error = Error::new(ErrorKind::Throttled, "too many").retry_after(after);
        self.fault(Fault::new(Trouble::Refuse(error)).on(op))
    }

    async fn fail_next_for(&self, node: &NodeName) -> bool {
        let error = Error::new(ErrorKind::Quota, "no more for you").code("QuotaExceeded");
        self.fault(Fault::new(Trouble::Nodes(vec![node.clone()], error)).node(node.clone()))
    }

    async fn exhaust_capacity(&self) -> bool {
        self.fake.set_capacity(Some(0));
        true
    }

    async fn bad_credentials(&self) -> bool {
        let error = Error::new(ErrorKind::Auth, "who are you?").code("401");
        self.fault(Fault::new(Trouble::Refuse(error)).always())
    }

    async fn other_clusters_instance(&self, node: &NodeName) -> bool {
        let cx = Context::within("other", Duration::from_secs(60));
        let call = Call {
            id: "theirs".into(),
            token: "theirs".into(),
            placement: self.placement(Lifecycle::CreateDelete).unwrap(),
            nodes: vec![CallNode {
                name: node.clone(),
                generation: Generation(1),
            }],
            request: serde_json::Value::Null,
        };
        self.fake.power_up(&cx, &[call]).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        let theirs = self.fake.list(&cx).await.unwrap().instances;
        *self.foreign.lock().unwrap() = theirs.first().map(|i| i.id.clone());
        true
    }

    async fn other_clusters_instance_runs(&self) -> bool {
        let (id, now) = (
            self.foreign.lock().unwrap().clone().unwrap(),
            self.fake.now_ms(),
        );
        self.fake
            .read(|b| b.machine(&id).is_some_and(|m| m.state(now).is_up()))
            .unwrap()
    }

    async fn gap(&self) -> bool {
        self.fake
            .gap("a", Error::new(ErrorKind::Unavailable, "zone a is down"));
        true
    }

    async fn tear_down(&self) {
        self.fake.calm();
        self.fake.set_capacity(None);
    }
}
