//! Every property of a provider on a real subscription, where somebody asks for
//! it (README, "On a real subscription"). Off otherwise. One after the other:
//! each makes a machine or three, which cost money until they are deleted.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails like this")]

mod site;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use slurmburst_azure::{Auth, AzureConfig};
use slurmburst_core::clock::Clock;
use slurmburst_core::conformance::{Harness, PROPERTIES, settle};
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::kind::Surroundings;
use slurmburst_core::outcome::{Outcome, Outcomes};
use slurmburst_core::provider::{
    Chore, CloudProvider, Context, DownMode, Generation, Lifecycle, Listing, Placement, PowerDown,
};
use slurmburst_core::site::Site;

struct Live {
    site: Site,
    /// Of this run alone: what bears it is ours to delete.
    cluster: String,
    next: AtomicU32,
}

impl Live {
    fn new(text: &str) -> Live {
        Live {
            site: site::parse(text),
            cluster: format!("test-{:x}", Clock::system().now_ms()),
            next: AtomicU32::new(1),
        }
    }

    fn cx(&self) -> Context {
        Context::within(self.cluster.clone(), self.patience())
    }

    /// Of the whole resource group, with nothing remembered.
    async fn listing(&self) -> Listing {
        let listing = self.provider().list(&self.cx()).await.unwrap();
        assert!(listing.is_complete(), "{:?}", listing.gaps);
        listing
    }

    async fn down(&self, node: &NodeName, mode: DownMode) -> Outcomes {
        let down = PowerDown {
            node: node.clone(),
            generation: Generation(1),
            instance: None,
            mode,
        };
        settle(self, self.provider().power_down(&self.cx(), &[down]).await).await
    }
}

#[async_trait]
impl Harness for Live {
    fn provider(&self) -> Arc<dyn CloudProvider> {
        site::provider(&self.site)
    }

    fn cluster_id(&self) -> String {
        self.cluster.clone()
    }

    fn nodes(&self, count: usize) -> Vec<NodeName> {
        let name = || {
            format!(
                "{}-{}",
                self.cluster,
                self.next.fetch_add(1, Ordering::Relaxed)
            )
        };
        (0..count)
            .map(|_| NodeName::new(&name()).unwrap())
            .collect()
    }

    fn placement(&self, lifecycle: Lifecycle) -> Option<Placement> {
        let first = self.site.policy.groups().first()?.placements.first()?;
        Some(Placement {
            lifecycle,
            ..first.as_ref().clone()
        })
    }

    async fn remains(&self) -> usize {
        let listing = self.listing().await;
        let billed = listing.instances.iter().filter(|i| i.state.is_billed());
        billed.count() + listing.leftovers.len()
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(20 * 60)
    }

    fn secrets(&self) -> Vec<String> {
        let table = &self.site.provider("azure").unwrap().config;
        let around = Surroundings::new("azure", &self.cluster, "/nonexistent", "/nonexistent");
        match AzureConfig::read(table, &around).unwrap().auth {
            Auth::Secret { file, .. } => vec![std::fs::read_to_string(file).unwrap().trim().into()],
            _ => Vec::new(),
        }
    }

    async fn prepare(&self, nodes: &[NodeName]) -> bool {
        for node in nodes {
            let provider = self.provider();
            let made = site::create(&self.cx(), &self.site, provider.as_ref(), node.as_str()).await;
            let mut outcomes = Outcomes::new([node.clone()]);
            outcomes.set(node, made);
            let up = settle(self, outcomes).await;
            let down = self.down(node, DownMode::Deallocate).await;
            let well = |(_, outcome): (&NodeName, &Outcome)| outcome.is_success();
            if !up.iter().chain(down.iter()).all(well) {
                return false;
            }
        }
        true
    }

    async fn tear_down(&self) {
        let listing = self.listing().await;
        for instance in listing.instances {
            self.down(&instance.node, DownMode::Terminate).await;
        }
        let chores = self
            .listing()
            .await
            .leftovers
            .into_iter()
            .map(Chore::Delete);
        let chores: Vec<Chore> = chores.collect();
        self.provider().tidy(&self.cx(), &chores).await;
    }
}

#[tokio::test]
async fn a_real_subscription_keeps_to_every_property() {
    if std::env::var("SLURMBURST_TEST_AZURE").as_deref() != Ok("live") {
        println!("SKIPPED: costs money; SLURMBURST_TEST_AZURE is not \"live\"");
        return;
    }
    let file = std::env::var("SLURMBURST_TEST_AZURE_SITE").unwrap_or_else(|_| {
        panic!("SLURMBURST_TEST_AZURE_SITE must name a site file with a provider \"azure\"")
    });
    let live = Live::new(&std::fs::read_to_string(&file).unwrap());
    println!(
        "everything made here is tagged slurmburst-cluster = {}",
        live.cluster
    );
    let mut broken = Vec::new();
    for property in PROPERTIES {
        match AssertUnwindSafe((property.check)(&live))
            .catch_unwind()
            .await
        {
            Ok(verdict) => println!("{}: {verdict}", property.name),
            // What it expected and saw is printed already.
            Err(_) => broken.push(property.name),
        }
        live.tear_down().await;
    }
    assert_eq!(
        live.remains().await,
        0,
        "still there: delete what is tagged {}",
        live.cluster
    );
    assert!(broken.is_empty(), "do not hold: {broken:?}");
}
