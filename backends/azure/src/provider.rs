//! [`AzureProvider`].

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::TokenCredential;
use azure_core::http::HttpClient;
use serde::{Deserialize, Serialize};
use slurmburst_core::error::{Error, ErrorKind, Result};
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::outcome::{Outcome, Outcomes};
use slurmburst_core::provider::{
    Call, CallClass, Capabilities, Chore, CloudProvider, Context, Cost, Direction, Lifecycle,
    Listing, OpKind, Pending, Placement, PowerDown, Rendered,
};

use crate::api::Addresses;
use crate::client::{Client, Given, Reply};
use crate::config::AzureConfig;
use crate::render;
use crate::view::View;

/// The most nodes of one call. One request makes one machine; this is how many
/// are polled, or brought down, together.
const MAX_BATCH: usize = 100;

/// Never longer than this between two looks, whatever an answer says.
const MOST_BETWEEN: Duration = Duration::from_secs(60);

/// Tokens of a bucket that are never reserved: what is paid for is on its way for
/// a while, and may arrive closer together than it was sent.
const MARGIN: f64 = 5.0;

/// Nodes as Azure virtual machines.
#[derive(Debug)]
pub struct AzureProvider {
    pub(crate) config: Arc<AzureConfig>,
    pub(crate) client: Client,
    pub(crate) addresses: Addresses,
    pub(crate) view: View,
    /// The newest version of each marketplace image, looked up once.
    pub(crate) newest: tokio::sync::Mutex<HashMap<[String; 3], String>>,
    /// Whether there may be public addresses of ours.
    pub(crate) public_ips: Arc<AtomicBool>,
    capabilities: Capabilities,
}

/// What a [`Pending`] holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Handle {
    pub(crate) op: Op,
    /// Where to ask, as Azure gave it; none where we did not begin it ourselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Op {
    Create,
    Start,
    Deallocate,
    Delete,
}

impl Op {
    pub(crate) fn direction(self) -> Direction {
        match self {
            Op::Create | Op::Start => Direction::Up,
            Op::Deallocate | Op::Delete => Direction::Down,
        }
    }
}

impl AzureProvider {
    /// A provider of this configuration. Makes no call.
    pub fn new(config: AzureConfig) -> AzureProvider {
        AzureProvider::build(config, None)
    }

    /// The same over a transport of one's own, which answers for Resource
    /// Manager and, where no credential is given, for the token service.
    pub fn with_transport(
        config: AzureConfig,
        transport: Arc<dyn HttpClient>,
        credential: Option<Arc<dyn TokenCredential>>,
    ) -> AzureProvider {
        AzureProvider::build(config, Some((transport, credential)))
    }

    fn build(config: AzureConfig, given: Option<Given>) -> AzureProvider {
        let config = Arc::new(config);
        AzureProvider {
            capabilities: capabilities(&config),
            addresses: Addresses::new(&config),
            client: Client::new(Arc::clone(&config), given),
            view: View::new(config.poll_interval),
            newest: tokio::sync::Mutex::default(),
            public_ips: Arc::default(),
            config,
        }
    }

    /// What it was made from.
    pub fn config(&self) -> &AzureConfig {
        &self.config
    }

    pub(crate) fn at(&self) -> (&Client, &Addresses) {
        (&self.client, &self.addresses)
    }

    /// Work that Azure has accepted.
    pub(crate) fn accepted(
        &self,
        node: &NodeName,
        op: Op,
        instance: Option<String>,
        reply: Option<Reply>,
    ) -> Outcome {
        let after = reply
            .as_ref()
            .and_then(|r| r.retry_after)
            .unwrap_or(self.config.poll_interval);
        let handle = Handle {
            op,
            url: reply.and_then(|r| r.operation),
        };
        self.pending(node, &handle, instance, after)
    }

    pub(crate) fn pending(
        &self,
        node: &NodeName,
        handle: &Handle,
        instance: Option<String>,
        after: Duration,
    ) -> Outcome {
        match serde_json::to_value(handle) {
            Ok(value) => Outcome::Accepted(Pending {
                node: node.clone(),
                direction: handle.op.direction(),
                instance,
                handle: value,
                poll_after: after.min(MOST_BETWEEN),
            }),
            Err(e) => Outcome::Failed(Error::new(ErrorKind::Unexpected, format!("{node}: {e}"))),
        }
    }

    fn fits(&self, nodes: usize) -> Result<()> {
        if nodes <= MAX_BATCH {
            return Ok(());
        }
        let text = format!("{nodes} nodes at once; this provider takes at most {MAX_BATCH}");
        Err(Error::new(ErrorKind::Invalid, text).code("TooManyNodes"))
    }

    /// Why nothing is sent for these nodes, if so.
    fn unsent(&self, cx: &Context, nodes: &[NodeName], largest: usize) -> Option<Outcomes> {
        if let Err(error) = self.fits(largest) {
            return Some(Outcomes::failed(nodes.iter().cloned(), &error));
        }
        let late = Outcome::Skipped("the deadline had passed before anything was sent".into());
        cx.remaining()
            .is_zero()
            .then(|| Outcomes::all(nodes.iter().cloned(), &late))
    }
}

/// Azure's documented buckets: Resource Manager's per subscription, credential
/// and region, Compute's per subscription and region.
fn capabilities(config: &AzureConfig) -> Capabilities {
    use OpKind::{Create, Deallocate, List, Poll, Start, Terminate, Tidy};
    let class = |name: &str, ops: &[OpKind], cost: Cost, burst: f64, per_second: f64| CallClass {
        name: name.to_owned(),
        ops: ops.to_vec(),
        cost,
        burst,
        per_second,
    };
    let per_minute = |tokens: f64| tokens / 60.0;
    let mut all = Capabilities::new(config.principal());
    all.max_batch = MAX_BATCH;
    all.concurrency = 64;
    all.lifecycles = vec![Lifecycle::CreateDelete, Lifecycle::StartDeallocate];
    all.consistency_window = config.consistency_window;
    all.classes = vec![
        class(
            "arm-writes",
            &[Create, Start, Deallocate, Tidy],
            Cost::PerNode,
            200.0 - MARGIN,
            10.0,
        ),
        class(
            "arm-deletes",
            &[Terminate, Tidy],
            Cost::PerNode,
            200.0 - MARGIN,
            10.0,
        ),
        class("arm-reads", &[List, Poll], Cost::PerCall, 250.0, 25.0),
        class(
            "compute-put",
            &[Create],
            Cost::PerNode,
            1500.0,
            per_minute(500.0),
        ),
        class(
            "compute-update",
            &[Start, Tidy],
            Cost::PerNode,
            1500.0,
            per_minute(500.0),
        ),
        class(
            "compute-delete",
            &[Terminate, Deallocate],
            Cost::PerNode,
            1500.0,
            per_minute(500.0),
        ),
        class(
            "compute-list",
            &[List, Poll],
            Cost::PerCall,
            900.0,
            per_minute(300.0),
        ),
    ];
    all
}

impl fmt::Display for AzureProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl CloudProvider for AzureProvider {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn list(&self, cx: &Context) -> Result<Listing> {
        self.listing(cx).await
    }

    async fn power_up(&self, cx: &Context, calls: &[Call]) -> Outcomes {
        let nodes: Vec<NodeName> = calls.iter().flat_map(Call::names).cloned().collect();
        let largest = calls.iter().map(|c| c.nodes.len()).max().unwrap_or(0);
        match self.unsent(cx, &nodes, largest) {
            Some(outcomes) => outcomes,
            None => self.up(cx, calls, nodes).await,
        }
    }

    async fn power_down(&self, cx: &Context, batch: &[PowerDown]) -> Outcomes {
        let nodes: Vec<NodeName> = batch.iter().map(|d| d.node.clone()).collect();
        match self.unsent(cx, &nodes, nodes.len()) {
            Some(outcomes) => outcomes,
            None => self.down(cx, batch, nodes).await,
        }
    }

    async fn poll(&self, cx: &Context, pending: &[Pending]) -> Outcomes {
        let nodes: Vec<NodeName> = pending.iter().map(|p| p.node.clone()).collect();
        match self.unsent(cx, &nodes, nodes.len()) {
            Some(outcomes) => outcomes,
            None => self.progress(cx, pending, nodes).await,
        }
    }

    async fn tidy(&self, cx: &Context, chores: &[Chore]) -> Outcomes {
        let nodes: Vec<NodeName> = chores.iter().map(|c| c.node().clone()).collect();
        match self.unsent(cx, &nodes, 0) {
            Some(outcomes) => outcomes,
            None => self.chores(cx, chores, nodes).await,
        }
    }

    /// One request makes one machine, so each node is a call of its own: it
    /// pays, waits for its token and fails by itself.
    fn render(&self, placement: &Placement, nodes: &[NodeName]) -> Result<Vec<Rendered>> {
        render::check_nodes(nodes)?;
        let request = match placement.lifecycle {
            Lifecycle::CreateDelete => {
                let request = render::render(&self.config, placement)?;
                if let Some(fixed) = &request.private_ip {
                    for node in nodes {
                        fixed
                            .of(node)
                            .map_err(|e| Error::new(ErrorKind::Invalid, e))?;
                    }
                }
                serde_json::to_value(&request).map_err(|e| {
                    Error::new(ErrorKind::Invalid, format!("{}: {e}", placement.name))
                })?
            }
            Lifecycle::StartDeallocate => serde_json::json!({ "action": "start" }),
        };
        let one = |node: &NodeName| Rendered {
            nodes: vec![node.clone()],
            request: request.clone(),
        };
        Ok(nodes.iter().map(one).collect())
    }
}
