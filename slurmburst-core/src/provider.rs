//! [`CloudProvider`], the trait that a backend implements, and its nouns.
//!
//! A provider does what it is told, for the nodes it is told, and says what
//! became of each. It keeps no books (the ledger does), retries nothing (a
//! wrapper does), knows nothing of Slurm, and never guesses: what it does not
//! know it reports as unknown.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::hostlist::NodeName;
use crate::outcome::Outcomes;

/// The code of a [`NotFound`](crate::error::ErrorKind::NotFound) by which a provider
/// answers a repeated [`Call`] whose instance was there and is dying or gone: the
/// call is over, and nothing was made by the repetition.
pub const INSTANCE_GONE: &str = "InstanceGone";

/// Something that can run nodes: a cloud, or this machine.
///
/// No method has a default body: a wrapper that forgot one would silently
/// change behaviour. Every call is idempotent. Dropping a future at its
/// deadline is allowed at any await point and means "effect unknown".
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait CloudProvider: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// What this provider can do, and how often. Constant over its life.
    fn capabilities(&self) -> &Capabilities;

    /// Every instance of this cluster ([`Context::cluster_id`]), all pages,
    /// dying ones included; other clusters' never. What did not answer is
    /// named in [`Listing::gaps`], what dead nodes left behind in
    /// [`Listing::leftovers`].
    ///
    /// # Errors
    /// Only when nothing at all could be learnt.
    async fn list(&self, cx: &Context) -> Result<Listing>;

    /// Creates or starts (by the placement's [`Lifecycle`]) the nodes of each
    /// call. The same call, recognised by its token, twice is the same
    /// instances. A batch over [`Capabilities::max_batch`] is refused, whole.
    async fn power_up(&self, cx: &Context, calls: &[Call]) -> Outcomes;

    /// Deallocates or terminates. A node that is not there is
    /// [`Outcome::AlreadyDone`](crate::outcome::Outcome::AlreadyDone).
    /// Deallocate keeps the disk; terminate leaves nothing that costs money.
    async fn power_down(&self, cx: &Context, batch: &[PowerDown]) -> Outcomes;

    /// How far accepted work has come. Never mutates.
    async fn poll(&self, cx: &Context, pending: &[Pending]) -> Outcomes;

    /// Not urgent and idempotent: delete leftovers, write tags.
    async fn tidy(&self, cx: &Context, chores: &[Chore]) -> Outcomes;

    /// The requests for these nodes at this placement, split by
    /// [`Capabilities::max_batch`]. Pure: no I/O. What it returns is stored in
    /// the ledger, so it holds no secret, only where to find one.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::error::ErrorKind::Invalid) when the
    /// template cannot describe one of the nodes.
    fn render(&self, placement: &Placement, nodes: &[NodeName]) -> Result<Vec<Rendered>>;
}

/// What every call is made under.
#[derive(Debug, Clone)]
pub struct Context {
    cluster_id: Arc<str>,
    deadline: Instant,
}

impl Context {
    /// Calls for the cluster `cluster_id`, to be given up at `deadline`.
    pub fn new(cluster_id: impl Into<Arc<str>>, deadline: Instant) -> Context {
        Context { cluster_id: cluster_id.into(), deadline }
    }

    /// A context whose deadline is `after` from now.
    pub fn within(cluster_id: impl Into<Arc<str>>, after: Duration) -> Context {
        Context::new(cluster_id, Instant::now() + after)
    }

    /// The owner tag of everything this cluster makes.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// When to give up.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What is left until the deadline; zero once it has passed.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The same, with an earlier (never a later) deadline.
    #[must_use]
    pub fn capped(&self, deadline: Instant) -> Context {
        Context { cluster_id: Arc::clone(&self.cluster_id), deadline: self.deadline.min(deadline) }
    }
}

/// What a provider can do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Capabilities {
    /// The most nodes one [`Call`], [`PowerDown`] batch or poll may name.
    pub max_batch: usize,
    /// The most calls that may be under way at once.
    pub concurrency: usize,
    /// The lifecycles it offers.
    pub lifecycles: Vec<Lifecycle>,
    /// Its rate limits.
    pub classes: Vec<CallClass>,
    /// How long after a change a listing may still miss it.
    pub consistency_window: Duration,
    /// Whether instances carry an owner tag, so that `cluster_id` is required.
    pub needs_cluster_id: bool,
    /// Who is rate limited together: an account or subscription, a credential.
    pub principal: String,
}

impl Capabilities {
    /// One node per call, `concurrency` 16, create-delete only, no limits, consistent at once.
    pub fn new(principal: impl Into<String>) -> Capabilities {
        Capabilities {
            max_batch: 1,
            concurrency: 16,
            lifecycles: vec![Lifecycle::CreateDelete],
            classes: Vec::new(),
            consistency_window: Duration::ZERO,
            needs_cluster_id: true,
            principal: principal.into(),
        }
    }

    /// Whether `lifecycle` is offered.
    pub fn offers(&self, lifecycle: Lifecycle) -> bool {
        self.lifecycles.contains(&lifecycle)
    }
}

/// A token bucket of the provider's, and which operations pay into it.
#[derive(Debug, Clone, PartialEq)]
pub struct CallClass {
    /// Its name in the ledger and in logs, such as `writes`.
    pub name: String,
    /// The operations that need its tokens.
    pub ops: Vec<OpKind>,
    /// What one operation costs.
    pub cost: Cost,
    /// Bucket size in tokens.
    pub burst: f64,
    /// Refill, tokens per second.
    pub per_second: f64,
}

/// What a call pays into a [`CallClass`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// One token a request.
    PerCall,
    /// One token a node.
    PerNode,
}

/// The kinds of operation that clouds limit apart from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpKind {
    /// [`CloudProvider::list`].
    List,
    /// [`CloudProvider::power_up`] under [`Lifecycle::CreateDelete`].
    Create,
    /// [`CloudProvider::power_up`] under [`Lifecycle::StartDeallocate`].
    Start,
    /// [`CloudProvider::power_down`] with [`DownMode::Deallocate`].
    Deallocate,
    /// [`CloudProvider::power_down`] with [`DownMode::Terminate`].
    Terminate,
    /// [`CloudProvider::poll`].
    Poll,
    /// [`CloudProvider::tidy`].
    Tidy,
}

/// What is done with a node's machine between two jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lifecycle {
    /// Made on resume, deleted on suspend.
    CreateDelete,
    /// Made by hand once; started on resume, deallocated (disk kept) on suspend.
    StartDeallocate,
}

impl Lifecycle {
    /// How a node of this lifecycle goes down.
    pub fn down_mode(self) -> DownMode {
        match self {
            Lifecycle::CreateDelete => DownMode::Terminate,
            Lifecycle::StartDeallocate => DownMode::Deallocate,
        }
    }
}

/// How a node is powered down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DownMode {
    /// Compute released, disk kept.
    Deallocate,
    /// Gone, with everything that costs money.
    Terminate,
}

/// How capacity is bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Market {
    /// At the list price, until given back.
    #[default]
    OnDemand,
    /// Cheaper, and may be taken away.
    Spot,
}

/// The wish counter of a node: a later wish has a larger generation, for ever.
/// In practice milliseconds since 1970, or one more than the last.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Generation(pub i64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a backend makes of its part of a placement's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Template {
    /// Region, in the cloud's own words.
    pub region: Option<String>,
    /// Zone within the region.
    pub zone: Option<String>,
    /// Machine size.
    pub size: Option<String>,
    /// On-demand or spot.
    pub market: Market,
    /// Whatever else the backend needs to render a request. No secrets.
    pub body: Value,
}

/// Where and as what a node may run: one rung of a group's capacity ladder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Name, unique in the site: `provider/size/zone/market` of what is set, or as configured.
    pub name: String,
    /// The `[provider.NAME]` that runs it.
    pub provider: String,
    /// What is done between two jobs.
    pub lifecycle: Lifecycle,
    /// The backend's own part.
    pub template: Template,
}

/// One request as the backend will send it, before it has a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The nodes it makes, in order.
    pub nodes: Vec<NodeName>,
    /// The request. Stored and replayed as it is.
    pub request: Value,
}

/// A node of a [`Call`], with the wish that it serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallNode {
    /// The node.
    pub name: NodeName,
    /// Written into the instance's tags.
    pub generation: Generation,
}

/// One mutating request: written to the ledger before it is sent, replayed
/// under the same token until its effect is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Its id in the ledger; written into the instances' tags.
    pub id: String,
    /// What the cloud recognises a repetition by.
    pub token: String,
    /// Where.
    pub placement: Placement,
    /// Its nodes, in the order of the request.
    pub nodes: Vec<CallNode>,
    /// The request as rendered.
    pub request: Value,
}

impl Call {
    /// The names of its nodes, in order.
    pub fn names(&self) -> impl Iterator<Item = &NodeName> {
        self.nodes.iter().map(|n| &n.name)
    }
}

/// One node to power down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PowerDown {
    /// The node.
    pub node: NodeName,
    /// The wish that it serves.
    pub generation: Generation,
    /// Its instance, when one is known. Only this one is touched then.
    pub instance: Option<String>,
    /// How.
    pub mode: DownMode,
}

/// Work that the cloud accepted and has not finished. Stored in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The node.
    pub node: NodeName,
    /// Up or down.
    pub direction: Direction,
    /// The cloud's id of the instance, when it has one already.
    pub instance: Option<String>,
    /// What the provider needs to ask again; an operation URL, verbatim, for example.
    pub handle: Value,
    /// How long to wait before asking.
    pub poll_after: Duration,
}

/// Which way a node is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Towards running.
    Up,
    /// Towards deallocated or gone.
    Down,
}

/// Something to tidy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Chore {
    /// Delete what a dead node left behind.
    Delete(Leftover),
    /// Write tags on an instance.
    Tag {
        /// The node.
        node: NodeName,
        /// The instance.
        instance: String,
        /// The tags.
        tags: BTreeMap<String, String>,
    },
}

impl Chore {
    /// The node that it is about.
    pub fn node(&self) -> &NodeName {
        match self {
            Chore::Delete(leftover) => &leftover.node,
            Chore::Tag { node, .. } => node,
        }
    }
}

/// What [`CloudProvider::list`] found.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The instances of this cluster.
    pub instances: Vec<Instance>,
    /// The parts of the cloud that did not answer. A node that is missing from
    /// a listing with gaps may exist.
    pub gaps: Vec<Gap>,
    /// Disks, NICs and the like whose node is dead.
    pub leftovers: Vec<Leftover>,
}

impl Listing {
    /// Whether a node that is missing here really is not there.
    pub fn is_complete(&self) -> bool {
        self.gaps.is_empty()
    }
}

/// A part of the cloud that did not answer.
#[derive(Debug, Clone)]
pub struct Gap {
    /// Region, zone or account, in the cloud's own words.
    pub scope: String,
    /// Why.
    pub error: Error,
}

/// A machine that belongs to this cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// The node that it is.
    pub node: NodeName,
    /// The cloud's id.
    pub id: String,
    /// What it is doing.
    pub state: InstanceState,
    /// How it came to be ours.
    pub owner: Owner,
    /// The generation in its tags.
    pub generation: Option<Generation>,
    /// The call in its tags.
    pub call: Option<String>,
    /// Its address in the cluster's network.
    pub address: Option<IpAddr>,
    /// When it was last launched or started, in milliseconds since 1970.
    pub launched_ms: Option<i64>,
}

/// How an instance came to belong to this cluster. Only what was created by us
/// is ever deleted without being asked for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// Its tags say that slurmburst created it.
    Created,
    /// Made by hand, then adopted: it carries our tags.
    Adopted,
    /// Recognised by its name alone.
    Matched,
}

/// What a machine is doing, and so whether it costs money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InstanceState {
    /// Being made or started.
    Starting,
    /// Up, as far as the cloud knows.
    Running,
    /// Being deallocated.
    Stopping,
    /// Deallocated: only its disk costs money.
    Stopped,
    /// Powered off and still billed for compute.
    StoppedBilled,
    /// Being deleted.
    Terminating,
    /// Deleted, and still shown.
    Terminated,
    /// It could not be made; debris.
    Failed,
    /// The cloud does not say.
    Unknown,
}

impl InstanceState {
    /// Whether it is, or is about to be, up.
    pub fn is_up(self) -> bool {
        matches!(self, InstanceState::Starting | InstanceState::Running)
    }

    /// Whether it is on its way down or out and will get there by itself.
    pub fn is_dying(self) -> bool {
        matches!(self, InstanceState::Stopping | InstanceState::Terminating)
    }

    /// Whether compute is (or may be) paid for.
    pub fn is_billed(self) -> bool {
        !matches!(self, InstanceState::Stopped | InstanceState::Terminated)
    }

    /// Whether there is nothing left of it.
    pub fn is_gone(self) -> bool {
        self == InstanceState::Terminated
    }

    /// The word used in tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            InstanceState::Starting => "starting",
            InstanceState::Running => "running",
            InstanceState::Stopping => "stopping",
            InstanceState::Stopped => "stopped",
            InstanceState::StoppedBilled => "stopped-billed",
            InstanceState::Terminating => "terminating",
            InstanceState::Terminated => "terminated",
            InstanceState::Failed => "failed",
            InstanceState::Unknown => "unknown",
        }
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that a dead node left behind and that costs money or is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The node that it was made for.
    pub node: NodeName,
    /// The cloud's id.
    pub id: String,
    /// What it is: `nic`, `disk`.
    pub kind: String,
    /// Whether it is certainly ours. What is not certain is reported, never deleted.
    pub certain: bool,
}
